"""The shapes in which things are told: what is built, what the type checker checks, and what OpenAPI tells."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads the one in `typing` only from Python 3.12 on

from tracker.model import DeliveryStatus, EndpointState, EventKind, MessageType, Status

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-22T08:00:00.123Z"])]
TrackerId = Annotated[str, Field(description="The tracker's own id of the task.", examples=["tsk_019ab1…"])]


class CallbackAnswer(TypedDict):
    """A URL to be told about a task."""

    url: str
    events: list[str]
    format: Literal["standard", "upstream"]
    metadata: Annotated[object, Field(description="Any JSON.")]
    gone_at: Annotated[str | None, Field(description="When it answered 410, or its owner took it back.")]


class TaskAnswer(TypedDict):
    """A task with the caller's callbacks."""

    id: TrackerId
    task_id: Annotated[str, Field(description="The upstream's id of the task.")]
    upstream: str
    status: Status
    upstream_status: Annotated[str | None, Field(description="In the upstream's word; null before it has said any.")]
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
    next_attempt_at: Annotated[
        Moment | None, Field(description="While its endpoint is paused the next probe; null while that is disabled.")
    ]
    created_at: Moment
    settled_at: Moment | None
    why: Annotated[str, Field(description="Where it stands and what happens next, in words.")]


class DeliveryWithAttempts(DeliveryAnswer):
    """One message for one callback, with every try."""

    attempts: list[AttemptAnswer]


class TrialAnswer(TypedDict):
    """What came of sending `callback.test` to a URL."""

    delivered: Annotated[bool, Field(description="Whether the receiver answered 2xx.")]
    status_code: int | None
    phase: Annotated[str | None, Field(description="Where it broke: dns, connect, tls, send, headers or body.")]
    error: Annotated[str | None, Field(description="A class of error: timeout, refused, blocked, status …")]
    detail: str | None
    blocked_by: Annotated[str | None, Field(description="Why the URL may not be called, where that is so.")]
    duration_ms: int
    response: Annotated[str | None, Field(description="The beginning of what the receiver answered.")]
    message_id: Annotated[str, Field(description="The `webhook-id` that was sent.", examples=["msg_5f0c…"])]
    clock_skew_seconds: Annotated[
        int | None, Field(description="How far the receiver's clock is ahead, by its Date header; null without one.")
    ]
    tls_days_left: Annotated[int | None, Field(description="How long its certificate is valid; null without TLS.")]


class UpstreamAnswer(TypedDict):
    """How an upstream is configured, and how it is doing; nulls where only tasks name it."""

    name: str
    base_url: str | None
    dialect: str | None
    state: Literal["ok", "paused", "unknown", "not_configured"]
    reason: str | None
    paused_until: Moment | None
    last_error: str | None
    last_error_at: Moment | None
    last_ok_at: Moment | None
    look_size: Annotated[int | None, Field(description="How many tasks one request asks for.")]
    live_tasks: Annotated[int, Field(description="How many of those that the caller may see have not ended.")]
    poll_interval_seconds: float | None


class EndpointAnswer(TypedDict):
    """How a receiver is doing."""

    id: Annotated[str, Field(examples=["end_019ab1…"])]
    endpoint: Annotated[str, Field(description="Scheme, host and port.")]
    state: EndpointState
    reason: Annotated[str | None, Field(description="Why it is paused or disabled.")]
    failures: Annotated[int, Field(description="In a row, since the last success.")]
    failing_since: Moment | None
    paused_until: Annotated[Moment | None, Field(description="When the next probe may go out.")]
    last_success_at: Annotated[Moment | None, Field(description="Noted once a minute at most.")]
    waiting: Annotated[int, Field(description="How many messages are pending.")]


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
