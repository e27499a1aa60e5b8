"""What a daemon costs that has nothing to do: a hundred thousand live tasks that are not due, and none at all."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine, MetaData, Table, select, text
from sqlalchemy.orm import DeclarativeBase, Session

from bench.outbox import empty_database
from bench.seeding import all_adopted, beside, seed
from bench.served import Served, cpu_of, served
from bench.table import Row, render
from bench.upstream import upstream

_NOT_DUE = "365d"
_ADOPTED_WITHIN = 120.0
_MOST_POLLS = 1e-3
"""For each task: more, and it was not idle."""
_LOADED_EVERY = 15.0
_LOADS = 3
_BACKENDS = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    tasks: int = 100_000
    seconds: float = 40.0
    settle: float = 5.0
    """Seconds between the adoption of the last and the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idler:
    """A daemon with nothing to do."""

    kind: str
    tasks: int
    daemon: Served
    engine: Engine

    def server_cpu(self) -> float:
        """Seconds of a core that its connections have taken in the database server so far."""
        if self.kind == "sqlite":
            return 0.0
        with self.engine.connect() as connection:
            return sum(map(_cpu_if_there, connection.scalars(_BACKENDS)))


def _cpu_if_there(pid: int) -> float:
    """Connections come and go."""
    try:
        return cpu_of(pid)
    except OSError:
        return 0.0


def run() -> Iterator[Row]:
    """Rows for both databases."""
    return measure(Scale())


def measure(scale: Scale, kinds: Sequence[str] = ("sqlite", "postgres")) -> Iterator[Row]:
    """All of them at the same time: they take next to nothing from each other."""
    with ExitStack() as stack:
        asked = stack.enter_context(upstream())
        idlers = [_begin(stack, kind, tasks, asked.origin) for kind in kinds for tasks in (scale.tasks, 0)]
        for idler in idlers:
            _wait_for(idler)
        time.sleep(scale.settle)
        shares = _shares(idlers, scale.seconds)
        loading = {idler.kind: _loading(idler.engine) for idler in idlers if idler.tasks}
    for idler, share in zip(idlers, shares, strict=True):
        yield from _rows(idler, share, loading[idler.kind])


def _begin(stack: ExitStack, kind: str, tasks: int, origin: str) -> _Idler:
    url = stack.enter_context(empty_database(kind))
    engine = stack.enter_context(beside(url))
    if tasks:
        seed(engine, 1, tasks)
    settings = {
        "UPSTREAMS__DEFAULT__BASE_URL": origin,
        "UPSTREAMS__DEFAULT__POLL_INTERVAL": _NOT_DUE,
        "UPSTREAMS__DEFAULT__EXPIRE_AFTER": _NOT_DUE,
    }
    home = Path(stack.enter_context(TemporaryDirectory(prefix="bi", dir="/tmp")))
    return _Idler(kind=kind, tasks=tasks, daemon=stack.enter_context(served(home, url, settings)), engine=engine)


def _wait_for(idler: _Idler) -> None:
    idler.daemon.wait_until_ready()
    deadline = time.monotonic() + _ADOPTED_WITHIN
    while not all_adopted(idler.engine, idler.daemon.process.pid):
        if time.monotonic() > deadline:
            raise AssertionError(f"not all adopted within {_ADOPTED_WITHIN:.0f} s:\n{idler.daemon.log()}")
        time.sleep(0.1)


def _shares(idlers: Sequence[_Idler], seconds: float) -> list[float]:
    """The share of a core that each of them takes."""
    before = [(idler.daemon.cpu, idler.server_cpu(), idler.daemon.metrics()) for idler in idlers]
    began = time.monotonic()
    time.sleep(seconds)
    lasted = time.monotonic() - began
    shares = []
    for idler, (cpu, server_cpu, metrics) in zip(idlers, before, strict=True):
        shares.append((idler.daemon.cpu - cpu) / lasted)
        in_server = (idler.server_cpu() - server_cpu) / lasted
        polls = idler.daemon.metrics().since(metrics).total("tracker_polls_total")
        print(
            f"{idler.kind}, {idler.tasks:,} tasks: {100 * shares[-1]:.2f} % of a core, "
            f"{100 * in_server:.2f} % in the database server, {polls:.0f} polls, {idler.daemon.resident:.0f} MB",
            file=sys.stderr,
        )
        if polls > _MOST_POLLS * idler.tasks:
            raise AssertionError(f"{polls:.0f} polls: it was not idle")
    return shares


def _loading(engine: Engine) -> float:
    """The share of a core that loading every unfinished row every 15 seconds takes, as an ORM does it."""

    class Mapped(DeclarativeBase):
        metadata = MetaData()

    class Task(Mapped):
        __table__ = Table("task", Mapped.metadata, autoload_with=engine)

    spent = []
    for _ in range(_LOADS):
        with Session(engine) as session:
            began = time.process_time()
            session.scalars(select(Task).where(Task.__table__.c.ended_at.is_(None))).all()
            spent.append(time.process_time() - began)
    return min(spent) / _LOADED_EVERY


def _rows(idler: _Idler, share: float, loading: float) -> Iterator[Row]:
    what = f"idle, {idler.tasks:,} live tasks, {idler.kind}" if idler.tasks else f"idle, empty, {idler.kind}"
    most = 0.005 if idler.tasks else 0.003
    ours = f"{100 * share:.2f} % of a core"
    yield Row(what=what, ours=ours, against=f"asked: {100 * most:g} %", ratio=share / most, at_most=1.0)
    if idler.tasks:
        against = f"loading all of them every {_LOADED_EVERY:.0f} s: {100 * loading:.1f} %"
        yield Row(what=what, ours=ours, against=against, ratio=share / loading, at_most=0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as told and print the table; 1 if a ratio is not what it is asked to be."""
    usual = Scale()
    options = argparse.ArgumentParser(description="What a daemon costs that has nothing to do.")
    options.add_argument("--tasks", type=int, default=usual.tasks)
    options.add_argument("--seconds", type=float, default=usual.seconds)
    options.add_argument("--settle", type=float, default=usual.settle, help="seconds before it begins")
    rows = list(measure(Scale(**vars(options.parse_args(arguments)))))
    print(render(rows))
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
