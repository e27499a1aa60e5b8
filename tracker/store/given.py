"""Rows that come from outside, as a table that a statement can read: one parameter, whatever their number.

A statement over a list of values would be a new text for every length of the list, which costs more to make and to
plan than to run. As JSON they are one text, on SQLite by `json_each` and on Postgres by `json_to_recordset`.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, DateTime, FromClause, Text, bindparam, cast, column, func, select, type_coerce
from sqlalchemy.types import JSON, TypeEngine

from tracker.store.moments import UtcDateTime, sqlite_time


def given(dialect: str, name: str, **columns: TypeEngine[Any]) -> FromClause:
    """The rows of the parameter `name`, made by `rows`, with these columns; `dialect` is the connection's."""
    text = bindparam(name, type_=Text())
    if dialect == "sqlite":
        each = func.json_each(text).table_valued("value", name=f"each_{name}")
        fields = [
            type_coerce(func.json_extract(each.c.value, f"$.{field}"), type_).label(field)
            for field, type_ in columns.items()
        ]
        return select(*fields).subquery(name)
    typed = [column(field, _plain(type_)) for field, type_ in columns.items()]
    return func.json_to_recordset(cast(text, JSON)).table_valued(*typed).render_derived(name=name, with_types=True)


def _plain(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    return DateTime(timezone=True) if isinstance(type_, UtcDateTime) else type_


def rows(connection: Connection, values: Iterable[Mapping[str, object]]) -> str:
    """The value of the parameter: moments as the database writes them, everything else as JSON has it."""
    return json.dumps(list(values), default=partial(_written, connection.dialect.name == "sqlite"))


def _written(is_sqlite: bool, value: object) -> str:  # noqa: FBT001 - which of the two databases
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no place in a row")
    moment = value.astimezone(UTC)
    return sqlite_time(moment) if is_sqlite else moment.isoformat()
