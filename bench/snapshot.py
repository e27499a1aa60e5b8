"""What an old snapshot, held open by somebody's report, does to the looks that never stop; on PostgreSQL."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import text

from bench import years
from bench.outbox import empty_database
from bench.table import Row
from tracker.courier.lowwater import LowWater
from tracker.store import due, finding
from tracker.store.database import Connection, Database

TASKS = 20_000
ROUNDS = 120
_AT_ONCE = 200
_COMPARED = 15
"""The first and the last so many rounds are compared."""

_DUE = "status = 'pending', settled_at = NULL, next_attempt_at = now()"
_DONE = "status = 'delivered', settled_at = now(), next_attempt_at = NULL"
_FREE = "watcher = NULL, status = 'running', ended_at = NULL"
_ENDED = "watcher = NULL, status = 'succeeded', ended_at = registered_at"


def run() -> Iterator[Row]:
    """A row for each look: how much slower it became while rows came and went, against the same without a snapshot."""
    with empty_database("postgres") as url:
        database = Database(url)
        database.write_now(partial(years.fill, tasks=TASKS, now=datetime.now(UTC)))
        _update(database, "delivery", _DONE, "true")
        _update(database, "task", _ENDED, "ended_at IS NULL")
        try:
            alone = _growth(database)
            beside = database.read_now(partial(_beside, database))
        finally:
            database.close()
    for what, grown in beside.items():
        print(f"{what}: alone {alone[what]:.2f}, beside a snapshot {grown:.2f}", file=sys.stderr)
        yield Row(
            what=f"{what} beside an old snapshot, postgres",
            ours=f"{grown:.2f} times its first time",
            against=f"without one: {alone[what]:.2f} times",
            ratio=grown / alone[what],
        )


def _beside(database: Database, holding: Connection) -> dict[str, float]:
    holding.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    holding.execute(text("SELECT count(*) FROM endpoint")).all()
    return _growth(database)


def _growth(database: Database) -> dict[str, float]:
    """How much slower each look is in the last rounds than in the first, by name."""
    took: dict[str, list[float]] = {name: [] for name in _LOOKS}
    for number in range(ROUNDS):
        first = 1 + number * _AT_ONCE % (TASKS // 2)
        some = f"key BETWEEN {first} AND {first + _AT_ONCE - 1}"
        _update(database, "delivery", _DUE, some)
        _update(database, "task", _FREE, some)
        for name, look in _LOOKS.items():
            started = time.perf_counter()
            database.read_now(look)
            took[name].append(time.perf_counter() - started)
        _update(database, "task", _ENDED, some)
        _update(database, "delivery", _DONE, some)
    middle = statistics.median
    return {name: middle(each[-_COMPARED:]) / middle(each[:_COMPARED]) for name, each in took.items()}


def _update(database: Database, table: str, values: str, which: str) -> None:
    statement = text(f"UPDATE {table} SET {values} WHERE {which}")  # noqa: S608 - SQL from literals
    database.write_now(lambda connection: connection.execute(statement).close())


def _look(connection: Connection) -> None:
    """As the courier looks: from the mark that the last look has left."""
    started, since = datetime.now(UTC), _water.mark(datetime.now(UTC))
    seen = due.look(connection, now=started, without=[], limit=64, since=since)
    _water.see(seen.oldest, since=since, started=started, ended=datetime.now(UTC))


_water = LowWater()
_LOOKS: dict[str, Callable[[Connection], object]] = {
    "what is due": _look,
    "whether there is work": lambda connection: finding.find(
        connection, me="dmn_x", above={"default": 0}, now=datetime.now(UTC), silent_for=timedelta(days=1)
    ),
}
