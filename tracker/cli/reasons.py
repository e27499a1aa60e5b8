"""Why a callback has not been told of its task's end yet, in words: most often there is nothing to tell so far."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from tracker.cli.protocol import Document
from tracker.model import ENDS, Status

_PATIENCE = timedelta(minutes=1)
"""How long an upstream may say nothing of a task before its id is in doubt."""


def reason(task: Document, callback: Document, upstreams: Sequence[Document], now: datetime) -> str:
    """One sentence about a callback for which there is no message."""
    if callback["gone_at"]:
        return f"gone since {callback['gone_at']}: it answered 410, or was taken back"
    if task["ended_at"] is None:
        return standstill(task, upstreams, now) or _nothing_yet(task, callback)
    if task["status"] == Status.DROPPED:
        return "nobody is told of a task that was dropped"
    if not _wants(callback, task["status"]):
        return f"its events ({', '.join(callback['events'])}) do not ask for {task['status']}"
    return "its message is not there any more: it is kept as long as `retention` says"


def standstill(task: Document, upstreams: Sequence[Document], now: datetime) -> str | None:
    """Why nothing is seen of a task that has not ended; None where nothing is known to be in the way."""
    if task["ended_at"] is not None:
        return None
    upstream: Mapping[str, object] | None = {one["name"]: one for one in upstreams}.get(task["upstream"])
    if upstream is None or upstream["state"] == "not_configured":
        return f"nobody looks at this task: the upstream {task['upstream']!r} is not configured"
    if upstream["state"] == "paused":
        until = f", until {upstream['paused_until']}" if upstream["paused_until"] else ""
        return f"nothing can be seen while the upstream {task['upstream']!r} is paused{until}: {upstream['reason']}"
    if upstream["state"] == "unknown":
        return "nobody has asked its upstream yet: does `tracker serve` run?"
    if not task["upstream_status"] and now - datetime.fromisoformat(task["registered_at"]) > _PATIENCE:
        return "its upstream has not said anything about it yet: is the id right?"
    return None


def _nothing_yet(task: Document, callback: Document) -> str:
    if not any(_wants(callback, end) for end in ENDS):
        return f"nothing to tell yet: the task is {task['status']}, and its end is not among the events"
    return f"nothing to tell yet: the task is {task['status']}, and its end is told when it is seen"


def _wants(callback: Document, status: str) -> bool:
    return status in callback["events"] or (
        "ended" in callback["events"] and status in ENDS and status != Status.DROPPED
    )
