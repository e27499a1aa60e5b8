"""Receivers that cost next to nothing: a process of its own that answers 204 to whatever is POSTed.

`python -m bench.sink COUNT` prints as many ports on 127.0.0.1 and serves until its standard input is closed.
"""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.requests import first_of

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_MOST_READ = 1 << 16


@contextmanager
def sinks(count: int) -> Iterator[list[str]]:
    """The origins of `count` endpoints (`http://127.0.0.1:port`)."""
    command = [sys.executable, "-m", "bench.sink", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdout is None or process.stdin is None:
            raise AssertionError("both are pipes")
        yield [f"http://127.0.0.1:{port}" for port in process.stdout.readline().split()]
        process.stdin.close()
        process.wait(10)


class _Sink:
    """Asks the system itself what has come: an event loop would cost more than the answers."""

    def __init__(self, listeners: list[socket.socket]) -> None:
        self._ready = select.epoll()
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._connections: dict[int, socket.socket] = {}
        self._received: dict[int, bytes] = {}
        """The beginnings of requests that are not complete yet."""

    def serve(self) -> None:
        stdin = sys.stdin.fileno()
        for file in (stdin, *self._listeners):
            self._ready.register(file, select.EPOLLIN)
        while True:
            for file, _ in self._ready.poll():
                if file in self._connections:
                    self._answer(file)
                elif file != stdin:
                    self._accept(self._listeners[file])
                elif not os.read(stdin, 1):
                    return

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = connection
        self._ready.register(connection, select.EPOLLIN)

    def _answer(self, file: int) -> None:
        connection, received = self._connections[file], self._received.pop(file, b"")
        try:
            data = connection.recv(_MOST_READ)
            received += data
            while found := first_of(received):
                connection.sendall(_ANSWER)
                received = received[found.length :]
        except OSError:
            data = b""
        if not data:
            del self._connections[file]
            connection.close()
        elif received:
            self._received[file] = received


if __name__ == "__main__":
    _listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(int(sys.argv[1]))]
    print(*(listener.getsockname()[1] for listener in _listeners), flush=True)
    _Sink(_listeners).serve()
