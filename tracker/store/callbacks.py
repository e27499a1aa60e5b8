"""The callbacks that registrations ask for: planned one by one, written together."""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, Integer, Text, bindparam, case, func, insert, null, select, text, update
from sqlalchemy.types import TypeEngine

from tracker.model import Callback
from tracker.store.given import among, given, rows
from tracker.store.moments import UtcDateTime
from tracker.store.rows import CALLBACK_COLUMNS, callback_of, dump_json
from tracker.store.schema import callback

DEFAULT_EVENTS = ("ended",)
MOST_CALLBACKS = 50
"""Of one owner for one task: each event is told to every callback in one transaction, which has to stay short."""

Place = tuple[int, str, str]
"""Task key, owner and URL: what a callback is known by."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One registration, checked; fields that were not given are None and change nothing on a repeat.

    No dataclass: they come by the thousand, and one is made in a fifth of the time so.
    """

    upstream: str
    task_id: str
    url: str | None = None
    events: tuple[str, ...] | None = None
    format: str | None = None
    metadata: object = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A registration, and who asks for it."""

    want: Wanted
    owner: str
    sees_all: bool


class Plan:
    """What a group of registrations makes of the callbacks of its tasks; nothing is written before `write`."""

    def __init__(self, known: dict[Place, int]) -> None:
        """`known` has the keys of those that are there."""
        self._known = known
        self._counts = Counter((key, owner) for key, owner, _ in known)
        self._new: dict[Place, dict[str, Any]] = {}
        self._changed: dict[Place, dict[str, Any]] = {}

    def takes(self, place: Place, want: Wanted) -> bool:
        """Plan a callback; False, and nothing is planned, where the owner has too many for the task."""
        fields = given_fields(want)
        if place in self._known:
            self._changed.setdefault(place, {}).update(fields)
        elif place in self._new:
            self._new[place].update(fields)
        elif self._counts[place[:2]] >= MOST_CALLBACKS:
            return False
        else:
            self._counts[place[:2]] += 1
            self._new[place] = fields
        return True

    def write(
        self, connection: Connection, returned: Collection[tuple[int, str]], *, default_format: str, now: datetime
    ) -> list[Callback]:
        """Write what was planned; returns those that may have to be told of an end that came before.

        What owners had withdrawn is wanted again where they are among the `returned`, by task key and owner.
        """
        changed = {
            self._known[place]: {**_dumped(fields), "is_back": int(place[:2] in returned)}
            for place, fields in self._changed.items()
        }
        plain = standard(default_format)
        new = {place: {**plain, **fields} for place, fields in self._new.items()}
        return [*_change(connection, changed), *_insert(connection, new, now)]


def known_of(connection: Connection, keys: Collection[int]) -> dict[Place, int]:
    """The keys of every callback of these tasks."""
    if not keys:
        return {}
    given_keys = rows(connection, [{"key": key} for key in keys])
    found = connection.execute(_known(connection.dialect.name), {"given": given_keys})
    return {(row.task_key, row.owner, row.url): row.key for row in found}


@cache
def _known(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    keys = given(dialect, "given", key=BigInteger())
    columns = (callback.c.task_key, callback.c.owner, callback.c.url, callback.c.key)
    return select(*columns).where(among(dialect, callback.c.task_key, keys))


def standard(default_format: str) -> dict[str, Any]:
    """What a callback is that says nothing of itself."""
    return {"events": DEFAULT_EVENTS, "format": default_format, "metadata": None}


def given_fields(want: Wanted) -> dict[str, Any]:
    """What a registration says of its callback."""
    given = {"events": want.events, "format": want.format, "metadata": want.metadata}
    return {name: value for name, value in given.items() if value is not None}


def _dumped(fields: dict[str, Any]) -> dict[str, Any]:
    """As the columns have them."""
    dumped = dict(fields)
    if fields.get("events") is not None:
        dumped["events"] = ",".join(fields["events"])
    if fields.get("metadata") is not None:
        dumped["metadata"] = dump_metadata(fields["metadata"])
    return dumped


def dump_metadata(value: object) -> str:
    """Metadata as the column has it."""
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
        return dump_json(value)


def _insert(connection: Connection, new: dict[Place, dict[str, Any]], now: datetime) -> list[Callback]:
    if not new:
        return []
    made = [
        {"task_key": key, "owner": owner, "url": url, **_dumped(fields)} for (key, owner, url), fields in new.items()
    ]
    asked = {"given": rows(connection, made), "created_at": now}
    # What was just written need not be read again.
    return [
        Callback(key=key, task_key=task_key, owner=owner, url=url, **new[task_key, owner, url])
        for key, task_key, owner, url in connection.execute(_inserting(connection.dialect.name), asked).all()
    ]


@cache
def _inserting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    names = ("task_key", "owner", "url", "events", "format", "metadata")
    new = given(dialect, "given", **{name: callback.c[name].type for name in names})
    created = bindparam("created_at", type_=UtcDateTime())
    chosen = select(*(new.c[name] for name in names), created)
    made = insert(callback).from_select([*names, "created_at"], chosen)
    return made.returning(callback.c.key, callback.c.task_key, callback.c.owner, callback.c.url)


def _change(connection: Connection, changed: dict[int, dict[str, Any]]) -> list[Callback]:
    """What was given replaces what was there; those that want other ends than before, or are back, are returned."""
    some = {key: fields for key, fields in changed.items() if len(fields) > 1 or fields["is_back"]}
    if not some:
        return []
    made = [{"key": key, "events": None, "format": None, "metadata": None, **some[key]} for key in sorted(some)]
    connection.execute(_changing(connection.dialect.name), {"given": rows(connection, made)})
    return _read(connection, [row["key"] for row in made if row["events"] is not None or row["is_back"]])


@cache
def _changing(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    names = ("events", "format", "metadata")
    types: dict[str, TypeEngine[Any]] = {"key": BigInteger(), "is_back": Integer(), **{name: Text() for name in names}}
    new = given(dialect, "given", **types)
    values: dict[str, Any] = {name: func.coalesce(new.c[name], callback.c[name]) for name in names}
    values["gone_at"] = case((new.c.is_back == 1, null()), else_=callback.c.gone_at)
    return update(callback).where(callback.c.key == new.c.key).values(values)


def _read(connection: Connection, keys: Iterable[int]) -> list[Callback]:
    asked = rows(connection, [{"key": key} for key in keys])
    return [callback_of(row) for row in connection.execute(_reading(connection.dialect.name), {"given": asked})]


@cache
def _reading(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    keys = given(dialect, "given", key=BigInteger())
    live = select(*CALLBACK_COLUMNS).where(among(dialect, callback.c.key, keys), text("callback.gone_at IS NULL"))
    return live.order_by(callback.c.key)
