"""What people ask of long lives: at a million tasks and ten million events against a hundredth of that, in one run."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import create_engine, make_url, text

from bench import years
from bench.outbox import empty_database
from bench.table import Row
from tracker.store import feed, finding, retention, rollups, tasks
from tracker.store.database import Connection, Database

LARGE = int(os.environ.get("BENCH_TASKS", "1_000_000"))
"""Tasks; each has ten events. Fewer on a machine that is in a hurry."""
SMALL = LARGE // 100
ROUNDS = 15
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_NOISE = 2.0
"""A tree that is one level higher, and pages that are not at hand."""

Question = Callable[[Connection], object]


def run() -> Iterator[Row]:
    """Rows for each database."""
    now = datetime.now(UTC)
    for kind in ("sqlite", "postgres"):
        with ExitStack() as open_:
            small, large = (_filled(open_, kind, count, now) for count in (SMALL, LARGE))
            for what, ask in _questions(now).items():
                yield _compare(f"{what}, {kind}", small, large, ask)


def _filled(open_: ExitStack, kind: str, count: int, now: datetime) -> tuple[Database, int]:
    started = time.perf_counter()
    url = open_.enter_context(empty_database(kind))
    fill(url, count, now)
    database = Database(url)
    open_.callback(database.close)
    _add_up(database, now)
    print(f"{kind}: {count:,} tasks in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return database, count


def fill(url: str, count: int, now: datetime) -> None:
    """Fill a migrated, empty database with so many tasks of ninety days."""
    engine = create_engine(make_url(url).set(drivername=_DRIVERS[make_url(url).get_backend_name()]))
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # Nothing has to survive here: no journal, no flush, and all of it in memory as long as it fits.
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000"):
                connection.exec_driver_sql(f"PRAGMA {pragma}").close()
        years.fill(connection, tasks=count, now=now)
        connection.commit()
    engine.dispose()


def _add_up(database: Database, now: datetime) -> None:
    """The last two days: what was before makes no difference to any question here."""
    hour = database.read_now(partial(rollups.next_hour, since=now - timedelta(days=2)))
    while hour is not None:
        counted = database.read_now(partial(rollups.count, hour=hour))
        if counted is not None:
            database.write_now(partial(rollups.keep, hour=counted))
        hour = database.read_now(partial(rollups.next_hour, since=hour + rollups.HOUR))


def _questions(now: datetime) -> dict[str, Callable[[int, int], Question]]:
    """By what is asked: the question about a task, of so many. Each round asks about another task."""
    day = (now - timedelta(days=1)).date()

    def sql(query: str, **values: object) -> Question:
        return lambda connection: connection.execute(text(query), values).all()

    return {
        "a task by its id": lambda key, _: sql("SELECT * FROM task_overview WHERE task_id = :id", id=f"t{key}"),
        "the history of a task": lambda key, _: sql(
            "SELECT * FROM task_history WHERE task_id = :id ORDER BY sequence", id=f"t{key}"
        ),
        "the attempts of a task": lambda key, _: sql(
            "SELECT * FROM delivery_log WHERE task_id = :id ORDER BY attempted_at", id=f"t{key}"
        ),
        "what runs, longest first": lambda _key, _most: sql(
            "SELECT * FROM task_overview WHERE status = 'running' ORDER BY registered_at LIMIT 50"
        ),
        "the last 50 of an owner": lambda _key, _most: partial(tasks.page, wanted=tasks.Filter(), owner=years.OWNER),
        "a page of the feed": lambda key, most: partial(
            feed.after, transaction_id=(key - most) // 50, key=key * years.EVENTS, owner=years.OWNER, limit=100
        ),
        "counts by status of a day": lambda _key, _most: sql(
            "SELECT status, sum(tasks) FROM daily_tasks WHERE day = :day GROUP BY status",
            day=day.isoformat(),
        ),
        "whether there is work": lambda _key, _most: partial(
            finding.find,
            me=years.WATCHER,
            above={"default": 0, years.RARE: 0},
            now=datetime.now(UTC),
            silent_for=timedelta(1),
        ),
        "where forgetting goes on": lambda key, most: partial(
            retention.ended,
            after=retention.Place(now - timedelta(days=years.DAYS) * ((most - key) / most), key),
            before=now,
            limit=100,
        ),
    }


def _compare(
    what: str, small: tuple[Database, int], large: tuple[Database, int], ask: Callable[[int, int], Question]
) -> Row:
    """The same question to both in turns, each time about another task; the first look is at cold pages."""
    seconds: dict[int, list[float]] = {SMALL: [], LARGE: []}
    for number in range(ROUNDS + 3):
        for database, count in (small, large):
            question = ask(count * (number + 1) // (ROUNDS + 5), count)
            started = time.perf_counter()
            database.read_now(question)
            seconds[count].append(time.perf_counter() - started)
    ours, theirs = (seconds[count][3:] for count in (LARGE, SMALL))
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    return Row(
        what=what,
        ours=f"{statistics.median(ours) * 1000:.2f} ms",
        against=f"a hundredth: {statistics.median(theirs) * 1000:.2f} ms",
        ratio=statistics.median(ours) / statistics.median(theirs),
        spread=f"{ratios[len(ratios) // 4]:.2f}-{ratios[-len(ratios) // 4]:.2f}",
        at_most=_NOISE,
    )
