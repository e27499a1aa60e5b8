"""Finding out who listens where we do, without taking the place."""

import errno
import ipaddress
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tracker.errors import TrackerError
from tracker.http.plain import PlainClient

_SECONDS = 2.0
_LISTENING = "0A"
_UNAUTHORIZED, _UNAVAILABLE = 401, 503


class Holder(NamedTuple):
    """The process that listens, as far as we may see it."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An address, and who answers there."""

    bind_error: str | None = None
    """Why nobody can listen there."""
    is_taken: bool = False
    """Whether somebody does."""
    is_ours: bool = False
    late: str | None = None
    """Which loops of the daemon there are late, as it says."""
    holder: Holder | None = None


def knock(host: str, port: int, *, is_asked: bool) -> Door:
    """Find out whether somebody is there and, where that `is_asked`, who: a connection may start what is not there."""
    problem = _bind_problem(host, port)
    if problem is None:
        return Door()
    if problem.errno not in (errno.EADDRINUSE, errno.EACCES):
        return Door(bind_error=problem.strerror or type(problem).__name__)
    is_taken = problem.errno == errno.EADDRINUSE
    if not is_asked:
        return Door(is_taken=is_taken)
    reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where all addresses are meant
    named = f"[{reach}]" if ":" in reach else reach
    is_ours, late = _ask(f"http://{named}:{port}")
    return Door(is_taken=is_taken, is_ours=is_ours, late=late, holder=holder_of(reach, port) if is_taken else None)


def _bind_problem(host: str, port: int) -> OSError | None:
    """Bound and let go at once, never listened on: a daemon that starts just now is not in the way of that."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            return error
    return None


def _ask(url: str) -> tuple[bool, str | None]:
    """Whether a tracker answers, and what it says is late."""
    try:
        with PlainClient(url, "", user_agent="tracker doctor", timeout_seconds=_SECONDS) as client:
            refused, asks = client.call("GET", "/v1/upstreams")
            # Many a program has a /healthz; only ours asks for such a token.
            if refused != _UNAUTHORIZED or not isinstance(asks, dict) or "trk_" not in str(asks.get("detail")):
                return False, None
            status, told = client.call("GET", "/healthz")
    except TrackerError:
        return False, None
    return True, str(told.get("detail")) if status == _UNAVAILABLE and isinstance(told, dict) else None


def holder_of(host: str, port: int) -> Holder | None:
    """The process that listens there; None where we may not see it."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(host, port)}
    if not sockets:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _has_one(process / "fd", sockets):
            return Holder(_name(process), int(process.name))
    return None


def _inodes(host: str, port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for cells in map(str.split, lines):
            address, _, number = cells[1].partition(":")
            if cells[3] == _LISTENING and int(number, 16) == port and _is_there(address, host):
                yield cells[9]


def _is_there(listed: str, host: str) -> bool:
    """Whether who listens at an address, in the kernel's hexadecimal words, is met at this one."""
    words = (bytes.fromhex(listed[start : start + 8]) for start in range(0, len(listed), 8))
    address = ipaddress.ip_address(b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))
    return address.is_unspecified or host in (str(address), str(getattr(address, "ipv4_mapped", None)), "localhost")


def _has_one(folder: Path, sockets: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in sockets for entry in folder.iterdir())
    except OSError:
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"
