"""Since when something may be due: looks begin there, not at the beginning of an index.

While somebody holds an old snapshot (a report, a dump), Postgres cannot clean up the entries of all that was delivered
since; a look from the beginning would walk over every one of them.
"""

from datetime import UTC, datetime, timedelta

MARGIN = timedelta(seconds=60)
"""Longer than any transaction may take that makes something due: it is seen when it commits, with the time it began."""
WHOLE_EVERY = timedelta(seconds=60)
"""How often all is looked at: also what somebody gave an older time by hand."""
_SHARE = 20
"""Where looking at all takes long, it takes this part of the time at the most."""


class LowWater:
    """Remembers where looks may begin."""

    def __init__(self) -> None:
        self._mark: datetime | None = None
        self._whole_from = self._whole_until = datetime.min.replace(tzinfo=UTC)

    def mark(self, now: datetime) -> datetime | None:
        """Where a look begins; None where it is to look at all."""
        if self._mark is None or not self._whole_from <= now < self._whole_until:
            return None
        return self._mark

    def see(self, oldest: datetime | None, *, since: datetime | None, started: datetime, ended: datetime) -> None:
        """A look from `since` found what has been due longest, or that nothing is."""
        self._mark = min(oldest or started, started) - MARGIN
        if since is None:
            self._whole_from, self._whole_until = started, ended + max(WHOLE_EVERY, _SHARE * (ended - started))
