"""What the doors are given to work with."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracker.clock import Clock
from tracker.config import Settings
from tracker.intake import Intake
from tracker.metrics import Metrics
from tracker.pulse import Pulse
from tracker.store.database import Database
from tracker.store.registrations import Newcomer
from tracker.telling import TaskAnswer
from tracker.webhooks.trials import Attempting


class Watching(Protocol):
    """Whoever watches tasks in this process."""

    @property
    def taker(self) -> Callable[[], str | None]:
        """Tells the watcher that new tasks are written with; None where they wait for adoption. On any thread."""
        ...

    def take(self, me: str, tasks: Sequence[Newcomer]) -> None:
        """Called after the commit of tasks that were written with this watcher; it is woken afterwards."""
        ...

    def doubt(self) -> None:
        """Called where nobody knows whether they were committed."""
        ...


class NoWatching:
    """New tasks wait for whoever adopts them."""

    @property
    def taker(self) -> Callable[[], str | None]:
        """Nobody."""
        return lambda: None

    def take(self, me: str, tasks: Sequence[Newcomer]) -> None:
        """Never called."""

    def doubt(self) -> None:
        """Never called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything that a door needs of the daemon around it."""

    database: Database
    intake: Intake
    settings: Settings
    metrics: Metrics
    pulse: Pulse
    sender: Attempting
    """Sends tests, as messages are sent."""
    clock: Clock
    wake: Callable[[], None]
    """Called after a commit that gives the poller something to do."""
    wake_courier: Callable[[], None]
    """Called after a commit that may have left a message in the outbox."""
    watching: Watching = field(default_factory=NoWatching)
    """Who takes new tasks from the beginning."""
    timer: Callable[[], float] = time.monotonic
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the daemon stops: what would go on for ever ends then."""

    def wake_for(self, told: Iterable[TaskAnswer]) -> None:
        """Tell those whom registrations concern that they are there."""
        self.wake()
        if any(task["status"].is_end for task in told):
            self.wake_courier()
