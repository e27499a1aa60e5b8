"""Daemons that need not read the program first: half of what starting one takes, a hundred times over.

A process that has imported everything forks for each of them. What it forks has the environment, the folder, the log
and the signals that a process of its own would have; whoever needs its command line as well, starts it as people do.
"""

import array
import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

_MOST = 1 << 20


class Born:
    """A process that the nursery forked; as much of a `Popen` as tests ask for."""

    def __init__(self, ended: socket.socket) -> None:
        self._ended = ended
        self.pid = int(self._line())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self.returncode = int(self._line())
            self._ended.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._ended], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("tracker serve", timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _line(self) -> str:
        said = self._ended.recv(32).decode()
        assert said, "the nursery is gone"
        return said


def serve(folder: Path, environment: Mapping[str, str], log: IO[bytes]) -> Born:
    """`tracker serve` in this folder, with this environment and nothing else."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps({"folder": str(folder), "environment": dict(environment)}).encode()
    with theirs:
        descriptors = array.array("i", [theirs.fileno(), log.fileno()])
        _nursery().sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    return Born(ours)


@cache
def _nursery() -> socket.socket:
    """The way to the nursery of this process, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
    with theirs:
        program = [sys.executable, __file__, str(theirs.fileno())]
        process = subprocess.Popen(program, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _keep(requests: socket.socket) -> None:
    """Fork whatever is asked for; returns in what was forked, and where nobody asks any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _MOST, 2)
        if not request:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            return _bear(json.loads(request), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _bear(request: Mapping[str, object], ended: int, log: int) -> None:
    """Return in the daemon; its keeper tells its process id and its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        os.close(log)
        _tell(ended, pid)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for place, descriptor in enumerate((nothing, log, log)):
        os.dup2(descriptor, place)
    os.closerange(3, 256)
    os.chdir(str(request["folder"]))
    environment = request["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tracker", "serve"]


def _tell(ended: int, pid: int) -> NoReturn:
    # Ctrl-C in a terminal is for the daemon, and it is told how that ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(ended, str(pid).encode())
    _, status = os.waitpid(pid, 0)
    try:
        os.write(ended, str(os.waitstatus_to_exitcode(status)).encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    for name in ("tracker.cli.commands.serve", "tracker.daemon.serve", "tracker.store.migrate", "alembic.command"):
        importlib.import_module(name)
    gc.freeze()
    _keep(socket.socket(fileno=int(sys.argv[1])))
    importlib.import_module("tracker.__main__").main()
