"""Leaving an upstream alone while it refuses, throttles or fails us; then one probe before the rest."""

from dataclasses import dataclass
from datetime import timedelta

from tracker.cadence import pause
from tracker.model import Miss, MissKind

_AT_ONCE = frozenset({MissKind.REFUSED, MissKind.THROTTLED, MissKind.UNUSABLE})
_FAILURES_BEFORE_A_PAUSE = 3


@dataclass(slots=True, kw_only=True)
class Pause:
    """Whether an upstream may be asked just now. Times are seconds on the monotonic clock."""

    until: float = 0.0
    times: int = 0
    """Troubles in a row."""
    reason: str | None = None
    """Why it is paused, or None while it is not."""
    is_on: bool = False
    """Whether only single probes are sent, one at the end of each pause: where there is a reason."""

    def trouble(self, miss: Miss, now: float) -> bool:
        """Note that the upstream as a whole is in trouble; True when that changes what people should see."""
        if self.is_on and now < self.until:
            # It was out when the pause began: no new trouble, though it may ask for a longer pause.
            self.until = max(self.until, now + (miss.retry_after or timedelta(0)).total_seconds())
            return False
        self.times += 1
        if miss.kind not in _AT_ONCE and self.times < _FAILURES_BEFORE_A_PAUSE:
            return False
        before = self.reason
        self.reason, self.is_on = f"{miss.kind}: {miss.detail}", True
        self.until = now + pause(self.times, retry_after=miss.retry_after).total_seconds()
        return self.reason != before

    def over(self, now: float) -> bool:
        """Note that the upstream answered; True when that ends a pause."""
        if self.is_on and now < self.until:
            # It was out when the pause began: what was asked of us then still holds.
            return False
        was_on = self.is_on
        self.until, self.times, self.reason, self.is_on = 0.0, 0, None, False
        return was_on
