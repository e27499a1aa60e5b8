"""Answers of the Midjourney-proxy dialect, and an upstream that gives them."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from tracker.model import Miss, Seen, Status
from tracker.providers.midjourney import Addresses, Batching, BatchMode, Midjourney, Reply, credentials
from tracker.providers.protocol import Look

SAMPLE = (Path(__file__).parent / "data" / "fetch-success.json").read_bytes()
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
ASKED = "1730621826053455"
SECRET = "sk-0123456789abcdef"
HTML = b"<!doctype html><html><body>the web ui</body></html>"
NO_SUCH_TASK = {"description": "task_no_found ", "type": "upstream_error", "code": 4}


def reply(body: object = b"", status: int = 200, *, content_type: str = "application/json", **more: object) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers={"content-type": content_type}, body=raw, **more)  # type: ignore[arg-type]


def task(task_id: str = ASKED, **fields: object) -> dict[str, object]:
    return {"id": task_id, "action": "IMAGINE", "status": "IN_PROGRESS", "progress": "31%", **fields}


def shown(seen: Seen) -> str:
    if isinstance(seen, Miss):
        return str(seen.kind)
    return f"{seen.status} {seen.progress}" if seen.status is Status.RUNNING else str(seen.status)


def knows(task_id: str) -> Reply:
    return reply(task(task_id))


def knows_not(_task_id: str) -> Reply:
    return reply(NO_SUCH_TASK, 400)


def lists(ids: list[str]) -> Reply:
    return reply([task(task_id) for task_id in reversed(ids)])


def always(answer: Reply | Miss) -> Callable[[object], Reply | Miss]:
    return lambda _: answer


def ids(number: int) -> list[str]:
    return [f"1730{n:03}" for n in range(number)]


def kinds(look: Look) -> set[str]:
    return {shown(seen).partition(" ")[0] for seen in look.seen.values()}


class Upstream:
    """Answers from two functions, notes what was asked, and has a clock that is moved by hand."""

    def __init__(self, one: Callable[[str], Reply | Miss], many: Callable[[list[str]], Reply | Miss]) -> None:
        self.now = NOW
        self.one, self.many = one, many
        self.asked: list[str | int] = []
        """Ids of single fetches, sizes of lists."""
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []

    async def fetch(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Reply | Miss:
        self.requests.append((method, url, headers))
        if content is None:
            task_id = unquote(url.removesuffix("/fetch").rpartition("/")[2])
            self.asked.append(task_id)
            return self.one(task_id)
        ids = json.loads(content)["ids"]
        self.asked.append(len(ids))
        return self.many(ids)

    def provider(self, mode: str = "auto", batch_size: int = 100, token: str | None = SECRET) -> Midjourney:
        return Midjourney(
            addresses=Addresses.of("https://host/mj"),
            headers=credentials("bearer", token),
            fetch=self.fetch,
            batching=Batching.of(BatchMode(mode), batch_size),
            timeout=timedelta(seconds=15),
            clock=lambda: self.now,
        )
