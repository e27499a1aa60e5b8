"""Proof that no outage is taken for a daemon that is stuck: upstream, receiver and database all away, and back again.

`make outage` runs it with the times of the unit files; a test runs it short. The upstream and the receiver take
connections and never answer. The database is frozen first, so that it takes questions and never answers either, and
then stopped.
"""

import argparse
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import httpx
from daemons import DaemonProcess
from databases import started_postgres
from services import UPSTREAM, Manager, serving

from tracker.store import migrate

QUICKLY = """
from datetime import timedelta
from tracker.daemon import daemon, lanes, vigil
daemon.LATE = lanes.LATE = timedelta(seconds=3)
daemon._WAKE_EVERY = daemon.HEARTBEAT_EVERY = timedelta(seconds=0.2)
vigil.SETTLES_WITHIN = 3.0
vigil._PATIENCE = 1.0
"""
"""Loops are late, and late ones stuck, after three seconds instead of a minute."""
_TASKS = 20


@dataclass(frozen=True)
class Silences:
    """The longest time between two signs of life in each part of an outage, in parts of the limit."""

    before: float
    frozen: float
    stopped: float
    after: float
    restarts: int

    @property
    def is_clean(self) -> bool:
        """Whether systemd would have let it be."""
        return max(self.before, self.frozen, self.stopped, self.after) <= 0.6 and not self.restarts


class PostgresServer(Protocol):
    """What the library has."""

    def get_pid(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Outage:
    """One daemon with everything around it away."""

    def __init__(self, folder: Path, *, limit: float, lasts: float, prelude: str = "") -> None:
        self._folder = folder
        self._limit = limit
        self._lasts = lasts
        self._prelude = prelude

    def run(self) -> Silences:
        """The longest silences, of a daemon that has found its way back."""
        with ExitStack() as stack:
            hole = stack.enter_context(_black_hole())
            server = stack.enter_context(started_postgres())
            manager = stack.enter_context(Manager())
            migrate.upgrade(server.get_uri())
            settings = {
                UPSTREAM: hole,
                "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
                "WATCHDOG_USEC": str(int(self._limit * 1_000_000)),
            }
            daemon = stack.enter_context(
                serving(self._folder, manager, server.get_uri(), prelude=self._prelude, **settings)
            )
            return self._watch(manager, daemon, server, hole)

    def _watch(self, manager: Manager, daemon: DaemonProcess, server: PostgresServer, hole: str) -> Silences:
        manager.wait_for("READY")
        _register(daemon, hole)
        before = time.monotonic()
        time.sleep(self._limit)
        frozen = time.monotonic()
        with _frozen(server):
            time.sleep(self._lasts)
            manager.wait_until(lambda said: "database does not answer" in said.fields.get("STATUS", ""), since=frozen)
        server.stop()
        stopped = time.monotonic()
        time.sleep(self._lasts)
        server.start()
        after = time.monotonic()
        manager.wait_until(lambda said: "database" not in said.fields.get("STATUS", "database"), since=after, within=60)
        time.sleep(self._limit)
        assert daemon.process is not None
        gaps = [
            self._longest(manager, since, until)
            for since, until in pairwise((before, frozen, stopped, after, time.monotonic()))
        ]
        return Silences(*gaps, restarts=int(daemon.process.poll() is not None))

    def _longest(self, manager: Manager, since: float, until: float) -> float:
        signs = [said.at for said in manager.heard_of("WATCHDOG") if since <= said.at <= until]
        return max(later - earlier for earlier, later in pairwise((since, *signs, until))) / self._limit


def _register(daemon: DaemonProcess, hole: str) -> None:
    """Tasks to look at, and one that has a message to be sent."""
    headers = {"authorization": f"Bearer {daemon.token}"}
    with httpx.Client(base_url=daemon.url, headers=headers, trust_env=False, timeout=30) as client:
        for number in range(_TASKS):
            body = {"task_id": str(number), "callback_url": f"{hole}/hook"}
            answer = client.post("/v1/tasks", json=body).raise_for_status().json()
            if number == 0:
                # Dropped tasks are told of too, where somebody asked for it.
                client.delete(f"/v1/tasks/{answer['id']}").raise_for_status()


@contextmanager
def _black_hole() -> Iterator[str]:
    """Takes connections, reads nothing, says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def _frozen(server: PostgresServer) -> Iterator[None]:
    """A database whose processes are all stopped: the kernel goes on taking what is sent to them."""
    first = server.get_pid()
    pids = [first, *_children(first)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    """Run in full, with the limit of the unit file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--limit", type=float, default=30.0)
    options.add_argument("--lasts", type=float, default=180.0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tracker-outage-") as folder:
        silences = Outage(Path(folder), limit=chosen.limit, lasts=chosen.lasts).run()
    print(f"the longest silences, in parts of {chosen.limit:.0f} s: {silences}")  # noqa: T201 - a program
    sys.exit(0 if silences.is_clean else 1)


if __name__ == "__main__":
    main()
