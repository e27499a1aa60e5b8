"""What was due when we last looked, and choosing from it: many claims live on one look."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.courier.slots import Slots
from tracker.store.deliveries import Due
from tracker.store.endpoints import Resting

STALE_AFTER = timedelta(seconds=0.5)
"""A claim checks each row again, so an old look costs nothing but fairness towards what has come due since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What could be sent."""

    due: Sequence[Due]
    resting: Sequence[Resting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be sent: deliveries by key, and endpoints to probe by key."""

    deliveries: Sequence[int] = ()
    probes: Sequence[int] = ()

    def __bool__(self) -> bool:
        return bool(self.deliveries or self.probes)


class Backlog:
    """Remembers what could be sent, longest due first, until it is used up."""

    def __init__(self) -> None:
        self._due: Sequence[Due] = ()
        self._resting: Sequence[Resting] = ()
        self._seen_at: datetime | None = None

    def see(self, waiting: Waiting, now: datetime) -> None:
        """Replace what is remembered by what is there."""
        self._due, self._resting, self._seen_at = waiting.due, waiting.resting, now

    def choose(self, slots: Slots, now: datetime) -> Chosen:
        """As many as there is room for, taken out of here; probes first, since they are few."""
        if self._seen_at is None or not timedelta(0) <= now - self._seen_at < STALE_AFTER:
            return Chosen()
        probes = self._probes(slots, now)
        return Chosen(deliveries=self._deliveries(slots, slots.free - len(probes)), probes=probes)

    def _probes(self, slots: Slots, now: datetime) -> list[int]:
        ready = (one for one in self._resting if one.probe_at is not None and one.probe_at <= now)
        probes = [one.key for one in ready if slots.room(one.origin)][: slots.free]
        self._resting = [one for one in self._resting if one.key not in probes]
        return probes

    def _deliveries(self, slots: Slots, most: int) -> list[int]:
        taken: Counter[str] = Counter()
        keys: list[int] = []
        left: list[Due] = []
        for due in self._due:
            if slots.has(due.key):
                continue
            if len(keys) < most and taken[due.endpoint] < slots.room(due.endpoint):
                taken[due.endpoint] += 1
                keys.append(due.key)
            else:
                left.append(due)
        self._due = left
        return keys
