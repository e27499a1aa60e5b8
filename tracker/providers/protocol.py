"""What the poller needs of a provider: batch by nature, told what it saw, never raising for a bad answer."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import msgspec

from tracker.model import Miss, Seen


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at some tasks brought."""

    seen: Mapping[str, Seen]
    """One entry for every id that was asked for and is not `unchanged`, by task id."""
    unchanged: Collection[str] = frozenset()
    """Ids of which the answer is byte for byte the one that was `known`: no news, and nothing to count."""
    digests: Mapping[str, int] = msgspec.field(default_factory=dict)
    """By which to know the same answer again: of those seen that would then be `unchanged`."""
    trouble: Miss | None = None
    """What is wrong with the upstream as a whole; the entries of `seen` then say the same."""
    requests: int = 1
    """How many HTTP requests it took."""


NOTHING_KNOWN: Mapping[int, str] = MappingProxyType({})


class Provider(Protocol):
    """Speaks one dialect to one upstream."""

    @property
    def look_size(self) -> int:
        """How many ids one look should carry just now: 1, or the size of a batch."""
        ...

    async def look(self, task_ids: Sequence[str], known: Mapping[int, str] = NOTHING_KNOWN) -> Look:
        """Ask the upstream about these tasks, within its timeout.

        `known` has ids by the digest of an earlier answer, as far as an answer like that need not be read again.
        """
        ...
