"""Which deliveries somebody asks for: the conditions in an address or a form, and what is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tracker.desk.queries import Instant, Text
from tracker.errors import InputError, NotFoundError, TrackerError
from tracker.intake import explain
from tracker.intake.requests import LONGEST_TASK_ID, LONGEST_URL
from tracker.model import DeliveryStatus, MessageType
from tracker.store import receivers, redelivery, tasks
from tracker.store.database import Connection
from tracker.store.searching_messages import Matching

FIELDS = ("status", "endpoint", "type", "task", "since", "until")
_SENT_AGAIN = (DeliveryStatus.DEAD, DeliveryStatus.DELIVERED)


class _Conditions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    status: DeliveryStatus | None = None
    type: MessageType | None = None
    endpoint: Text | None = Field(default=None, max_length=LONGEST_URL)
    task: Text | None = Field(default=None, max_length=LONGEST_TASK_ID)
    since: Instant | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Conditions as they were typed, and as the store understands them."""

    typed: Mapping[str, str]
    matching: Matching | None = None
    """None where something is wrong."""
    problems: Mapping[str, TrackerError] = field(default_factory=dict)
    """By field."""

    @property
    def again(self) -> redelivery.Matching | None:
        """What sends all of them again; None where nobody has said whether those that are dead or those delivered."""
        if self.matching is None or len(self.matching.status) != 1 or self.matching.status[0] not in _SENT_AGAIN:
            return None
        return redelivery.Matching(
            status=self.matching.status[0],
            endpoint_key=self.matching.endpoint_key,
            message_type=self.matching.message_type,
            task_key=self.matching.task_key,
            since=self.matching.since,
            until=self.matching.until,
        )


def typed_in(given: Mapping[str, str]) -> dict[str, str]:
    """The conditions that were filled in; a form sends the empty ones too."""
    return {name: given[name].strip() for name in FIELDS if given.get(name, "").strip()}


def read_filter(connection: Connection, typed: Mapping[str, str], *, owner: str | None) -> DeliveryFilter:
    """Find out what the conditions mean, and what the names in them stand for."""
    try:
        wanted = _Conditions.model_validate(typed)
    except ValidationError as error:
        found = [explain(one) for one in error.errors(include_url=False, include_input=False)]
        return DeliveryFilter(typed=typed, problems={one.field: one for one in found})
    matching = Matching(
        status=(wanted.status,) if wanted.status else (),
        message_type=wanted.type,
        since=wanted.since,
        until=wanted.until,
    )
    problems: dict[str, TrackerError] = {}
    if wanted.endpoint is not None:
        try:
            key = receivers.get(connection, wanted.endpoint, owner=owner).key
            matching = replace(matching, endpoint_key=key)
        except NotFoundError as error:
            problems["endpoint"] = error
    if wanted.task is not None:
        try:
            matching = replace(matching, task_key=_task_key(connection, wanted.task, owner))
        except (InputError, NotFoundError) as error:
            problems["task"] = error
    return DeliveryFilter(typed=typed, matching=None if problems else matching, problems=problems)


def _task_key(connection: Connection, given: str, owner: str | None) -> int:
    """A task by its `tsk_…`, or by the upstream's id where only one upstream knows it."""
    if given.startswith("tsk_"):
        found = [task for task in [tasks.get(connection, given, owner=owner)] if task]
    else:
        found = tasks.find(connection, given, upstream=None, owner=owner)
    if not found:
        raise NotFoundError(f"there is no task {given!r}")
    if len(found) > 1:
        raise InputError("task", "several upstreams know this id", f"use one of: {', '.join(one.id for one in found)}")
    return found[0].key
