"""How the daemon is, in the one line that `systemctl status` shows."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import Gauge

from tracker.metrics import Metrics
from tracker.model import DeliveryStatus
from tracker.poller import Lane

_LATE_AFTER = 5.0
"""Seconds after its due time a look is late; a full lane is a moment behind all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What the line is made of."""

    watched: int
    late: int
    """Tasks that should have been looked at by now."""
    waiting: int
    """Messages that have not arrived yet."""
    upstreams: int
    paused: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    """Loops that have not come round for long."""
    database_answers: bool = True
    refused: str | None = None
    """Why the configuration that was read last is not in force."""


def numbers_of(lanes: Mapping[str, Lane], metrics: Metrics, *, silent: Iterable[str]) -> Numbers:
    """Read off the schedules and the gauges: nobody is asked for it."""
    before = time.monotonic() - _LATE_AFTER
    paused = _values(metrics.upstream_paused)
    return Numbers(
        watched=sum(len(lane.schedule) for lane in lanes.values()),
        late=sum(lane.schedule.late(before) for lane in lanes.values()),
        waiting=int(_values(metrics.deliveries).get(DeliveryStatus.PENDING, 0)),
        upstreams=len(lanes),
        paused=tuple(name for name in lanes if paused.get(name)),
        silent=tuple(sorted(silent)),
    )


def _values(gauge: Gauge) -> dict[str, float]:
    """By the value of its only label."""
    return {next(iter(sample.labels.values())): sample.value for metric in gauge.collect() for sample in metric.samples}


def tell(numbers: Numbers) -> str:
    """The line: what matters most to whoever is woken comes first."""
    return "; ".join(
        (
            *(("the database does not answer",) if not numbers.database_answers else ()),
            *((f"stuck: {', '.join(numbers.silent)}",) if numbers.silent and numbers.database_answers else ()),
            *((f"paused: {', '.join(numbers.paused)}",) if numbers.paused else ()),
            f"watching {_many(numbers.watched, 'task')} of {_many(numbers.upstreams, 'upstream')}",
            f"{numbers.late} due late",
            f"{_many(numbers.waiting, 'message')} waiting",
            *((f"the configuration was not reloaded: {numbers.refused}",) if numbers.refused else ()),
        )
    )


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
