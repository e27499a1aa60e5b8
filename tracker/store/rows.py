"""From rows to the model's values, and new ids; nothing live leaves the store."""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tracker.model import Callback, Status, Task
from tracker.store.schema import callback, task

TASK_COLUMNS = tuple(column for column in task.c if column.name not in ("watcher", "refresh_at"))
CALLBACK_COLUMNS = tuple(column for column in callback.c if column.name != "created_at")


def task_of(row: Sequence[Any]) -> Task:
    """A task from a row of `TASK_COLUMNS`."""
    fields = dict(zip((column.name for column in TASK_COLUMNS), row, strict=True))
    fields["status"] = Status(fields["status"])
    return Task(**fields)


def columns_of(value: Task) -> dict[str, Any]:
    """What a task's row holds of it, except its key and its names."""
    names = (column.name for column in TASK_COLUMNS)
    return {
        name: str(field) if isinstance(field := getattr(value, name), Status) else field
        for name in names
        if name not in ("key", "id", "upstream", "task_id", "registered_at")
    }


def callback_of(row: Sequence[Any]) -> Callback:
    """A callback from a row of `CALLBACK_COLUMNS`."""
    fields = dict(zip((column.name for column in CALLBACK_COLUMNS), row, strict=True))
    fields["events"] = tuple(fields["events"].split(","))
    fields["metadata"] = _any_json(fields["metadata"])
    return Callback(**fields)


def dump_json(value: object) -> str:
    """JSON text as the database keeps it: compact, and readable in any language."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _any_json(text: str | None) -> object:
    """Metadata written by hand may be no JSON; it is handed back as it is then."""
    try:
        return load_json(text)
    except ValueError:
        return text


def load_json(text: str | None) -> Any:  # noqa: ANN401 - JSON
    """The value of a JSON column."""
    return None if text is None else json.loads(text)


_DICE = 10
"""Bytes of chance in an id."""


def new_id(prefix: str, now: datetime) -> str:
    """An id such as `tsk_0193…`: 12 hexadecimal digits of time, so that indexes grow at one end, and 80 random bits."""
    return new_ids(prefix, now, 1)[0]


def new_ids(prefix: str, now: datetime, count: int) -> list[str]:
    """Many of them in one go: asking the system for the dice of each costs more than the rest of it."""
    beginning = f"{prefix}_{int(now.timestamp() * 1000):012x}"
    dice = secrets.token_hex(_DICE * count)
    return [beginning + dice[start : start + 2 * _DICE] for start in range(0, len(dice), 2 * _DICE)]
