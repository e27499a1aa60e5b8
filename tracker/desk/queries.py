"""What may stand in an address: ids, filters, and the places where pages go on."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tracker.errors import InputError
from tracker.intake.requests import explain, unfit
from tracker.model import DeliveryStatus, Status
from tracker.store.feed import BEGINNING, Position
from tracker.store.tasks import Filter

LARGEST_PAGE = 500
LARGEST_FEED_PAGE = 1000
# The last one is what decoding leaves of bytes that are no UTF-8.
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffd]")
# In an address a plus means a blank, unless somebody thought of escaping it.
_LOST_PLUS = re.compile(r"(:[\d.]+) (\d\d:?\d\d)$")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def _clean(value: str) -> str:
    if _UNFIT.search(value):
        raise unfit("has a control character or half a character", "send plain text in UTF-8")
    return value


def _statuses(value: object) -> list[Status]:
    """Repeated parameters, each a word or several with commas between."""
    parts = value if isinstance(value, list | tuple) else [value]
    words = [word.strip() for part in parts for word in str(part).split(",") if word.strip()]
    if unknown := [word for word in words if word not in _KNOWN_STATUSES]:
        raise unfit(f"{unknown[0]!r} is no status", f"use some of: {', '.join(_KNOWN_STATUSES)}")
    return [Status(word) for word in words]


_KNOWN_STATUSES = tuple(str(status) for status in Status)


def _moment(value: object) -> datetime:
    text = _LOST_PLUS.sub(r"\1+\2", str(value).strip())
    try:
        moment = datetime.fromisoformat(text)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise unfit("is not a time", "send one like 2026-11-22T08:00:00Z") from None
    return max(aware, _EARLIEST)


Text = Annotated[str, AfterValidator(_clean)]
TaskId = Annotated[
    Text,
    Field(
        description="The tracker's own id of the task: `tsk_…`, as registering answers it. "
        "`GET /v1/tasks?task_id=…` finds it by the upstream's id."
    ),
]
DeliveryId = Annotated[Text, Field(description="The id of the delivery: `msg_…`.")]
EndpointId = Annotated[Text, Field(description="The id of the endpoint: `end_…`.")]
Instant = Annotated[datetime, BeforeValidator(_moment)]


class _Page(BaseModel):
    """What every list takes; what it does not know it refuses, since a misspelt filter would match everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=50, ge=1, le=LARGEST_PAGE, description="The most to list.")
    cursor: Text | None = Field(default=None, description="The `next_cursor` of the page before.")


class TaskQuery(_Page):
    """Which tasks to list."""

    status: Annotated[tuple[Status, ...], BeforeValidator(_statuses)] = Field(
        default=(), description="One or more, repeated or with commas between."
    )
    upstream: Text | None = Field(default=None, max_length=64, description="The name of an upstream.")
    task_id: Text | None = Field(default=None, max_length=512, description="The upstream's id, exactly.")
    q: Text | None = Field(
        default=None, max_length=200, description="A part of the id, or of the upstream's object (its prompt, say)."
    )
    since: Instant | None = Field(default=None, description="Registered at or after; UTC unless it says otherwise.")
    until: Instant | None = Field(default=None, description="Registered before.")

    def filter(self) -> Filter:
        """The store's words for it, with one more row to see whether there is a next page."""
        return Filter(
            status=self.status or None,
            upstream=self.upstream,
            task_id=self.task_id,
            q=self.q,
            since=self.since,
            until=self.until,
            before=read_cursor("t", self.cursor),
            limit=self.limit + 1,
        )


class DeliveryQuery(_Page):
    """Which deliveries to list."""

    status: DeliveryStatus | None = Field(default=None, description="Where the message stands.")


class EndpointQuery(_Page):
    """Which endpoints to list."""


class RedeliveryRequest(BaseModel):
    """Which messages to send again; all that is given must match."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Text | None = Field(
        default=None, max_length=2048, description="Those for this endpoint: its `end_…` or its address."
    )
    status: Literal["dead", "delivered"] = Field(default="dead", description="Those that stand like this.")
    since: Instant | None = Field(default=None, description="Made at or after; UTC unless it says otherwise.")
    until: Instant | None = Field(default=None, description="Made before.")


def read_redelivery(document: object) -> RedeliveryRequest:
    """The request in a document; raises InputError naming the field."""
    try:
        wanted = RedeliveryRequest.model_validate(document)
    except ValidationError as error:
        raise explain(error.errors(include_url=False)[0]) from None
    if not wanted.model_fields_set:
        # Every dead message of every receiver is not what a forgotten condition means.
        raise InputError("body", "names no condition", "write at least one of endpoint, status, since, until")
    return wanted


class FeedQuery(BaseModel):
    """Where in the feed to go on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=100, ge=1, le=LARGEST_FEED_PAGE, description="The most to list; a stream ignores it.")
    cursor: Text | None = Field(
        default=None,
        description="A `cursor` or `next_cursor`, to go on after it, or `now`. "
        "Without one a page starts at the beginning, a stream now.",
    )


def next_cursor(kind: str, keys: Sequence[int], limit: int) -> str | None:
    """Where the page after these keys goes on; None when there are no more than `limit`."""
    return cursor_below(kind, keys[limit - 1]) if len(keys) > limit else None


def read_cursor(kind: str, cursor: str | None) -> int | None:
    """The key to go on below; raises InputError for what no page gave out."""
    if cursor is None:
        return None
    match = re.fullmatch(rf"{kind}([1-9][0-9]{{0,17}})", _decoded(cursor), re.ASCII)
    if match is None or cursor_below(kind, int(match[1])) != cursor:
        raise InputError("cursor", "is not from a page of this list", "send the next_cursor of the page before")
    return int(match[1])


def cursor_below(kind: str, key: int) -> str:
    """The place from which a list goes on below this key."""
    return _encoded(f"{kind}{key}")


NOW = "now"
"""In the place of a cursor: the end of the feed."""
_FEED_CURSOR = re.compile(r"e([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


def feed_cursor(position: Position) -> str:
    """A place in the feed, as it is told."""
    return _encoded(f"e{position.transaction_id}.{position.key}")


def read_feed_cursor(field: str, cursor: str | None) -> Position | None:
    """Where to go on; None for the end; raises InputError for what the feed never gave out."""
    if cursor is None:
        return BEGINNING
    if cursor == NOW:
        return None
    match = _FEED_CURSOR.fullmatch(_decoded(cursor))
    position = Position(int(match[1]), int(match[2])) if match else None
    if position is None or feed_cursor(position) != cursor:
        raise InputError(field, "is not from the feed", "send the cursor of the last event you have, or `now`")
    return position


def _encoded(place: str) -> str:
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    """What a cursor says; nothing where it is none of ours."""
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        return ""
