"""What is wrong with a tracker on this machine, and what to type.

Facts are gathered by `host`, `asking`, `listening` and the store, all at once and each for a few seconds at most; what
they mean is decided by pure functions, a module for each topic. Nothing is changed, and no secret is told.
"""

from tracker.doctor.examination import examine
from tracker.doctor.findings import Finding, State
from tracker.doctor.host import Host
from tracker.doctor.settings import Asked

__all__ = ["Asked", "Finding", "Host", "State", "examine"]
