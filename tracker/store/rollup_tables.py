"""What happened in each hour and on each day, added up: small tables that outlive the tasks they are about.

Those of hours are kept as long as tasks, those of days for ever. `tracker.store.rollups` fills them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Double, Table, Text

from tracker.store.moments import UtcDateTime
from tracker.store.naming import metadata


class Measure(StrEnum):
    """What takes time, in the life of a task."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISH_TO_DETECT = "finish_to_detect"
    """From the end at the upstream to the moment we saw it."""
    FINISH_TO_DELIVER = "finish_to_deliver"
    """From the end at the upstream to the receiver's 2xx."""


_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
BOUNDS = (
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0),
    *(_MINUTE, 1.5 * _MINUTE, 2 * _MINUTE, 3 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 3 * _HOUR, 6 * _HOUR, _DAY, 3 * _DAY, 1000 * _DAY),
)
"""Upper bounds, in seconds, of the ranges that durations are counted in; the last holds whatever is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """The three tables of hours, or of days."""

    tasks: Table
    """Tasks by the hour, or the day, in which we saw them end."""
    durations: Table
    """How long things took, of the same tasks; and of messages about an end, by when they had arrived."""
    deliveries: Table
    """Messages by when they were settled."""

    @property
    def tables(self) -> tuple[Table, Table, Table]:
        """All of them."""
        return self.tasks, self.durations, self.deliveries


def _table(name: str, starts: Column[Any], *named: str, counted: tuple[Column[Any], ...]) -> Table:
    keys = [Column(column, Text, primary_key=True) for column in named]
    checks = []
    if "measure" in named:
        keys.append(Column("up_to_seconds", Double, primary_key=True))
        words = ", ".join(f"'{measure.value}'" for measure in Measure)
        checks.append(CheckConstraint(f"measure IN ({words})", name="measure_is_known"))
    return Table(name, metadata, starts, *keys, *counted, *checks)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _rollup(prefix: str, starts: Callable[[], Column[Any]]) -> Rollup:
    seconds = Column("seconds", Double, nullable=False)
    lengths = (_count("times"), seconds)
    outcomes = ("upstream", "message_type", "status")
    return Rollup(
        tasks=_table(f"{prefix}_tasks", starts(), "upstream", "status", counted=(_count("tasks"),)),
        durations=_table(f"{prefix}_durations", starts(), "upstream", "status", "measure", counted=lengths),
        deliveries=_table(f"{prefix}_deliveries", starts(), *outcomes, counted=(_count("deliveries"),)),
    )


HOURLY = _rollup("hourly", lambda: Column("hour", UtcDateTime, primary_key=True))
DAILY = _rollup("daily", lambda: Column("day", Date, primary_key=True))
