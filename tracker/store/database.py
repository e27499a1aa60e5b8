"""Connections and transactions: many readers, and one writer that commits in groups.

Storage is synchronous; the event loop lends it threads. Whatever writes are waiting when the writer
is free go into one transaction and are answered after its commit, so that durability (`synchronous=FULL`,
`synchronous_commit=on`) costs one flush for many. No transaction is ever open across the network.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from tracker.errors import UnavailableError

__all__ = ["Connection", "Database", "Stopwatch", "Work", "open_engine", "sqlite_file", "translated"]

T = TypeVar("T")
Work = Callable[[Connection], T]
"""A piece of work inside one transaction. It may be run again, so it touches nothing but its connection."""

GROUP_SIZE = 64
"""The most pieces of work in one commit: large enough to share a flush, small enough not to delay the first."""
_READERS = 4
_FAREWELL_SECONDS = 2.0
"""How long closing waits for a writer that a database out of reach may hold up."""


class Stopwatch(Protocol):
    """Told how long each transaction took."""

    def __call__(self, operation: str, seconds: float) -> None:
        """Record one `read` or `write`."""
        ...


def _untimed(operation: str, seconds: float) -> None:
    pass


class Database:
    """One database, open for reading and writing from the event loop or without one."""

    def __init__(self, url: str, *, stopwatch: Stopwatch = _untimed) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._writing = open_engine(url, pool_size=1)
        self._reading = open_engine(url, pool_size=_READERS, read_only=True)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="tracker-read")
        self._stopwatch = stopwatch
        self._writer = _Writer(self._writing, stopwatch)

    async def read(self, work: Work[T]) -> T:
        """Run a query on a reader's thread; raises UnavailableError when the database is out of reach."""
        try:
            reading = self._readers.submit(self.read_now, work)
        except RuntimeError as error:
            raise UnavailableError("the database is closed") from error
        return await asyncio.wrap_future(reading)

    async def write(self, work: Work[T]) -> T:
        """Run work in the writer's next transaction and return after its commit."""
        return await asyncio.wrap_future(self._writer.submit(work))

    def read_now(self, work: Work[T]) -> T:
        """The same as `read`, for callers without an event loop."""
        started = time.perf_counter()
        with translated(), self._reading.begin() as connection:
            result = work(connection)
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
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writing.dispose()
        self._reading.dispose()


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for other databases."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return None
    return Path(parsed.database)


class _Writer:
    """One thread, one connection; takes all that waits into one transaction."""

    def __init__(self, engine: Engine, stopwatch: Stopwatch) -> None:
        self._engine = engine
        self._stopwatch = stopwatch
        self._waiting: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tracker-write", daemon=True)
        self._started = threading.Lock()
        self._stopped = False

    def submit(self, work: Work[T]) -> Future[T]:
        promise: Future[T] = Future()
        with self._started:
            if self._stopped:
                raise UnavailableError("the database is closed")
            if not self._thread.is_alive():
                self._thread.start()
            self._waiting.put((work, promise))
        return promise

    def stop(self) -> None:
        with self._started:
            self._stopped = True
            self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(_FAREWELL_SECONDS)

    def _run(self) -> None:
        while True:
            group, is_last = self._take()
            started = time.perf_counter()
            if group:
                self._commit(group)
                self._stopwatch("write", time.perf_counter() - started)
            if is_last:
                return

    def _take(self) -> tuple[list[tuple[Work[Any], Future[Any]]], bool]:
        """Wait for one piece of work, then take whatever else is there."""
        group: list[tuple[Work[Any], Future[Any]]] = []
        entry = self._waiting.get()
        while entry is not None:
            if entry[1].set_running_or_notify_cancel():
                group.append(entry)
            if len(group) >= GROUP_SIZE:
                return group, False
            try:
                entry = self._waiting.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: list[tuple[Work[Any], Future[Any]]]) -> None:
        try:
            with translated(), self._engine.begin() as connection:
                results = [work(connection) for work, _ in group]
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            if len(group) == 1 or _concerns_all(error):
                for _, promise in group:
                    promise.set_exception(error)
                return
            # One bad piece must not take the others with it: each gets a transaction of its own.
            for entry in group:
                self._commit([entry])
            return
        for (_, promise), result in zip(group, results, strict=True):
            promise.set_result(result)


_CONTENTION = ("40", "55P03", "57014")
"""SQLSTATE classes: deadlock, lock timeout, statement timeout: somebody holds a row that one piece needs."""


def _concerns_all(error: Exception) -> bool:
    """Whether the other pieces of a group cannot be written either: the database is away, not held up by one row."""
    state = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) or ""
    return isinstance(error, UnavailableError) and not state.startswith(_CONTENTION)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what drivers raise when a database is away into UnavailableError, without its address."""
    try:
        yield
    except PoolTimeoutError as error:
        raise UnavailableError("the database is out of reach: no connection became free") from error
    except DBAPIError as error:
        if reason := _away(error):
            raise UnavailableError(reason) from error
        raise


_POSTGRES_AWAY = ("08", "53", "57", "55P03", "40")
"""SQLSTATE classes: connection, resources, operator intervention, lock timeout, deadlock: all pass with time."""


def _away(error: DBAPIError) -> str | None:
    cause = error.orig
    said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if "no such table" in said or getattr(cause, "sqlstate", None) == "42P01":
        return "the database has no schema yet, or an old one: run `tracker db upgrade`"
    if isinstance(cause, sqlite3.Error):
        # A plain DatabaseError is a file that is no database, or a broken one; its subclasses are about one statement.
        is_away = isinstance(cause, sqlite3.OperationalError) or type(cause) is sqlite3.DatabaseError
        return f"the database is out of reach: {said}" if is_away else None
    state = getattr(cause, "sqlstate", None)
    if state is None:
        # What the driver refuses by itself, a NUL in a text say, has no code either.
        is_away = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    else:
        is_away = error.connection_invalidated or state.startswith(_POSTGRES_AWAY)
    if is_away:
        return f"the database is out of reach: {said}"
    return None


def open_engine(url: str, *, pool_size: int, read_only: bool = False) -> Engine:
    """An engine with tracker's settings for its database; `url` as in the configuration."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed, poolclass=QueuePool, pool_size=pool_size, max_overflow=0, connect_args={"check_same_thread": False}
        )
        _prepare_sqlite(engine, read_only=read_only)
        return engine
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 15000},
    )

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql("SET LOCAL statement_timeout = '30s'")

    if not read_only:
        event.listen(engine, "begin", limit)
    return engine


def _prepare_sqlite(engine: Engine, *, read_only: bool) -> None:
    """Our own BEGIN: IMMEDIATE for writers, since a deferred transaction that upgrades fails at once."""

    def connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own connection
        connection.isolation_level = None
        for pragma in (
            "busy_timeout=10000",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"cache_size=-{8192 if read_only else 65536}",
            "journal_size_limit=67108864",
            "temp_store=MEMORY",
            *(("query_only=ON",) if read_only else ()),
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", connect)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
