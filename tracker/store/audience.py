"""Whose business a line of a history is: what became of a message concerns only whoever it was for.

Nor does anybody learn who else has registered a task.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection, select

from tracker.model import EventKind, Status
from tracker.model.notes import as_read_by
from tracker.store.schema import callback, delivery
from tracker.store.tasks import HistoryLine

Line = TypeVar("Line", bound=HistoryLine)
_OF_DELIVERIES = (EventKind.DELIVERED, EventKind.DELIVERY_FAILED, EventKind.DELIVERY_DEAD)


def concerning(connection: Connection, lines: Sequence[Line], *, owner: str | None) -> list[Line]:
    """Those of these lines that an owner may read: others' receivers and names are left out. No owner: all."""
    if owner is None:
        return list(lines)
    named = {word for line in lines if line.event in _OF_DELIVERIES for word in _messages(line)}
    own = _own(connection, named, owner) if named else set()
    mine = (line for line in lines if line.event not in _OF_DELIVERIES or not own.isdisjoint(_messages(line)))
    return [_nameless(line, owner) if _is_wish(line) else line for line in mine]


def _is_wish(line: HistoryLine) -> bool:
    """Whether somebody wished it: to stop watching, or to watch again."""
    return line.event is EventKind.STATUS and Status.DROPPED in (line.from_status, line.to_status)


def _nameless(line: Line, owner: str) -> Line:
    return replace(line, note=as_read_by(owner, line.note))


def _messages(line: HistoryLine) -> list[str]:
    """The ids of messages in a note, where they stand between other words."""
    return [word for word in (line.note or "").split() if word.startswith("msg_")]


def _own(connection: Connection, ids: Iterable[str], owner: str) -> set[str]:
    query = select(delivery.c.id).join(callback, callback.c.key == delivery.c.callback_key)
    return set(connection.scalars(query.where(delivery.c.id.in_(ids), callback.c.owner == owner)))
