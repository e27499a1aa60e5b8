"""From the store's values to the API's answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, cast

from tracker.api.shapes import AttemptAnswer, CallbackAnswer, DeliveryAnswer, EventAnswer, TaskAnswer
from tracker.intake import Caller
from tracker.model import Callback, DeliveryStatus, MessageType, Status, Task
from tracker.store import tasks
from tracker.store.database import Connection
from tracker.store.messages import AttemptLine, DeliveryLine
from tracker.store.tasks import HistoryLine
from tracker.webhooks import rfc3339


def tell_tasks(connection: Connection, found: Sequence[Task], caller: Caller) -> list[TaskAnswer]:
    """Tasks with those of their callbacks that the caller may see."""
    callbacks = tasks.callbacks(connection, [task.key for task in found], owner=caller.only_owner)
    return [tell_task(task, callbacks.get(task.key, ())) for task in found]


def tell_task(task: Task, callbacks: Sequence[Callback]) -> TaskAnswer:
    """A task."""
    return {
        "id": task.id,
        "task_id": task.task_id,
        "upstream": task.upstream,
        "status": task.status,
        "upstream_status": task.upstream_status,
        "action": task.action,
        "progress": task.progress,
        "sequence": task.sequence,
        "registered_at": rfc3339(task.registered_at),
        "submitted_at": maybe(task.submitted_at),
        "started_at": maybe(task.started_at),
        "finished_at": maybe(task.finished_at),
        "ended_at": maybe(task.ended_at),
        "image_url": task.image_url,
        "fail_reason": task.fail_reason,
        "callbacks": [_tell_callback(callback) for callback in callbacks],
    }


def _tell_callback(callback: Callback) -> CallbackAnswer:
    return {
        "url": callback.url,
        "events": list(callback.events),
        # A CHECK of the table keeps it to these two.
        "format": cast("Literal['standard', 'upstream']", callback.format),
        "metadata": callback.metadata,
    }


def tell_event(line: HistoryLine) -> EventAnswer:
    """A line of a history."""
    return {
        "sequence": line.sequence,
        "event": line.event,
        "observed_at": rfc3339(line.observed_at),
        "from_status": Status(line.from_status) if line.from_status else None,
        "to_status": Status(line.to_status) if line.to_status else None,
        "upstream_status": line.upstream_status,
        "progress": line.progress,
        "note": line.note,
    }


def tell_delivery(line: DeliveryLine) -> DeliveryAnswer:
    """A delivery."""
    return {
        "id": line.id,
        "task": line.task,
        "task_id": line.task_id,
        "upstream": line.upstream,
        "type": MessageType(line.message_type),
        "sequence": line.sequence,
        "url": line.url,
        "endpoint": line.endpoint,
        "status": DeliveryStatus(line.status),
        "attempt": line.attempt,
        "next_attempt_at": maybe(line.next_attempt_at),
        "created_at": rfc3339(line.created_at),
        "settled_at": maybe(line.settled_at),
    }


def tell_attempt(line: AttemptLine) -> AttemptAnswer:
    """An attempt."""
    return {
        "attempt": line.attempt,
        "attempted_at": rfc3339(line.attempted_at),
        # A CHECK of the table keeps it to these four.
        "outcome": cast("Literal['sending', 'delivered', 'failed', 'interrupted']", line.outcome),
        "status_code": line.status_code,
        "duration_ms": line.duration_ms,
        "phase": line.phase,
        "error": line.error,
        "detail": line.detail,
        "response": line.response,
        "next_attempt_at": maybe(line.next_attempt_at),
    }


def maybe(moment: datetime | None) -> str | None:
    """A moment that may be missing."""
    return rfc3339(moment) if moment else None
