"""How often each owner may do what makes us call somebody else."""

import math
from collections import deque
from collections.abc import Callable

from tracker.errors import ThrottledError

MOST = 10
WITHIN_SECONDS = 60.0
_LARGEST_BOOK = 1024


class Allowance:
    """Counts calls by owner: at most ten within any minute."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._calls: dict[str, deque[float]] = {}

    def take(self, owner: str) -> None:
        """Count one call; raises ThrottledError, and counts nothing, where that is one too many."""
        now = self._timer()
        calls = self._calls.setdefault(owner, deque(maxlen=MOST))
        if len(calls) == MOST and now - calls[0] < WITHIN_SECONDS:
            wait = math.ceil(WITHIN_SECONDS - (now - calls[0]))
            text = f"at most {MOST} tests a minute; the next one may be made in {wait} s"
            raise ThrottledError(text, retry_after=max(wait, 1))
        calls.append(now)
        if len(self._calls) > _LARGEST_BOOK:
            self._forget_idle(now)

    def _forget_idle(self, now: float) -> None:
        self._calls = {owner: calls for owner, calls in self._calls.items() if now - calls[-1] < WITHIN_SECONDS}
