"""Tasks, what can be seen of them, and what that changed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Annotated

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""With its zone, also where it is read from text."""


class Status(StrEnum):
    """The tracker's own, normalised word for where a task is."""

    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_INPUT = "needs_input"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    EXPIRED = "expired"
    DROPPED = "dropped"

    @property
    def is_end(self) -> bool:
        """Whether a task in this status is never watched again."""
        return self not in _LIVE


_LIVE = frozenset({Status.QUEUED, Status.RUNNING, Status.NEEDS_INPUT})
ENDS = tuple(status for status in Status if status.is_end)


class EventKind(StrEnum):
    """What a line of a task's history is about."""

    REGISTERED = "registered"
    STATUS = "status"
    PROGRESS = "progress"
    CONTRADICTION = "contradiction"
    DELIVERED = "delivered"
    DELIVERY_FAILED = "delivery_failed"
    DELIVERY_DEAD = "delivery_dead"


class MissKind(StrEnum):
    """Why an upstream said nothing usable about a task."""

    UNKNOWN = "unknown"
    """It does not know the id: counted, and `lost` in the end."""
    TRANSIENT = "transient"
    """It could not be reached, or failed in a way that passes."""
    REFUSED = "refused"
    """It does not accept the credential; says nothing about the task."""
    THROTTLED = "throttled"
    """It asks for fewer requests."""
    UNUSABLE = "unusable"
    """It answered with something that is no task: HTML, broken JSON, an error body."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an upstream said about a task just now, in the tracker's terms.

    As `Task`, `Event` and `Change` no dataclass: a thousand of each may be made in a second, at a tenth of the cost.
    """

    task_id: str
    status: Status | None
    """None when the upstream's word is unknown, empty or missing."""
    upstream_status: str = ""
    progress: int | None = None
    action: str | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    image_url: str | None = None
    fail_reason: str | None = None
    reported_id: str | None = None
    """The id in the answer, where it is not the one asked for."""
    implies_failure: bool = False
    """Full progress with a reason of failure: some gateways never touch such a task again."""
    kept: Callable[[], Mapping[str, object]] = dict
    """Gives `object`, made when somebody wants it: most looks bring nothing to keep."""

    @property
    def fingerprint(self) -> int:
        """Equal for two snapshots that tell the same news; only comparable inside one process."""
        return hash(_news(self))

    def __eq__(self, other: object) -> bool:
        """Whether it tells the same, its object included."""
        return isinstance(other, Snapshot) and _all(self) == _all(other) and self.object == other.object

    __hash__ = None  # type: ignore[assignment]

    @property
    def object(self) -> Mapping[str, object]:
        """The upstream's own object, cleaned of secrets and of what no database can store; made anew each time."""
        return self.kept()


_all: Callable[[Snapshot], tuple[object, ...]] = attrgetter(
    *(name for name in Snapshot.__struct_fields__ if name != "kept")
)
NEWS = (
    "status",
    "upstream_status",
    "progress",
    "action",
    "submitted_at",
    "started_at",
    "finished_at",
    "fail_reason",
)
"""What of a snapshot is news; a task has fields of the same names.

Image addresses are left out on purpose: they change at every fetch. That it implies a failure follows from the others.
"""
_news = attrgetter(*NEWS)


def fingerprint(news: Iterable[object]) -> int:
    """That of a snapshot with this `NEWS`: where a task has the same, it would change nothing but an image address."""
    return hash(tuple(news))


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Why an upstream said nothing usable about a task, or about any task."""

    kind: MissKind
    detail: str
    """One line for people; never a secret, never an answer's whole body."""
    retry_after: timedelta | None = None


Seen = Snapshot | Miss


class Task(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One job at one upstream; `(upstream, task_id)` is unique, `id` is the tracker's own.

    Like a list, so that it is read straight from a row of these columns.
    """

    key: int
    id: str
    upstream: str
    task_id: str
    registered_at: Moment
    status: Status = Status.QUEUED
    upstream_status: str = ""
    action: str | None = None
    progress: int | None = None
    sequence: int = 0
    """The number of its newest event."""
    submitted_at: Moment | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    """The upstream's word for when it ended; `ended_at` is when we saw it."""
    ended_at: Moment | None = None
    image_url: str | None = None
    fail_reason: str | None = None
    contradiction: str | None = None
    """The newest thing an upstream said against the recorded end."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a task's history."""

    sequence: int
    kind: EventKind
    observed_at: datetime
    from_status: Status | None = None
    to_status: Status | None = None
    upstream_status: str | None = None
    progress: int | None = None
    note: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one observation did to a task: the task as it is now, and the event, if it made one."""

    task: Task
    event: Event | None = None
    kept: Callable[[], Mapping[str, object]] | None = None
    """Gives the upstream's object to keep, where something is to be written; as `Snapshot.kept`."""

    @property
    def object(self) -> Mapping[str, object] | None:
        """The object to keep; made anew each time, so that hundreds need not be held until they are written."""
        return self.kept and self.kept()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long an upstream's tasks may stay without an end, and how long unknown before `lost`."""

    expire_after: timedelta = timedelta(hours=24)
    lost_after: timedelta = timedelta(minutes=10)

    def expires_at(self, task: Task) -> datetime:
        """The deadline of a task; one that waits for a person gets seven times as long."""
        factor = 7 if task.status is Status.NEEDS_INPUT else 1
        try:
            return task.registered_at + factor * self.expire_after
        except OverflowError:
            # Registered by hand at the end of all time.
            return datetime.max.replace(tzinfo=UTC)


class Streak(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often in a row, and since when, an upstream has said the same kind of nothing about a task."""

    kind: str = ""
    count: int = 0
    since: datetime | None = None
    silent: int = 0
    """How often it was unknown or out of reach, in any order, since it was last seen."""
    silent_since: datetime | None = None

    def lasted(self, now: datetime) -> timedelta:
        """How long it has gone on."""
        return now - self.since if self.since else timedelta(0)

    def silent_for(self, now: datetime) -> timedelta:
        """How long the task has been unknown or out of reach."""
        return now - self.silent_since if self.silent_since else timedelta(0)


NO_STREAK = Streak()
