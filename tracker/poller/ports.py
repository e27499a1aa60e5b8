"""What a lane needs of the world."""

from collections.abc import Callable
from dataclasses import dataclass

from tracker.clock import Clock
from tracker.metrics import Metrics
from tracker.store.database import Database
from tracker.store.outbox import Compose


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Handed to a lane by the daemon; tests hand in their own."""

    database: Database
    compose: Compose
    metrics: Metrics
    clock: Clock
    timer: Callable[[], float]
    """Seconds on a clock that never jumps."""
    dice: Callable[[], float]
    """A number from 0 up to 1."""
    watcher: Callable[[], str]
    """The id under which this daemon watches just now."""
    wake_courier: Callable[[], None]
    beat: Callable[[], None]
    """Told each time the lane comes round, be it that looks have come back: with all room taken it never rests."""
