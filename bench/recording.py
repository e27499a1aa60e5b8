"""Changes written per second: ours against a row at a time with an ORM, and against the bare rows by the driver.

100,000 tasks are watched; each change is a step of progress of one that nobody could foresee: its row, a line of its
history and the upstream's object. Ratios are of CPU time, which neighbours on the machine disturb least; on Postgres
that is ours alone, without the server's.
"""

import asyncio
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, Engine, bindparam, text

from bench.garbage import keep_what_is_there
from bench.orm import record_one
from bench.outbox import empty_database, success
from bench.rawrows import write_rows
from bench.table import Row
from tracker.model import NO_STREAK, Rules, Snapshot, Status
from tracker.observe import observe
from tracker.store import changes, watching
from tracker.store.changes import Batch
from tracker.store.database import Database
from tracker.store.engines import open_engine
from tracker.store.moments import UtcDateTime
from tracker.store.rows import dump_object
from tracker.webhooks.composer import Composer

TASKS = 100_000
CHANGES = 3_000
"""Of a round of ours and of the bare driver's."""
BATCH = 250
WITH_ORM = 100
ROUNDS = 3
ME = "dmn_bench"
_OF_BARE = {"sqlite": 0.35, "postgres": 0.15}
"""On Postgres the bare rows are work of the server's alone, so that what we read and decide is most of what is seen."""
_STARTED = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
_OBJECT = success(_STARTED).object


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What one way of writing took for each change."""

    cpu: float
    """Seconds."""
    wall: float


def run() -> Iterator[Row]:
    """Rows for each database."""
    for kind in ("sqlite", "postgres"):
        with empty_database(kind) as url:
            yield from _measure(kind, url)


def _measure(kind: str, url: str) -> Iterator[Row]:
    database, engine = Database(url), open_engine(url, pool_size=1)
    ours, bare, orm = [], [], []
    try:
        database.write_now(_fill)
        keep_what_is_there()
        for number in range(ROUNDS + 1):
            first, second, third = (_seen(10 + 3 * number + step) for step in range(3))
            ours.append(_pace(CHANGES, partial(_ours, database, first)))
            bare.append(_pace(CHANGES, partial(write_rows, engine, second, 2 * BATCH)))
            orm.append(_pace(WITH_ORM, partial(_one_by_one, engine, third)))
            said = ", ".join(f"{pace[-1].cpu * 1e6:.0f} µs" for pace in (ours, bare, orm))
            print(f"{kind}: ours, bare, one by one: {said}", file=sys.stderr)
    finally:
        database.close()
        engine.dispose()
        gc.unfreeze()
    # The first round warms up.
    yield _row(kind, ours[1:], orm[1:], "a row at a time, ORM", at_least=10)
    yield _row(kind, ours[1:], bare[1:], "the bare rows, driver", at_least=_OF_BARE[kind])


def _row(kind: str, ours: Sequence[Pace], theirs: Sequence[Pace], name: str, *, at_least: float) -> Row:
    ratios = [other.cpu / one.cpu for one, other in zip(ours, theirs, strict=True)]
    return Row(
        what=f"changes written, {kind}",
        ours=_figures(ours),
        against=f"{name}: {_figures(theirs)}",
        ratio=statistics.median(ratios),
        spread=f"{min(ratios):.2f}-{max(ratios):.2f}",
        at_least=at_least,
    )


def _figures(paces: Sequence[Pace]) -> str:
    rate = 1 / statistics.median(pace.wall for pace in paces)
    return f"{rate:,.0f}/s, {statistics.median(pace.cpu for pace in paces) * 1e6:.0f} µs CPU"


def _pace(count: int, write: Callable[[list[int]], object]) -> Pace:
    keys = random.sample(range(1, TASKS + 1), count)
    cpu, wall = time.process_time(), time.perf_counter()
    write(keys)
    return Pace(cpu=(time.process_time() - cpu) / count, wall=(time.perf_counter() - wall) / count)


def _one_by_one(engine: Engine, seen: Snapshot, keys: Sequence[int]) -> None:
    for key in keys:
        record_one(engine, key, seen)


def _seen(progress: int) -> Snapshot:
    """What an upstream says of a task that goes on."""
    return Snapshot(
        task_id="",
        status=Status.RUNNING,
        upstream_status="IN_PROGRESS",
        progress=progress,
        started_at=_STARTED,
        image_url=f"https://cdn.example/{progress}.png",
        kept=lambda: _OBJECT,
    )


def _ours(database: Database, seen: Snapshot, keys: Sequence[int]) -> None:
    asyncio.run(_looks(database, keys, seen))


async def _looks(database: Database, keys: Sequence[int], seen: Snapshot) -> None:
    """As the poller does: several looks out at once, each writes what it brought."""
    now, compose = datetime.now(UTC), Composer()
    decide = partial(observe, seen=seen, now=now, streak=NO_STREAK, rules=Rules())
    async with asyncio.TaskGroup() as group:
        for start in range(0, len(keys), BATCH):
            decisions = dict.fromkeys(keys[start : start + BATCH], decide)
            batch = Batch(decisions=decisions, watcher=ME, now=now, compose=compose)
            group.create_task(database.write_each(changes.record_each, batch, size=len(decisions)))


def _fill(connection: Connection) -> None:
    """Tasks that are watched, with a first event and an object each."""
    now = datetime.now(UTC)
    watching.join(connection, me=ME, host="here", pid=1, version="1", now=now)
    given = {"tasks": TASKS, "me": ME, "now": now, "started": _STARTED, "object": dump_object(_OBJECT).decode()}
    for statement in _FILLING:
        connection.execute(statement, {name: value for name, value in given.items() if f":{name}" in statement.text})


_FILLING = tuple(
    text(statement).bindparams(*(bindparam(name, type_=UtcDateTime()) for name in moments))
    for statement, *moments in (
        (
            """INSERT INTO task (task_id, upstream, id, status, upstream_status, progress, sequence, watcher,
                                 registered_at, started_at)
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :tasks)
               SELECT CAST(1000000000000000 + i AS text), 'default', 'tsk_019a0000000000000000' || (100000000000 + i),
                      'running', 'IN_PROGRESS', 1, 1, :me, :now, :started FROM n""",
            "now",
            "started",
        ),
        (
            """INSERT INTO event (task_key, sequence, event, observed_at, to_status)
               SELECT key, 1, 'registered', registered_at, 'queued' FROM task""",
        ),
        ("INSERT INTO snapshot (task_key, seen_at, object) SELECT key, registered_at, :object FROM task",),
        ("ANALYZE",),
    )
)
