"""This daemon among the others: joining, showing that it lives, adopting tasks, finding notes, leaving."""

import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from secrets import token_hex

import structlog

import tracker
from tracker.clock import Clock
from tracker.errors import UnavailableError
from tracker.poller.lane import Lane
from tracker.store import watching
from tracker.store.database import Connection, Database
from tracker.store.watching import Adopted

log = structlog.get_logger()

HEARTBEAT_EVERY = timedelta(seconds=5)
DEAD_AFTER = timedelta(seconds=15)
"""A daemon that has not shown itself for so long is taken to be dead, and its tasks are adopted by others."""
_AT_ONCE = 1000


class Adoption:
    """Fills the lanes with tasks that nobody watches."""

    def __init__(
        self, lanes: Mapping[str, Lane], database: Database, clock: Clock, *, tells_operator: bool = False
    ) -> None:
        self.me = _new_name()
        self._tells_operator = tells_operator
        self._lanes = lanes
        self._database = database
        self._clock = clock
        self._is_sure = True
        """Whether what is watched in memory is what the database says."""

    async def join(self) -> None:
        """Enter the table of daemons under a new name."""
        self.me = _new_name()
        entry = partial(
            watching.join,
            me=self.me,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=tracker.__version__,
            now=self._clock(),
            tells_operator=self._tells_operator,
        )
        await self._database.write(entry)

    async def run_once(self) -> int:
        """Adopt what is unwatched and find what was noted; returns how many tasks that was."""
        if not await self._database.read(partial(watching.has_work, me=self.me, upstreams=list(self._lanes))):
            return 0
        try:
            adopted, noted = await self._database.write(self._collect)
        except UnavailableError:
            # It may be committed all the same; then tasks are ours of which we know nothing.
            self._is_sure = False
            raise
        is_new = len(adopted) < _AT_ONCE
        for task in adopted:
            self._lanes[task.upstream].watch(task, is_new=is_new)
        for task in noted:
            self._lanes[task.upstream].hear(task)
        for name in {task.upstream for task in (*adopted, *noted)}:
            self._lanes[name].wake()
        return len(adopted) + len(noted)

    async def beat(self) -> None:
        """Show that we live, release the tasks of those that do not, start anew where we were taken for dead."""
        now = self._clock()
        if not self._is_sure:
            log.warning("adoption_in_doubt", daemon=self.me)
            await self.leave()
            await self._start_anew()
        elif not await self._database.write(partial(watching.beat, me=self.me, now=now)):
            log.warning("daemon_was_replaced", daemon=self.me)
            await self._start_anew()
        dead = await self._database.write(partial(watching.bury, silent_since=now - DEAD_AFTER))
        if dead:
            log.warning("daemons_taken_for_dead", daemons=dead)

    async def _start_anew(self) -> None:
        for lane in self._lanes.values():
            lane.schedule.clear()
        await self.join()
        self._is_sure = True

    async def leave(self) -> None:
        """Release everything, so that others can adopt it at once."""
        await self._database.write(partial(watching.leave, me=self.me))

    def _collect(self, connection: Connection) -> tuple[list[Adopted], list[Adopted]]:
        names = list(self._lanes)
        adopted = watching.adopt(connection, me=self.me, upstreams=names, limit=_AT_ONCE, now=self._clock())
        return adopted, watching.noted(connection, me=self.me, upstreams=names, limit=_AT_ONCE)


def _new_name() -> str:
    return f"dmn_{token_hex(8)}"
