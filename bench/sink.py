"""Receivers that cost next to nothing: a process of its own that answers 204 to whatever is POSTed.

`python -m bench.sink COUNT` prints as many ports on 127.0.0.1 and serves until its standard input is closed.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.requests import Answering

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


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


class _Sink(Answering):
    def answer(self, head: bytes, body: bytes) -> bytes:  # noqa: ARG002 - whatever it is
        return _ANSWER


async def _serve(count: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(_Sink, "127.0.0.1", 0) for _ in range(count)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
