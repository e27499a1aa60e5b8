"""The outbox: one delivery per (callback, event), written in the transaction that makes the event."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol

from sqlalchemy import BigInteger, Connection, Integer, Text, select

from tracker.model import Outgoing
from tracker.store import pacing
from tracker.store.dialect import insert_for, insert_into
from tracker.store.endpoint_owner_table import endpoint_owner
from tracker.store.endpoints import first_due
from tracker.store.given import end_to_end, given, plain_rows, rows, text_at
from tracker.store.rows import new_id
from tracker.store.schema import delivery, endpoint


class Compose(Protocol):
    """Makes what a callback is sent: where it goes, under which id, and the body."""

    first_wait: timedelta
    """From the event to the first attempt."""

    def endpoint(self, url: str) -> str:
        """Scheme, host and port of a URL."""
        ...

    def message_id(self) -> str:
        """A new `msg_…`."""
        ...

    def body(self, outgoing: Outgoing) -> str:
        """The bytes of the message, as text; the same in every attempt."""
        ...


def enqueue(connection: Connection, outgoing: Sequence[Outgoing], *, now: datetime, compose: Compose) -> dict[int, int]:
    """Write one delivery for each message that its callback wants, held where its endpoint rests.

    Older ones that they leave nothing to say are superseded. Returns how many by task key.
    """
    wanted = [entry for entry in outgoing if entry.callback.wants(entry.message_type)]
    if not wanted:
        return {}
    starts = pacing.make_way(connection, wanted, now=now)
    origins = {entry.callback.url: compose.endpoint(entry.callback.url) for entry in wanted}
    keys = _endpoint_keys(connection, set(origins.values()), now)
    _note_owners(connection, {(entry.callback.owner, keys[origins[entry.callback.url]]) for entry in wanted})
    due = first_due(connection, list(keys.values()), now=now + compose.first_wait)
    bodies, places = end_to_end(compose.body(entry).encode() for entry in wanted)
    values: list[dict[str, object]] = []
    for entry, place in zip(wanted, places, strict=True):
        key = keys[origins[entry.callback.url]]
        due_at = max(due[key], starts.get(entry.callback.key, now))
        row = _row(entry, id_=compose.message_id(), endpoint_key=key, due_at=due_at, now=now)
        values.append({**row, **place})
    asked = {"given": rows(connection, values), "bodies": bodies}
    connection.execute(_enqueuing(connection.dialect.name), asked)
    counts: dict[int, int] = {}
    for entry in wanted:
        counts[entry.task.key] = counts.get(entry.task.key, 0) + 1
    return counts


def _row(entry: Outgoing, *, id_: str, endpoint_key: int, due_at: datetime, now: datetime) -> dict[str, object]:
    return {
        "id": id_,
        "task_key": entry.task.key,
        "callback_key": entry.callback.key,
        "endpoint_key": endpoint_key,
        "sequence": entry.sequence,
        "message_type": entry.message_type,
        "next_attempt_at": due_at,
        "created_at": now,
    }


@cache
def _enqueuing(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    fields = (
        "id",
        "task_key",
        "callback_key",
        "endpoint_key",
        "sequence",
        "message_type",
        "next_attempt_at",
        "created_at",
    )
    types = {name: delivery.c[name].type for name in fields}
    new = given(dialect, "given", **types, start=Integer(), length=Integer())
    body = text_at(dialect, "bodies", new.c.start, new.c.length)
    # SQLite would take ON CONFLICT for a part of the query where that does not end in a WHERE.
    written = select(*(new.c[name] for name in fields), body).where(new.c.id.is_not(None))
    statement = insert_for(dialect, delivery).from_select([*fields, "body"], written)
    return statement.on_conflict_do_nothing(index_elements=["callback_key", "sequence"])


def _endpoint_keys(connection: Connection, origins: set[str], now: datetime) -> dict[str, int]:
    query = select(endpoint.c.origin, endpoint.c.key).where(endpoint.c.origin.in_(origins))
    found = {row.origin: row.key for row in connection.execute(query)}
    new = sorted(origins - found.keys())
    if new:
        values = [{"id": new_id("end", now), "origin": origin, "created_at": now} for origin in new]
        statement = insert_into(connection, endpoint).values(values)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["origin"]))
        found.update({row.origin: row.key for row in connection.execute(query)})
    return found


def _note_owners(connection: Connection, pairs: set[tuple[str, int]]) -> None:
    """Two daemons that note the same new pairs in several calls each may lock each other out, as by new endpoints.

    One of them begins anew then, which happens at most once for a pair: one that is there is not locked.
    """
    told = plain_rows({"owner": owner, "endpoint_key": key} for owner, key in pairs)
    connection.execute(_noting_owners(connection.dialect.name), {"given": told})


@cache
def _noting_owners(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = given(dialect, "given", owner=Text(), endpoint_key=BigInteger())
    # In one order, whoever writes; and with a WHERE, as above.
    pairs = select(new.c.owner, new.c.endpoint_key).where(new.c.owner.is_not(None))
    pairs = pairs.order_by(new.c.owner, new.c.endpoint_key)
    return insert_for(dialect, endpoint_owner).from_select(["owner", "endpoint_key"], pairs).on_conflict_do_nothing()
