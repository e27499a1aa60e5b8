"""The shapes of whole answers: pages, batches, problems."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads the one in `typing` only from Python 3.12 on

from tracker.telling import (
    DeliveryAnswer,
    DeliveryWithAttempts,
    EndpointAnswer,
    EventAnswer,
    FeedEvent,
    TaskAnswer,
    UpstreamAnswer,
)


class FieldProblem(TypedDict):
    """One field that cannot be used."""

    field: Annotated[str, Field(examples=["callback_url", "[3].task_id", "limit"])]
    problem: str
    fix: str


class Problem(TypedDict):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: Annotated[list[FieldProblem], Field(description="The fields at fault, where it was fields.")]


class RegisteredTask(TaskAnswer):
    """A task as one registration of a batch left it."""

    created: Annotated[bool, Field(description="False when it was known already.")]


class Batch(TypedDict):
    """What became of a batch, in its order."""

    tasks: list[RegisteredTask]
    created: Annotated[int, Field(description="How many were new.")]


class DroppedTask(TaskAnswer):
    """A task as the wish to stop watching it left it."""

    stopped: Annotated[bool, Field(description="False when it had ended, or goes on for another owner.")]


class TaskPage(TypedDict):
    """Tasks, newest first."""

    tasks: list[TaskAnswer]
    next_cursor: Annotated[str | None, Field(description="Where to go on; null at the end.")]


class History(TypedDict):
    """Everything that happened to a task, first to last."""

    events: list[EventAnswer]


class Feed(TypedDict):
    """What changed, first to last."""

    events: list[FeedEvent]
    next_cursor: Annotated[str, Field(description="Where to go on: always there, also when nothing is new.")]


class WholeDelivery(DeliveryWithAttempts):
    """One message for one callback, with every try and what was sent."""

    body: Annotated[str | None, Field(description="Byte for byte what is sent; null once it was tidied away.")]


class TaskDeliveries(TypedDict):
    """The caller's deliveries of one task, first to last."""

    deliveries: list[DeliveryWithAttempts]


class DeliveryPage(TypedDict):
    """Deliveries, newest first."""

    deliveries: list[DeliveryAnswer]
    next_cursor: Annotated[str | None, Field(description="Where to go on; null at the end.")]


class Redelivered(TypedDict):
    """What became of the wish to send all that match again."""

    redelivered: Annotated[int, Field(description="How many are due again.")]


class EndpointPage(TypedDict):
    """Endpoints, newest first."""

    endpoints: list[EndpointAnswer]
    next_cursor: Annotated[str | None, Field(description="Where to go on; null at the end.")]


class Upstreams(TypedDict):
    """The configured upstreams, then those that only live tasks name."""

    upstreams: list[UpstreamAnswer]


class Sound(TypedDict):
    """All is well."""

    status: Literal["ok"]


class Link(TypedDict):
    """An address of the pages that signs somebody in, once."""

    path: Annotated[str, Field(description="Below the daemon's address.", examples=["/sign-in?link=lnk_…"])]
    expires_at: str
