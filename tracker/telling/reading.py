"""Reads what belongs to what is told: a task's callbacks, a delivery's attempts, an upstream's tasks."""

from collections.abc import Mapping, Sequence

from tracker.config import UpstreamSettings
from tracker.model import Task
from tracker.store import messages, owners, tasks, upstreams
from tracker.store.database import Connection
from tracker.store.messages import DeliveryLine
from tracker.telling.shapes import DeliveryAnswer, DeliveryWithAttempts, TaskAnswer, UpstreamAnswer
from tracker.telling.translation import tell_attempt, tell_delivery, tell_orphan, tell_task, tell_upstream


def told_tasks(connection: Connection, found: Sequence[Task], *, owner: str | None) -> list[TaskAnswer]:
    """Tasks with their callbacks; with an owner, only with that owner's."""
    callbacks = tasks.callbacks(connection, [task.key for task in found], owner=owner)
    return [tell_task(task, callbacks.get(task.key, ())) for task in found]


def told_deliveries(connection: Connection, found: Sequence[DeliveryLine]) -> list[DeliveryAnswer]:
    """Deliveries as lists have them, each with its last attempt only."""
    last = messages.last_attempts(connection, [line.key for line in found])
    return [tell_delivery(line, last.get(line.key)) for line in found]


def told_with_attempts(connection: Connection, found: Sequence[DeliveryLine]) -> list[DeliveryWithAttempts]:
    """Deliveries with every attempt."""
    attempts = messages.attempts(connection, [line.key for line in found])
    return [_with_attempts(line, attempts.get(line.key, [])) for line in found]


def _with_attempts(line: DeliveryLine, attempts: Sequence[messages.AttemptLine]) -> DeliveryWithAttempts:
    last = attempts[-1] if attempts else None
    return {**tell_delivery(line, last), "attempts": [tell_attempt(one) for one in attempts]}


def told_upstreams(
    connection: Connection, configured: Mapping[str, UpstreamSettings], *, owner: str | None
) -> list[UpstreamAnswer]:
    """The configured upstreams as they are configured, then those that only live tasks name.

    With an owner, only that owner's tasks are counted.
    """
    known = upstreams.read(connection)
    live = upstreams.live_tasks(connection) if owner is None else owners.live_by_upstream(connection, owner)
    ours = [tell_upstream(name, settings, known.get(name), live.get(name, 0)) for name, settings in configured.items()]
    return ours + [tell_orphan(name, live[name]) for name in sorted(live.keys() - configured.keys())]
