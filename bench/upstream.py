"""An upstream that costs next to nothing: a process of its own that answers for whatever id it is asked about.

It remembers no tasks. What an id says about itself is its whole life: `m17` runs for ever at 10 %, `s1000-61000-17` was
submitted and ends at these milliseconds since 1970. `python -m bench.upstream` prints its port on 127.0.0.1 and serves
until its standard input is closed.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from bench.requests import Answering

_TAIL = "777"
"""An id that ends so is remembered: one of a thousand."""
_STEPS = 4
"""How many values progress takes on its way."""
_BACKLOG = 1024
_JOINT = "\N{SYMBOL FOR UNIT SEPARATOR}"
"""Stands where the id goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an upstream was asked since it was last read."""

    requests: int
    ids: int
    gaps: Sequence[float]
    """Seconds from one question about an id to the next, of one id in a thousand, the shortest first."""
    silences: Sequence[float]
    """Seconds since each of these ids was last asked for, the shortest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The process, seen from outside."""

    origin: str
    """`http://127.0.0.1:port`"""
    pid: int

    def read(self) -> Asked:
        """What it was asked since the last time."""
        with urllib.request.urlopen(f"{self.origin}/asked", timeout=10) as answer:  # noqa: S310 - our own process
            return Asked(**json.load(answer))


@contextmanager
def upstream() -> Iterator[Upstream]:
    """One that serves meanwhile."""
    command = [sys.executable, "-m", "bench.upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdout is None or process.stdin is None:
            raise AssertionError("both are pipes")
        try:
            yield Upstream(origin=f"http://127.0.0.1:{process.stdout.readline().strip()}", pid=process.pid)
        finally:
            process.stdin.close()
            process.wait(10)


@dataclass(slots=True)
class _Book:
    """What is remembered of the questions."""

    requests: int = 0
    ids: int = 0
    last: dict[str, float] = field(default_factory=dict)
    gaps: list[float] = field(default_factory=list)

    def note(self, asked: Sequence[str]) -> None:
        self.requests += 1
        self.ids += len(asked)
        now = time.monotonic()
        for task_id in [one for one in asked if one.endswith(_TAIL)]:
            if (before := self.last.get(task_id)) is not None:
                self.gaps.append(now - before)
            self.last[task_id] = now

    def told(self) -> bytes:
        now = time.monotonic()
        silences = sorted(now - then for then in self.last.values())
        told = {"requests": self.requests, "ids": self.ids, "gaps": sorted(self.gaps), "silences": silences}
        self.requests, self.ids, self.gaps = 0, 0, []
        return json.dumps(told).encode()


class _Serving(Answering):
    def __init__(self, book: _Book) -> None:
        super().__init__()
        self._book = book

    def answer(self, head: bytes, body: bytes) -> bytes:
        told = self._told(head.split(b" ", 2)[1], body)
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told)

    def _told(self, path: bytes, body: bytes) -> bytes:
        if body:
            asked = json.loads(body)["ids"]
            self._book.note(asked)
            return answer_list(asked, _milliseconds())
        if path == b"/asked":
            return self._book.told()
        task_id = path.decode().split("/")[-2]
        self._book.note([task_id])
        return answer_list([task_id], _milliseconds())[1:-1]


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def answer_list(asked: Sequence[str], now: int) -> bytes:
    """The body of a list call's answer, at these milliseconds since 1970."""
    if not asked:
        return b"[]"
    if all(task_id.startswith("m") for task_id in asked):
        before, after = _around("IN_PROGRESS", "10%", SUBMITTED, 0)
        return f"[{before}{f'{after},{before}'.join(asked)}{after}]".encode()
    return f"[{','.join(_object(task_id, now) for task_id in asked)}]".encode()


SUBMITTED = 1_730_621_826_053
"""When tasks that run for ever were submitted and started, in milliseconds since 1970."""


def _object(task_id: str, now: int) -> str:
    if task_id.startswith("m"):
        before, after = _around("IN_PROGRESS", "10%", SUBMITTED, 0)
    else:
        began, ends, _ = (int(part) for part in task_id[1:].split("-"))
        if now >= ends:
            before, after = _around("SUCCESS", "100%", began, ends)
        else:
            step = max(now - began, 0) * _STEPS // max(ends - began, 1)
            before, after = _around("IN_PROGRESS", f"{100 * step // _STEPS}%", began, 0)
    return f"{before}{task_id}{after}"


def _around(status: str, progress: str, began: int, ends: int) -> tuple[str, str]:
    """What comes before and after the id."""
    before, after = _template(status, progress).split(_JOINT)
    return before, after.replace('"BEGAN"', str(began)).replace('"ENDS"', str(ends))


@cache
def _template(status: str, progress: str) -> str:
    """An object of the size that such answers have, two kilobytes."""
    prompt = "a lighthouse at dusk, long exposure, " * 16
    found = {
        "id": _JOINT,
        "action": "IMAGINE",
        "customId": "",
        "botType": "",
        "prompt": prompt,
        "promptEn": prompt,
        "description": "Submit success",
        "state": "",
        "submitTime": "BEGAN",
        "startTime": "BEGAN",
        "finishTime": "ENDS",
        "imageUrl": "https://cdn.example/attachments/130084227434702852/image.png" if status == "SUCCESS" else "",
        "status": status,
        "progress": progress,
        "failReason": "",
        "buttons": [
            {"customId": f"MJ::JOB::upsample::{number}", "emoji": "", "label": f"U{number}", "type": 2, "style": 2}
            for number in range(1, 6)
        ],
        "maskBase64": "",
        "properties": {"finalPrompt": prompt[:80], "finalZhPrompt": ""},
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


async def _serve() -> None:
    book = _Book()
    server = await asyncio.get_running_loop().create_server(lambda: _Serving(book), "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
