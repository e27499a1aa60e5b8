"""Looking at a database without touching it: for whoever wants to know what is wrong with one.

Nothing is made and nothing is written, not even a file beside a SQLite database, and no question takes for ever.
"""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tracker.clock import utc_now
from tracker.errors import UnavailableError
from tracker.store import daemons, deliveries, endpoints, migrate, upstreams
from tracker.store.engines import psycopg_url, sqlite_file
from tracker.store.faults import translated
from tracker.store.schema import daemon, delivery
from tracker.store.upstreams import Health

_CONNECT_SECONDS, _QUESTION_SECONDS = 3, 3
_STEPS = 10_000
MOST_DEAD = 10_000
"""Messages that were given up are counted so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonLine:
    """A daemon as the table has it."""

    host: str
    pid: int
    version: str
    silent_for: timedelta
    is_gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a database says about itself; what hangs on the schema is there only where that is current."""

    revision: str | None
    is_foreign: bool = False
    """Whether another program's tables are in it."""
    server_ahead: timedelta | None = None
    """By how much a server's clock is ahead of ours."""
    daemons: tuple[DaemonLine, ...] = ()
    """Latest sign of life first."""
    dead_lately: int = 0
    """Messages that were given up within a day."""
    overdue: timedelta = timedelta(0)
    """How long the most overdue message has waited."""
    endpoints: Mapping[str, int] | None = None
    """How many receivers are in each state."""
    upstreams: Mapping[str, Health] | None = None
    live_tasks: Mapping[str, int] | None = None
    """By upstream; None where counting them takes too long."""


def inspect_database(url: str) -> Inspection:
    """Look at it, for some seconds at most; raises UnavailableError with the driver's reason, without the URL."""
    engine = _engine(url)
    try:
        with translated(), engine.connect() as connection:
            return look(connection)
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        raise UnavailableError(f"the database cannot be used: {said[0]}") from None
    finally:
        engine.dispose()


def look(connection: Connection) -> Inspection:
    """What a database says about itself."""
    revision = migrate.current(connection)
    is_foreign = revision is None and inspect(connection).has_table("task")
    found = Inspection(revision=revision, is_foreign=is_foreign, server_ahead=_ahead(connection))
    if revision != migrate.newest():
        return found
    now = utc_now() + (found.server_ahead or timedelta(0))
    return replace(
        found,
        daemons=_daemons(connection, now),
        dead_lately=_dead_since(connection, now - timedelta(days=1)),
        overdue=timedelta(seconds=deliveries.oldest_due_seconds(connection, now=now)),
        endpoints=endpoints.count_by_state(connection),
        upstreams=upstreams.read(connection),
        live_tasks=_live_tasks(connection),
    )


def _ahead(connection: Connection) -> timedelta | None:
    if connection.dialect.name == "sqlite":
        return None
    before = utc_now()
    theirs = daemons.what_time(connection)
    return theirs - (before + (utc_now() - before) / 2)


def _daemons(connection: Connection, now: datetime) -> tuple[DaemonLine, ...]:
    told = (daemon.c.host, daemon.c.pid, daemon.c.version, daemon.c.heartbeat_at, daemon.c.is_gone)
    rows = connection.execute(select(*told).order_by(daemon.c.heartbeat_at.desc()).limit(100))
    return tuple(
        DaemonLine(
            host=row.host, pid=row.pid, version=row.version, silent_for=now - row.heartbeat_at, is_gone=row.is_gone
        )
        for row in rows
    )


def _dead_since(connection: Connection, since: datetime) -> int:
    dead = select(literal(1)).where(text("settled_at IS NOT NULL"), delivery.c.settled_at >= since)
    few = dead.where(delivery.c.status == "dead").limit(MOST_DEAD).subquery()
    return connection.execute(select(func.count()).select_from(few)).scalar_one()


def _live_tasks(connection: Connection) -> Mapping[str, int] | None:
    """The last question, as a database with millions of tasks may break it off."""
    try:
        with translated():
            return upstreams.live_tasks(connection)
    except UnavailableError:
        return None


def _engine(url: str) -> Engine:
    path = sqlite_file(url)
    if path is None:
        return _postgres(url)
    try:
        path.open("rb").close()
    except FileNotFoundError:
        raise UnavailableError(f"there is no file {path}") from None
    except OSError as error:
        raise UnavailableError(f"it cannot be read: {error.strerror}") from None
    return create_engine("sqlite://", creator=partial(_open_file, path), poolclass=NullPool, hide_parameters=True)


def _open_file(path: Path) -> sqlite3.Connection:
    # Where nobody has it open there is nothing beside it to be read; reading in any other way would leave files there.
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    opened = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=2, isolation_level=None)
    ends_at = time.monotonic() + _QUESTION_SECONDS
    opened.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS)
    return opened


def _postgres(url: str) -> Engine:
    engine = create_engine(
        psycopg_url(url),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "prepare_threshold": None,
            "application_name": "tracker doctor",
        },
    )
    event.listen(engine, "begin", _bind_hands)
    return engine


def _bind_hands(connection: Connection) -> None:
    """In the transaction only: behind a pooler the connection is everybody's."""
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_QUESTION_SECONDS}s'")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_QUESTION_SECONDS}s'")
