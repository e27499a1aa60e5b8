"""From the end of a task at its gateway to the arrival of its message, with the daemon as people run it."""

import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.table import Row
from tracker.cli.demo.process import DaemonProcess
from tracker.simulate import Gateway, serve_app
from tracker.store.database import Connection, Database

TASKS = 1_000
INTERVAL = 2.0
_SPEED = 0.6
"""Of the gateway's clock: its tasks take 11 to 55 s."""
_AT_ONCE = 25
_BETWEEN = 0.25
"""Seconds between two registrations of so many."""
_WITHIN = 150.0
_POLLS = re.compile(r'^tracker_polls_total\{upstream="default"\} (\S+)$', re.MULTILINE)


def run() -> Iterator[Row]:
    """A thousand tasks on an upstream that has lists."""
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as directory:
        run = asyncio.run(_Run(directory=Path(directory)).measure())
    half, most = run.quantile(0.5), run.quantile(0.99)
    print(
        f"from the end to the arrival: p50 {half:.2f} s, p99 {most:.2f} s, latest {run.quantile(1):.2f} s;"
        f" {run.polls:.0f} polls in {run.requests} requests",
        file=sys.stderr,
    )
    name = f"{TASKS} tasks with lists, interval {INTERVAL:g} s"
    yield _bounded(f"end to arrival, p50, {name}", half, INTERVAL / 2 + 0.3, "half the interval + 0.3 s")
    yield _bounded(f"end to arrival, p99, {name}", most, INTERVAL + 0.7, "the interval + 0.7 s")
    yield Row(
        what=f"polls per task and interval, {name}",
        ours=f"{run.polls - TASKS:.0f} after the first of each",
        against=f"{run.watched / INTERVAL:.0f} intervals",
        ratio=(run.polls - TASKS) * INTERVAL / run.watched,
        at_most=1.05,
    )


def _bounded(what: str, seconds: float, bound: float, words: str) -> Row:
    return Row(
        what=what, ours=f"{seconds:.2f} s", against=f"{words}: {bound:.2f} s", ratio=seconds / bound, at_most=1.0
    )


@dataclass(slots=True, kw_only=True)
class _Run:
    """One daemon, one gateway, one receiver."""

    directory: Path
    took: dict[str, float] = field(default_factory=dict)
    """Seconds from the end of each task to the first arrival of its message."""
    polls: float = 0.0
    requests: int = 0
    watched: float = 0.0
    """Seconds that all tasks were watched, together."""
    _all: asyncio.Event = field(default_factory=asyncio.Event)

    def quantile(self, share: float) -> float:
        ordered = sorted(self.took.values())
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    async def measure(self) -> "_Run":
        gateway = Gateway(speed=_SPEED)
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(serve_app(gateway))
            receiver = await stack.enter_async_context(serve_app(self._receiver()))
            client = await stack.enter_async_context(self._daemon(upstream))
            for _ in range(TASKS // _AT_ONCE):
                names = [gateway.submit() for _ in range(_AT_ONCE)]
                tasks = [{"task_id": name, "callback_url": f"{receiver}/hook"} for name in names]
                (await client.post("/v1/tasks/batch", json={"tasks": tasks})).raise_for_status()
                await asyncio.sleep(_BETWEEN)
            async with asyncio.timeout(_WITHIN):
                await self._all.wait()
            told = _POLLS.search((await client.get("/metrics")).text)
            self.polls = float(told[1]) if told else 0.0
            self.requests = gateway.lists + gateway.fetches
        database = Database(self._database_url)
        self.watched = database.read_now(_watched)
        database.close()
        return self

    @property
    def _database_url(self) -> str:
        return f"sqlite:///{self.directory}/tracker.db"

    def _receiver(self) -> Starlette:
        async def hook(request: Request) -> Response:
            arrived, told = time.time(), json.loads(await request.body())["data"]
            finished = datetime.fromisoformat(told["finished_at"]).timestamp()
            self.took.setdefault(told["task_id"], arrived - finished)
            if len(self.took) == TASKS:
                self._all.set()
            return Response(status_code=204)

        return Starlette(routes=[Route("/hook", hook, methods=["POST"])])

    @asynccontextmanager
    async def _daemon(self, upstream: str) -> AsyncIterator[httpx.AsyncClient]:
        settings = {
            "TRACKER_DATABASE_URL": self._database_url,
            "TRACKER_LISTEN": "127.0.0.1:0",
            "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": upstream,
            "TRACKER_UPSTREAMS__DEFAULT__POLL_INTERVAL": f"{INTERVAL:g}s",
            "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
            "TRACKER_LOG__FORMAT": "json",
        }
        daemon = await DaemonProcess.start(settings, self.directory / "daemon.log")
        try:
            address = await daemon.ready()
            token = (self.directory / "tracker.token").read_text().strip()
            headers = {"authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, trust_env=False) as client:
                yield client
        finally:
            await daemon.stop()


def _watched(connection: Connection) -> float:
    """Seconds from registration to the end, of all tasks together."""
    query = "SELECT SUM((julianday(ended_at) - julianday(registered_at)) * 86400) FROM task"
    return float(connection.execute(text(query)).scalar_one())
