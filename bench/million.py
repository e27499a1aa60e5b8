"""One daemon with a million live tasks on a batch upstream: its start, its memory, its pace, and what a task costs it.

Everything is seen from outside a real `tracker serve`: /proc, /metrics, SQL, and what the upstream was asked.
`python -m bench million` measures in full on both databases, `python -m bench.million` says what else there is.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from bench.outbox import empty_database
from bench.paces import Few, Many, Pace, described, median_gap, paced
from bench.seeding import all_adopted, beside, seed
from bench.served import Served, served
from bench.stalls import Stalls
from bench.table import Row, render
from bench.upstream import Upstream, upstream

_START_WITHIN = 20.0
_MOST_MEGABYTES = 1000.0
_MOST_LATE = 5.0
_SAME_COST = 1.3
_GIVE_UP = 1200.0
_ASK_EVERY = 0.2
"""Seconds; an answer takes the daemon a millisecond or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    tasks: int = 1_000_000
    few: int = 10_000
    """What the cost of a task is compared with."""
    interval: float = 60.0
    """Seconds between two looks at a task; with few tasks it is shorter, so that as many are looked at per second."""
    batch_size: int = 1000
    rounds: int = 5
    """How often the few are measured: a round of them is over within a tenth of a second of CPU time."""

    @property
    def short_interval(self) -> float:
        """Seconds."""
        return self.interval * self.few / self.tasks


def run() -> Iterator[Row]:
    """Rows for each database."""
    for kind in ("sqlite", "postgres"):
        yield from measure(kind, Scale())


def measure(kind: str, scale: Scale) -> Iterator[Row]:
    """Rows for one database; it takes minutes."""
    with upstream() as asked, TemporaryDirectory(prefix="bm", dir="/tmp") as home:
        at = _At(kind=kind, scale=scale, upstream=asked, home=Path(home))
        few = [at.few() for _ in range(scale.rounds)]
        many = at.many(statistics.median(one.start for one in few))
    yield from _rows(kind, scale, few, many)


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    """Daemons on databases of one kind, all at one upstream."""

    kind: str
    scale: Scale
    upstream: Upstream
    home: Path

    def few(self) -> Few:
        """One round, on a database of its own."""
        with empty_database(self.kind) as url, beside(url) as engine:
            with self._daemon(url, interval=3600) as daemon:
                daemon.wait_until_ready()
                time.sleep(1)
                start = daemon.cpu
                seed(engine, 1, self.scale.few)
                _wait_until_adopted(engine, daemon)
                time.sleep(0.5)
                adopting = 1e6 * (daemon.cpu - start) / self.scale.few
                daemon.stop()
            with self._daemon(url, interval=self.scale.short_interval) as daemon:
                daemon.wait_until_ready()
                _wait_for(self.scale.few, daemon)
                time.sleep(2.5 * self.scale.short_interval)
                # No longer: what has been quiet for ten intervals is looked at less often.
                pace = self._pace(daemon, 6 * self.scale.short_interval)
        told = Few(start=start, adopting=adopting, pace=pace)
        self._say(f"{self.scale.few:,} tasks: {adopting:.1f} µs of CPU to adopt one; {pace}")
        return told

    def many(self, empty_start: float) -> Many:
        """All of it, on one database."""
        with empty_database(self.kind) as url, beside(url) as engine:
            began = time.monotonic()
            seed(engine, 1, self.scale.tasks)
            self._say(f"{self.scale.tasks:,} tasks made in {time.monotonic() - began:.0f} s")
            with self._daemon(url, interval=3600) as daemon:
                fresh = self._adopt(daemon, "all")
                self._say(f"all adopted {_wait_until_adopted(engine, daemon):.1f} s after the start")
                adopting = 1e6 * (daemon.cpu - empty_start) / self.scale.tasks
                self._say(f"{adopting:.1f} µs of CPU to adopt one")
                stopping = daemon.stop()
                self._say(f"stopped in {stopping:.1f} s")
            with self._daemon(url, interval=self.scale.interval) as daemon:
                again = self._adopt(daemon, "again")
                first = self._pace(daemon, 1.1 * self.scale.interval)
                steady = self._pace(daemon, 1.5 * self.scale.interval)
                peak = daemon.peak
                self._say(f"peak memory {peak:.0f} MB, {daemon.descriptors} descriptors")
                daemon.kill()
            with self._daemon(url, interval=3600) as daemon:
                after_kill = self._adopt(daemon, "after a SIGKILL")
        return Many(
            fresh=fresh,
            again=again,
            after_kill=after_kill,
            stopping=stopping,
            adopting=adopting,
            peak=peak,
            first=first,
            steady=steady,
        )

    def _adopt(self, daemon: Served, what: str) -> float:
        daemon.wait_until_ready()
        ready = time.monotonic() - daemon.started_at
        with Stalls(daemon.port).watching() as stalls:
            seconds = _wait_for(self.scale.tasks, daemon)
            said = stalls.read()
        self._say(
            f"watches {what} {seconds:.1f} s after the start (ready after {ready:.1f} s), "
            f"{daemon.cpu:.1f} s of CPU, {daemon.resident:.0f} MB; {said}"
        )
        return seconds

    def _pace(self, daemon: Served, seconds: float) -> Pace:
        with Stalls(daemon.port).watching() as stalls:
            self.upstream.read()
            began, cpu, before = time.monotonic(), daemon.cpu, daemon.metrics()
            time.sleep(seconds)
            lasted, spent, grown = time.monotonic() - began, daemon.cpu - cpu, daemon.metrics().since(before)
            pace = paced(lasted, spent, grown, self.upstream.read())
            self._say(f"{pace}; {stalls.read()}; {described(pace.asked)}")
        return pace

    @contextmanager
    def _daemon(self, url: str, *, interval: float) -> Iterator[Served]:
        settings = {
            "UPSTREAMS__DEFAULT__BASE_URL": self.upstream.origin,
            "UPSTREAMS__DEFAULT__POLL_INTERVAL": f"{round(1000 * interval)}ms",
            "UPSTREAMS__DEFAULT__BATCH": "on",
            "UPSTREAMS__DEFAULT__BATCH_SIZE": str(self.scale.batch_size),
        }
        with served(self.home, url, settings) as daemon:
            yield daemon

    def _say(self, what: str) -> None:
        print(f"{self.kind}: {what}", file=sys.stderr, flush=True)


def _wait_for(tasks: int, daemon: Served) -> float:
    """Seconds from the start of the process until it says that it watches so many.

    The table would not tell: where a daemon goes on under the name of the last one, its tasks are its own all along,
    and where nobody watched them they are its own only afterwards.
    """
    return _seconds_until(lambda: daemon.metrics().total("tracker_watched_tasks") >= tasks, daemon)


def _wait_until_adopted(engine: Engine, daemon: Served) -> float:
    """Seconds from the start of the process until all are its own by what the table says."""
    return _seconds_until(lambda: all_adopted(engine, daemon.process.pid), daemon)


def _seconds_until(is_so: Callable[[], bool], daemon: Served) -> float:
    while not is_so():
        if daemon.process.poll() is not None:
            raise AssertionError(f"the daemon ended:\n{daemon.log()}")
        if time.monotonic() - daemon.started_at > _GIVE_UP:
            raise AssertionError(f"not so within {_GIVE_UP:.0f} s:\n{daemon.log()}")
        time.sleep(_ASK_EVERY)
    return time.monotonic() - daemon.started_at


def _rows(kind: str, scale: Scale, few: Sequence[Few], many: Many) -> Iterator[Row]:
    name = f"{scale.tasks:,} tasks, {kind}"
    yield _start(f"{name}: from start to all watched, adopted by nobody before", many.fresh, _START_WITHIN)
    yield _start(f"{name}: the same, going on after an orderly end", many.again, _START_WITHIN)
    yield _start(f"{name}: the same, going on after a SIGKILL", many.after_kill, _START_WITHIN)
    yield _bound(f"{name}: memory, most", f"{many.peak:.0f} MB", many.peak, _MOST_MEGABYTES, "MB")
    yield _bound(
        f"{name}: lateness of polls, p99", f"{many.steady.lateness:.2f} s", many.steady.lateness, _MOST_LATE, "s"
    )
    between = median_gap(many.steady.asked.gaps)
    yield _bound(f"{name}: between two looks, p50", f"{between:.1f} s", between, scale.interval, "s", at_most=1.1)
    share = many.steady.cpu / many.steady.seconds
    yield _bound(f"{name}: CPU", f"{100 * share:.0f} %", 100 * share, 100.0, "% of a core")
    yield _cost(f"{name}: adopting one, CPU", scale, many.adopting, few, lambda one: one.adopting)
    yield _cost(f"{name}: one poll, CPU", scale, many.steady.cost, few, lambda one: one.pace.cost)


def _start(what: str, seconds: float, most: float) -> Row:
    return _bound(what, f"{seconds:.1f} s", seconds, most, "s")


def _bound(what: str, ours: str, value: float, most: float, unit: str, *, at_most: float = 1.0) -> Row:
    return Row(what=what, ours=ours, against=f"asked: {most:g} {unit}", ratio=value / most, at_most=at_most)


def _cost(what: str, scale: Scale, ours: float, few: Sequence[Few], of: Callable[[Few], float]) -> Row:
    theirs = [of(one) for one in few]
    ratios = sorted(ours / one for one in theirs)
    return Row(
        what=what,
        ours=f"{ours:.1f} µs",
        against=f"with {scale.few:,}: {statistics.median(theirs):.1f} µs",
        ratio=statistics.median(ratios),
        spread=f"{ratios[0]:.2f}-{ratios[-1]:.2f}",
        at_most=_SAME_COST,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as told and print the table; 1 if a ratio is not what it is asked to be."""
    usual = Scale()
    options = argparse.ArgumentParser(description="One daemon with very many live tasks.")
    options.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    options.add_argument("--tasks", type=int, default=usual.tasks)
    options.add_argument("--few", type=int, default=usual.few)
    options.add_argument("--interval", type=float, default=usual.interval, help="seconds")
    options.add_argument("--batch-size", type=int, default=usual.batch_size)
    options.add_argument("--rounds", type=int, default=usual.rounds)
    chosen = vars(options.parse_args(arguments))
    rows = list(measure(chosen.pop("database"), Scale(**chosen)))
    print(render(rows))
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
