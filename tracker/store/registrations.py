"""Registering tasks and callbacks, a thousand at a time or one: the same registration twice is the same one."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from tracker.errors import InputError
from tracker.store.callbacks import (
    DEFAULT_EVENTS,
    MOST_CALLBACKS,
    Asked,
    Wanted,
)
from tracker.store.newcomers import Newcomer, insert_new
from tracker.store.outbox import Compose
from tracker.store.repeats import Repeated, register_any

__all__ = ["DEFAULT_EVENTS", "MOST_CALLBACKS", "Asked", "Newcomer", "Registered", "Wanted", "register", "register_each"]

Registered = Newcomer | Repeated
"""What became of one registration."""


def register(
    connection: Connection,
    wanted: Sequence[Wanted],
    *,
    owner: str,
    sees_all: bool,
    default_format: str,
    now: datetime,
    compose: Compose,
    watcher: str | None = None,
) -> list[Registered]:
    """Write registrations of one owner, all or none; raises InputError for the first that cannot be taken."""
    asked = [Asked(want=want, owner=owner, sees_all=sees_all) for want in wanted]
    written = register_each(connection, asked, default_format=default_format, now=now, compose=compose, watcher=watcher)
    answers = []
    for answer in written:
        if isinstance(answer, InputError):
            raise answer
        answers.append(answer)
    return answers


def register_each(
    connection: Connection,
    asked: Sequence[Asked],
    *,
    default_format: str,
    now: datetime,
    compose: Compose,
    watcher: str | None = None,
) -> list[Registered | InputError]:
    """Write tasks, registrations and callbacks; a callback for a task that has ended gets its message at once.

    One that cannot be taken has an error for an answer and leaves nothing behind, unless it is about a task that
    another one of these made. With a `watcher`, that daemon has what is new from the beginning, as its answers say.
    """
    # As it is kept, and as it is told: a moment is known to the millisecond.
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    names = [(one.want.upstream, one.want.task_id) for one in asked]
    by_name = dict(zip(names, asked, strict=True))
    if len(by_name) < len(asked):
        # Some are about the same task: what the later ones say is told to the earlier ones too.
        return [*register_any(connection, asked, names, default_format=default_format, now=now, compose=compose)]
    made = insert_new(connection, by_name, watcher=watcher, default_format=default_format, now=now)
    if len(made) == len(names):
        return [made[name] for name in names]
    others = [name for name in names if name not in made]
    rest = register_any(
        connection,
        [by_name[name] for name in others],
        others,
        default_format=default_format,
        now=now,
        compose=compose,
        tried=True,
    )
    told = dict(zip(others, rest, strict=True))
    return [made.get(name) or told[name] for name in names]
