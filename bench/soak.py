"""Whether a daemon that has run for a while is what it was: live tasks that end and are replaced at a steady rate.

`python -m bench.soak` runs for ten minutes with 50,000 live tasks on each database and says what grew over the last
half: memory, descriptors, the database beyond its history, the room that rows take, dead tuples, the backlog.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from sqlalchemy import Engine, text

from bench.growth import Sample, Tolerances, Verdict, judge
from bench.outbox import empty_database
from bench.seeding import beside
from bench.served import Served, served
from bench.sink import sinks
from bench.table import Row
from bench.upstream import upstream

_ENDPOINTS = 16
_REGISTERING = 64
"""Connections that register: enough for the rate even where an answer takes half a second."""
_AT_ONCE = 500
"""Tasks in one batch, before the time begins."""
_LOOK_EVERY = 1.0
"""Seconds between two looks of somebody at lists and metrics."""
_CREATED = 201

_SIZE = text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
_SIZES = text("""SELECT coalesce(parent.relname, one.relname) AS name, sum(pg_total_relation_size(one.oid)) AS bytes
    FROM pg_class AS one
    LEFT JOIN pg_inherits ON pg_inherits.inhrelid = one.oid
    LEFT JOIN pg_class AS parent ON parent.oid = pg_inherits.inhparent
    WHERE one.relkind = 'r' AND one.relnamespace = 'public'::regnamespace GROUP BY 1""")
_TUPLES = text("SELECT coalesce(sum(n_dead_tup), 0), coalesce(sum(n_live_tup), 0) FROM pg_stat_user_tables")
_TASKS = text("SELECT (SELECT count(*) FROM task), (SELECT count(*) FROM task WHERE ended_at IS NOT NULL)")
_WAITING = text("SELECT count(*) FROM delivery WHERE status = 'pending'")
_COUNTS = {
    name: text(f"SELECT count(*) FROM {name}")  # noqa: S608 - from literals
    for name in ("task", "event", "callback", "registration", "snapshot", "delivery", "attempt")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, and how much of everything."""

    seconds: float = 600.0
    tasks: int = 50_000
    """Live ones, at any time."""
    life: float = 300.0
    """Seconds from the registration of a task to its end: so `tasks / life` end in each second, and as many come."""
    interval: float = 10.0
    """Seconds between two looks at a task."""
    sample_every: float = 10.0
    retention: str = "2m"


@dataclass(slots=True, kw_only=True)
class Soak:
    """One run on one database."""

    plan: Plan
    daemon: Served
    engine: Engine
    receivers: Sequence[str]
    samples: list[Sample] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))
    _registered: int = 0

    async def run(self) -> None:
        """Fill the database, then keep everything going for as long as planned."""
        headers = {"Authorization": f"Bearer {self.daemon.token}"}
        connector = aiohttp.TCPConnector(limit=_REGISTERING + 1)
        async with aiohttp.ClientSession(self.daemon.url, headers=headers, connector=connector) as session:
            await self._fill(session)
            loop = asyncio.get_running_loop()
            began = loop.time()
            async with asyncio.TaskGroup() as group:
                for number in range(_REGISTERING):
                    group.create_task(self._register(session, number, began))
                group.create_task(self._look(session, began))
                group.create_task(self._sample(began))

    async def _fill(self, session: aiohttp.ClientSession) -> None:
        """As many live tasks as there are to be, with ends spread over one life."""
        for start in range(0, self.plan.tasks, _AT_ONCE):
            count = min(_AT_ONCE, self.plan.tasks - start)
            lefts = [self.plan.life * (start + number) / self.plan.tasks for number in range(count)]
            tasks = [self._task(left) for left in lefts]
            async with session.post("/v1/tasks/batch", json={"tasks": tasks}) as answer:
                if not answer.ok:
                    raise AssertionError(await answer.text())
            self._registered += count

    async def _register(self, session: aiohttp.ClientSession, number: int, began: float) -> None:
        """One after another, at a share of the rate; who is behind catches up."""
        loop, every = asyncio.get_running_loop(), self.plan.life / self.plan.tasks * _REGISTERING
        due, over = began + every * number / _REGISTERING, began + self.plan.seconds
        while max(due, loop.time()) < over:
            await asyncio.sleep(max(due - loop.time(), 0))
            async with session.post("/v1/tasks", json=self._task(self.plan.life)) as answer:
                if answer.status != _CREATED:
                    raise AssertionError(await answer.text())
            self._registered += 1
            due += every

    def _task(self, left: float) -> Mapping[str, object]:
        """A task that ends after so many seconds; its id says so to the upstream."""
        number = next(self._numbers)
        ends = time.time() + left
        name = f"s{round(1000 * (ends - self.plan.life))}-{round(1000 * ends)}-{number}"
        return {"task_id": name, "callback_url": f"{self.receivers[number % len(self.receivers)]}/hook"}

    async def _look(self, session: aiohttp.ClientSession, began: float) -> None:
        """People and machines look at lists and metrics meanwhile."""
        loop = asyncio.get_running_loop()
        while loop.time() < began + self.plan.seconds:
            for path in ("/v1/tasks?limit=50", "/v1/deliveries?limit=50", "/metrics"):
                async with session.get(path) as answer:
                    await answer.read()
            await asyncio.sleep(_LOOK_EVERY)

    async def _sample(self, began: float) -> None:
        loop = asyncio.get_running_loop()
        count = max(round(self.plan.seconds / self.plan.sample_every), 8)
        for number in range(1, count + 1):
            await asyncio.sleep(began + number * self.plan.seconds / count - loop.time())
            # Rows are counted twice: where the last half begins, and at the end.
            counts = number in (count // 2, count)
            sample = await asyncio.to_thread(self._sampled, loop.time() - began, counts=counts)
            self.samples.append(sample)
            print(_line(sample), file=sys.stderr, flush=True)

    def _sampled(self, at: float, *, counts: bool) -> Sample:
        is_sqlite = self.engine.dialect.name == "sqlite"
        with self.engine.connect() as connection:
            total, kept = connection.execute(_TASKS).one()
            waiting = connection.scalar(_WAITING)
            if is_sqlite:
                sizes, (dead, rows) = {"": connection.scalar(_SIZE)}, (0, 0)
            else:
                sizes = {name: int(size) for name, size in connection.execute(_SIZES)}
                dead, rows = map(int, connection.execute(_TUPLES).one())
            of_rows = {}
            if counts and not is_sqlite:
                of_rows = {name: sizes[name] / max(connection.scalar(_COUNTS[name]) or 0, 1) for name in _COUNTS}
        return Sample(
            at=at,
            resident=self.daemon.resident,
            descriptors=self.daemon.descriptors,
            size=sum(sizes.values()),
            ended=self._registered - (total - kept),
            kept=kept,
            live=total - kept,
            waiting=waiting,
            dead=dead,
            rows=rows,
            tables=of_rows,
        )


def _line(sample: Sample) -> str:
    return (
        f"{sample.at:5.0f} s: {sample.resident:.1f} MB, {sample.descriptors} descriptors, "
        f"database {sample.size / 2**20:,.1f} MB, {sample.live:,} live, {sample.ended:,} ended, {sample.kept:,} kept, "
        f"{sample.waiting:,} messages wait, {sample.dead:,} dead tuples"
    )


def soak(url: str, plan: Plan) -> list[Sample]:
    """One run on this database, which is empty."""
    with (
        beside(url) as engine,
        upstream() as asked,
        sinks(_ENDPOINTS) as receivers,
        TemporaryDirectory(prefix="bs", dir="/tmp") as home,
        served(Path(home), url, _settings(plan, asked.origin)) as daemon,
    ):
        daemon.wait_until_ready()
        run = Soak(plan=plan, daemon=daemon, engine=engine, receivers=receivers)
        asyncio.run(run.run())
        daemon.stop()
    return run.samples


def _settings(plan: Plan, origin: str) -> Mapping[str, str]:
    return {
        "UPSTREAMS__DEFAULT__BASE_URL": origin,
        "UPSTREAMS__DEFAULT__POLL_INTERVAL": f"{round(1000 * plan.interval)}ms",
        "UPSTREAMS__DEFAULT__BATCH": "on",
        "UPSTREAMS__DEFAULT__BATCH_SIZE": "500",
        "CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
        "RETENTION__TASKS": plan.retention,
        "RETENTION__ATTEMPTS": plan.retention,
        "RETENTION__BODIES": plan.retention,
    }


def run() -> Iterator[Row]:
    """Rows for both databases, in full."""
    for kind in ("sqlite", "postgres"):
        with empty_database(kind) as url:
            samples = soak(url, Plan())
        yield from (_row(kind, verdict) for verdict in judge(samples, Tolerances()))


def _row(kind: str, verdict: Verdict) -> Row:
    return Row(
        what=f"soak, {kind}: {verdict.what}",
        ours=f"{verdict.before}, then {verdict.after}",
        against=f"tolerated: {verdict.tolerance:.2f} {verdict.unit}",
        ratio=verdict.growth / verdict.tolerance,
        at_most=1.0,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as told and print a line for each verdict; 1 if something grew."""
    usual = Plan()
    options = argparse.ArgumentParser(description="Whether a daemon that has run for a while is what it was.")
    options.add_argument("--database", choices=("sqlite", "postgres"), help="both without it")
    options.add_argument("--seconds", type=float, default=usual.seconds)
    options.add_argument("--tasks", type=int, default=usual.tasks, help="live ones")
    options.add_argument("--life", type=float, default=usual.life, help="seconds from registration to end")
    options.add_argument("--interval", type=float, default=usual.interval, help="seconds between two looks at a task")
    options.add_argument("--sample-every", type=float, default=usual.sample_every, help="seconds")
    options.add_argument("--retention", default=usual.retention)
    chosen = vars(options.parse_args(arguments))
    kind = chosen.pop("database")
    has_held = True
    for one in [kind] if kind else ["sqlite", "postgres"]:
        with empty_database(one) as url:
            verdicts = judge(soak(url, Plan(**chosen)), Tolerances())
        has_held = has_held and all(verdict.holds for verdict in verdicts)
        print("\n".join(f"{one}: {verdict}" for verdict in verdicts), flush=True)
    return 0 if has_held else 1


if __name__ == "__main__":
    sys.exit(main())
