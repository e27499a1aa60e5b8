"""What a courier needs of the world; tests hand in their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tracker.clock import Clock
from tracker.metrics import Metrics
from tracker.model import Outcome
from tracker.store.database import Database
from tracker.webhooks.sender import Message


class Sender(Protocol):
    """Makes one attempt; never raises for anything a receiver does."""

    async def send(self, message: Message, secrets: Sequence[str], /) -> Outcome:
        """POST the message, signed with these secrets."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The database, the sender, and what is told or asked along the way."""

    database: Database
    sender: Sender
    metrics: Metrics
    new_secret: Callable[[], str]
    """For an owner who has none yet."""
    clock: Clock
    timer: Callable[[], float]
    """Seconds on a clock that never jumps."""
    dice: Callable[[], float]
    """A number from 0 up to 1."""
    beat: Callable[[], None]
    """Told each time the courier comes round."""
