"""What one owner may register, so that none of them fills the database or starves the others."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tracker.config import LimitSettings
from tracker.desk.allowance import Allowance
from tracker.desk.live_tasks import LiveTasks, Promise
from tracker.errors import InputError
from tracker.store.database import Database
from tracker.store.registrations import Wanted

RATE_SETTING = "limits.registrations_per_minute_per_owner"


class Limits:
    """The configured limits; where there are none, everything is admitted and nobody is asked."""

    def __init__(self, settings: LimitSettings, database: Database, timer: Callable[[], float]) -> None:
        self.settings = settings
        rate, live = settings.registrations_per_minute_per_owner, settings.live_tasks_per_owner
        self._rate = Allowance(rate, f"registrations a minute ({RATE_SETTING})", timer) if rate else None
        self._live = LiveTasks(live, database, timer) if live else None

    @property
    def are_none(self) -> bool:
        """Whether everything is admitted."""
        return self._rate is None and self._live is None

    @asynccontextmanager
    async def admitting(self, owner: str, wanted: Sequence[Wanted]) -> AsyncIterator[Promise]:
        """Let these be written while the context lasts; raises ThrottledError beyond a limit.

        Raises InputError for so many at once that no waiting would help.
        """
        if self._rate is not None:
            _take(self._rate, owner, len(wanted))
        if self._live is None:
            yield Promise(0)
            return
        async with self._live.promised(owner, {(want.upstream, want.task_id) for want in wanted}) as promise:
            yield promise


def _take(rate: Allowance, owner: str, count: int) -> None:
    if count > rate.most:
        problem = f"has {count} registrations, and an owner may make at most {rate.most} a minute ({RATE_SETTING})"
        raise InputError("body", problem, f"send at most {rate.most} at a time")
    rate.take(owner, count)
