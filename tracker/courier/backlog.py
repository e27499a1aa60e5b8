"""What was due when we last looked, by endpoint, and choosing from it: many claims live on one look."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.courier.slots import Pace, Slots
from tracker.store.due import FEW, Seen
from tracker.store.endpoints import Resting

STALE_AFTER = timedelta(seconds=0.5)
"""A claim checks each row again, so an old look costs nothing but fairness towards what has come due since."""
_CLAIMS_AHEAD = 2
"""Claims of the present size for which it should hold something, so that none has to wait for a look."""
_NARROW, _BROAD = 4, 64
MOST_REMEMBERED = 20_000
"""Deliveries, a few megabytes, and once as many of one look more; where the oldest so many are all at endpoints without
room, the rest has to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What could be sent."""

    seen: Seen
    resting: Sequence[Resting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be sent: deliveries by key, and endpoints to probe by key."""

    deliveries: Sequence[int] = ()
    probes: Sequence[int] = ()

    def __bool__(self) -> bool:
        return bool(self.deliveries or self.probes)


class Backlog:
    """Remembers what could be sent until it is used up or stale; endpoints take turns."""

    def __init__(self) -> None:
        self._due: dict[str, deque[int]] = {}
        self._resting: Sequence[Resting] = ()
        self._seen_at: datetime | None = None
        self._fresh_for = STALE_AFTER
        self._handed_out: set[int] = set()
        """What was chosen since a look began, or shortly before: it may be claimed, and no longer due."""
        self._last_chosen: Sequence[int] = ()
        self._has_seen_all = True
        """Whether the last look showed all that was due."""
        self.may_have_more = False
        """Whether another look may show what this one had no room for."""
        self._breadth = _NARROW

    def most_to_see(self, max_in_flight: int) -> int:
        """How many the next look goes through: some times as many as there are slots.

        What is at the head may be at endpoints without room. Where it is not, few broad looks cost less than many.
        """
        return min(self._breadth * max_in_flight, MOST_REMEMBERED)

    def stocked(self, slots: Slots) -> list[str]:
        """The endpoints of which enough is remembered: of one without room, anything at all."""
        rooms = ((endpoint, slots.room(endpoint), len(keys)) for endpoint, keys in self._due.items())
        return [endpoint for endpoint, room, left in rooms if room == 0 or left >= max(FEW, room)]

    def is_short(self, slots: Slots) -> bool:
        """Whether it is worth looking again: nothing here can be sent, or little while there may be more."""
        enough = max(slots.free_for_all // 2, 1) if self.may_have_more else 1
        return sum(min(slots.room(endpoint), len(keys)) for endpoint, keys in self._due.items()) < enough

    def runs_low(self, slots: Slots) -> bool:
        """Whether the next claims will soon want more than is left, and there may be more."""
        enough = min(_CLAIMS_AHEAD * slots.free, MOST_REMEMBERED)
        return not self._has_seen_all and sum(map(len, self._due.values())) < enough

    def forget_if_stale(self, now: datetime) -> None:
        """Begin anew where the first look was too long ago."""
        if not timedelta(0) <= now - (self._seen_at or now) < self._fresh_for:
            self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._due.clear()
        self._resting = ()
        self._seen_at = None
        self._has_seen_all = True
        self.may_have_more = False

    def begin_to_see(self) -> None:
        """A look begins, and shows what there is."""
        self._handed_out.clear()

    def begin_to_see_beside_a_claim(self) -> None:
        """A look begins that does not see yet that what was chosen last is claimed."""
        self._handed_out = set(self._last_chosen)

    def see(self, waiting: Waiting, *, now: datetime, took: timedelta) -> None:
        """Remember what a look, which took so long, has shown."""
        if self._seen_at is None:
            # What is hard to find out may be older.
            self._seen_at, self._fresh_for = now, max(STALE_AFTER, 4 * took)
        self._resting = waiting.resting
        self._has_seen_all = waiting.seen.is_all
        self._breadth = _BROAD if waiting.seen.is_rich else _NARROW
        known = {key for keys in self._due.values() for key in keys}
        new = [due for due in waiting.seen.due if due.key not in known and due.key not in self._handed_out]
        for due in new:
            self._due.setdefault(due.endpoint, deque()).append(due.key)
        self.may_have_more = not waiting.seen.is_all and bool(new) and len(known) < MOST_REMEMBERED

    def choose(self, slots: Slots, now: datetime) -> Chosen:
        """As many as there is room for, taken out of here; probes first, since they are few."""
        probes = self._probes(slots, now)[: slots.free]
        self._last_chosen = self._deliveries(slots, slots.free - len(probes))
        self._handed_out.update(self._last_chosen)
        return Chosen(deliveries=self._last_chosen, probes=probes)

    def _probes(self, slots: Slots, now: datetime) -> list[int]:
        ready = [one for one in self._resting if one.probe_at is not None and one.probe_at <= now]
        self._resting = [one for one in self._resting if one not in ready]
        return [one.key for one in ready if slots.room(one.origin)]

    def _deliveries(self, slots: Slots, most: int) -> list[int]:
        chosen: list[int] = []
        planned: Counter[Pace | str] = Counter()
        # First what can be sent at once, wherever it goes to; then what waits for those who take that soon.
        for room_of in (slots.room_now, slots.room):
            for endpoint in list(self._due):
                if len(chosen) >= most:
                    break
                room = min(room_of(endpoint, planned), most - len(chosen))
                if room > 0:
                    some = self._some_of(endpoint, slots, room)
                    planned.update({slots.pace(endpoint): len(some), endpoint: len(some)})
                    chosen += some
        return chosen

    def _some_of(self, endpoint: str, slots: Slots, most: int) -> list[int]:
        """Of an endpoint whose turn it is; its next turn is after the others'."""
        keys = self._due.pop(endpoint)
        chosen: list[int] = []
        while keys and len(chosen) < most:
            key = keys.popleft()
            if not slots.has(key):
                chosen.append(key)
        if keys:
            self._due[endpoint] = keys
        elif chosen:
            self.may_have_more = True
        return chosen
