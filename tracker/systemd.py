"""What systemd and a service tell each other: sd_notify(3), the watchdog, passed sockets, the journal, credentials.

The protocols are a few variables and datagrams, so the standard library suffices. Where no systemd listens, nothing is
said and nobody is wiser.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

_FIRST_PASSED = 3
"""The first descriptor that systemd passes (SD_LISTEN_FDS_START)."""
_TRIES = 3
_UNNAMED = "unknown"
"""What systemd calls sockets whose unit names none."""


class Notifier:
    """Tells the service manager how we are; says nothing where there is none, and never fails."""

    def __init__(self, address: str | None) -> None:
        self._address = address and (f"\0{address[1:]}" if address.startswith("@") else address)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Notifier":
        """The one that the environment names in NOTIFY_SOCKET."""
        return cls(environ.get("NOTIFY_SOCKET") or None)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        # Somebody waits for this very word.
        for _ in range(_TRIES):
            if self._say("READY=1", _status(status)):
                return

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._say(_status(text))

    def reloading(self, status: str) -> None:
        """The configuration is being read again; `ready` ends it."""
        self._say(
            "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", _status(status)
        )

    def stopping(self, status: str) -> None:
        """We are about to end."""
        self._say("STOPPING=1", _status(status))

    def extend(self, by: timedelta, status: str) -> None:
        """What is going on takes at least so much longer: ask again before that is over."""
        self._say(f"EXTEND_TIMEOUT_USEC={by // timedelta(microseconds=1)}", _status(status))

    def watchdog(self) -> None:
        """We are alive."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> bool:
        """Whether it was taken, or nobody listens."""
        if not self._address:
            return True
        # A socket for each word: nothing of ours is left open, and one that went away is no trouble.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking:
            speaking.settimeout(1.0)
            speaking.sendto("\n".join(lines).encode(), self._address)
            return True
        return False


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"


def watchdog_limit(environ: Mapping[str, str], pid: int) -> timedelta | None:
    """How long we may be silent before we are taken for dead; None where nobody watches this process."""
    microseconds, watched = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID") or str(pid)
    if not microseconds.isdecimal() or int(microseconds) == 0 or watched != str(pid):
        return None
    return timedelta(microseconds=int(microseconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A socket that systemd holds for us."""

    name: str
    socket: socket.socket


def passed_sockets(environ: MutableMapping[str, str], pid: int) -> list[Passed]:
    """The sockets that were passed to this process, by name; they are passed once, and to no child of ours."""
    count, names = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_FDNAMES", "").split(":")
    if environ.get("LISTEN_PID") != str(pid) or not count.isdecimal():
        return []
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(variable, None)
    return list(_take(int(count), names))


def _take(count: int, names: list[str]) -> Iterator[Passed]:
    for place in range(count):
        name = names[place] if place < len(names) else ""
        descriptor = _FIRST_PASSED + place
        os.set_inheritable(descriptor, False)
        yield Passed(name=name or _UNNAMED, socket=socket.socket(fileno=descriptor))


def accepts_connections(passed: socket.socket) -> bool:
    """Whether it is a stream that somebody listens on."""
    return passed.type == socket.SOCK_STREAM and bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def journal_listens(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether what is written to this descriptor goes to the journal, which reads `<N>` in front of a line."""
    try:
        written = os.fstat(descriptor)
    except OSError:
        return False
    # The variable alone says little: children inherit it, and may write to somewhere else.
    return environ.get("JOURNAL_STREAM") == f"{written.st_dev}:{written.st_ino}"


PRIORITIES: Mapping[str, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""What the journal calls our levels (sd-daemon(3))."""
