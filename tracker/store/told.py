"""Rows that are taken from the database as one text, where each row would cost more than what is in it.

SQLite's driver lets other threads run between two rows, and has to wait for its turn after each.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from tracker.store.moments import from_sqlite


def as_told(dialect: str, query: Select[Any]) -> Select[Any]:
    """The statement that `told` runs for a query of numbers, texts and truths; `dialect` is the connection's."""
    if dialect != "sqlite":
        return query
    lines = query.subquery("lines")
    return select(func.json_group_array(func.json_array(*lines.c)))


def told(connection: Connection, statement: Select[Any], values: Mapping[str, object]) -> Sequence[Sequence[Any]]:
    """The rows of a query that was made by `as_told`."""
    found = connection.execute(statement, values)
    if connection.dialect.name != "sqlite":
        return found.all()
    lines: list[list[Any]] = json.loads(found.scalar_one())
    return lines


def told_moment(value: str | datetime | None) -> datetime | None:
    """A moment in such a row."""
    return from_sqlite(value) if isinstance(value, str) else value
