"""Tasks that end when they are told to, so that their callbacks have to be told."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from bench.outbox import OWNER, success
from tracker.model import NO_STREAK, Rules
from tracker.observe import observe
from tracker.store import changes, registrations
from tracker.store.database import Connection, Database
from tracker.store.registrations import Wanted
from tracker.webhooks.composer import Composer

_AT_A_TIME = 500


class Ends:
    """Tasks that end when they are told to, so that their callbacks are to be told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._compose = Composer()
        self._registered = 0

    def register(self, urls: Sequence[str], now: datetime) -> list[int]:
        """A task with one callback for each URL; returns their keys."""
        keys = []
        for start in range(0, len(urls), _AT_A_TIME):
            wanted = [self._wanted(url) for url in urls[start : start + _AT_A_TIME]]
            registering = partial(
                registrations.register,
                wanted=wanted,
                owner=OWNER,
                sees_all=False,
                default_format="standard",
                now=now,
                compose=self._compose,
            )
            keys += [entry.task.key for entry in self._database.write_now(registering)]
        return keys

    def _wanted(self, url: str) -> Wanted:
        self._registered += 1
        return Wanted(upstream="default", task_id=f"t{self._registered}", url=url)

    async def end(self, keys: Sequence[int], now: datetime) -> None:
        """They have succeeded, and their messages are due."""
        await self._database.write(self._ending(keys, now))

    def end_now(self, keys: Sequence[int], now: datetime) -> None:
        """The same, without an event loop."""
        for start in range(0, len(keys), _AT_A_TIME):
            self._database.write_now(self._ending(keys[start : start + _AT_A_TIME], now))

    def _ending(self, keys: Sequence[int], now: datetime) -> Callable[[Connection], object]:
        decide = partial(observe, seen=success(now), now=now, streak=NO_STREAK, rules=Rules())
        return partial(
            changes.record, decisions=dict.fromkeys(keys, decide), watcher=None, now=now, compose=self._compose
        )
