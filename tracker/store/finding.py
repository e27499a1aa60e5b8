"""Whether there is anything for a daemon to adopt, to hear or to see to: one question, asked all the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Compiled,
    Connection,
    Dialect,
    Integer,
    Text,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    text,
)

from tracker.store.daemons import is_silent
from tracker.store.deliveries import IS_FREE
from tracker.store.given import moments
from tracker.store.moments import UtcDateTime
from tracker.store.schema import daemon, delivery, endpoint, task
from tracker.store.watching import UNWATCHED, is_noted


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What there is."""

    free: Sequence[str]
    """Upstreams with tasks that nobody watches."""
    has_notes: bool
    has_gone: bool
    """Whether somebody is gone, or has been silent for so long that it should be."""
    has_due: bool = False
    """Whether a message is due, or an endpoint that is paused may be probed."""

    def __bool__(self) -> bool:
        return bool(self.free) or self.has_notes or self.has_gone


def find(connection: Connection, *, me: str, above: Mapping[str, int], now: datetime, silent_for: timedelta) -> Work:
    """Look at these upstreams, at each above a key: what is below it was looked at before."""
    asked: dict[str, Any] = {"me": me, "silent_since": now - silent_for, "now": now}
    for place, (name, key) in enumerate(above.items()):
        asked |= {f"name_of_{place}": name, f"mark_of_{place}": key}
    row = _ask(connection, _compiled(connection.dialect, len(above), silent_for), asked)
    free = [name for name, is_free in zip(above, row[4:], strict=True) if is_free]
    return Work(free=free, has_notes=bool(row[0]), has_gone=bool(row[1]), has_due=bool(row[2] or row[3]))


def _ask(connection: Connection, question: Compiled, asked: Mapping[str, Any]) -> Sequence[Any]:
    """The answer, in one row. The driver is asked: all that is around it costs twice as much as the question."""
    written = moments(connection)
    told = {name: written(value) if isinstance(value, datetime) else value for name, value in asked.items()}
    values = question.construct_params(told) or {}
    names: Sequence[str] | None = getattr(question, "positiontup", None)
    parameters = values if names is None else tuple(values[name] for name in names)
    return connection.exec_driver_sql(question.string, parameters).one()


@lru_cache(maxsize=16)
def _compiled(dialect: Dialect, upstreams: int, silent_for: timedelta) -> Compiled:
    compiled: Compiled = _question(dialect.name, upstreams, silent_for).compile(dialect=dialect)
    return compiled


def _question(dialect: str, upstreams: int, silent_for: timedelta) -> Any:  # noqa: ANN401 - a statement
    gone = exists().where(or_(text("daemon.is_gone"), is_silent(dialect, silent_for))).select_from(daemon)
    # Each by itself: a list that may have any length is written into the statement anew, each time that it is asked.
    names = [bindparam(f"name_of_{place}", type_=Text()) for place in range(upstreams)]
    free = (_free(name, bindparam(f"mark_of_{place}", type_=BigInteger())) for place, name in enumerate(names))
    return select(exists().where(is_noted(names)), gone, _IS_DUE, _MAY_BE_PROBED, *free)


def _free(upstream: BindParameter[str], mark: BindParameter[int]) -> Any:  # noqa: ANN401 - an expression
    """Whether there is a free one above a mark.

    Asked for the first of them, so that its index is taken: where nearly all tasks are free, Postgres expects any walk
    through the table to come across one, whatever the mark.
    """
    first = select(task.c.key).where(UNWATCHED, task.c.upstream == upstream, task.c.key > mark)
    return first.order_by(task.c.key).limit(literal_column("1", Integer)).scalar_subquery().is_not(None)


_NOW = bindparam("now", type_=UtcDateTime())
# Since the beginning of time: so Postgres takes them for few whatever it has counted, and goes by their index.
_IS_DUE = exists().where(
    text("delivery.settled_at IS NULL AND delivery.next_attempt_at >= '0001-01-01'"),
    delivery.c.next_attempt_at <= _NOW,
    IS_FREE,
)
_MAY_BE_PROBED = exists().where(
    text("endpoint.state = 'paused' AND endpoint.paused_until >= '0001-01-01'"), endpoint.c.paused_until <= _NOW
)
