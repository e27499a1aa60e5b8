"""The shapes in which things are told: what is built, what the type checker checks, and what OpenAPI tells."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads the one in `typing` only from Python 3.12 on

from tracker.model import DeliveryStatus, EventKind, MessageType, Status

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-22T08:00:00.123Z"])]
TrackerId = Annotated[str, Field(description="The tracker's own id of the task.", examples=["tsk_019ab1…"])]


class CallbackAnswer(TypedDict):
    """A URL to be told about a task."""

    url: str
    events: list[str]
    format: Literal["standard", "upstream"]
    metadata: Annotated[object, Field(description="Any JSON.")]


class TaskAnswer(TypedDict):
    """A task with the caller's callbacks."""

    id: TrackerId
    task_id: Annotated[str, Field(description="The upstream's id of the task.")]
    upstream: str
    status: Status
    upstream_status: str
    action: str | None
    progress: int | None
    sequence: Annotated[int, Field(description="The number of its newest event.")]
    registered_at: Moment
    submitted_at: Moment | None
    started_at: Moment | None
    finished_at: Annotated[Moment | None, Field(description="When it ended, in the upstream's word.")]
    ended_at: Annotated[Moment | None, Field(description="When its end was seen.")]
    image_url: str | None
    fail_reason: str | None
    callbacks: list[CallbackAnswer]


class TaskWithObject(TaskAnswer):
    """A task with the caller's callbacks and what the upstream said last."""

    task: Annotated[object, Field(description="The upstream's own object as last seen, or null.")]


class EventAnswer(TypedDict):
    """One line of a task's history."""

    sequence: int
    event: EventKind
    observed_at: Moment
    from_status: Status | None
    to_status: Status | None
    upstream_status: str | None
    progress: int | None
    note: str | None


class FeedEvent(EventAnswer):
    """One thing that changed."""

    cursor: Annotated[str, Field(description="Its place: send it back to go on after it.")]
    id: TrackerId
    task_id: Annotated[str, Field(description="The upstream's id of the task.")]
    upstream: str


class AttemptAnswer(TypedDict):
    """One HTTP try of a delivery."""

    attempt: int
    attempted_at: Moment
    outcome: Literal["sending", "delivered", "failed", "interrupted"]
    status_code: int | None
    duration_ms: int | None
    phase: Annotated[str | None, Field(description="Where it broke: dns, connect, tls, send, headers or body.")]
    error: str | None
    detail: str | None
    response: Annotated[str | None, Field(description="The beginning of what the receiver answered.")]
    next_attempt_at: Moment | None


class DeliveryAnswer(TypedDict):
    """One message for one callback."""

    id: Annotated[str, Field(description="The `webhook-id` of every attempt.", examples=["msg_5f0c…"])]
    task: TrackerId
    task_id: str
    upstream: str
    type: MessageType
    sequence: int
    url: str
    endpoint: Annotated[str, Field(description="Scheme, host and port of the URL.")]
    status: DeliveryStatus
    attempt: Annotated[int, Field(description="How many attempts were made.")]
    last_attempt: Annotated[AttemptAnswer | None, Field(description="The newest one; null before the first.")]
    next_attempt_at: Moment | None
    created_at: Moment
    settled_at: Moment | None


class DeliveryWithAttempts(DeliveryAnswer):
    """One message for one callback, with every try."""

    attempts: list[AttemptAnswer]


class UpstreamAnswer(TypedDict):
    """How an upstream is configured, and how it is doing; nulls where only tasks name it."""

    name: str
    base_url: str | None
    dialect: str | None
    state: Literal["ok", "paused", "not_configured"]
    reason: str | None
    paused_until: Moment | None
    last_error: str | None
    last_error_at: Moment | None
    last_ok_at: Moment | None
    look_size: Annotated[int | None, Field(description="How many tasks one request asks for.")]
    live_tasks: Annotated[int, Field(description="How many have not ended.")]
    poll_interval_seconds: float | None


class TokenAnswer(TypedDict):
    """A token, never the token itself."""

    id: str
    owner: str
    scope: str
    name: str
    prefix: str
    created_at: Moment
    last_used_at: Moment | None
    revoked_at: Moment | None
