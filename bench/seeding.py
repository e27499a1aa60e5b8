"""Live tasks by the hundred thousand, made by the database itself, and questions to it from beside the daemon."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from bench.upstream import SUBMITTED

_STEP = 250_000
"""Rows in one statement: a second or two, well below what a daemon beside it would wait for."""

_NUMBERS = """WITH RECURSIVE numbers(number) AS
    (SELECT CAST(:first AS bigint) UNION ALL SELECT number + 1 FROM numbers WHERE number < :last)"""
_TASKS = f"""INSERT INTO task (id, upstream, task_id, status, upstream_status, action, progress, sequence,
                               registered_at, submitted_at, started_at)
    {_NUMBERS}
    SELECT 'tsk_bench' || number, 'default', 'm' || number, 'running', 'IN_PROGRESS', 'IMAGINE', 10, 1,
           :now, :submitted, :submitted
    FROM numbers"""  # noqa: S608 - from literals
_REGISTRATIONS = """INSERT INTO registration (owner, task_key, registered_at)
    SELECT 'bench', key, :now FROM task WHERE key BETWEEN :low AND :high"""
_CALLBACKS = """INSERT INTO callback (task_key, owner, url, events, format, created_at)
    SELECT key, 'bench', 'http://127.0.0.1:9/hook', 'ended', 'standard', :now
    FROM task WHERE key BETWEEN :low AND :high"""
_EVENTS = """INSERT INTO event (task_key, sequence, event, observed_at, to_status)
    SELECT key, 1, 'registered', :now, 'queued' FROM task WHERE key BETWEEN :low AND :high"""
_SPAN = text("SELECT coalesce(min(key), 0), coalesce(max(key), 0) FROM task WHERE key > :known")
_NEWEST = text("SELECT coalesce(max(key), 0) FROM task")
_ME = text("SELECT id FROM daemon WHERE pid = :pid ORDER BY started_at DESC LIMIT 1")
_FREE = "SELECT 1 FROM task WHERE watcher IS NULL AND ended_at IS NULL LIMIT 1"
_SMALLER = "SELECT 1 FROM task WHERE watcher IS NOT NULL AND watcher < :me AND ended_at IS NULL LIMIT 1"
_GREATER = "SELECT 1 FROM task WHERE watcher IS NOT NULL AND watcher > :me AND ended_at IS NULL LIMIT 1"
_OTHERS = {
    "postgresql": (text(_FREE), text(_SMALLER), text(_GREATER)),
    # Left alone, SQLite may read the whole table, and what is measured is how the daemon bears with that.
    "sqlite": (
        text(_FREE.replace("task", "task INDEXED BY task_unwatched")),
        text(_SMALLER.replace("task", "task INDEXED BY task_watched")),
        text(_GREATER.replace("task", "task INDEXED BY task_watched")),
    ),
}
"""Live tasks that a daemon does not watch, each asked so that an index answers at once."""


@contextmanager
def beside(url: str) -> Iterator[Engine]:
    """Plain connections to the same database, which come and go."""
    parsed = make_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    engine = create_engine(parsed if is_sqlite else parsed.set(drivername="postgresql+psycopg"))
    if is_sqlite:
        event.listen(engine, "connect", _be_patient)
    try:
        yield engine
    finally:
        engine.dispose()


def _be_patient(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own connection
    connection.execute("PRAGMA busy_timeout=60000").close()


def seed(engine: Engine, first: int, count: int) -> None:
    """Tasks that run for ever at 10 %, as if registered through the API with a callback each, and looked at before."""
    for start in range(first, first + count, _STEP):
        with engine.begin() as connection:
            _insert(connection, start, min(start + _STEP, first + count) - 1)
    if engine.dialect.name == "postgresql":
        # As it would by itself within a minute; SQLite never does.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))


def _insert(connection: Connection, first: int, last: int) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    now, submitted = datetime.now(UTC), datetime.fromtimestamp(SUBMITTED / 1000, UTC)
    given: Mapping[str, Any] = {
        "now": _sqlite_time(now) if is_sqlite else now,
        "submitted": _sqlite_time(submitted) if is_sqlite else submitted,
    }
    known = connection.scalar(_NEWEST)
    connection.execute(text(_TASKS), {"first": first, "last": last, **given})
    low, high = connection.execute(_SPAN, {"known": known}).one()
    for statement in (_REGISTRATIONS, _CALLBACKS, _EVENTS):
        connection.execute(text(statement), {"low": low, "high": high, "now": given["now"]})


def _sqlite_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def all_adopted(engine: Engine, pid: int) -> bool:
    """Whether each live task is watched by the daemon that this process is."""
    with engine.connect() as connection:
        me = connection.scalar(_ME, {"pid": pid})
        if me is None:
            return False
        others = _OTHERS[connection.dialect.name]
        return all(connection.scalar(question, {"me": me}) is None for question in others)
