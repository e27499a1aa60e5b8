"""Where a process runs: a daemon of this very place, whose process has ended, need not be waited for."""

import hashlib
import os
import re
import socket
from functools import cache
from pathlib import Path

_MACHINE = Path("/etc/machine-id")
_IS_ID = re.compile("[0-9a-f]{32}").fullmatch
_PROCESSES = Path("/proc/self/ns/pid")


@cache
def this_place() -> str:
    """A word for where process ids mean what they mean here; empty where that is not known.

    By the machine's id (machine-id(5), of which others are to see no more than a hash), its name, and its namespace of
    processes: containers of one machine differ in one of these.
    """
    try:
        machine, processes = _MACHINE.read_text().strip(), _PROCESSES.readlink()
    except OSError:
        return ""
    if not _IS_ID(machine):
        # It has none yet, and says so.
        return ""
    return hashlib.sha256(f"tracker {machine} {socket.gethostname()} {processes}".encode()).hexdigest()[:32]


def has_ended(pid: int) -> bool:
    """Whether no process has this id here, be it that one or another."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It is somebody else's.
        return False
    return False
