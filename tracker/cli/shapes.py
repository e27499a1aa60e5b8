"""From the store's values to the API's JSON, for those who read the database directly."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime

from tracker.cli.protocol import Document
from tracker.config import UpstreamSettings
from tracker.model import Callback, Task
from tracker.store.messages import AttemptLine, DeliveryLine
from tracker.store.tasks import HistoryLine
from tracker.store.upstreams import Health

_TASK = (
    "id",
    "task_id",
    "upstream",
    "status",
    "upstream_status",
    "action",
    "progress",
    "sequence",
    "registered_at",
    "submitted_at",
    "started_at",
    "finished_at",
    "ended_at",
    "image_url",
    "fail_reason",
)


def task_document(task: Task, callbacks: Sequence[Callback]) -> Document:
    """A task with its callbacks."""
    shape = {name: plain(getattr(task, name)) for name in _TASK}
    return shape | {"callbacks": [_callback(callback) for callback in callbacks]}


def _callback(callback: Callback) -> Document:
    return {
        "url": callback.url,
        "events": list(callback.events),
        "format": callback.format,
        "metadata": callback.metadata,
    }


def event_document(line: HistoryLine) -> Document:
    """One line of a task's history."""
    return {field.name: plain(getattr(line, field.name)) for field in fields(line)}


def delivery_document(line: DeliveryLine, attempts: Sequence[AttemptLine]) -> Document:
    """A message with what came of each try."""
    shape = {field.name: plain(getattr(line, field.name)) for field in fields(line) if field.name not in _UNTOLD}
    tries = [{field.name: plain(getattr(one, field.name)) for field in fields(one)} for one in attempts]
    return shape | {"type": line.message_type, "attempts": tries}


_UNTOLD = ("key", "message_type", "body")


def upstream_document(
    name: str, configured: UpstreamSettings | None, health: Health | None, live: Mapping[str, int]
) -> Document:
    """An upstream: what is configured, and how its watcher last saw it."""
    seen = health or Health(name=name, state="ok" if configured else "not_configured")
    return {
        **{field.name: plain(getattr(seen, field.name)) for field in fields(seen)},
        "live_tasks": live.get(name, 0),
        "base_url": configured and configured.base_url,
        "dialect": configured and configured.dialect,
        "poll_interval_seconds": configured and configured.poll_interval.total_seconds(),
    }


def plain(value: object) -> object:
    """The value as JSON has it; moments in UTC, to the millisecond."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value) if isinstance(value, str) else value
