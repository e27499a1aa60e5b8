"""Connections and transactions: many readers, and one writer that commits in groups.

Storage is synchronous; the event loop lends it threads. Whatever writes are waiting when the writer
is free go into one transaction and are answered after its commit, so that durability (`synchronous=FULL`,
`synchronous_commit=on`) costs one flush for many. No transaction is ever open across the network.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event, make_url

from tracker.clock import utc_now
from tracker.errors import UnavailableError
from tracker.store import daemons
from tracker.store.engines import open_engine, sqlite_file
from tracker.store.faults import is_broken_connection, translated
from tracker.store.fence import Fence
from tracker.store.writer import Each, Stopwatch, Work, Writer, transact, untimed

__all__ = ["Connection", "Database", "Work", "sqlite_file"]

P = TypeVar("P")
T = TypeVar("T")

_READERS = 2
_ASKERS = 4
_LONGEST_QUESTION_SECONDS = 5
_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK = 10_000
"""Of SQLite's virtual machine: about a millisecond."""


class Database:
    """One database, open for reading and writing from the event loop or without one."""

    def __init__(self, url: str, *, stopwatch: Stopwatch = untimed) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._fence = Fence()
        self._writing = open_engine(url, pool_size=1, preamble=self._fence)
        self._apart = None if self.is_sqlite else open_engine(url, pool_size=1)
        self._reading = open_engine(url, pool_size=1 + _READERS + _ASKERS, read_only=True)
        # Each question by itself, without the two messages around it that make a transaction: it is asked all the time.
        self._looking = (
            self._reading if self.is_sqlite else self._reading.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="tracker-read")
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="tracker-look")
        self._askers = ThreadPoolExecutor(_ASKERS, thread_name_prefix="tracker-ask")
        self._recluse = ThreadPoolExecutor(1, thread_name_prefix="tracker-apart")
        self._stopwatch = stopwatch
        self._writer = Writer(self._writing, stopwatch)
        # SQLite lets only one write at a time: a second one would wait with the file's lock in its way.
        self._second = None if self.is_sqlite else open_engine(url, pool_size=1, preamble=self._fence)
        self._beside = Writer(self._second, stopwatch) if self._second else self._writer
        self._listeners: list[Callable[[], None]] = []

    async def read(self, work: Work[T]) -> T:
        """Run a query on a reader's thread; raises UnavailableError when the database is out of reach."""
        return await _on(self._readers, partial(self.read_now, work))

    async def read_as_one(self, work: Work[T]) -> T:
        """The same in one transaction: what is set for it ends with it."""
        return await _on(self._readers, partial(self._read_as_one, work))

    async def look(self, work: Work[T]) -> T:
        """The same for what is asked all the time: on one thread, since of several that wait each is woken."""
        return await _on(self._looker, partial(self.read_now, work))

    async def ask(self, work: Work[T]) -> T:
        """Run a query that somebody outside asked for: on other threads than our own, and not for long.

        Raises UnavailableError also where it takes too long.
        """
        return await _on(self._askers, partial(self._read_as_one, partial(_bounded, work)))

    def _read_as_one(self, work: Work[T]) -> T:
        return self._read(self._reading.begin, work)

    async def write(self, work: Work[T]) -> T:
        """Run work in the writer's next transaction and return after its commit."""
        return await self._written(self._writer, work)

    async def write_beside(self, work: Work[T]) -> T:
        """The same in the second writer's next transaction, which on Postgres runs beside the first one's."""
        return await self._written(self._beside, work)

    async def _written(self, writer: Writer, work: Work[T]) -> T:
        result = await writer.submit_from_loop(work)
        for heard in self._listeners:
            heard()
        return result

    async def write_each(self, work: Callable[[Connection, Sequence[P]], Sequence[T]], piece: P, *, size: int = 1) -> T:
        """The same for one piece of work of a kind: what of that kind is waiting is written by a single call.

        `size` is about how many rows it writes.
        """
        return await self.write(Each(work, piece, size))

    async def write_apart(self, work: Work[T]) -> T:
        """Run work in a transaction of its own, at once and outside the fence: what a daemon says about itself.

        On Postgres it waits for no other work of ours. On SQLite there is one writer, and no fence.
        """
        if self._apart is None:
            return await self.write(work)
        return await _on(self._recluse, partial(transact, self._apart, work))

    def fence(self, me: str, life: str = "") -> None:
        """From now on what is written is written by this life of this daemon, while it has not been declared dead.

        After that every `write` raises UnavailableError, until there is a fence around its new name. On SQLite, where
        nobody else can be, there is none.
        """
        if not self.is_sqlite:
            self._fence.put_around(me, life)

    def now(self) -> datetime:
        """What time it is for all who share this database: by its own clock on Postgres, by ours on SQLite."""
        return utc_now() if self.is_sqlite else self.read_now(daemons.what_time)

    def listen(self, heard: Callable[[], None]) -> None:
        """Have this called, in the event loop, after each `write` of this process."""
        self._listeners.append(heard)

    def read_now(self, work: Work[T]) -> T:
        """The same as `read`, for callers without an event loop."""
        return self._read(self._looking.connect, work)

    def _read(self, connect: Callable[[], AbstractContextManager[Connection]], work: Work[T]) -> T:
        started = time.perf_counter()
        try:
            result = _through(connect, work)
        except UnavailableError as error:
            if not is_broken_connection(error):
                raise
            # It broke while nobody used it, and all others with it: they are made anew.
            result = _through(connect, work)
        self._stopwatch("read", time.perf_counter() - started)
        return result

    def write_now(self, work: Work[T]) -> T:
        """The same as `write`, for callers without an event loop."""
        return self._writer.submit(work).result()

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None for a server."""
        return sqlite_file(self.url)

    def close(self) -> None:
        """Finish the writes in hand and let go of every connection."""
        self._writer.stop()
        self._beside.stop()
        for threads in (self._readers, self._looker, self._askers, self._recluse):
            threads.shutdown(wait=False, cancel_futures=True)
        for engine in (self._writing, self._second, self._apart, self._reading):
            if engine is not None:
                # Who is still at work brings a connection back to a pool that is gone by then.
                event.listen(engine.pool, "checkin", _hang_up)
                engine.dispose()


def _hang_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own connection
    if connection is not None:
        connection.close()


def _through(connect: Callable[[], AbstractContextManager[Connection]], work: Work[T]) -> T:
    with translated(), connect() as connection:
        return work(connection)


async def _on(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    try:
        running = threads.submit(call)
    except RuntimeError as error:
        raise UnavailableError("the database is closed") from error
    return await asyncio.wrap_future(running)


def _bounded(work: Work[T], connection: Connection) -> T:
    """The work, ended by the database itself when it takes too long."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_LONGEST_QUESTION_SECONDS}s'")
        return work(connection)
    ends_at = time.monotonic() + _LONGEST_QUESTION_SECONDS
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS_BETWEEN_LOOKS_AT_THE_CLOCK)
    try:
        return work(connection)
    finally:
        driver.set_progress_handler(None, 0)
