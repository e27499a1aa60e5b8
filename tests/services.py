"""The service manager's side: a socket that hears what a daemon says of itself, and daemons that are started by it."""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from threading import Condition, Thread
from typing import Self

from daemons import SERVE, DaemonProcess

UPSTREAM = "TRACKER_UPSTREAMS__DEFAULT__BASE_URL"
NOBODY = "http://127.0.0.1:9"
"""An upstream where nobody listens."""


@dataclass(frozen=True)
class Said:
    """One datagram, and when it came."""

    at: float
    fields: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __getitem__(self, name: str) -> str:
        return self.fields[name]


@dataclass
class Manager:
    """Hears everything, and remembers it."""

    address: str = field(default_factory=lambda: f"@tracker-{token_hex(8)}")
    heard: list[Said] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)
        self._changed = Condition()
        self._thread = Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        while text := self._socket.recv(65536).decode():
            said = Said(time.monotonic(), dict(line.split("=", 1) for line in text.splitlines()))
            with self._changed:
                self.heard.append(said)
                self._changed.notify_all()

    def wait_for(self, name: str, count: int = 1, *, within: float = 30.0, since: float = 0.0) -> Said:
        """The count-th datagram that has this field, as soon as it is there."""
        return self.wait_until(lambda said: name in said, count, within=within, since=since)

    def wait_until(
        self, matches: Callable[[Said], bool], count: int = 1, *, within: float = 30.0, since: float = 0.0
    ) -> Said:
        """The count-th datagram of this kind, as soon as it is there."""

        def found() -> list[Said]:
            return [said for said in self.heard if said.at >= since and matches(said)]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, timeout=within), self.heard[-5:]
            return found()[count - 1]

    def heard_of(self, name: str, since: float = 0.0) -> list[Said]:
        with self._changed:
            return [said for said in self.heard if name in said and said.at >= since]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@contextmanager
def serving(
    folder: Path,
    manager: Manager,
    database_url: str | None = None,
    *,
    prelude: str = "",
    prepare: Callable[[DaemonProcess], None] = lambda _: None,
    **settings: str,
) -> Iterator[DaemonProcess]:
    """A daemon that the manager has started; `prelude` is Python that runs in it first."""
    folder.mkdir(exist_ok=True)
    log = folder / "daemon.log"
    log.touch()
    daemon = DaemonProcess(
        folder,
        database_url or f"sqlite:///{folder / 'tracker.db'}",
        {
            UPSTREAM: NOBODY,
            "NOTIFY_SOCKET": manager.address,
            "JOURNAL_STREAM": f"{log.stat().st_dev}:{log.stat().st_ino}",
            **settings,
        },
    )
    if prelude:
        program = f"{prelude}\nimport sys\nsys.argv = ['tracker', 'serve']\nfrom tracker.__main__ import main\nmain()"
        daemon.program = (sys.executable, "-c", program)
    prepare(daemon)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.end()


_LAUNCHER = """
import os, sys
count = int(sys.argv[1])
for place, descriptor in enumerate(sys.argv[2 : 2 + count]):
    os.dup2(int(descriptor), 3 + place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2 + count], sys.argv[2 + count :])
"""
_OUT_OF_THE_WAY = 100


@contextmanager
def activated(*listening: socket.socket, names: str) -> Iterator[Callable[[DaemonProcess], None]]:
    """What makes a daemon inherit these sockets, as systemd passes them, when it is started next."""
    copies = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for one in listening]

    def prepare(daemon: DaemonProcess) -> None:
        launcher = (sys.executable, "-c", _LAUNCHER, str(len(copies)), *map(str, copies))
        daemon.program = (*launcher, *(daemon.program or SERVE))
        daemon.passed = tuple(copies)
        daemon.settings |= {"LISTEN_FDS": str(len(copies)), "LISTEN_FDNAMES": names}

    try:
        yield prepare
    finally:
        for copy in copies:
            os.close(copy)
