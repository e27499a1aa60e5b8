"""How many more attempts each endpoint may get just now: what is out, how fast it is called, how it comes back."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from itertools import islice
from math import inf

from tracker.config import CallbackSettings
from tracker.model import Delivery

SLOW_AFTER = timedelta(seconds=2)
MOST_KNOWN = 10_000
"""Endpoints whose pace is remembered; of others it is unknown again."""


MOST_ASKED_ABOUT = 200
_BRISK_WITHIN = timedelta(seconds=0.05)
_BRISK_FOR = 1.0
"""Seconds from an answer for which an endpoint is taken for brisk: longer, and it may be a black hole by now."""
_AHEAD = 3
"""How many times as many as may be sent at a time are claimed: while the next claim is written, they are sent."""
_AHEAD_OF_ONE = 4
"""How many times as many as it may get at a time are claimed for a brisk endpoint: while a claim is written, it is
done with them."""


class Pace(Enum):
    """What is to be expected of an endpoint."""

    BRISK = auto()
    """It takes what it gets at once."""
    SWIFT = auto()
    SLOW = auto()
    UNKNOWN = auto()
    # They are counted with each attempt; an Enum's own hash is that of its name, made anew each time.
    __hash__ = object.__hash__


SHARES = {Pace.BRISK: 1.0, Pace.SWIFT: 1.0, Pace.SLOW: 0.5, Pace.UNKNOWN: 0.25}
"""The part of all slots that endpoints of a pace may have together: however many black holes there are, and however
many new names are made up for them, a quarter is left to receivers that answer."""
_WELCOME = (Pace.BRISK, Pace.SWIFT)
Planned = Mapping[Pace | str, int]
"""How many are about to go to endpoints of each pace, and to each endpoint."""
_NOTHING: Planned = {}


@dataclass(slots=True)
class _Recovery:
    """The room of an endpoint that was away: doubled each time it has delivered as many as that."""

    room: int = 1
    delivered: int = 0


class Slots:
    """Counts what is out; everything here is forgotten with the process, and none of it has to last."""

    def __init__(self, settings: CallbackSettings, timer: Callable[[], float]) -> None:
        self._settings = settings
        self._most_for_all = _AHEAD * settings.max_in_flight
        self._most_ahead = _AHEAD * settings.max_in_flight
        """Of those that wait for brisk endpoints, beside the others."""
        self._most = self._most_for_all + self._most_ahead
        self._timer = timer
        self._out: Counter[str] = Counter()
        self._all_out = 0
        self._ahead = 0
        """How many of them are more than may be sent to their endpoints at a time."""
        self._out_by_pace: Counter[Pace] = Counter()
        self._in_hand: set[int] = set()
        """Keys of deliveries whose outcome is not written yet, even if their claims have run out meanwhile."""
        self._next_at: dict[str, float] = {}
        self._recoveries: dict[str, _Recovery] = {}
        self._resting: frozenset[str] = frozenset()
        self._paces: dict[str, Pace] = {}
        """Of endpoints that were called since we began, the one called last at the end."""
        self._brisk_at: dict[str, float] = {}
        """When those of them that are brisk have answered."""
        self.again_at: float | None = None
        """When the first endpoint that was left out for being called too fast may be called again."""

    @property
    def free(self) -> int:
        """How many more may be claimed in all."""
        return max(self._most - self._all_out, 0)

    @property
    def free_for_all(self) -> int:
        """How many of them whatever their endpoints do with them."""
        return max(min(self._most_for_all + self._ahead, self._most) - self._all_out, 0)

    @property
    def are_taken(self) -> bool:
        """Whether no endpoint at all may get one more now."""
        # Where there is only room for what waits, it is for those that are called.
        return not self.free or (not self.free_for_all and not any(map(self.room, self._out)))

    def has(self, key: int) -> bool:
        """Whether a delivery is in hand."""
        return key in self._in_hand

    def room(self, endpoint: str, planned: Planned = _NOTHING) -> int:
        """How many more an endpoint may get now, those with it that would wait for their turns there."""
        now = self.room_now(endpoint, planned)
        return now + self._room_ahead(endpoint, planned, now)

    def room_now(self, endpoint: str, planned: Planned = _NOTHING) -> int:
        """How many more may be sent to an endpoint now."""
        pace, out = self.pace(endpoint), self._out[endpoint] + planned.get(endpoint, 0)
        # One that nobody has called yet may be a black hole: it gets more when it has answered.
        most = 1 if pace is Pace.UNKNOWN else self._settings.max_in_flight_per_endpoint
        if recovery := self._recoveries.get(endpoint):
            most = min(recovery.room, most)
        if self._settings.max_per_second_per_endpoint is not None:
            most = 0 if endpoint in self._next_at else min(most, self._out[endpoint] + 1)
        shared = min(self.free_for_all, self._shared_room(pace)) - planned.get(pace, 0)
        return max(min(most - out, shared), 0)

    def _room_ahead(self, endpoint: str, planned: Planned, now: int) -> int:
        """How many more may wait for one that takes them at once."""
        out = self._out[endpoint] + planned.get(endpoint, 0) + now
        each = self._settings.max_in_flight_per_endpoint
        # Only who is called as much as it may be has others wait: what is for them is no room for one that is not.
        if out < each or not self._is_brisk(endpoint):
            return 0
        left = min(self._most_ahead - self._ahead, self.free) - planned.get(Pace.BRISK, 0)
        return max(min(_AHEAD_OF_ONE * each - out, left), 0)

    def _is_brisk(self, endpoint: str) -> bool:
        """Whether it takes what it gets at once, has done so just now, and may get it."""
        if endpoint in self._recoveries or self._settings.max_per_second_per_endpoint is not None:
            return False
        return self._timer() - self._brisk_at.get(endpoint, -inf) < _BRISK_FOR

    def pace(self, endpoint: str) -> Pace:
        """By how long its last attempt took."""
        return self._paces.get(endpoint, Pace.UNKNOWN)

    def _shared_room(self, pace: Pace) -> int:
        """What is left of the part of all slots that endpoints of this pace may have together."""
        share = max(int(self._settings.max_in_flight * SHARES[pace]), 1)
        return share if pace in _WELCOME else share - self._out_by_pace[pace]

    def time(self, endpoint: str, duration: timedelta, *, delivered: bool = False) -> None:
        """An attempt took so long."""
        pace = Pace.SLOW if duration > SLOW_AFTER else Pace.SWIFT
        if delivered and duration <= _BRISK_WITHIN:
            pace = Pace.BRISK
        before = self._paces.pop(endpoint, Pace.UNKNOWN)
        self._paces[endpoint] = pace
        if pace is Pace.BRISK:
            self._brisk_at[endpoint] = self._timer()
        else:
            self._brisk_at.pop(endpoint, None)
        if pace is not before:
            self._move_out(endpoint, before, pace)
        if len(self._paces) > MOST_KNOWN:
            oldest = next(iter(self._paces))
            self._brisk_at.pop(oldest, None)
            self._move_out(oldest, self._paces.pop(oldest), Pace.UNKNOWN)

    def keep_none_waiting(self, endpoint: str) -> None:
        """One waited too long for its turn: it is not brisk; that it is slow may be known from an attempt by now."""
        if self.pace(endpoint) is Pace.BRISK:
            self.time(endpoint, SLOW_AFTER)

    def _move_out(self, endpoint: str, before: Pace, after: Pace) -> None:
        """What is out to it counts for its pace."""
        if number := self._out.get(endpoint):
            self._out_by_pace[before] -= number
            self._out_by_pace[after] += number

    def trust(self, endpoints: Collection[str]) -> None:
        """These worked when they were called last, by whomever: what was learned before a restart, or by others."""
        for endpoint in endpoints:
            if endpoint not in self._paces:
                self.time(endpoint, timedelta(0))

    def hopeless(self) -> list[str]:
        """The endpoints without room of which none is to be expected soon: they have not answered quickly."""
        return [endpoint for endpoint in self.saturated() if self.pace(endpoint) not in _WELCOME]

    def saturated(self) -> list[str]:
        """The endpoints that are known to have no room."""
        now = self._timer()
        self._next_at = {endpoint: at for endpoint, at in self._next_at.items() if at > now}
        self.again_at = min(self._next_at.values(), default=None)
        full = [endpoint for endpoint in {*self._out, *self._next_at} if self.room(endpoint) == 0]
        if self._shared_room(Pace.SLOW) > 0:
            return full
        return [*full, *(endpoint for endpoint, pace in self._paces.items() if pace is Pace.SLOW)]

    def take(self, delivery: Delivery) -> None:
        """One more is out, or about to be."""
        self._in_hand.add(delivery.key)
        out = self._out[delivery.endpoint] = self._out[delivery.endpoint] + 1
        self._ahead += out > self._settings.max_in_flight_per_endpoint
        self._out_by_pace[self.pace(delivery.endpoint)] += 1
        self._all_out += 1
        if rate := self._settings.max_per_second_per_endpoint:
            self._next_at[delivery.endpoint] = self._timer() + 1 / rate

    def give_back(self, delivery: Delivery) -> None:
        """It has come back; its outcome is not written yet."""
        out = self._out[delivery.endpoint]
        self._ahead -= out > self._settings.max_in_flight_per_endpoint
        self._out_by_pace[self.pace(delivery.endpoint)] -= 1
        self._all_out -= 1
        if out > 1:
            self._out[delivery.endpoint] = out - 1
        else:
            del self._out[delivery.endpoint]

    def forget(self, delivery: Delivery) -> None:
        """Its outcome is written, or somebody else's business."""
        self._in_hand.discard(delivery.key)

    def known(self) -> list[str]:
        """Endpoints to ask about whether they rest: those that did, and those that were called last."""
        lately = islice(reversed(self._paces), MOST_ASKED_ABOUT)
        return list({*islice(self._resting, MOST_ASKED_ABOUT), *lately})

    def see_resting(self, endpoints: Collection[str]) -> None:
        """These are not sent to just now; those that no longer are, whoever woke them, start slowly."""
        for awake in self._resting.difference(endpoints):
            self.start_slowly(awake)
        self._resting = frozenset(endpoints)

    def start_slowly(self, endpoint: str) -> None:
        """It was away: one at a time, then two, then four."""
        self._resting -= {endpoint}
        self._recoveries[endpoint] = _Recovery()

    def learn(self, endpoint: str, *, delivered: bool) -> None:
        """An attempt went well, or did not: one that is coming back gets more room, or starts again."""
        recovery = self._recoveries.get(endpoint)
        if recovery is None:
            return
        if not delivered:
            self._recoveries[endpoint] = _Recovery()
            return
        recovery.delivered += 1
        if recovery.delivered >= recovery.room:
            recovery.room, recovery.delivered = 2 * recovery.room, 0
        if recovery.room >= self._settings.max_in_flight_per_endpoint:
            del self._recoveries[endpoint]
