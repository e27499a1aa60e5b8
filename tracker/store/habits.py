"""What past tasks tell about how long tasks take."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select, text

from tracker.store.schema import event, task

_SEARCHED = 5000
"""Newest ends looked through for those of one upstream, however many others have."""
_FOLLOWED = 300
"""Newest ends whose progress is read too."""


@dataclass(slots=True, kw_only=True)
class Ended:
    """A task that its upstream has ended, and when it was how far."""

    key: int
    action: str | None
    registered_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    ended_at: datetime
    progress: list[tuple[int, datetime]] = field(default_factory=list)
    """In percent, and when it was seen; only of the newest."""


def recent(connection: Connection, upstream: str, limit: int) -> list[Ended]:
    """The tasks that this upstream ended last, the newest first; a few milliseconds, whatever the table holds."""
    columns = [task.c[name] for name in Ended.__slots__ if name != "progress"]
    newest = (
        select(*columns, task.c.upstream, task.c.status)
        .where(text("ended_at IS NOT NULL"))
        .order_by(task.c.ended_at.desc())
        .limit(_SEARCHED)
        .subquery()
    )
    ours = select(*newest.c[: len(columns)]).where(
        newest.c.upstream == upstream, newest.c.status.in_(("succeeded", "failed", "cancelled"))
    )
    rows = connection.execute(ours.order_by(newest.c.ended_at.desc()).limit(limit))
    found = [Ended(**row._mapping) for row in rows]  # noqa: SLF001 - the documented name
    _follow(connection, found[:_FOLLOWED])
    return found


def _follow(connection: Connection, ended: Sequence[Ended]) -> None:
    by_key = {one.key: one for one in ended}
    if not by_key:
        return
    query = select(event.c.task_key, event.c.progress, event.c.observed_at).where(
        event.c.task_key.in_(by_key), event.c.progress > 0
    )
    for key, progress, observed_at in connection.execute(query.order_by(event.c.task_key, event.c.sequence)):
        by_key[key].progress.append((progress, observed_at))
