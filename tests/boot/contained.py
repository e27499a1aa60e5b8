"""Runs a program where nothing outlives it: its processes, mounts and control groups go with it, however it ends.

Its processes have a namespace of their own. When the first of them ends, the kernel ends all the others, and with the
last of them their mounts are gone.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

SET_PARENT_DEATH_SIGNAL = 1
SEPARATELY = ("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc")
ENDS_BY = (signal.SIGTERM, signal.SIGHUP)
# What systemd-nspawn makes beside the group that it was started in, whether there is one hierarchy or several.
GROUPS = ("payload", "supervisor")
HIERARCHIES = ("", "unified", "systemd")


def why_impossible() -> str:
    """Why no program can run so here; empty where it can."""
    tried = subprocess.run([*SEPARATELY, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode != 0 else ""


def run_contained(command: Sequence[str | Path]) -> int:
    """Its exit code. Where this process has to end meanwhile, nothing of the other runs any more when it does.

    It has to where it is told to, and where whoever started it is gone.
    """
    for number in ENDS_BY:
        signal.signal(number, _end)
    _end_with_parent(signal.SIGTERM)
    with _without_groups():
        process = subprocess.Popen([*SEPARATELY, *command], preexec_fn=_end_with_parent)  # noqa: PLW1509 - one thread
        try:
            return process.wait()
        finally:
            _kill(process)


def cover(folder: str) -> None:
    """Inside: what is written into a folder of the host's from now on is never there."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "none", folder], check=True)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, by)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Through the first process inside: `unshare` ends after it, and that one after all the others."""
    while process.poll() is None:
        inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in map(int, inside):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


@contextmanager
def _without_groups() -> Iterator[None]:
    """Control groups that are made meanwhile are gone afterwards."""
    there = {group for group in _groups() if group.exists()}
    try:
        yield
    finally:
        for group in _groups() - there:
            inner = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
            for folder in (*inner, group):
                # It was never made, or somebody else is in it.
                with suppress(OSError):
                    folder.rmdir()


def _groups() -> set[Path]:
    places = {line.split(":", 2)[2].rstrip("/") for line in Path("/proc/self/cgroup").read_text().splitlines()}
    return {
        Path(f"/sys/fs/cgroup/{hierarchy}{place}", name)
        for place in places
        for hierarchy in HIERARCHIES
        for name in GROUPS
    }
