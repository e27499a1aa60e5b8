"""Adding up what happened: the hours since the last time, and once a day the last three days anew."""

from datetime import datetime, timedelta
from functools import partial

from tracker.store import rollups
from tracker.store.database import Connection, Database
from tracker.store.rollups import HOUR

CORRECTED_FOR = timedelta(days=3)
"""Messages that are sent again, and tasks that are watched again, move from one hour to another."""
HOURS_KEPT_AT_LEAST = CORRECTED_FOR + timedelta(days=1)
KEPT_AT_LEAST = timedelta(hours=2)
"""How long a task is kept whatever was configured, so that its hour is added up when it is over."""
_CORRECTED_EVERY = timedelta(days=1)


class Adder:
    """Fills the tables of hours and days; comes before anything of them is forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._corrected_at: datetime | None = None

    async def run_once(self, *, now: datetime, kept_since: datetime) -> int:
        """Add up all hours up to this one; of what ended before `kept_since`, tasks may be missing by now.

        Returns how many hours had changed.
        """
        written = 0
        hour = await self._database.read(partial(self._first, now=now, kept_since=kept_since))
        while hour is not None and hour <= now:
            counted = await self._database.read(partial(rollups.count, hour=hour))
            if counted is not None:
                await self._database.write(partial(rollups.keep, hour=counted))
                written += 1
            hour = await self._database.read(partial(rollups.next_hour, since=hour + HOUR))
        return written

    def _first(self, connection: Connection, *, now: datetime, kept_since: datetime) -> datetime | None:
        last, end_of_last_day = rollups.newest(connection)
        if last is None:
            return rollups.next_hour(connection, end_of_last_day)
        whole = rollups.hour_of(kept_since + HOUR)
        if self._corrected_at is None or now - self._corrected_at >= _CORRECTED_EVERY:
            self._corrected_at = now
            last = min(last, max(rollups.hour_of(now - CORRECTED_FOR), whole))
        # An hour of which something is forgotten already is not counted again.
        return rollups.next_hour(connection, last if last >= whole else last + HOUR)
