"""Polls per second of CPU, by lists and one by one: against loops that do but the same work, and against others.

CPU is what this process takes, with the threads of its databases; upstreams and Postgres are processes of their own.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from bench.fetching import HttpxClient, at_once, fetched
from bench.garbage import keep_what_is_there
from bench.gateway import gateway
from bench.otherwise import by_rows, with_orm
from bench.outbox import empty_database
from bench.table import Row, compared
from bench.watching import Poller, commit_counter, polling, seed
from tracker.http import Client, open_upstream_client
from tracker.poller.schedule import Watched
from tracker.store.database import Database

TASKS = 100_000
BESIDE = 50_000
"""Tasks of the bare loop, which must not change what we see of ours."""
LIST = 500
IN_FLIGHT = 8
SECONDS = 2.0
ROUNDS = 3
ALONE = 5_000
"""Tasks that are fetched one by one, by as many connections as are usual."""
CONNECTIONS = 100
ROUNDS_ALONE = 15
"""Many short ones: what else the machine does weighs more here than in lists, and changes within seconds."""
SECONDS_ALONE = 0.8
ON_OURS = 20_000
ON_HTTPX = 100
_PACE = {"poll_interval": "100ms", "timeout": "30s"}
_LISTS = {**_PACE, "batch": "on", "batch_size": LIST, "max_in_flight": IN_FLIGHT}
_SINGLE = {**_PACE, "batch": "off", "max_in_flight": CONNECTIONS}


def run() -> Iterator[Row]:
    """Lists on each database, then single fetches."""
    keep_what_is_there()
    for kind in ("sqlite", "postgres"):
        with empty_database(kind) as url:
            database = Database(url)
            try:
                database.write_now(lambda connection: seed(connection, count=TASKS, beside=BESIDE))
                yield from _by_lists(kind, database)
            finally:
                database.close()
    with empty_database("sqlite") as url:
        database = Database(url)
        try:
            database.write_now(lambda connection: seed(connection, count=ALONE))
            yield from _one_by_one(database)
        finally:
            database.close()


def _by_lists(kind: str, database: Database) -> Iterator[Row]:
    known: list[Watched] = []
    with gateway() as base:
        speed, commits = asyncio.run(_unchanged(database, base, known))
    yield _asked(f"polls by lists, 0 % changed, {kind}", speed, 40_000)
    yield Row(what=f"commits meanwhile, {kind}", ours=f"{commits}", against="none", ratio=commits, at_most=0)
    what, ours, bare = f"polls by lists, 10 % changed, {kind}", [], []
    with gateway(one_changed_in=10) as base:
        for _ in range(ROUNDS):
            ours.append(asyncio.run(_changing(database, base, known)))
            bare.append(asyncio.run(_bare_lists(database, base)))
            print(f"{kind}: ours {ours[-1]:,.0f}, bare {bare[-1]:,.0f} polls/s of CPU", file=sys.stderr)
        yield _asked(what, statistics.median(ours), 20_000)
        yield compared(what, ours, bare, "bare loop, same rows", at_least=0.6)
        if kind == "sqlite":
            others = {"one-row ORM transactions": with_orm, "all unfinished, row by row": by_rows}
            for name, step in others.items():
                yield compared(what, ours, [_cpu_speed(step, database.url, base)] * ROUNDS, name)


def _one_by_one(database: Database) -> Iterator[Row]:
    ours, bare, plain, known = [], [], [], list[Watched]()
    with gateway() as base:
        for _ in range(ROUNDS_ALONE):
            ours.append(asyncio.run(_single(database, base, known)))
            bare.append(asyncio.run(_bare_single(base, _client, ON_OURS)))
            plain.append(asyncio.run(_bare_single(base, lambda: HttpxClient(CONNECTIONS), ON_HTTPX)))
            figures = f"ours {ours[-1]:,.0f}, bare {bare[-1]:,.0f}, httpx {plain[-1]:,.0f}"
            print(f"single: {figures} polls/s of CPU", file=sys.stderr)
    yield _asked("polls one by one", statistics.median(ours), 3_000)
    yield compared("polls one by one", ours, bare, "bare loop, same transport", at_least=0.8)
    yield compared("polls one by one", ours, plain, "bare loop, httpx's pool", at_least=15)


async def _unchanged(database: Database, base: str, known: list[Watched]) -> tuple[float, int]:
    """Polls per second of CPU, and how many commits the database counted meanwhile."""
    async with _client() as client, polling(database, client, base, known, **_LISTS) as poller:
        await poller.has_polled(1.5 * TASKS)
        with commit_counter(database.url) as commits:
            before = commits()
            speed = await _measured(poller)
            return speed, commits() - before


async def _changing(database: Database, base: str, known: list[Watched]) -> float:
    async with _client() as client, polling(database, client, base, known, **_LISTS) as poller:
        await poller.has_polled(LIST * IN_FLIGHT)
        return await _measured(poller)


async def _single(database: Database, base: str, known: list[Watched]) -> float:
    async with _client() as client, polling(database, client, base, known, **_SINGLE) as poller:
        await poller.has_polled(3 * ALONE)
        return await _measured(poller, SECONDS_ALONE)


async def _measured(poller: Poller, seconds: float = SECONDS) -> float:
    polls, began = poller.polls(), time.process_time()
    await asyncio.sleep(seconds)
    return (poller.polls() - polls) / (time.process_time() - began)


async def _bare_single(base: str, open_client: Callable[[], Client], times: int) -> float:
    """Fetch, decode, compare, as anybody has to who wants to know whether there is news."""
    known: dict[str, tuple[str, str]] = {}
    async with open_client() as client:

        async def fetch(number: int) -> None:
            found = json.loads(await fetched(client, "GET", f"{base}/task/t{number % ALONE}/fetch"))
            told = found["status"], found["progress"]
            if known.get(found["id"]) != told:
                known[found["id"]] = told

        await at_once(CONNECTIONS, CONNECTIONS, fetch)
        return await _speed_of(fetch, times, CONNECTIONS, each=1)


async def _bare_lists(database: Database, base: str) -> float:
    """Fetch, decode, compare, write: one transaction for each list, as we do where nothing else waits."""
    known: dict[str, str] = {}
    async with _client() as client:

        async def step(number: int) -> None:
            first = TASKS + number * LIST % BESIDE
            content = json.dumps({"ids": [f"t{task}" for task in range(first, first + LIST)]}).encode()
            rows = []
            for raw in _split(await fetched(client, "POST", f"{base}/task/list-by-condition", content)):
                found = _decode(raw)
                if known.get(found.id, found.progress) != found.progress:
                    rows.append(_row_of(found, bytes(raw).decode()))
                known[found.id] = found.progress
            if rows:
                await database.write(lambda connection: _write(connection, rows))

        await at_once(IN_FLIGHT, BESIDE // LIST, step)
        return await _speed_of(step, BESIDE // LIST, IN_FLIGHT, each=LIST)


async def _speed_of(step: Callable[[int], Awaitable[object]], times: int, slots: int, *, each: int) -> float:
    began = time.process_time()
    await at_once(slots, times, step)
    return times * each / (time.process_time() - began)


def _cpu_speed(step: Callable[[str, str], int], url: str, base: str) -> float:
    began = time.process_time()
    return step(url, base) / (time.process_time() - began)


class _Found(msgspec.Struct):
    id: str
    status: str
    progress: str
    action: str
    submitTime: int  # noqa: N815 - the upstream's names
    startTime: int  # noqa: N815
    finishTime: int  # noqa: N815
    imageUrl: str  # noqa: N815


_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode = msgspec.json.Decoder(_Found).decode
_UPDATE = text(
    "UPDATE task SET upstream_status = :status, progress = :progress, image_url = :url, sequence = sequence + 1"
    " WHERE task_id = :task_id"
)
_EVENT = text(
    "INSERT INTO event (task_key, sequence, event, observed_at, upstream_status, progress)"
    " SELECT key, sequence, 'progress', :now, :status, :progress FROM task WHERE task_id = :task_id"
)
_OBJECT = text(
    "INSERT INTO snapshot (task_key, seen_at, object) SELECT key, :now, :object FROM task WHERE task_id = :task_id"
    " ON CONFLICT (task_key) DO UPDATE SET seen_at = excluded.seen_at, object = excluded.object"
)


def _row_of(found: _Found, whole: str) -> Mapping[str, Any]:
    progress, now = int(found.progress[:-1]), datetime.now(UTC)
    told = {"status": found.status, "progress": progress, "url": found.imageUrl or None}
    return {"task_id": found.id, **told, "now": now, "object": whole}


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    given: list[Mapping[str, Any]] = list(rows)
    if connection.dialect.name == "sqlite":
        given = [{**row, "now": f"{row['now']:%Y-%m-%d %H:%M:%S}.000Z"} for row in rows]
    for statement in (_UPDATE, _EVENT, _OBJECT):
        connection.execute(statement, given)


def _client() -> Client:
    return open_upstream_client(max_connections=CONNECTIONS, max_per_endpoint=0)


def _asked(what: str, speed: float, asked: int) -> Row:
    return Row(what=what, ours=f"{speed:,.0f}/s", against=f"asked: {asked:,}/s", ratio=speed / asked, at_least=1)
