"""Writing down what came of attempts, many in one go: the deliveries, their attempts, the lines in the histories."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, FromClause, Integer, Text, insert, select, text, update

from tracker.model import Delivery, DeliveryStatus, EventKind, Outcome
from tracker.store import pacing
from tracker.store.deliveries import IS_OUT, PENDING
from tracker.store.given import given, rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, callback, delivery, event, task
from tracker.store.told import as_told, told

_IS_PENDING = text("delivery.status || '' = 'pending'")
"""Said so that no index serves: the row is found by its key, and SQLite would walk all that are pending instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of one attempt, to be written."""

    delivery: Delivery
    """As it was claimed: its attempt is the one that is settled."""
    outcome: Outcome
    next_attempt_at: datetime | None
    """None where there will be none: a delivery that was not delivered is dead then, kept, counted, replayable."""
    now: datetime
    is_outdated: bool = False
    """Whether a newer message says more, so that there is no other attempt."""

    @property
    def status(self) -> DeliveryStatus:
        """What the delivery is from now on."""
        if self.outcome.delivered:
            return DeliveryStatus.DELIVERED
        if self.is_outdated and not self.outcome.gone:
            return DeliveryStatus.SUPERSEDED
        return DeliveryStatus.DEAD if self.next_attempt_at is None else DeliveryStatus.PENDING

    @property
    def due(self) -> datetime | None:
        """When it is tried again, if it is."""
        return self.next_attempt_at if self.status is DeliveryStatus.PENDING else None


def settle(connection: Connection, settlements: Sequence[Settlement]) -> list[DeliveryStatus | None]:
    """Write them all; returns where each delivery stands now.

    None, in the order given, where it was written before or the delivery has gone on without us.
    """
    # The tasks first, then their messages, as everybody who needs both: in another order two daemons lock each
    # other out.
    sequences = _lock_tasks(connection, settlements)
    settlements = _compared(connection, settlements)
    once = {_attempt_of(settlement): settlement for settlement in reversed(settlements)}
    ours = _settle_deliveries(connection, once.values())
    _close_attempts(connection, once, ours)
    _note_all(connection, [settlement for name, settlement in once.items() if name in ours], sequences)
    for settlement in once.values():
        if settlement.outcome.gone:
            _end_callback(connection, settlement)
    first = [_attempt_of(one) in ours and once[_attempt_of(one)] is one for one in settlements]
    return [one.status if is_ours else None for one, is_ours in zip(settlements, first, strict=True)]


def _compared(connection: Connection, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """The same, with what has become of their tasks and callbacks meanwhile.

    Asked under the locks, so that nothing newer comes between.
    """
    failed = [settlement.delivery for settlement in settlements if not settlement.outcome.delivered]
    outdated = pacing.outdated(connection, failed)
    # Where one of these says so, the others of its callback have no other attempt either.
    gone = {settlement.delivery.callback_key for settlement in settlements if settlement.outcome.gone}
    if not outdated and not gone:
        return settlements
    return [
        replace(
            one,
            is_outdated=one.delivery.key in outdated,
            next_attempt_at=None if one.delivery.callback_key in gone else one.next_attempt_at,
        )
        for one in settlements
    ]


def _attempt_of(settlement: Settlement) -> tuple[int, int]:
    return settlement.delivery.key, settlement.delivery.attempt


def _lock_tasks(connection: Connection, settlements: Sequence[Settlement]) -> dict[int, int]:
    """The sequence that each task has come to."""
    keys = {settlement.delivery.task_key for settlement in settlements}
    given_keys = rows(connection, [{"key": key} for key in keys])
    found = told(connection, _tasks_to_lock(connection.dialect.name), {"given": given_keys})
    return {row[0]: row[1] for row in found}


@cache
def _tasks_to_lock(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    wanted = given(dialect, "given", key=BigInteger())
    query = select(task.c.key, task.c.sequence).where(task.c.key.in_(select(wanted.c.key)))
    return as_told(dialect, query.order_by(task.c.key).with_for_update(of=task))


def _settle_deliveries(connection: Connection, settlements: Iterable[Settlement]) -> set[tuple[int, int]]:
    """Write where deliveries stand; returns the attempts (delivery, number) that were still under way."""
    values = [
        {
            "key": settlement.delivery.key,
            "number": settlement.delivery.attempt,
            "status": str(settlement.status),
            "failed": int(not settlement.outcome.delivered and settlement.outcome.spent),
            "due": settlement.due,
            "settled": None if settlement.status is DeliveryStatus.PENDING else settlement.now,
        }
        for settlement in settlements
    ]
    written = connection.execute(_settling(connection.dialect.name), {"given": rows(connection, values)})
    return {(row.key, row.attempt) for row in written}


@cache
def _settling(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = given(
        dialect,
        "given",
        key=BigInteger(),
        number=Integer(),
        status=Text(),
        failed=Integer(),
        due=UtcDateTime(),
        settled=UtcDateTime(),
    )
    statement = update(delivery).where(delivery.c.key == new.c.key, delivery.c.attempt == new.c.number)
    return (
        statement.where(_IS_PENDING, IS_OUT)
        .values(
            status=new.c.status,
            failures=delivery.c.failures + new.c.failed,
            next_attempt_at=new.c.due,
            settled_at=new.c.settled,
        )
        .returning(delivery.c.key, delivery.c.attempt)
    )


def _close_attempts(
    connection: Connection, settlements: Mapping[tuple[int, int], Settlement], ours: Collection[tuple[int, int]]
) -> None:
    """Once: also for attempts that were outrun, since what the receiver did is known by now."""
    values = [
        {
            "key": settlement.delivery.key,
            "number": settlement.delivery.attempt,
            "outcome": "delivered" if settlement.outcome.delivered else "failed",
            "status_code": settlement.outcome.status_code,
            "duration_ms": round(settlement.outcome.duration.total_seconds() * 1000),
            "phase": settlement.outcome.phase and str(settlement.outcome.phase),
            "error": settlement.outcome.error,
            "detail": settlement.outcome.detail,
            "response": settlement.outcome.response,
            "next_attempt_at": settlement.due if name in ours else None,
        }
        for name, settlement in settlements.items()
    ]
    connection.execute(_closing(connection.dialect.name), {"given": rows(connection, values)})


@cache
def _closing(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    fields = ("outcome", "status_code", "duration_ms", "phase", "error", "detail", "response", "next_attempt_at")
    new: FromClause = given(
        dialect, "given", key=BigInteger(), number=Integer(), **{name: attempt.c[name].type for name in fields}
    )
    statement = update(attempt).where(attempt.c.delivery_key == new.c.key, attempt.c.attempt == new.c.number)
    unknown = attempt.c.outcome.in_(("sending", "interrupted"))
    return statement.where(unknown).values({name: new.c[name] for name in fields})


def _note_all(connection: Connection, settlements: Sequence[Settlement], sequences: dict[int, int]) -> None:
    """The lines in the tasks' histories."""
    if not settlements:
        return
    lines = []
    for settlement in settlements:
        key = settlement.delivery.task_key
        sequences[key] += 1
        lines.append(
            {
                "task_key": key,
                "sequence": sequences[key],
                "event": str(_EVENT_OF[settlement.status]),
                "observed_at": settlement.now,
                "note": _describe(settlement.delivery, settlement.outcome),
            }
        )
    touched = {settlement.delivery.task_key for settlement in settlements}
    grown = [{"key": key, "sequence": sequences[key]} for key in touched]
    connection.execute(_growing(connection.dialect.name), {"given": rows(connection, grown)})
    connection.execute(_noting(connection.dialect.name), {"given": rows(connection, lines)})


@cache
def _growing(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = given(dialect, "given", key=BigInteger(), sequence=Integer())
    return update(task).where(task.c.key == new.c.key).values(sequence=new.c.sequence)


@cache
def _noting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    fields = ("task_key", "sequence", "event", "observed_at", "note")
    new = given(dialect, "given", **{name: event.c[name].type for name in fields})
    return insert(event).from_select(list(fields), select(*(new.c[name] for name in fields)))


def _end_callback(connection: Connection, settlement: Settlement) -> None:
    """The receiver said 410: nothing more is sent to this callback."""
    claimed, now = settlement.delivery, settlement.now
    gone = update(callback).where(callback.c.key == claimed.callback_key, callback.c.gone_at.is_(None))
    connection.execute(gone.values(gone_at=now))
    rest = update(delivery).where(delivery.c.callback_key == claimed.callback_key, PENDING)
    dead = rest.values(status=str(DeliveryStatus.DEAD), next_attempt_at=None, settled_at=now)
    for row in connection.execute(dead.returning(delivery.c.id, delivery.c.message_type)).all():
        note = f"{row.message_type} {row.id} to {claimed.endpoint}: its callback is gone"
        _note(connection, claimed.task_key, EventKind.DELIVERY_DEAD, note, now)


def _note(connection: Connection, task_key: int, kind: EventKind, note: str, now: datetime) -> None:
    grown = update(task).where(task.c.key == task_key).values(sequence=task.c.sequence + 1)
    sequence = connection.scalar(grown.returning(task.c.sequence))
    row = {"task_key": task_key, "sequence": sequence, "event": str(kind), "observed_at": now, "note": note}
    connection.execute(insert(event).values(row))


_EVENT_OF = {
    DeliveryStatus.DELIVERED: EventKind.DELIVERED,
    DeliveryStatus.PENDING: EventKind.DELIVERY_FAILED,
    DeliveryStatus.DEAD: EventKind.DELIVERY_DEAD,
    DeliveryStatus.SUPERSEDED: EventKind.DELIVERY_FAILED,
}


def _describe(claimed: Delivery, outcome: Outcome) -> str:
    what = f"{claimed.message_type} {claimed.id} to {claimed.endpoint}, attempt {claimed.attempt}"
    return f"{what}: {outcome.said}"
