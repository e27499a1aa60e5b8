"""`tracker serve` as a process, as people run it, and what the kernel and its own metrics say of it (Linux)."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from bench.exposition import Exposition, parse

READY_WITHIN = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A daemon that runs."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    token_file: Path
    """Written by the first `serve` on a database."""
    started_at: float
    """On the monotonic clock, just before its process was made."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """One that allows everything."""
        return self.token_file.read_text().strip()

    @property
    def cpu(self) -> float:
        """Seconds of a core that it has taken so far, with all its threads and the processes that it has started."""
        return sum(map(cpu_of, self._family()))

    @property
    def resident(self) -> float:
        """Megabytes that it holds just now; what its processes share counts for each of them."""
        return sum(_status(pid, "VmRSS") for pid in self._family())

    @property
    def peak(self) -> float:
        """The most megabytes that it has held."""
        return sum(_status(pid, "VmHWM") for pid in self._family())

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._family())

    def _family(self) -> list[int]:
        """It and the processes that it has started."""
        family = [self.process.pid]
        for pid in family:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                family += map(int, children.read_text().split())
        return family

    def metrics(self) -> Exposition:
        """What it says of itself just now."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:  # noqa: S310 - our own process
            return parse(answer.read().decode())

    def wait_until_ready(self) -> None:
        """Block until it serves; raises with its log where it ends instead."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended:\n{self.log()}")
            with (
                suppress(OSError, urllib.error.URLError, http.client.HTTPException),
                urllib.request.urlopen(f"{self.url}/readyz", timeout=10),  # noqa: S310 - our own process
            ):
                return
            time.sleep(0.02)
        raise AssertionError(f"not ready within {READY_WITHIN:.0f} s:\n{self.log()}")

    def log(self) -> str:
        """The last lines that it wrote."""
        lines = (self.folder / "daemon.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-30:])

    def stop(self, within: float = 120.0) -> float:
        """Ask it to end; returns how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(within)
        return time.monotonic() - began

    def kill(self) -> None:
        """End it without a goodbye, if it still lives."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def served(folder: Path, database_url: str, settings: Mapping[str, str]) -> Iterator[Served]:
    """A daemon with settings from the environment only (`UPSTREAMS__DEFAULT__BASE_URL`); not yet ready."""
    port = _free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    environment = {
        **kept,
        "STATE_DIRECTORY": str(folder),
        "TRACKER_DATABASE_URL": database_url,
        "TRACKER_LISTEN": f"127.0.0.1:{port}",
        "TRACKER_LOG__LEVEL": "warning",
        **{f"TRACKER_{name}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "tracker", "serve"]
    with (folder / "daemon.log").open("ab") as log:
        started_at = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    database_file = make_url(database_url).database if database_url.startswith("sqlite") else None
    token_file = (Path(database_file).parent if database_file else folder) / "tracker.token"
    daemon = Served(process=process, folder=folder, port=port, token_file=token_file, started_at=started_at)
    try:
        yield daemon
    finally:
        daemon.kill()


def cpu_of(pid: int) -> float:
    """Seconds of a core that a process has taken so far, all its threads together."""
    # The clock that clock_getcpuclockid(3) names: /proc tells hundredths of a second only.
    return time.clock_gettime(~pid << 3 | 2)


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1024


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
