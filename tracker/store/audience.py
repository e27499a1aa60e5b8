"""Whose business a line of a history is: what became of a message concerns only whoever it was for."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, select

from tracker.model import EventKind
from tracker.store.schema import callback, delivery
from tracker.store.tasks import HistoryLine

Line = TypeVar("Line", bound=HistoryLine)
_OF_DELIVERIES = (EventKind.DELIVERED, EventKind.DELIVERY_FAILED, EventKind.DELIVERY_DEAD)


def concerning(connection: Connection, lines: Sequence[Line], *, owner: str | None) -> list[Line]:
    """Those of these lines that an owner may read: others' receivers are left out. No owner: all."""
    if owner is None:
        return list(lines)
    named = {word for line in lines if line.event in _OF_DELIVERIES for word in _messages(line)}
    own = _own(connection, named, owner) if named else set()
    return [line for line in lines if line.event not in _OF_DELIVERIES or not own.isdisjoint(_messages(line))]


def _messages(line: HistoryLine) -> list[str]:
    """The ids of messages in a note, where they stand between other words."""
    return [word for word in (line.note or "").split() if word.startswith("msg_")]


def _own(connection: Connection, ids: Iterable[str], owner: str) -> set[str]:
    query = select(delivery.c.id).join(callback, callback.c.key == delivery.c.callback_key)
    return set(connection.scalars(query.where(delivery.c.id.in_(ids), callback.c.owner == owner)))
