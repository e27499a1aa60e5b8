"""From which key on to look for free tasks: what was taken before lies below, and may be dear to walk over again."""

from collections.abc import Callable

_REST = 20
"""How many times as long as a look from the bottom took we look from the marks only."""
_LONGEST_REST = 5.0
"""Seconds."""


class Marks:
    """One mark for each place where free tasks are found: an upstream, or a daemon that is gone.

    New tasks have the highest keys and are found above the marks at once. Others, given back or written late, are
    found by a look from the bottom: each time, unless somebody holds an old snapshot open, for which every task ever
    taken is still in the way.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._above: dict[str, int] = {}
        self._rested_at = 0.0
        self._is_under_way = False
        self._from_bottom = True

    def __getitem__(self, place: str) -> int:
        """The key above which to look."""
        return self._above.get(place, 0)

    @property
    def is_from_bottom(self) -> bool:
        """Whether this look begins at the bottom."""
        return self._from_bottom

    def begin(self) -> None:
        """Take another look: from the bottom if it is time for that, and the last step has found the end."""
        self._from_bottom = not self._is_under_way and self._timer() >= self._rested_at
        if self._from_bottom:
            self._above.clear()
        self._is_under_way = False

    def looked(self, took: float) -> None:
        """The look took so many seconds."""
        if self._from_bottom:
            self._rested_at = self._timer() + min(_REST * took, _LONGEST_REST)

    def saw(self, place: str, last: int | None, *, is_full: bool) -> None:
        """It showed tasks up to a key, and all of them were taken; `is_full` where there may be more behind it."""
        if last is not None:
            self._above[place] = max(last, self[place])
            self._is_under_way |= is_full
