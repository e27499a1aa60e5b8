"""An upstream that costs next to nothing: a process of its own that knows every task, and answers from memory.

`python -m bench.gateway CHANGED` prints a port on 127.0.0.1 and serves until its standard input is closed. One look
in `CHANGED` at each task finds one percent more progress; with 0 nothing ever changes.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.requests import Answering

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
SUBMITTED = 1730621826053
_PROMPT = "a lighthouse at dusk, long exposure, rough sea, volumetric light, " * 6
_REST: dict[str, object] = {
    "action": "IMAGINE",
    "status": "IN_PROGRESS",
    "prompt": _PROMPT,
    "promptEn": _PROMPT,
    "description": f"/imagine {_PROMPT}",
    "submitTime": SUBMITTED,
    "startTime": SUBMITTED,
    "finishTime": 0,
    "failReason": "",
    "imageUrl": "",
    "state": "",
    "buttons": [
        {"customId": f"MJ::JOB::upsample::{number}", "emoji": "", "label": f"U{number}", "type": 2, "style": 2}
        for number in range(5)
    ],
    "properties": {"finalPrompt": "a lighthouse at dusk, long exposure", "botType": "MID_JOURNEY"},
}
_TAIL = json.dumps(_REST)[1:].encode()
"""Of every object; the whole is 2 kB, as such answers are."""


@contextmanager
def gateway(*, one_changed_in: int = 0) -> Iterator[str]:
    """The base URL of an upstream in a process of its own."""
    command = [sys.executable, "-m", "bench.gateway", str(one_changed_in)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdout is None or process.stdin is None:
            raise AssertionError("both are pipes")
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mj"
        process.stdin.close()
        process.wait(10)


class _Tasks:
    """Objects as bytes, made at the first look; task ids are numbers behind a letter, which spread the changes."""

    def __init__(self, one_changed_in: int) -> None:
        self._one_changed_in = one_changed_in
        self._objects: dict[str, bytes] = {}
        self._looks: dict[str, int] = {}

    def look(self, task_id: str) -> bytes:
        step = 0
        if self._one_changed_in:
            looks = self._looks[task_id] = self._looks.get(task_id, 0) + 1
            # Each task in its turn, not all at the same look.
            step, left = divmod(looks + int(task_id[1:]) % self._one_changed_in, self._one_changed_in)
            if not left:
                self._objects.pop(task_id, None)
        found = self._objects.get(task_id)
        if found is None:
            found = b'{"id": "%b", "progress": "%d%%", ' % (task_id.encode(), step % 100) + _TAIL
            self._objects[task_id] = found
        return found


class _Connection(Answering):
    def __init__(self, tasks: _Tasks) -> None:
        super().__init__()
        self._tasks = tasks

    def answer(self, head: bytes, body: bytes) -> bytes:
        told = self._told(head, body)
        return _HEAD % len(told) + told

    def _told(self, head: bytes, body: bytes) -> bytes:
        if body:
            return b"[" + b", ".join(map(self._tasks.look, json.loads(body)["ids"])) + b"]"
        return self._tasks.look(head.split(b" ", 2)[1].split(b"/")[-2].decode())


async def _serve(one_changed_in: int) -> None:
    tasks = _Tasks(one_changed_in)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(tasks), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
