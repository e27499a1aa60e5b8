"""One change, one transaction, mapped classes: as most people would write it."""

from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session, registry

from tracker.model import Snapshot
from tracker.store.rows import dump_json
from tracker.store.schema import event, snapshot, task


class TaskRow:
    """A row of `task`."""


class EventRow:
    """A row of `event`."""


class SnapshotRow:
    """A row of `snapshot`."""


_mapped = registry(metadata=task.metadata)
_mapped.map_imperatively(TaskRow, task)
_mapped.map_imperatively(EventRow, event)
_mapped.map_imperatively(SnapshotRow, snapshot)


def record_one(engine: Engine, key: int, seen: Snapshot) -> None:
    """Read the task, change it, add a line of its history, keep the object, commit."""
    now = datetime.now(UTC)
    with Session(engine) as session:
        row = session.get_one(TaskRow, key)
        _set(row, progress=seen.progress, upstream_status=seen.upstream_status, image_url=seen.image_url)
        _set(row, sequence=row.sequence + 1)  # type: ignore[attr-defined]  # mapped from the table
        line = EventRow()
        _set(line, task_key=key, sequence=row.sequence, event="progress", observed_at=now)  # type: ignore[attr-defined]
        _set(line, upstream_status=seen.upstream_status, progress=seen.progress)
        session.add(line)
        kept = session.get_one(SnapshotRow, key)
        _set(kept, seen_at=now, object=dump_json(dict(seen.object)))
        session.commit()


def _set(row: object, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)
