"""The one place where a task's status can change.

Pure: no clock, no I/O. `observe` takes a task and what its upstream said just now and returns what
changed; everything else in the program carries its values about.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec.structs import replace

from tracker.model import (
    NO_STREAK,
    Change,
    Event,
    EventKind,
    MessageType,
    Miss,
    MissKind,
    Rules,
    Seen,
    Snapshot,
    Status,
    Streak,
    Task,
)

MISSES_BEFORE_AN_END = 5
LOOKS_BEFORE_AN_IMPLIED_FAILURE = 3


_IMPLIED = "implied_failure"


def tally(streak: Streak, seen: Seen, now: datetime) -> Streak:
    """The streak after one more look: longer, started anew, or over.

    What says nothing about the task (refused, throttled, unusable, out of reach) does not break a row of "unknown".
    """
    if isinstance(seen, Miss):
        silent = _silence(streak, seen, now)
        if seen.kind is not MissKind.UNKNOWN and streak.kind == MissKind.UNKNOWN:
            return silent
        return _longer(silent, str(seen.kind), now)
    return _longer(replace(streak, silent=0, silent_since=None), _IMPLIED, now) if seen.implies_failure else NO_STREAK


def _longer(streak: Streak, kind: str, now: datetime) -> Streak:
    if streak.kind != kind:
        return replace(streak, kind=kind, count=1, since=now)
    return replace(streak, count=streak.count + 1)


def _silence(streak: Streak, miss: Miss, now: datetime) -> Streak:
    if miss.kind not in (MissKind.UNKNOWN, MissKind.TRANSIENT):
        return streak
    return replace(streak, silent=streak.silent + 1, silent_since=streak.silent_since or now)


def observe(task: Task, seen: Seen, now: datetime, *, streak: Streak, rules: Rules) -> Change:
    """What `seen` means for `task`; `streak` already counts it.

    The first end wins: whatever is seen later changes nothing but may be noted as a contradiction.
    """
    if task.status.is_end:
        return _contradict(task, seen, now)
    if isinstance(seen, Miss):
        return _miss(task, seen, now, streak, rules)
    if seen.status is None or not seen.status.is_end:
        if streak.kind == _IMPLIED and streak.count >= LOOKS_BEFORE_AN_IMPLIED_FAILURE:
            said = seen.upstream_status or "nothing"
            note = f"full progress with a reason of failure while the status said {said}"
            return _end(task, _outcome(task, seen), Status.FAILED, now, note=note, kept=seen.kept)
        if now >= rules.expires_at(task):
            return _end(
                task, _outcome(task, seen), Status.EXPIRED, now, note="no end within the deadline", kept=seen.kept
            )
    return _advance(task, seen, now)


def drop(task: Task, now: datetime, note: str) -> Change:
    """Stop watching, because somebody said so; a task that has ended stays as it is."""
    if task.status.is_end:
        return Change(task=task)
    return _end(task, task, Status.DROPPED, now, note=note)


def revive(task: Task, now: datetime, note: str) -> Change:
    """Watch a dropped task again, because somebody registered it anew; any other end is final."""
    if task.status is not Status.DROPPED:
        return Change(task=task)
    live = replace(task, status=Status.QUEUED, ended_at=None, contradiction=None)
    return _changed(task, live, EventKind.STATUS, now, note=note)


def message_for(event: Event) -> MessageType | None:
    """What a callback that wants everything is told about an event."""
    if event.kind is EventKind.PROGRESS:
        return MessageType.PROGRESS
    if event.kind is not EventKind.STATUS or event.to_status is None:
        return None
    if event.to_status is Status.DROPPED:
        return None
    if event.to_status.is_end or event.to_status is Status.NEEDS_INPUT:
        return MessageType(f"task.{event.to_status}")
    return MessageType.PROGRESS


def _contradict(task: Task, seen: Seen, now: datetime) -> Change:
    if isinstance(seen, Miss) or seen.status is None or seen.status is task.status:
        return Change(task=task)
    if task.contradiction == seen.status or (task.status is Status.DROPPED and not seen.status.is_end):
        return Change(task=task)
    event = Event(
        sequence=task.sequence + 1,
        kind=EventKind.CONTRADICTION,
        observed_at=now,
        from_status=task.status,
        to_status=seen.status,
        upstream_status=seen.upstream_status,
        progress=seen.progress,
        note=f"the upstream now says {seen.upstream_status}; the task stays {task.status}",
    )
    return Change(task=replace(task, sequence=event.sequence, contradiction=str(seen.status)), event=event)


def _miss(task: Task, seen: Miss, now: datetime, streak: Streak, rules: Rules) -> Change:
    """An end only for an id that stays unknown, or a deadline that passes while nobody answers."""
    if seen.kind not in (MissKind.UNKNOWN, MissKind.TRANSIENT):
        return Change(task=task)
    is_unknown = seen.kind is MissKind.UNKNOWN and streak.count >= MISSES_BEFORE_AN_END
    if is_unknown and streak.lasted(now) >= rules.lost_after:
        note = f"the upstream has not known it for {streak.count} looks"
        return _end(task, replace(task, image_url=None), Status.LOST, now, note=note)
    is_silent = streak.silent >= MISSES_BEFORE_AN_END and streak.silent_for(now) >= rules.lost_after
    if (is_unknown or is_silent) and now >= rules.expires_at(task):
        return _end(task, replace(task, image_url=None), Status.EXPIRED, now, note="no end within the deadline")
    return Change(task=task)


def _merge(task: Task, seen: Snapshot, *, status: Status | None = None, sequence: int | None = None) -> Task:
    """The task with what the snapshot tells; silence erases nothing."""
    return Task(
        key=task.key,
        id=task.id,
        upstream=task.upstream,
        task_id=task.task_id,
        registered_at=task.registered_at,
        status=status or task.status,
        upstream_status=seen.upstream_status or task.upstream_status,
        action=seen.action or task.action,
        progress=task.progress if seen.progress is None else seen.progress,
        sequence=sequence or task.sequence,
        submitted_at=seen.submitted_at or task.submitted_at,
        started_at=seen.started_at or task.started_at,
        finished_at=seen.finished_at or task.finished_at,
        ended_at=task.ended_at,
        image_url=seen.image_url or task.image_url,
        fail_reason=seen.fail_reason or task.fail_reason,
        contradiction=task.contradiction,
    )


def _outcome(task: Task, seen: Snapshot) -> Task:
    """The task as its last answer leaves it: an image that was shown before the end was a preview, and is no result."""
    is_end = seen.status is not None and seen.status.is_end
    return replace(_merge(task, seen), image_url=seen.image_url if is_end else None)


def _advance(task: Task, seen: Snapshot, now: datetime) -> Change:
    if seen.status is not None and seen.status.is_end:
        merged = _outcome(task, seen)
        if seen.status is Status.SUCCEEDED and seen.progress is None:
            merged = replace(merged, progress=100)
        note = f"the answer carries the id {seen.reported_id}" if seen.reported_id else None
        return _end(task, merged, seen.status, now, note=note, kept=seen.kept)
    if seen.status is not None and seen.status is not task.status:
        merged = _merge(task, seen, status=seen.status, sequence=task.sequence + 1)
        return _changed(task, merged, EventKind.STATUS, now, kept=seen.kept)
    if (seen.progress or 0) > (task.progress or 0):
        merged = _merge(task, seen, sequence=task.sequence + 1)
        return _changed(task, merged, EventKind.PROGRESS, now, kept=seen.kept)
    merged = _merge(task, seen)
    if replace(merged, image_url=task.image_url) == task:
        return Change(task=task)
    return Change(task=merged, kept=seen.kept)


def _end(
    before: Task,
    task: Task,
    status: Status,
    now: datetime,
    *,
    note: str | None = None,
    kept: Callable[[], Mapping[str, object]] | None = None,
) -> Change:
    ended = replace(task, status=status, ended_at=now)
    return _changed(before, ended, EventKind.STATUS, now, note=note, kept=kept)


def _changed(
    before: Task,
    after: Task,
    kind: EventKind,
    now: datetime,
    *,
    note: str | None = None,
    kept: Callable[[], Mapping[str, object]] | None = None,
) -> Change:
    status_changed = kind is EventKind.STATUS
    event = Event(
        sequence=before.sequence + 1,
        kind=kind,
        observed_at=now,
        from_status=before.status if status_changed else None,
        to_status=after.status if status_changed else None,
        upstream_status=after.upstream_status or None,
        progress=after.progress,
        note=note,
    )
    told = after if after.sequence == event.sequence else replace(after, sequence=event.sequence)
    return Change(task=told, event=event, kept=kept)
