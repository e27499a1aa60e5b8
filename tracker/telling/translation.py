"""From the store's values to JSON: a function for each thing that is told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, cast

from tracker.config import UpstreamSettings
from tracker.model import Callback, DeliveryStatus, EndpointState, MessageType, Status, Task, Trial
from tracker.moments import rfc3339
from tracker.store.access import TokenLine
from tracker.store.callbacks import DEFAULT_EVENTS
from tracker.store.feed import FeedLine
from tracker.store.messages import AttemptLine, DeliveryLine
from tracker.store.newcomers import Newcomer
from tracker.store.receivers import EndpointLine
from tracker.store.tasks import HistoryLine
from tracker.store.upstreams import Health
from tracker.telling.shapes import (
    AttemptAnswer,
    CallbackAnswer,
    DeliveryAnswer,
    EndpointAnswer,
    EventAnswer,
    FeedEvent,
    TaskAnswer,
    TokenAnswer,
    TrialAnswer,
    UpstreamAnswer,
)
from tracker.telling.waiting import next_attempt_at, why

_MILLISECOND = timedelta(milliseconds=1)
_BLOCKED = "The operator's rules do not let this URL be called: it, or what its name stands for, is no public address."


def tell_task(task: Task, callbacks: Sequence[Callback]) -> TaskAnswer:
    """A task."""
    return {
        "id": task.id,
        "task_id": task.task_id,
        "upstream": task.upstream,
        "status": task.status,
        "upstream_status": task.upstream_status or None,
        "action": task.action,
        "progress": task.progress,
        "sequence": task.sequence,
        "registered_at": rfc3339(task.registered_at),
        "submitted_at": rfc3339(task.submitted_at),
        "started_at": rfc3339(task.started_at),
        "finished_at": rfc3339(task.finished_at),
        "ended_at": rfc3339(task.ended_at),
        "image_url": task.image_url,
        "fail_reason": task.fail_reason,
        "callbacks": [tell_callback(callback) for callback in callbacks],
    }


def tell_newcomer(new: Newcomer) -> TaskAnswer:
    """A task that was registered just now: the same as `tell_task` would, without making a task of it first."""
    want = new.want
    hook: CallbackAnswer = {
        "url": want.url or "",
        "events": list(want.events or DEFAULT_EVENTS),
        "format": cast("Literal['standard', 'upstream']", want.format or new.default_format),
        "metadata": want.metadata,
        "gone_at": None,
    }
    return {
        "id": new.id,
        "task_id": want.task_id,
        "upstream": want.upstream,
        "status": Status.QUEUED,
        "upstream_status": None,
        "action": None,
        "progress": None,
        "sequence": 1,
        "registered_at": rfc3339(new.registered_at),
        "submitted_at": None,
        "started_at": None,
        "finished_at": None,
        "ended_at": None,
        "image_url": None,
        "fail_reason": None,
        "callbacks": [] if want.url is None else [hook],
    }


def tell_callback(callback: Callback) -> CallbackAnswer:
    """A callback of a task."""
    return {
        "url": callback.url,
        "events": list(callback.events),
        # A CHECK of the table keeps it to these two.
        "format": cast("Literal['standard', 'upstream']", callback.format),
        "metadata": callback.metadata,
        "gone_at": rfc3339(callback.gone_at),
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


def tell_line(line: FeedLine, cursor: str) -> FeedEvent:
    """A line of the feed, with the text that stands for its place."""
    return {
        "cursor": cursor,
        "id": line.id,
        "task_id": line.task_id,
        "upstream": line.upstream,
        **tell_event(line),
    }


def tell_delivery(line: DeliveryLine, last: AttemptLine | None) -> DeliveryAnswer:
    """A delivery, with the newest of its attempts."""
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
        "last_attempt": tell_attempt(last) if last else None,
        "next_attempt_at": rfc3339(next_attempt_at(line, last)),
        "created_at": rfc3339(line.created_at),
        "settled_at": rfc3339(line.settled_at),
        "why": why(line, last),
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
        "next_attempt_at": rfc3339(line.next_attempt_at),
    }


def tell_trial(trial: Trial) -> TrialAnswer:
    """A test of a URL; never says which address a name stands for."""
    outcome, skew, left = trial.outcome, trial.clock_skew, trial.certificate_left
    return {
        "delivered": outcome.delivered,
        "status_code": outcome.status_code,
        "phase": outcome.phase,
        "error": outcome.error,
        "detail": outcome.detail,
        "blocked_by": _BLOCKED if outcome.error == "blocked" else None,
        "duration_ms": round(outcome.duration / _MILLISECOND),
        "response": outcome.response,
        "message_id": trial.message_id,
        "clock_skew_seconds": None if skew is None else round(skew.total_seconds()),
        "tls_days_left": None if left is None else left.days,
    }


def tell_upstream(name: str, settings: UpstreamSettings, health: Health | None, live_tasks: int) -> UpstreamAnswer:
    """An upstream: what is configured, and how its watcher last saw it; `unknown` until one has."""
    state = _STATES.get(health.state, "ok") if health else "unknown"
    health = health or Health(name=name)
    return {
        "name": name,
        "base_url": settings.base_url,
        "dialect": settings.dialect,
        "state": state,
        "reason": health.reason,
        "paused_until": rfc3339(health.paused_until),
        "last_error": health.last_error,
        "last_error_at": rfc3339(health.last_error_at),
        "last_ok_at": rfc3339(health.last_ok_at),
        "look_size": health.look_size,
        "live_tasks": live_tasks,
        "poll_interval_seconds": settings.poll_interval.total_seconds(),
    }


_STATES: dict[str, Literal["ok", "paused"]] = {"ok": "ok", "paused": "paused"}


def tell_orphan(name: str, live_tasks: int) -> UpstreamAnswer:
    """An upstream that tasks name and nobody configured: no one looks at them."""
    return {
        "name": name,
        "base_url": None,
        "dialect": None,
        "state": "not_configured",
        "reason": None,
        "paused_until": None,
        "last_error": None,
        "last_error_at": None,
        "last_ok_at": None,
        "look_size": None,
        "live_tasks": live_tasks,
        "poll_interval_seconds": None,
    }


def tell_endpoint(line: EndpointLine) -> EndpointAnswer:
    """An endpoint."""
    return {
        "id": line.id,
        "endpoint": line.origin,
        "state": EndpointState(line.state),
        "reason": line.reason,
        "failures": line.failures,
        "failing_since": rfc3339(line.failing_since),
        "paused_until": rfc3339(line.paused_until),
        "last_success_at": rfc3339(line.last_success_at),
        "waiting": line.waiting,
    }


def tell_token(line: TokenLine) -> TokenAnswer:
    """A token."""
    return {
        "id": line.id,
        "owner": line.owner,
        "scope": line.scope,
        "name": line.name,
        "prefix": line.prefix,
        "created_at": rfc3339(line.created_at),
        "last_used_at": rfc3339(line.last_used_at),
        "revoked_at": rfc3339(line.revoked_at),
    }
