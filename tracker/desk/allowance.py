"""How often each owner may do something: so much at once, and that much again in each minute."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tracker.desk.owner_book import OwnerBook
from tracker.errors import ThrottledError

MINUTE_SECONDS = 60.0


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float


class Allowance:
    """A bucket for each owner, which holds a minute's worth and is filled evenly."""

    def __init__(self, most: int, what: str, timer: Callable[[], float]) -> None:
        """At most so many a minute; `what` tells of what those are told who want more."""
        self.most = most
        self._what = what
        self._timer = timer
        self._buckets = OwnerBook(make=lambda: _Bucket(float(most), timer()), is_idle=self._is_full)

    def take(self, owner: str, count: int = 1) -> None:
        """Count so many at once; raises ThrottledError, and counts nothing, where those are too many now."""
        bucket = self._buckets[owner]
        bucket.left, bucket.filled_at = self._left(bucket), self._timer()
        if bucket.left < count:
            wait = max(math.ceil((count - bucket.left) * MINUTE_SECONDS / self.most), 1)
            raise ThrottledError(f"at most {self.most} {self._what}; try again in {wait} s", retry_after=wait)
        bucket.left -= count

    def _left(self, bucket: _Bucket) -> float:
        grown = (self._timer() - bucket.filled_at) * self.most / MINUTE_SECONDS
        return min(bucket.left + grown, float(self.most))

    def _is_full(self, bucket: _Bucket) -> bool:
        return self._left(bucket) >= self.most
