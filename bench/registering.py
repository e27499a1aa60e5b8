"""Registrations per second over HTTP: the daemon, against a plain route with one ORM transaction for each.

Both are processes of their own on the same machine, called in turns by the same clients, with the same tables, indexes
and durability. The daemon also adopts what is registered; its upstream is away.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from bench.outbox import empty_database
from bench.registrants import Figures, Registrants, Round, registrants
from bench.served import cpu_of
from bench.table import Row
from tracker.clock import utc_now
from tracker.daemon.server import bind
from tracker.store import access
from tracker.store.database import Database

ROUNDS = 3
SINGLES, PLAIN_SINGLES = 3_000, 200
CLIENTS = 50
BATCHES, BATCH, AT_ONCE = 12, 1_000, 4
PLAIN_BATCH = 100
WANTED_SINGLES, WANTED_BATCHED, WANTED_P99 = 2_500, 20_000, 0.050


@dataclass(slots=True)
class _Measured:
    """A program and what was measured of it, a figure for each round."""

    port: int
    pid: int
    singles: list[float] = field(default_factory=list)
    """In a second."""
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    single_cpu: list[float] = field(default_factory=list)
    """Seconds of the program's processor time for each."""
    batched: list[float] = field(default_factory=list)
    batched_cpu: list[float] = field(default_factory=list)


def run() -> Iterator[Row]:
    """Rows for each database."""
    with registrants() as clients:
        for kind in ("sqlite", "postgres"):
            with empty_database(kind) as url:
                yield from _measure(kind, url, clients)


def _measure(kind: str, url: str, clients: Registrants) -> Iterator[Row]:
    token = _make_token(url)
    with ExitStack() as running:
        ours = running.enter_context(_daemon(url))
        plain = running.enter_context(_plain(url))
        for number in range(ROUNDS + 1):
            for program, singles, batches, rows in (
                (ours, SINGLES, BATCHES, BATCH),
                (plain, PLAIN_SINGLES, 1, PLAIN_BATCH),
            ):
                name = f"{program.pid}-{number}"
                round_ = Round(port=program.port, token=token, connections=CLIENTS, requests=singles, name=name)
                _single(program, clients, round_)
                _batched(program, clients, replace(round_, connections=AT_ONCE, requests=batches, rows=rows))
            print(f"{kind}: {_told(ours)}; plain {_told(plain)}", file=sys.stderr)
    yield from _rows(kind, ours, plain)


def _single(program: _Measured, clients: Registrants, round_: Round) -> None:
    figures, cpu = _send(program, clients, round_)
    program.singles.append(round_.requests / figures.seconds)
    program.p50.append(figures.median)
    program.p99.append(figures.p99)
    program.single_cpu.append(cpu / round_.requests)


def _batched(program: _Measured, clients: Registrants, round_: Round) -> None:
    figures, cpu = _send(program, clients, replace(round_, name=f"{round_.name}-batched"))
    count = round_.requests * round_.rows
    program.batched.append(count / figures.seconds)
    program.batched_cpu.append(cpu / count)


def _send(program: _Measured, clients: Registrants, round_: Round) -> tuple[Figures, float]:
    before = cpu_of(program.pid)
    figures = clients.send(round_)
    return figures, cpu_of(program.pid) - before


def _told(program: _Measured) -> str:
    one = f"{program.singles[-1]:.0f}/s p99 {program.p99[-1] * 1e3:.0f} ms {program.single_cpu[-1] * 1e6:.0f} us"
    return f"{one}, batched {program.batched[-1]:.0f}/s {program.batched_cpu[-1] * 1e6:.0f} us"


def _rows(kind: str, ours: _Measured, plain: _Measured) -> Iterator[Row]:
    """The first round is not counted: everything is read and built for the first time then."""
    singles, batched = ours.singles[1:], ours.batched[1:]
    latency = f"p50 {_middle(ours.p50) * 1e3:.0f} ms, p99 {_middle(ours.p99) * 1e3:.0f} ms"
    cpu, batched_cpu = _middle(ours.single_cpu) * 1e6, _middle(ours.batched_cpu) * 1e6
    one = f"{statistics.median(singles):,.0f}/s ({latency}, {cpu:.0f} µs of CPU)"
    many = f"{statistics.median(batched):,.0f}/s ({batched_cpu:.0f} µs of CPU)"
    yield _ratio(f"single registrations, {kind}", one, singles, plain.singles[1:], at_least=5)
    yield _ratio(f"batched registrations, {kind}", many, batched, plain.batched[1:], at_least=10)
    yield _absolute(f"single registrations, {kind}", one, singles, WANTED_SINGLES)
    yield _absolute(f"batched registrations, {kind}", many, batched, WANTED_BATCHED)
    late = [seconds / WANTED_P99 for seconds in ours.p99[1:]]
    yield Row(
        what=f"p99 of a single registration, {kind}",
        ours=f"{_middle(ours.p99) * 1e3:.0f} ms",
        against=f"{WANTED_P99 * 1e3:.0f} ms",
        ratio=statistics.median(late),
        spread=_spread(late),
        at_most=1,
    )


def _middle(figures: Sequence[float]) -> float:
    return statistics.median(figures[1:])


def _ratio(what: str, told: str, ours: Sequence[float], theirs: Sequence[float], *, at_least: float) -> Row:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Row(
        what=what,
        ours=told,
        against=f"a plain route, one ORM transaction each: {statistics.median(theirs):,.0f}/s",
        ratio=statistics.median(ratios),
        spread=_spread(ratios),
        at_least=at_least,
    )


def _absolute(what: str, told: str, ours: Sequence[float], wanted: float) -> Row:
    ratios = [one / wanted for one in ours]
    against = f"{wanted:,.0f}/s"
    return Row(
        what=what, ours=told, against=against, ratio=statistics.median(ratios), spread=_spread(ratios), at_least=1
    )


def _spread(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.2f}-{max(ratios):.2f}"


def _make_token(url: str) -> str:
    database, made = Database(url), access.new_token()
    try:
        add = partial(access.add_token, made=made, owner="bench", scope="write", name="", now=utc_now())
        database.write_now(add)
    finally:
        database.close()
    return made


@contextmanager
def _daemon(url: str) -> Iterator[_Measured]:
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bn", dir="/tmp") as folder:
        settings = {
            "STATE_DIRECTORY": folder,
            "TRACKER_DATABASE_URL": url,
            "TRACKER_LISTEN": f"127.0.0.1:{port}",
            "TRACKER_LOG__LEVEL": "error",
            # Nobody answers there, and nobody is asked again soon.
            "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": "http://127.0.0.1:9",
            "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "none",
            "TRACKER_UPSTREAMS__DEFAULT__POLL_INTERVAL": "1h",
        }
        process = subprocess.Popen([sys.executable, "-m", "tracker", "serve"], env={**os.environ, **settings})
        try:
            _wait_until_ready(process, port)
            yield _Measured(port=port, pid=process.pid)
        finally:
            process.terminate()
            process.wait(15)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        time.sleep(0.05)
    raise AssertionError("the daemon ended before it was ready")


@contextmanager
def _plain(url: str) -> Iterator[_Measured]:
    command = [sys.executable, "-m", "bench.plain", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdout is None:
            raise AssertionError("it is a pipe")
        yield _Measured(port=int(process.stdout.readline()), pid=process.pid)
        process.communicate(timeout=15)
