"""How many requests an upstream gets in a second: as many as is set, and fewer for a while after it throttled us. Pure.

Times are seconds on the monotonic clock.
"""

import math
from dataclasses import dataclass

_SLOWER = 0.5
_SLOWEST = 0.2
"""Requests a second, below which being throttled slows no further; pauses do."""
_DOUBLES_IN = 60.0
_FORGOTTEN_AT = 8.0
"""Times the rate it was slowed down to, from where on nothing holds it back any more."""
_REMEMBERED = 10.0
_STEP = 0.25
"""Seconds in which what is counted fades by no more than a sixtieth: it is done in such steps, not for each request."""
_SHORTEST = 1.0


@dataclass(slots=True, kw_only=True)
class Rate:
    """When the next request may be sent."""

    most: float | None
    """Requests in a second, as set; None for no limit."""
    next_at: float = 0.0
    _slowed_to: float | None = None
    _slowed_at: float = 0.0
    _count: float = 0.0
    """Requests sent lately; those of long ago count less."""
    _counted_at: float = -math.inf
    """What came since then has not faded yet."""
    _began_at: float | None = None

    def limit(self, now: float) -> float | None:
        """Requests in a second that may be sent now; None for no limit."""
        if self._slowed_to is None:
            return self.most
        growth: float = 2 ** ((now - self._slowed_at) / _DOUBLES_IN)
        if growth >= _FORGOTTEN_AT:
            self._slowed_to = None
            return self.most
        grown = self._slowed_to * growth
        return grown if self.most is None else min(grown, self.most)

    def spend(self, requests: int, now: float) -> None:
        """Note that so many are sent."""
        if now - self._counted_at >= _STEP:
            self._count = self._decayed(now)
            self._counted_at = now
            if self._began_at is None:
                self._began_at = now
        self._count += requests
        if (self.most is not None or self._slowed_to is not None) and (limit := self.limit(now)):
            self.next_at = max(self.next_at, now) + requests / limit

    def add(self, requests: int, now: float) -> None:
        """Note that a look took so many more than was thought."""
        if requests > 0:
            self.spend(requests, now)

    def throttled(self, now: float) -> float:
        """Halve it, because the upstream asked for fewer; returns what it is now."""
        before = self.limit(now) if self._slowed_to is not None else min(self._recent(now), self.most or 1e9)
        slowed = max((before or 0.0) * _SLOWER, _SLOWEST)
        self._slowed_to, self._slowed_at = slowed, now
        return slowed

    def _recent(self, now: float) -> float:
        began = now if self._began_at is None else self._began_at
        return self._decayed(now) / min(max(now - began, _SHORTEST), _REMEMBERED)

    def _decayed(self, now: float) -> float:
        share: float = 2 ** -((now - self._counted_at) / _REMEMBERED)
        return self._count * share
