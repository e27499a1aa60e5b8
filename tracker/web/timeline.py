"""Everything that happened to a task in one line of time: what was seen, what was sent, every try of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tracker.model import DeliveryStatus, EventKind
from tracker.telling.kept import recognise
from tracker.telling.shapes import AttemptAnswer, DeliveryWithAttempts, EventAnswer

Kind = Literal["event", "progress", "message", "attempt", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened; which fields it has, its kind says."""

    at: datetime
    kind: Kind
    sign: str
    """The word by whose colour and sign it is known."""
    event: EventAnswer | None = None
    first: EventAnswer | None = None
    """Of several steps of progress in a row the first; `event` is the last."""
    steps: int = 1
    delivery: DeliveryWithAttempts | None = None
    attempt: AttemptAnswer | None = None


def timeline(events: Sequence[EventAnswer], deliveries: Sequence[DeliveryWithAttempts]) -> list[Entry]:
    """All of it, the newest last; what the history says of attempts that are still known in full is left out."""
    known = {(one["id"], attempt["attempt"]) for one in deliveries for attempt in one["attempts"]}
    entries = [*_seen(event for event in events if _attempt_of(event) not in known)]
    for delivery in deliveries:
        entries += _sent(delivery)
    return sorted(entries, key=lambda entry: (entry.at, _RANK[entry.kind]))


_RANK: dict[Kind, int] = {"event": 0, "progress": 0, "message": 1, "attempt": 2, "planned": 3}
_OF_DELIVERIES = {EventKind.DELIVERED, EventKind.DELIVERY_FAILED, EventKind.DELIVERY_DEAD}


def _attempt_of(event: EventAnswer) -> tuple[str, int] | None:
    """Which attempt a line of the history tells of."""
    note = recognise(event["note"] or "") if event["event"] in _OF_DELIVERIES else None
    if note is None or "attempt" not in note.parts:
        return None
    return str(note.parts["id"]), int(str(note.parts["attempt"]))


def _seen(events: Iterable[EventAnswer]) -> Iterator[Entry]:
    steps: list[EventAnswer] = []
    for event in events:
        if event["event"] == EventKind.PROGRESS:
            steps.append(event)
            continue
        yield from _progress(steps)
        steps = []
        yield Entry(at=_at(event["observed_at"]), kind="event", sign=event["to_status"] or event["event"], event=event)
    yield from _progress(steps)


def _progress(steps: Sequence[EventAnswer]) -> Iterator[Entry]:
    if steps:
        at = _at(steps[-1]["observed_at"])
        yield Entry(at=at, kind="progress", sign="running", event=steps[-1], first=steps[0], steps=len(steps))


def _sent(delivery: DeliveryWithAttempts) -> Iterator[Entry]:
    yield Entry(at=_at(delivery["created_at"]), kind="message", sign="queued", delivery=delivery)
    for attempt in delivery["attempts"]:
        at = _at(attempt["attempted_at"])
        yield Entry(at=at, kind="attempt", sign=attempt["outcome"], delivery=delivery, attempt=attempt)
    if delivery["status"] == DeliveryStatus.PENDING and delivery["next_attempt_at"]:
        at = _at(delivery["next_attempt_at"])
        yield Entry(at=at, kind="planned", sign="pending", delivery=delivery)


def _at(told: str) -> datetime:
    return datetime.fromisoformat(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How far a task was, drawn: to the right is later, up is further."""

    x: float
    y: float


WIDTH, HEIGHT = 144, 24


def progress_points(events: Sequence[EventAnswer], until: datetime) -> list[Point]:
    """The steps of a task's progress, to be joined by a line; none where nobody said how far it was."""
    known = [(_at(event["observed_at"]), event["progress"]) for event in events if event["progress"] is not None]
    if not known:
        return []
    first = _at(events[0]["observed_at"])
    length = max((max(until, known[-1][0]) - first).total_seconds(), 0.001)
    points: list[Point] = []
    for at, progress in known:
        x = round((at - first).total_seconds() / length * WIDTH, 1)
        y = round(HEIGHT - 1 - (progress or 0) / 100 * (HEIGHT - 2), 1)
        if points:
            # It stays where it is until somebody says otherwise.
            points.append(Point(x=x, y=points[-1].y))
        points.append(Point(x=x, y=y))
    return points
