"""The same rows as bare as the driver takes them: nothing is read, decided or fenced, and nobody is answered."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Engine

from tracker.model import Snapshot
from tracker.store.moments import sqlite_time

_SQLITE = (
    "UPDATE task SET upstream_status=?, progress=?, image_url=?, sequence=sequence+1 WHERE key=?",
    """INSERT INTO event (task_key, sequence, event, observed_at, upstream_status, progress)
       SELECT key, sequence, 'progress', ?, ?, ? FROM task WHERE key=?""",
    "UPDATE snapshot SET seen_at=?, object=? WHERE task_key=?",
)
_POSTGRES = (
    """UPDATE task SET upstream_status=g.upstream_status, progress=g.progress, image_url=g.image_url,
       sequence=sequence+1 FROM json_to_recordset(%(rows)s::json)
       AS g(key bigint, upstream_status text, progress int, image_url text) WHERE task.key=g.key""",
    """INSERT INTO event (task_key, sequence, event, observed_at, upstream_status, progress)
       SELECT task.key, sequence, 'progress', %(now)s, g.upstream_status, g.progress
       FROM json_to_recordset(%(rows)s::json) AS g(key bigint, upstream_status text, progress int)
       JOIN task ON task.key = g.key""",
    """UPDATE snapshot SET seen_at=%(now)s, object=g.object
       FROM json_to_recordset(%(objects)s::json) AS g(key bigint, object text) WHERE task_key=g.key""",
)


def write_rows(engine: Engine, seen: Snapshot, batch: int, keys: Sequence[int]) -> None:
    """Write a step of progress for each, so many in a transaction: by `executemany`, on Postgres set-based."""
    is_sqlite = engine.dialect.name == "sqlite"
    for some in _slices(sorted(keys), batch):
        with engine.begin() as connection:
            cursor: Any = connection.connection.cursor()
            (_to_sqlite if is_sqlite else _to_postgres)(cursor, some, seen)


def _slices(keys: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _to_sqlite(cursor: Any, keys: Sequence[int], seen: Snapshot) -> None:  # noqa: ANN401 - a driver's own cursor
    now, word, progress = sqlite_time(datetime.now(UTC)), seen.upstream_status, seen.progress
    cursor.executemany(_SQLITE[0], [(word, progress, seen.image_url, key) for key in keys])
    cursor.executemany(_SQLITE[1], [(now, word, progress, key) for key in keys])
    cursor.executemany(_SQLITE[2], [(now, msgspec.json.encode(seen.object).decode(), key) for key in keys])


def _to_postgres(cursor: Any, keys: Sequence[int], seen: Snapshot) -> None:  # noqa: ANN401 - a driver's own cursor
    told = {"upstream_status": seen.upstream_status, "progress": seen.progress, "image_url": seen.image_url}
    rows = msgspec.json.encode([{"key": key, **told} for key in keys]).decode()
    objects = [{"key": key, "object": msgspec.json.encode(seen.object).decode()} for key in keys]
    given = {"rows": rows, "objects": msgspec.json.encode(objects).decode(), "now": datetime.now(UTC)}
    for statement in _POSTGRES:
        cursor.execute(statement, given)
