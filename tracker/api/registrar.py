"""Writes registrations that arrive at the same moment in one go: many cost little more than one."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from tracker.api.limits import Limits
from tracker.errors import UnavailableError
from tracker.intake import Caller, Intake
from tracker.store.database import Connection, Database
from tracker.store.registrations import Wanted
from tracker.telling import TaskAnswer, told_tasks

LARGEST_GROUP = 256


class Written(NamedTuple):
    """What became of one registration."""

    is_new: bool
    task: TaskAnswer
    adds_live: bool


@dataclass(slots=True)
class _Group:
    caller: Caller
    wanted: list[Wanted] = field(default_factory=list)
    written: asyncio.Future[list[Written]] = field(init=False)


class Registrar:
    """Gathers single registrations of one caller until the database's writer is free to take them."""

    def __init__(self, database: Database, intake: Intake, limits: Limits) -> None:
        self._database = database
        self._intake = intake
        self._limits = limits
        self._open: dict[Caller, _Group] = {}
        # The writer's thread closes the groups that the event loop fills.
        self._lock = threading.Lock()

    async def register(self, wanted: Wanted, caller: Caller) -> Written:
        """Write one registration, perhaps together with others; returns after the commit."""
        async with self._limits.admitting(caller.owner, [wanted]) as promise:
            written = await self._write_together(wanted, caller)
            promise.taken = int(written.adds_live)
        return written

    async def register_all(self, wanted: Sequence[Wanted], caller: Caller) -> list[Written]:
        """Write registrations in a transaction of their own; returns after the commit."""
        async with self._limits.admitting(caller.owner, wanted) as promise:
            written = await self._write(wanted, caller)
            promise.taken = sum(entry.adds_live for entry in written)
        return written

    async def _write_together(self, wanted: Wanted, caller: Caller) -> Written:
        group, place = self._join(wanted, caller)
        try:
            return (await asyncio.shield(group.written))[place]
        except UnavailableError:
            raise
        except Exception:
            if len(group.wanted) == 1:
                raise
        # One bad registration must not take the others with it.
        return (await self._write([wanted], caller))[0]

    async def _write(self, wanted: Sequence[Wanted], caller: Caller) -> list[Written]:
        return await self._database.write(partial(self._register, wanted=wanted, caller=caller))

    def _join(self, wanted: Wanted, caller: Caller) -> tuple[_Group, int]:
        with self._lock:
            group = self._open.get(caller)
            # One that is written already was never taken: the database was away.
            if group is None or len(group.wanted) >= LARGEST_GROUP or group.written.done():
                group = self._open[caller] = _Group(caller)
                group.written = asyncio.ensure_future(self._database.write(partial(self._register_group, group=group)))
            group.wanted.append(wanted)
            return group, len(group.wanted) - 1

    def _register_group(self, connection: Connection, group: _Group) -> list[Written]:
        with self._lock:
            # Nobody joins from here on.
            if self._open.get(group.caller) is group:
                del self._open[group.caller]
        return self._register(connection, group.wanted, group.caller)

    def _register(self, connection: Connection, wanted: Sequence[Wanted], caller: Caller) -> list[Written]:
        registered = self._intake.register(wanted, caller)(connection)
        told = told_tasks(connection, [entry.task for entry in registered], owner=caller.only_owner)
        return [Written(entry.created, task, entry.adds_live) for entry, task in zip(registered, told, strict=True)]
