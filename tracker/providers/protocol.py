"""What the poller needs of a provider: batch by nature, told what it saw, never raising for a bad answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tracker.model import Miss, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at some tasks brought."""

    seen: Mapping[str, Seen]
    """One entry for every id that was asked for, by task id."""
    trouble: Miss | None = None
    """What is wrong with the upstream as a whole; the entries of `seen` then say the same."""
    requests: int = 1
    """How many HTTP requests it took."""


class Provider(Protocol):
    """Speaks one dialect to one upstream."""

    @property
    def look_size(self) -> int:
        """How many ids one look should carry just now: 1, or the size of a batch."""
        ...

    async def look(self, task_ids: Sequence[str]) -> Look:
        """Ask the upstream about these tasks, within its timeout."""
        ...
