"""The daemon as a process, as people run it; it is ended by its process id only."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import nursery
from click.testing import Result
from command_line import CommandLine

READY_WITHIN = 30.0
SERVE = (sys.executable, "-m", "tracker", "serve")


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _read(file: Path) -> bytes:
    """What the kernel says; nothing of a thread or a process that has ended since it was listed."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def sending_processes_of(pid: int) -> list[int]:
    """The sending processes that a process has started and that still run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    started = [int(child) for task in tasks for child in _read(task / "children").split()]
    return [child for child in started if b"processes.child" in _read(Path(f"/proc/{child}/cmdline"))]


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    return Path(f"/proc/{pid}").exists()


def environment_of(pid: int) -> bytes:
    """What a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes()


@dataclass
class DaemonProcess:
    """`tracker serve` with settings from the environment only."""

    folder: Path
    database_url: str
    settings: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | nursery.Born | None = None
    program: tuple[str, ...] = ()
    """What is run instead of what the nursery has; SERVE is the same as people run it."""
    passed: tuple[int, ...] = ()
    """Descriptors that it inherits."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        return {
            **kept,
            "STATE_DIRECTORY": str(self.folder),
            "TRACKER_DATABASE_URL": self.database_url,
            "TRACKER_LISTEN": f"127.0.0.1:{self.port}",
            **self.settings,
        }

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def token(self) -> str:
        return (self.folder / "tracker.token").read_text().strip()

    def start(self) -> None:
        with self.log.open("ab") as log:
            if not self.program:
                self.process = nursery.serve(self.folder, self.environment, log)
                return
            self.process = subprocess.Popen(
                self.program,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self.passed,
            )

    async def wait_until_ready(self) -> None:
        """Return when it serves; raises with its log when it ends instead."""
        async with httpx.AsyncClient(trust_env=False) as client:
            with anyio.fail_after(READY_WITHIN):
                while True:
                    assert self.process is not None
                    assert self.process.poll() is None, self.log.read_text()
                    with suppress(httpx.TransportError):
                        if (await client.get(f"{self.url}/readyz")).status_code == 200:
                            return
                    await anyio.sleep(0.02)

    @property
    def is_frozen(self) -> bool:
        """Whether all of its threads are stopped."""
        assert self.process is not None
        stats = [path.read_text() for path in Path(f"/proc/{self.process.pid}/task").glob("*/stat")]
        # The state comes after the name, which may have any characters.
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self, within: float = 10.0) -> int:
        """SIGTERM; returns the exit code, raises when it takes longer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=within)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def tell(self, *arguments: str) -> Result:
        """The command line beside the daemon, with the same settings, in this process: starting one takes a second."""
        beside = CommandLine(self.folder, {**self.settings, "TRACKER_DATABASE_URL": self.database_url})
        with ThreadPoolExecutor(1) as thread:  # a command may have an event loop of its own
            return thread.submit(beside, *arguments).result()

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The same as a process of its own, as people run it."""
        return subprocess.run(
            [sys.executable, "-m", "tracker", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
