"""Writing what a look brought, where it may be news: all at once, or one by one where some cannot be; telling of it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime

import structlog

from tracker.errors import UnavailableError
from tracker.metrics import Metrics
from tracker.model import Miss, MissKind, Rules, Seen, Task
from tracker.observe import MISSES_BEFORE_AN_END
from tracker.poller.schedule import Watched
from tracker.store.changes import Decide, Recorded

log = structlog.get_logger()

_COUNTED = (MissKind.UNKNOWN, MissKind.TRANSIENT)

Write = Callable[[Mapping[int, Decide]], Awaitable[dict[int, Recorded]]]


async def write_all(decisions: Mapping[int, Decide], write: Write) -> tuple[dict[int, Recorded], set[int]]:
    """What was recorded, by task key, and the keys of those that cannot be: a bad row must not stop the good ones."""
    try:
        return await write(decisions) if decisions else {}, set()
    except UnavailableError:
        raise
    except Exception:
        if len(decisions) == 1:
            log.exception("record_failed", task=next(iter(decisions)))
            return {}, set(decisions)
    recorded: dict[int, Recorded] = {}
    bad: set[int] = set()
    for key, decide in decisions.items():
        one, failed = await write_all({key: decide}, write)
        recorded |= one
        bad |= failed
    return recorded, bad


def may_change(watched: Watched, seen: Seen, now: datetime, rules: Rules) -> bool:
    """Whether the database has to be asked what this means; most looks tell nothing new and cost no query."""
    if isinstance(seen, Miss):
        misses = max(watched.streak.count, watched.streak.silent)
        if seen.kind not in _COUNTED or misses < MISSES_BEFORE_AN_END:
            return False
        return watched.streak.lasted(now) >= rules.lost_after or now.timestamp() >= watched.expires_at
    return seen.fingerprint != watched.fingerprint or seen.implies_failure or now.timestamp() >= watched.expires_at


def count_events(metrics: Metrics, recorded: Iterable[Recorded]) -> None:
    """Count what was added to histories, each kind at once: to find its counter takes longer than to count."""
    for kind, count in Counter(entry.event.kind for entry in recorded if entry.event).items():
        metrics.events.labels(str(kind)).inc(count)


def tell_end(metrics: Metrics, task: Task) -> None:
    """Say that a task has ended just now, and how long that took to be seen."""
    log.info("task_ended", upstream=task.upstream, task_id=task.task_id, status=str(task.status))
    if task.finished_at is not None and task.ended_at is not None:
        metrics.finish_to_detect.observe(max((task.ended_at - task.finished_at).total_seconds(), 0.0))
