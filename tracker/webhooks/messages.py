"""What a message says. Composed once and stored, so that every attempt sends the same bytes."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import uuid4

import msgspec

from tracker.model import Callback, MessageType, Status, Task
from tracker.moments import rfc3339
from tracker.vocabulary import parse_status

LARGEST = 20_000
"""Bytes that a body stays under: what receivers of Standard Webhooks must be able to take."""
_LARGEST_URL = 4096
_LARGEST_TEXT = 1000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# Dropped one by one from an object that is too large, the least missed first.
_UNESSENTIAL = (
    "buttons",
    "properties",
    "promptEn",
    "promptCn",
    "promptFull",
    "finalPrompt",
    "prompt",
    "description",
    "maskBase64",
)
_ESSENTIAL = frozenset(
    {"id", "action", "status", "progress", "submitTime", "startTime", "finishTime", "imageUrl", "failReason"}
)

# The upstream has no words for an end that it does not know of, and its hooks' receivers know none.
_WORDS = {Status.SUCCEEDED: "SUCCESS", Status.CANCELLED: "CANCEL"}
_REASONS = {
    Status.LOST: "lost: the gateway does not know the task any more",
    Status.EXPIRED: "expired: the task had no end within its deadline",
}

Body = dict[str, object]


def new_message_id() -> str:
    """A fresh `webhook-id`; it must not contain a dot."""
    return f"msg_{uuid4().hex}"


def compose(
    message_type: MessageType,
    task: Task,
    *,
    sequence: int,
    at: datetime,
    status: Status,
    object: Mapping[str, object],  # noqa: A002 - what it is called in every other place
    callback: Callback,
) -> str:
    """The body of a message, always JSON and under 20,000 bytes of UTF-8.

    `object` is the upstream's own, and the whole body in the format `upstream`. One that is too large loses parts
    and says `"truncated": true`.
    """
    if callback.format == "upstream":
        return _first_that_fits(_sizes_of(_bare(task, status, dict(object))))
    data: Body = {
        "id": task.id,
        "task_id": task.task_id,
        "upstream": task.upstream,
        "status": str(status),
        "upstream_status": task.upstream_status,
        "progress": task.progress,
        "sequence": sequence,
        "submitted_at": rfc3339(task.submitted_at),
        "started_at": rfc3339(task.started_at),
        "finished_at": rfc3339(task.finished_at),
        "image_url": task.image_url,
        "fail_reason": task.fail_reason,
        "metadata": callback.metadata,
    }
    envelope: Body = {"type": str(message_type), "timestamp": rfc3339(at)}
    return _first_that_fits({**envelope, "data": body} for body in _sizes_of_data(data, dict(object)))


def _bare(task: Task, status: Status, upstream_object: Body) -> Body:
    """What the upstream's own hook would send: its object; an end that it did not tell, in the words that it has."""
    bare = {"id": task.task_id, **(upstream_object or _remembered(task))}
    if not status.is_end or parse_status(bare.get("status")) is status:
        return bare
    reason = bare.get("failReason") or _REASONS.get(status)
    return bare | {"status": _WORDS.get(status, "FAILURE")} | ({"failReason": reason} if reason else {})


def _remembered(task: Task) -> Body:
    """Its object, from what is known of a task that the upstream never showed, or showed long ago."""
    remembered: Body = {
        "action": task.action,
        "status": task.upstream_status,
        "progress": None if task.progress is None else f"{task.progress}%",
        "submitTime": _milliseconds(task.submitted_at),
        "startTime": _milliseconds(task.started_at),
        "finishTime": _milliseconds(task.finished_at),
        "imageUrl": task.image_url,
        "failReason": task.fail_reason,
    }
    return {key: value for key, value in remembered.items() if value is not None}


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _sizes_of_data(data: Body, upstream_object: Body) -> Iterator[Body]:
    """The same news at ever smaller size; the last one is small whatever came in."""
    smaller: Body = {}
    for smaller in _sizes_of(upstream_object):
        yield {**data, "task": smaller}
    short = {key: _shortened(value) for key, value in data.items() if key not in ("image_url", "metadata")}
    kept = {
        "image_url": data["image_url"] if _size(data["image_url"]) <= _LARGEST_URL else None,
        "metadata": data["metadata"],
    }
    least: Body = {"truncated": True}
    for left in (smaller, least):
        yield {key: (short | kept)[key] for key in data} | {"task": left}
    yield {key: (short | kept | {"metadata": None})[key] for key in data} | {"task": least}


def _sizes_of(upstream_object: Body) -> Iterator[Body]:
    yield upstream_object
    left = upstream_object
    for name in _UNESSENTIAL:
        if name in left:
            left = {key: value for key, value in left.items() if key != name}
            yield left | {"truncated": True}
    essential = {key: value for key, value in left.items() if key in _ESSENTIAL}
    yield essential | {"truncated": True}
    yield {key: _cut(key, value) for key, value in essential.items()} | {"truncated": True}


def _cut(key: str, value: object) -> object:
    """An address is kept whole or not at all: half of one leads nowhere."""
    if key == "imageUrl" and isinstance(value, str):
        return value if _size(value) <= _LARGEST_URL else None
    return _shortened(value)


def _shortened(value: object) -> object:
    if isinstance(value, str):
        while _size(value) > _LARGEST_TEXT:
            value = value[: min(_LARGEST_TEXT, len(value) * 3 // 4)].rstrip("…") + "…"
        return value
    return value if isinstance(value, int | float) and _size(value) <= _LARGEST_TEXT else None


def _first_that_fits(bodies: Iterator[Body]) -> str:
    for body in bodies:
        text = _dumped(body)
        if text is not None and len(text.encode()) < LARGEST:
            return text
    raise AssertionError("the smallest body is too large")  # pragma: no cover


def _size(value: object) -> int:
    return len((_dumped(value) or "").encode())


def _dumped(value: object) -> str | None:
    """JSON that every parser takes, with nothing that UTF-8 cannot carry; None if it is nested too deeply."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError):
        return _repaired(value)
    except RecursionError:
        return None


def _repaired(value: object) -> str | None:
    """The same for what is not fit as it is: half a character, say."""
    try:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        return None
    return _LONE_SURROGATE.sub("\ufffd", text)


def _finite(value: object) -> object:
    """Numbers beyond a float's range become null: `1e999` is JSON, but `Infinity` is not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
