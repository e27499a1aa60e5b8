"""Callbacks, the messages they are sent, and what came of each try."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from tracker.model.tasks import Moment, Task


class MessageType(StrEnum):
    """What a callback can be told."""

    SUCCEEDED = "task.succeeded"
    FAILED = "task.failed"
    CANCELLED = "task.cancelled"
    LOST = "task.lost"
    EXPIRED = "task.expired"
    PROGRESS = "task.progress"
    NEEDS_INPUT = "task.needs_input"
    TEST = "callback.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A URL to be told about a task."""

    key: int
    task_key: int
    owner: str
    url: str
    events: tuple[str, ...] = ("ended",)
    """Words of `EVENT_WORDS`."""
    format: str = "standard"
    """`standard`, or `upstream`: the bare upstream JSON."""
    metadata: object = None
    """Any JSON value; handed back in every message."""
    gone_at: datetime | None = None
    """When its receiver said 410, or its owner took it back: it is told nothing more."""

    def wants(self, message_type: MessageType) -> bool:
        """Whether a message of this type is to be sent to it."""
        word = message_type.removeprefix("task.")
        return word in self.events or ("ended" in self.events and word in _END_WORDS)


_END_WORDS = frozenset({"succeeded", "failed", "cancelled", "lost", "expired"})
EVENT_WORDS = ("ended", "succeeded", "failed", "cancelled", "lost", "expired", "progress", "needs_input")
FORMATS = ("standard", "upstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What one message to one callback is composed of."""

    message_type: MessageType
    task: Task
    """As it is after the event."""
    callback: Callback
    sequence: int
    """The event's."""
    at: datetime
    """When the event was observed."""
    object: Mapping[str, object]
    """The upstream's own object, cleaned."""


class DeliveryStatus(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    SUPERSEDED = "superseded"


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message for one callback, claimed for one attempt; made for each, a tenth of the time of a dataclass."""

    key: int
    id: str
    """`msg_…`, the `webhook-id` of every attempt."""
    task_key: int
    callback_key: int
    owner: str
    message_type: MessageType
    url: str
    endpoint: str
    """Scheme, host and port of the URL."""
    body: str
    """What is sent, byte for byte the same in every attempt."""
    attempt: int
    """The number of this attempt; outcomes are recorded only under it."""
    failures: int
    """How many attempts have failed before: the place in the retry schedule."""
    created_at: Moment
    finished_at: Moment | None = None
    """When the task ended, in the upstream's word."""


class Phase(StrEnum):
    """How far an HTTP exchange came."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    HEADERS = "headers"
    BODY = "body"


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came of one attempt."""

    delivered: bool
    duration: timedelta
    status_code: int | None = None
    phase: Phase | None = None
    """Where it broke; None for an answer that was read."""
    error: str | None = None
    """A class of error (`timeout`, `refused`, `blocked`, `status` …), not free text."""
    detail: str | None = None
    """One line for people; never tells which address a name resolved to."""
    response: str | None = None
    """The beginning of the answer's body, as text."""
    retry_after: timedelta | None = None
    gone: bool = False
    """The receiver said 410: this callback wants nothing more."""
    spent: bool = True
    """False where the fault was ours, so that it costs the receiver none of its attempts."""

    @property
    def said(self) -> str:
        """What came back, in a word or two; never which address a name resolved to."""
        return f"HTTP {self.status_code}" if self.status_code else (self.error or "no answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of sending `callback.test` to a URL."""

    message_id: str
    outcome: Outcome
    clock_skew: timedelta | None
    """How far the receiver's clock is ahead of ours, by its Date header; None where it sends none."""
    certificate_left: timedelta | None
    """How long the receiver's certificate is still valid; None without TLS."""
