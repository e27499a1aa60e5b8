"""Rows that come from outside, as a table that a statement can read: one parameter, whatever their number.

A statement over a list of values would be a new text for every length of the list, which costs more to make and to
plan than to run. As JSON they are one text, on SQLite by `json_each` and on Postgres by `json_to_recordset`. One call
for all of them also runs beside the event loop: row by row, SQLite's driver might wait for the interpreter at each.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    LargeBinary,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.types import JSON, TypeEngine

from tracker.store.moments import UtcDateTime, sqlite_time


def given(dialect: str, name: str, **columns: TypeEngine[Any]) -> FromClause:
    """The rows of the parameter `name`, made by `rows`, with these columns; `dialect` is the connection's."""
    text = bindparam(name, type_=Text())
    if dialect == "sqlite":
        each = func.json_each(text).table_valued("value", name=f"each_{name}")
        fields = [
            type_coerce(func.json_extract(each.c.value, literal_column(f"'$.{field}'")), type_).label(field)
            for field, type_ in columns.items()
        ]
        return select(*fields).subquery(name)
    typed = [column(field, _plain(type_)) for field, type_ in columns.items()]
    return func.json_to_recordset(cast(text, JSON)).table_valued(*typed).render_derived(name=name, with_types=True)


def listed(name: str, **columns: TypeEngine[Any]) -> FromClause:
    """The same on SQLite for rows that are lists, in the order of the columns: what has no names is read sooner."""
    each = func.json_each(bindparam(name, type_=Text())).table_valued("value", name=f"each_{name}")
    fields = [
        type_coerce(func.json_extract(each.c.value, literal_column(f"'$[{place}]'")), type_).label(field)
        for place, (field, type_) in enumerate(columns.items())
    ]
    return select(*fields).subquery(name)


def among(dialect: str, key: ColumnElement[int], given_rows: FromClause) -> ColumnElement[bool]:
    """That a key is that of one of the rows: each is looked up, whatever Postgres knows of the table.

    For a join it may read all of a table, by a plan that it made when that was small. An array is expected to be short.
    """
    keys = select(given_rows.c.key)
    if dialect == "sqlite":
        return key.in_(keys)
    return key == any_(func.array(keys.scalar_subquery(), type_=ARRAY(BigInteger())))


def lined(dialect: str, name: str, **columns: TypeEngine[Any]) -> FromClause:
    """The rows of the parameter `name`, made by `lines`, with these columns in their order."""
    return listed(name, **columns) if dialect == "sqlite" else given(dialect, name, **columns)


def lines(connection: Connection, names: Sequence[str], values: Iterable[Sequence[object]]) -> str:
    """The value of the parameter; as in `plain_rows`, every moment is written by `moments`.

    Postgres is given names: it has no table of lists, and looks for a single field of one slowly.
    """
    if connection.dialect.name == "sqlite":
        return plain_rows(values)
    return plain_rows(dict(zip(names, row, strict=True)) for row in values)


def _plain(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    return DateTime(timezone=True) if isinstance(type_, UtcDateTime) else type_


def rows(connection: Connection, values: Iterable[Mapping[str, object]]) -> str:
    """The value of the parameter: moments as the database writes them, everything else as JSON has it."""
    if connection.dialect.name != "sqlite":
        return plain_rows(values)
    written = moments(connection)
    return plain_rows(
        {name: written(value) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in values
    )


def moments(connection: Connection) -> Callable[[datetime], object]:
    """What to put into `plain_rows` for a moment; most rows of a call tell the same one."""
    texts: dict[datetime, str] = {}

    def written(moment: datetime) -> object:
        text = texts.get(moment)
        if text is None:
            text = texts[moment] = sqlite_time(moment.astimezone(UTC))
        return text

    return written if connection.dialect.name == "sqlite" else _as_it_is


def _as_it_is(moment: datetime) -> object:
    return moment


def plain_rows(values: Iterable[Mapping[str, object] | Sequence[object] | msgspec.Struct]) -> str:
    """The same where every moment is written by `moments`, or the database is Postgres: in one pass."""
    told = list(values)
    try:
        return msgspec.json.encode(told, enc_hook=_refuse).decode()
    except UnicodeEncodeError:
        # Half a character: whether it can be stored is for the database to say.
        return json.dumps(told, default=_written)


def _written(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    return value.isoformat() if isinstance(value, datetime) else _refuse(value)


def _refuse(value: object) -> str:
    raise TypeError(f"{type(value).__name__} has no place in a row")


def end_to_end(texts: Iterable[bytes]) -> tuple[bytes, list[dict[str, int]]]:
    """Long texts as one parameter, and for each where it begins in that and how long it is, for `text_at`.

    Inside the JSON of `rows` every character of theirs would be looked at four times.
    """
    places: list[dict[str, int]] = []
    parts: list[bytes] = []
    start = 1
    for text in texts:
        places.append({"start": start, "length": len(text)})
        parts.append(text)
        start += len(text)
    return b"".join(parts), places


def text_at(dialect: str, name: str, start: ColumnElement[int], length: ColumnElement[int]) -> ColumnElement[str]:
    """One of the texts that the parameter `name` holds end to end."""
    part = func.substr(bindparam(name, type_=LargeBinary()), start, length)
    return cast(part, Text) if dialect == "sqlite" else func.convert_from(part, "UTF8", type_=Text())
