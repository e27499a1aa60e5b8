"""Clients that register, in a process of their own that costs little: one line of JSON in, one line of figures out.

`python -m bench.registrants` reads a line for each round: how many connections, how many requests they send, and how
many registrations each of them carries.
"""

import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

HOOK = "https://shop.example/hooks/tracker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is sent in one go: each connection sends its next request when the last one is answered."""

    port: int
    token: str
    connections: int
    requests: int
    name: str
    """The task ids begin with it."""
    rows: int = 0
    """Registrations in each request; none for the call that takes one."""
    callback: str | None = HOOK


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of a round."""

    seconds: float
    median: float
    """Of the seconds that an answer took."""
    p99: float
    slowest: float


@dataclass(slots=True)
class Registrants:
    """The process of the clients."""

    process: subprocess.Popen[str]

    def send(self, round_: Round) -> Figures:
        """Send all of it, and wait for every answer; raises AssertionError where one is no 2xx."""
        if self.process.stdin is None or self.process.stdout is None:
            raise AssertionError("both are pipes")
        print(json.dumps(asdict(round_)), file=self.process.stdin, flush=True)
        return Figures(**json.loads(self.process.stdout.readline()))


@contextmanager
def registrants() -> Iterator[Registrants]:
    """Clients, for as long as the context lasts."""
    command = [sys.executable, "-m", "bench.registrants"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        yield Registrants(process)
        process.communicate(timeout=10)


class _Queue:
    """The requests that are still to be sent, each made when it is taken."""

    def __init__(self, round_: Round) -> None:
        self._round = round_
        self._number = 0
        path = "/v1/tasks/batch" if round_.rows else "/v1/tasks"
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{round_.port}\r\nAuthorization: Bearer {round_.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def next(self) -> bytes | None:
        if self._number == self._round.requests:
            return None
        self._number += 1
        if not self._round.rows:
            return self._request(self._registration(self._number))
        first = self._number * self._round.rows
        rows = ",".join(map(self._registration, range(first, first + self._round.rows)))
        return self._request(f"[{rows}]")

    def _registration(self, number: int) -> str:
        task_id = f'"task_id":"{self._round.name}-{number}"'
        if self._round.callback is None:
            return f"{{{task_id}}}"
        return f'{{{task_id},"callback_url":"{self._round.callback}","metadata":{{"order":{number}}}}}'

    def _request(self, body: str) -> bytes:
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body.encode())


class _Client(asyncio.Protocol):
    """One connection; answers come one after another, with a content-length."""

    def __init__(self, queue: _Queue, took: list[float]) -> None:
        self._queue = queue
        self._took = took
        self._answer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # TCP gives this kind
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or AssertionError("the server hung up"))

    def _send(self) -> None:
        request = self._queue.next()
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = self._answer[:head].lower()
        length = int(lower.partition(b"\r\ncontent-length:")[2].partition(b"\r")[0])
        if len(self._answer) < head + 4 + length:
            return
        self._took.append(time.perf_counter() - self._sent_at)
        if not lower.startswith(b"http/1.1 20"):
            self.done.set_exception(AssertionError(self._answer.decode()))
            self._transport.close()
            return
        self._answer = b""
        self._send()


async def _send(round_: Round) -> Figures:
    queue, took = _Queue(round_), list[float]()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    made = [
        loop.create_connection(lambda: _Client(queue, took), "127.0.0.1", round_.port)
        for _ in range(round_.connections)
    ]
    clients = [client for _, client in await asyncio.gather(*made)]
    await asyncio.gather(*(client.done for client in clients))
    seconds = time.perf_counter() - started
    took.sort()
    return Figures(seconds=seconds, median=_at(took, 0.5), p99=_at(took, 0.99), slowest=took[-1])


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[math.ceil(len(ordered) * share) - 1]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asdict(asyncio.run(_send(Round(**json.loads(line)))))), flush=True)
