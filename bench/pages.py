"""How long the server takes for each page, with a million tasks and ten million events."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
from sqlalchemy import text

import tracker
from bench import years
from bench.garbage import keep_what_is_there
from bench.history import fill
from bench.outbox import empty_database
from bench.table import Row
from tracker.clock import utc_now
from tracker.config import Settings
from tracker.desk import Desk, Ports
from tracker.guard import Guard
from tracker.intake import Intake
from tracker.metrics import Metrics
from tracker.pulse import Pulse
from tracker.store import access, rollups
from tracker.store.database import Connection, Database
from tracker.web import create_pages
from tracker.webhooks.composer import Composer
from tracker.webhooks.sender import Attempt, Message

_MOST_SECONDS = 0.1
_OBJECT = '{"id":"%s","prompt":"a lighthouse at dusk","description":"' + "all that a gateway says " * 85 + '"}'
"""About two kilobytes, as gateways have them."""
_WITH_OBJECTS = 50_000
"""So many of the newest tasks have one: more than any look goes through."""
_SETTINGS = {
    "upstreams": {
        "default": {"base_url": "https://gateway.example"},
        years.RARE: {"base_url": "https://other.example"},
    },
    "default_upstream": "default",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of it."""

    tasks: int = int(os.environ.get("BENCH_TASKS", "1_000_000"))
    """Each has ten events."""
    rounds: int = 40
    added_up: timedelta = timedelta(days=years.DAYS)
    """The hours before that make a difference to the longest ranges only."""


def run() -> Iterator[Row]:
    """Rows for each database."""
    for kind in ("sqlite", "postgres"):
        yield from measure(kind, Scale())


def measure(kind: str, scale: Scale) -> Iterator[Row]:
    """Rows for one database; it takes minutes."""
    with ExitStack() as open_:
        started = time.perf_counter()
        url = open_.enter_context(empty_database(kind))
        now = datetime.now(UTC)
        fill(url, scale.tasks, now)
        database = Database(url)
        open_.callback(database.close)
        _live_on(database, scale)
        database.write_now(partial(_add_up, since=now - scale.added_up))
        print(f"{kind}: {scale.tasks:,} tasks in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        looks = asyncio.run(_look_at_all(database, scale, now))
    for what, took in looks.items():
        yield _row(f"{what}, {kind}", took)


def _live_on(database: Database, scale: Scale) -> None:
    """What a real life would have left behind: large objects, messages that were given up, a receiver in trouble."""
    first = scale.tasks - _WITH_OBJECTS
    dead = "status = 'dead', settled_at = next_attempt_at, next_attempt_at = NULL"
    for statement in (
        f"UPDATE snapshot SET object = replace('{_OBJECT}', '%s', '' || task_key) WHERE task_key > {first}",  # noqa: S608
        f"UPDATE delivery SET {dead} WHERE status = 'pending' AND key % 3 = 0",  # noqa: S608 - our words
        "UPDATE endpoint SET state = 'disabled', reason = 'by hand', failures = 9 WHERE key % 20 = 7",
    ):
        database.write_now(lambda connection, statement=statement: connection.execute(text(statement)).close())


def _add_up(connection: Connection, since: datetime) -> None:
    hour = rollups.next_hour(connection, since)
    while hour is not None:
        if counted := rollups.count(connection, hour):
            rollups.keep(connection, counted)
        hour = rollups.next_hour(connection, hour + rollups.HOUR)


class _Silent:
    """Sends nothing."""

    async def attempt(self, _message: Message, _secrets: Sequence[str]) -> Attempt:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one page took, in seconds."""

    wall: float
    cpu: float
    """Of this process; a PostgreSQL has its own."""


@asynccontextmanager
async def _signed_in(database: Database, owner: str, scope: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without script, straight at the pages."""
    settings, metrics = Settings.model_validate(_SETTINGS), Metrics(version=tracker.__version__)
    ports = Ports(
        database=database,
        intake=Intake(settings, Guard(), Composer(), utc_now),
        settings=settings,
        metrics=metrics,
        pulse=Pulse(time.monotonic, metrics),
        sender=_Silent(),
        clock=utc_now,
        wake=lambda: None,
        wake_courier=lambda: None,
    )
    token = access.new_token()
    add = partial(access.add_token, made=token, owner=owner, scope=scope, name="", now=utc_now())
    database.write_now(add)
    transport = httpx.ASGITransport(create_pages(ports, Desk.of(ports)))
    headers = {"accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        await client.post("/sign-in", data={"token": token})
        yield client


async def _look_at_all(database: Database, scale: Scale, now: datetime) -> Mapping[str, list[Look]]:
    """What each page took, all in turns."""
    async with (
        _signed_in(database, "admin", "admin") as admin,
        _signed_in(database, years.OWNER, "write") as shop,
        _signed_in(database, years.RARE, "read") as rare,
    ):
        clients = {"admin": admin, "owner of most": shop, "owner of few": rare}
        looks: dict[str, list[Look]] = {}
        keep_what_is_there()
        for number in range(scale.rounds + 2):
            key = database.read_now(partial(_task, key=scale.tasks * (number + 1) // (scale.rounds + 4)))
            for what, address in _addresses(key, now).items():
                for who, client in clients.items():
                    if who != "admin" and (what in _FOR_ADMINS or "one" in what.split()):
                        continue
                    began, cpu = time.perf_counter(), time.process_time()
                    answer = await client.get(address)
                    took = Look(wall=time.perf_counter() - began, cpu=time.process_time() - cpu)
                    # Also where it would rather have us sign in.
                    answer.raise_for_status()
                    if number >= 2:  # noqa: PLR2004 - the first looks are at what nobody has made ready
                        looks.setdefault(f"{what}, {who}", []).append(took)
    return looks


def _task(connection: Connection, key: int) -> tuple[str, str]:
    """Our id of a task, and of its message."""
    query = "SELECT task.id, delivery.id FROM task JOIN delivery ON task_key = task.key WHERE task.key <= :key"
    row = connection.execute(text(f"{query} ORDER BY task.key DESC LIMIT 1"), {"key": key}).one()
    return row[0], row[1]


_FOR_ADMINS = {"tokens", "secrets", "register"}


def _addresses(ids: tuple[str, str], now: datetime) -> Mapping[str, str]:
    """What is looked at, by what it is called."""
    task, message = ids
    day = (now - timedelta(days=40)).date()
    return {
        **{f"overview {name}": f"/?range={name}" for name in ("1h", "24h", "7d", "90d")},
        "tasks": "/tasks",
        "tasks of a status": "/tasks?status=failed",
        "tasks of a rare upstream": f"/tasks?upstream={years.RARE}",
        "tasks with a common word": "/tasks?q=lighthouse",
        "tasks with a word that none has": "/tasks?q=zeppelin",
        "tasks of a day": f"/tasks?since={day}&until={day + timedelta(days=1)}",
        "one task": f"/tasks/{task}",
        "deliveries": "/deliveries",
        "dead deliveries": "/deliveries?status=dead",
        "deliveries of an endpoint": "/deliveries?endpoint=end_1",
        "one delivery": f"/deliveries/{message}",
        "endpoints": "/endpoints",
        "one endpoint": "/endpoints/end_1",
        "upstreams": "/upstreams",
        "register": "/register",
        "tokens": "/tokens",
        "secrets": "/secrets",
    }


def _row(what: str, looks: Sequence[Look]) -> Row:
    highest = statistics.quantiles([one.wall for one in looks], n=20, method="inclusive")[-1]
    middle, cpu = (statistics.median(took) for took in zip(*((one.wall, one.cpu) for one in looks), strict=True))
    return Row(
        what=what,
        ours=f"p95 {1000 * highest:.1f} ms",
        against=f"asked: {1000 * _MOST_SECONDS:.0f} ms",
        ratio=highest / _MOST_SECONDS,
        spread=f"p50 {1000 * middle:.1f} ms, of it CPU {1000 * cpu:.1f} ms",
        at_most=1.0,
    )
