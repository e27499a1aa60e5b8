"""What every door leads to: who calls, how much they may, what is new, what there is to work with."""

from tracker.desk.desk import Desk
from tracker.desk.ports import NoWatching, Ports, Watching

__all__ = ["Desk", "NoWatching", "Ports", "Watching"]
