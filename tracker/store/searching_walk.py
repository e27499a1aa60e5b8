"""Going back through a big table in steps, by key, until enough is found or nobody would wait any longer."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    any_,
    bindparam,
    func,
    select,
    union_all,
)

T = TypeVar("T")

FEW = 2_000
"""Rows of one owner that are gone through as a whole, rather than past those of others."""
_SMALLEST_STEP, _LARGEST_STEP = 50, 1_000
_DISORDER = timedelta(hours=1)
"""How much later a row with a smaller key may have been made: clocks are set back, transactions overtake each other."""

Path = Callable[[Connection, int | None, int], Sequence[int]]
"""Tells so many keys, newest first, below one."""
Made = tuple[ColumnElement[int], ColumnElement[Any]]
"""The columns of a table that have the key, and the moment at which a row was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a look may take: so many rows, or so many seconds, whichever comes first."""

    rows: int = 20_000
    seconds: float = 0.04
    timer: Callable[[], float] = time.perf_counter


USUAL = Patience()
"""What somebody who clicked waits for without noticing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Generic[T]):
    """What one look found, and how far it went."""

    found: Sequence[T]
    looked_through: int | None
    """Rows; None where others' were among them, whose number is nobody else's business."""
    back_to: datetime | None
    """When the last of these was made; None where there were none."""
    before: int | None
    """The key below which the next look goes on; None where there is nothing further back."""
    is_full: bool
    """Whether it stopped because it had found enough for a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A way through a table."""

    path: Path
    made: Made
    reading: Select[Any]
    """Reads what matches, newest first and beginning with its key; is given the keys of a step, for `is_given`."""
    since: datetime | None
    """Where it ends, if not at the beginning."""
    is_past_others: bool = False
    """Whether rows lie along it that are not for who looks."""

    def look(self, connection: Connection, *, before: int | None, limit: int, patience: Patience) -> Look[Any]:
        """Go until `limit` rows are found, or patience is at its end."""
        began = patience.timer()
        found: list[Any] = []
        through, size = 0, min(max(limit + 1, _SMALLEST_STEP), _LARGEST_STEP)
        back_to: datetime | None = None
        while True:
            asked = min(size, patience.rows - through)
            keys = self.path(connection, before, asked)
            found += self._matching(connection, keys, limit + 1 - len(found))
            is_full = len(found) > limit
            is_over = not is_full and len(keys) < asked
            if is_full:
                keys = [key for key in keys if key >= found[limit - 1].key]
            through += len(keys)
            if keys:
                before, back_to = keys[-1], self._made_at(connection, keys[-1])
            is_over = is_over or (not is_full and self._is_past(back_to))
            size = 0 if is_over or is_full else _next_step(size, through, patience, patience.timer() - began)
            if size == 0:
                return Look(
                    found=found[:limit],
                    looked_through=None if self.is_past_others else through,
                    back_to=back_to,
                    before=None if is_over else before,
                    is_full=is_full,
                )

    def _matching(self, connection: Connection, keys: Sequence[int], most: int) -> Sequence[Any]:
        if not keys:
            return ()
        return connection.execute(self.reading.limit(most), {GIVEN: as_given(connection, keys)}).all()

    def _made_at(self, connection: Connection, key: int) -> datetime | None:
        column, moment = self.made
        return connection.execute(select(moment).where(column == key)).scalar_one_or_none()

    def _is_past(self, moment: datetime | None) -> bool:
        return self.since is not None and moment is not None and moment < self.since - _DISORDER


def _next_step(size: int, through: int, patience: Patience, seconds: float) -> int:
    """How many rows the next step takes, judged by those before; 0 where it would take too long."""
    affordable = (patience.seconds - seconds) * through / seconds if seconds > 0 else _LARGEST_STEP
    if affordable < _SMALLEST_STEP or through >= patience.rows:
        return 0
    return int(min(4 * size, affordable, _LARGEST_STEP))


GIVEN = "given"


def is_given(dialect: str, key: ColumnElement[int]) -> ColumnElement[bool]:
    """That a key is one of those that `as_given` gives: looked up one by one, never by going through a table."""
    if dialect == "sqlite":
        each = func.json_each(bindparam(GIVEN, type_=Text())).table_valued("value")
        return key.in_(select(each.c.value))
    return key == any_(bindparam(GIVEN, type_=ARRAY(BigInteger())))


def as_given(connection: Connection, keys: Sequence[int]) -> object:
    """The value of the parameter."""
    return json.dumps(list(keys)) if connection.dialect.name == "sqlite" else list(keys)


def along(query: Select[int]) -> Path:
    """The keys that a query finds."""
    ordered = _newest_first(query)
    return lambda connection, before, most: connection.scalars(ordered(before, most)).all()


def _newest_first(query: Select[int]) -> Callable[[int | None, int], Select[int]]:
    key = query.selected_columns[0]
    ordered = query.order_by(key.desc())
    return lambda before, most: (ordered if before is None else ordered.where(key < before)).limit(most)


def along_words(word: ColumnElement[str], key: ColumnElement[int], words: Sequence[str]) -> Path:
    """The keys of rows that have one of some words: of each by itself, as an index of words and keys has them."""
    each = [_newest_first(select(key).where(word == one)) for one in words]

    def path(connection: Connection, before: int | None, most: int) -> Sequence[int]:
        # A query within a query: SQLite knows no LIMIT between the parts of a union.
        merged = union_all(*(select(part(before, most).subquery()) for part in each)).subquery()
        return connection.scalars(select(merged.c[0]).order_by(merged.c[0].desc()).limit(most)).all()

    return path


def along_these(keys: Collection[int]) -> Path:
    """Keys that are known."""
    ordered = sorted(keys, reverse=True)

    def path(_connection: Connection, before: int | None, most: int) -> Sequence[int]:
        return list(islice((key for key in ordered if before is None or key < before), most))

    return path


def start_below(connection: Connection, made: Made, *, until: datetime | None, before: int | None) -> int | None:
    """A key below which rows made before a moment begin, or soon do: keys are given in the order of time, or nearly."""
    if until is None:
        return before
    key, moment = made
    newest = select(key, moment).order_by(key.desc()).limit(1)
    row = connection.execute(newest if before is None else newest.where(key < before)).one_or_none()
    if row is None or row[1] < until + _DISORDER:
        return before
    above, below = row[0], 0
    while above - below > _LARGEST_STEP // 2:
        middle = (above + below) // 2
        row = connection.execute(newest.where(key <= middle)).one_or_none()
        if row is not None and row[1] >= until + _DISORDER:
            above = row[0]
        else:
            below = middle
    return int(above)
