"""One timeline of a task: what was seen, what was sent for it, every try, and what comes next."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.cli.protocol import Document

_OF_ATTEMPT = re.compile(r"(msg_\w+) to .*, attempt (\d+):")
"""How a history begins to tell of an attempt."""
_TRIED = frozenset({"delivered", "delivery_failed", "delivery_dead"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened, or will; `word` is the status that it came to."""

    at: datetime
    word: str
    said: str


def timeline(events: Sequence[Document], sent: Sequence[Document]) -> list[Moment]:
    """All of it by time; what history tells of attempts that are still known in full is left out."""
    known = {(one["id"], attempt["attempt"]) for one in sent for attempt in one["attempts"]}
    told = [event for event in events if _attempt_of(event) not in known]
    moments = [*_seen(told)]
    for one in sent:
        moments += _of_message(one)
    return sorted(moments, key=lambda moment: moment.at)


def _attempt_of(event: Document) -> tuple[str, int] | None:
    found = _OF_ATTEMPT.search(event["note"] or "") if event["event"] in _TRIED else None
    return (found[1], int(found[2])) if found else None


def _seen(events: Sequence[Document]) -> Iterator[Moment]:
    """The history, with steps of progress in a row as one."""
    steps: list[Document] = []
    for event in events:
        if event["event"] == "progress":
            steps.append(event)
            continue
        yield from _progress(steps)
        steps = []
        yield Moment(
            at=_at(event["observed_at"]), word=event["to_status"] or _TOLD.get(event["event"], ""), said=_said(event)
        )
    yield from _progress(steps)


_TOLD = {"delivered": "delivered", "delivery_failed": "failed", "delivery_dead": "dead", "contradiction": "unknown"}


def _progress(steps: Sequence[Document]) -> Iterator[Moment]:
    if not steps:
        return
    first, last = steps[0], steps[-1]
    said = f"progress {last['progress']} %" if last["progress"] is not None else "progress"
    if len(steps) > 1:
        said = f"progress {first['progress']} % to {last['progress']} %, in {len(steps)} steps"
    yield Moment(at=_at(last["observed_at"]), word="running", said=said)


def _said(event: Document) -> str:
    """A line of the history in words."""
    match event["event"]:
        case "status":
            words = f"{event['from_status']} → {event['to_status']}"
        case "registered" | "contradiction" as kind:
            words = kind
        case _:
            return str(event["note"] or event["event"].replace("_", " "))
    upstream = f" ({event['upstream_status']})" if event["upstream_status"] else ""
    return f"{words}{upstream}" + (f": {event['note']}" if event["note"] else "")


def _of_message(one: Document) -> Iterator[Moment]:
    yield Moment(at=_at(one["created_at"]), word="", said=f"{one['type']} for {one['url']}: {one['id']}")
    for attempt in one["attempts"]:
        said = f"attempt {attempt['attempt']} to {one['endpoint']}: {_outcome(attempt)}"
        yield Moment(at=_at(attempt["attempted_at"]), word=attempt["outcome"], said=said)
    if one["status"] == "superseded" and one["settled_at"]:
        yield Moment(
            at=_at(one["settled_at"]), word="superseded", said=f"{one['type']} is not sent any more: {one['why']}"
        )
    if one["status"] == "pending" and one["next_attempt_at"]:
        said = f"attempt {one['attempt'] + 1} to {one['endpoint']}, at the earliest"
        yield Moment(at=_at(one["next_attempt_at"]), word="pending", said=said)


def _outcome(attempt: Document) -> str:
    if attempt["outcome"] == "sending":
        return "under way"
    if attempt["outcome"] == "interrupted":
        return "interrupted"
    what = f"HTTP {attempt['status_code']}" if attempt["status_code"] else attempt["error"] or "no answer"
    took = f" in {attempt['duration_ms']} ms" if attempt["duration_ms"] is not None else ""
    more = attempt["response"] if attempt["status_code"] else attempt["detail"]
    return f"{what}{took}" + (f": {more}" if more and attempt["outcome"] == "failed" else "")


def progress_over_time(events: Sequence[Document], until: datetime, length: int) -> list[int | None]:
    """How far a task was at so many moments between its first event and this one; None where nobody had said."""
    steps = [(_at(event["observed_at"]), event["progress"]) for event in events if event["progress"] is not None]
    if not steps or length < 1:
        return []
    first = _at(events[0]["observed_at"])
    values: list[int | None] = []
    for place in range(1, length + 1):
        moment = first + (max(until, steps[-1][0]) - first) * place / length
        values.append(next((progress for at, progress in reversed(steps) if at <= moment), None))
    return values


def _at(written: str) -> datetime:
    return datetime.fromisoformat(written)
