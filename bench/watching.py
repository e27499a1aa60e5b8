"""The real lane on a real database, put together as the daemon does it, with live tasks that it watches already."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import Counter
from sqlalchemy import Connection, create_engine, insert, make_url, select

import tracker
from bench.gateway import SUBMITTED
from tracker.clock import utc_now
from tracker.config import UpstreamSettings
from tracker.http import Client
from tracker.metrics import Metrics
from tracker.model import EventKind
from tracker.poller import Lane
from tracker.poller.ports import Ports
from tracker.poller.schedule import Watched
from tracker.providers.registry import build
from tracker.store import watching
from tracker.store.database import Database
from tracker.store.schema import event, task
from tracker.store.watching import Adopted
from tracker.webhooks.composer import Composer

UPSTREAM = "default"
ME = "dmn_bench"
_LOOK_EVERY = 0.05


def seed(connection: Connection, *, count: int, beside: int = 0) -> None:
    """So many tasks that were looked at before, and a daemon that watches them; `beside` them more that it does not."""
    now, submitted = datetime.now(UTC), datetime.fromtimestamp(SUBMITTED / 1000, UTC)
    watching.join(connection, me=ME, host="here", pid=1, version="0", now=now)
    known: dict[str, Any] = {
        "upstream": UPSTREAM,
        "status": "running",
        "upstream_status": "IN_PROGRESS",
        "action": "IMAGINE",
        "progress": 0,
        "sequence": 1,
        "registered_at": now,
        "submitted_at": submitted,
        "started_at": submitted,
    }
    rows = [
        {**known, "id": f"tsk_{number}", "task_id": f"t{number}", "watcher": ME if number < count else None}
        for number in range(count + beside)
    ]
    connection.execute(insert(task), rows)
    first = {"sequence": 1, "event": str(EventKind.REGISTERED), "observed_at": now, "to_status": "queued"}
    connection.execute(insert(event), [{"task_key": key, **first} for key in connection.scalars(select(task.c.key))])
    connection.exec_driver_sql("ANALYZE")


@contextmanager
def commit_counter(url: str) -> Iterator[Callable[[], int]]:
    """Asks the database for a number of its own that grows whenever somebody else commits what he wrote."""
    parsed = make_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    query = "PRAGMA data_version" if is_sqlite else "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
    engine = create_engine(parsed if is_sqlite else parsed.set(drivername="postgresql+psycopg"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield lambda: int(connection.exec_driver_sql(query).scalar_one())
    engine.dispose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Poller:
    """A lane at work, and what it has done so far."""

    lane: Lane
    polls: Callable[[], float]
    requests: Callable[[], float]

    async def has_polled(self, count: float) -> None:
        """Return once it has looked this often in all."""
        while self.polls() < count:  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(_LOOK_EVERY)


@asynccontextmanager
async def polling(
    database: Database,
    client: Client,
    base_url: str,
    known: list[Watched],
    **settings: Any,  # noqa: ANN401 - settings
) -> AsyncIterator[Poller]:
    """A lane at work on what it knows from before, which is kept for the next; without any on all tasks there are."""
    upstream = UpstreamSettings(base_url=base_url, **settings)
    metrics = Metrics(version=tracker.__version__)
    ports = Ports(
        database=database,
        compose=Composer(),
        metrics=metrics,
        clock=utc_now,
        timer=time.monotonic,
        dice=random.random,
        watcher=lambda: ME,
        wake_courier=lambda: None,
        beat=lambda: None,
    )
    lane = Lane(UPSTREAM, upstream, build(UPSTREAM, upstream, client, utc_now), ports)
    for watched in known:
        lane.schedule.add(watched, time.monotonic())
    if not known:
        for adopted in await database.read(_watched):
            lane.watch(adopted, is_new=False)
        known.extend(lane.schedule)
    async with asyncio.TaskGroup() as group:
        group.create_task(lane.run())
        yield Poller(
            lane=lane, polls=partial(_count, metrics.polls), requests=partial(_count, metrics.upstream_requests)
        )
        lane.stop()


def _watched(connection: Connection) -> list[Adopted]:
    ours = select(task.c.key, task.c.task_id, task.c.registered_at).where(task.c.watcher == ME)
    rows = connection.execute(ours).all()
    return [
        Adopted(key=key, upstream=UPSTREAM, task_id=task_id, registered_at=registered_at, has_ended=False)
        for key, task_id, registered_at in rows
    ]


def _count(counter: Counter) -> float:
    return float(sum(sample.value for metric in counter.collect() for sample in metric.samples))
