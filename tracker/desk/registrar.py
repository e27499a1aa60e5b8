"""Writes registrations that arrive at the same moment in one go: many cost little more than one."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from tracker.desk.limits import Limits
from tracker.desk.ports import NoWatching, Watching
from tracker.errors import InputError, UnavailableError
from tracker.intake import Caller, Intake
from tracker.store.database import Connection, Database, Work
from tracker.store.registrations import Newcomer, Registered, Wanted
from tracker.store.writer import Each
from tracker.telling import TaskAnswer, tell_newcomer, tell_task

LARGEST_GROUP = 256
_COMPANY = 4
"""Registrations in a group that tell of a busy time."""
_COMPANY_SECONDS = 0.004


class Written(NamedTuple):
    """What became of one registration."""

    is_new: bool
    task: TaskAnswer
    adds_live: bool


_Answers = Sequence[Registered | InputError]
_Work = Callable[[Connection, str | None], _Answers]
"""Given a watcher for what is new."""


@dataclass(slots=True)
class _Group:
    asked: list[tuple[Wanted, Caller]] = field(default_factory=list)
    written: asyncio.Future[list[Written | InputError]] = field(init=False)


class Registrar:
    """Gathers single registrations, whoever sends them, until the database's writer is free to take them."""

    def __init__(self, database: Database, intake: Intake, limits: Limits, watching: Watching | None = None) -> None:
        self._database = database
        self._intake = intake
        self._limits = limits
        self._watching = watching or NoWatching()
        self._under_way: set[asyncio.Future[list[Written | InputError]]] = set()
        self._open: _Group | None = None
        self._last_size = 0
        self._batches = 0
        """That the first writer has."""
        # The writer's thread closes the groups that the event loop fills.
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether registrations come so fast that they meet."""
        return self._last_size >= _COMPANY

    async def register(self, wanted: Wanted, caller: Caller) -> Written:
        """Write one registration, perhaps together with others; returns after the commit."""
        if self._limits.are_none:
            return await self._write_together(wanted, caller)
        async with self._limits.admitting(caller.owner, [wanted]) as promise:
            written = await self._write_together(wanted, caller)
            promise.taken = int(written.adds_live)
        return written

    async def register_all(self, wanted: Sequence[Wanted], caller: Caller) -> list[Written]:
        """Write registrations in a transaction of their own; returns after the commit."""
        async with self._limits.admitting(caller.owner, wanted) as promise:
            written = await self._write_all(wanted, caller)
            promise.taken = sum(entry.adds_live for entry in written)
        return written

    async def _write_together(self, wanted: Wanted, caller: Caller) -> Written:
        group, place = self._join(wanted, caller)
        try:
            answer = (await asyncio.shield(group.written))[place]
        except UnavailableError:
            raise
        except Exception:
            if len(group.asked) == 1:
                raise
        else:
            if isinstance(answer, InputError):
                raise answer
            return answer
        # One bad registration must not take the others with it.
        return (await self._write_all([wanted], caller))[0]

    async def _write_all(self, wanted: Sequence[Wanted], caller: Caller) -> list[Written]:
        def work(connection: Connection, watcher: str | None) -> _Answers:
            return self._intake.register(wanted, caller, watcher=watcher)(connection)

        answers = await self._shielded(self._write(work, size=len(wanted)))
        return [answer for answer in answers if not isinstance(answer, InputError)]

    async def _shielded(self, writing: Coroutine[Any, Any, list[Written | InputError]]) -> list[Written | InputError]:
        """Whoever asked may go away; what is written as somebody's has to be handed to them all the same."""
        under_way = asyncio.ensure_future(writing)
        self._under_way.add(under_way)
        under_way.add_done_callback(self._under_way.discard)
        return await asyncio.shield(under_way)

    async def _write(self, work: _Work, *, size: int) -> list[Written | InputError]:
        """Do the work in a transaction, with whoever watches new tasks from the beginning, and tell them of these."""
        tried: list[str | None] = []

        def write(connection: Connection) -> _Answers:
            watcher = self._watching.taker()
            tried.clear()
            answers = work(connection, watcher)
            tried.append(watcher)
            return answers

        try:
            answers = await self._submit(write, size)
        except UnavailableError:
            if tried and tried[-1] is not None:
                # It broke when everything was said: at the commit, perhaps after it.
                self._watching.doubt()
            raise
        new = [entry for entry in answers if isinstance(entry, Newcomer) and entry.is_watched]
        if new and tried[-1] is not None:
            self._watching.take(tried[-1], new)
        return [entry if isinstance(entry, InputError) else _told(entry) for entry in answers]

    async def _submit(self, write: Work[_Answers], size: int) -> _Answers:
        """Where one that is large is being written, the next one is written beside it, if the database can do that."""
        if size == 1:
            return await self._database.write(write)

        def alone(connection: Connection, _: Sequence[None]) -> Sequence[_Answers]:
            return [write(connection)]

        # A kind of its own: so none waits for those that were sent with it, whose answers are made meanwhile.
        work = Each(alone, None, size)
        if self._batches:
            return await self._database.write_beside(work)
        self._batches += 1
        try:
            return await self._database.write(work)
        finally:
            self._batches -= 1

    def _join(self, wanted: Wanted, caller: Caller) -> tuple[_Group, int]:
        with self._lock:
            group = self._open
            # One that is written already was never taken: the database was away.
            if group is None or len(group.asked) >= LARGEST_GROUP or group.written.done():
                group = self._open = _Group()
                group.written = asyncio.ensure_future(self._write_group(group))
                self._under_way.add(group.written)
                group.written.add_done_callback(self._under_way.discard)
            group.asked.append((wanted, caller))
            return group, len(group.asked) - 1

    async def _write_group(self, group: _Group) -> list[Written | InputError]:
        if self.is_busy:
            # Most of what a small group costs is there before its first row: others are worth a short wait.
            await asyncio.sleep(_COMPANY_SECONDS)
        return await self._write(partial(self._register_group, group), size=1)

    def _register_group(self, group: _Group, connection: Connection, watcher: str | None) -> _Answers:
        with self._lock:
            # Nobody joins from here on.
            self._last_size = len(group.asked)
            if self._open is group:
                self._open = None
        return self._intake.register_each(group.asked, watcher=watcher)(connection)


def _told(entry: Registered) -> Written:
    if isinstance(entry, Newcomer):
        return Written(entry.created, tell_newcomer(entry), entry.adds_live)
    return Written(entry.created, tell_task(entry.task, entry.callbacks), entry.adds_live)
