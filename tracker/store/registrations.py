"""Registering tasks and callbacks, a thousand at a time or one: the same registration twice is the same one."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from tracker.errors import InputError
from tracker.model import Callback, Task
from tracker.store.callbacks import (
    DEFAULT_EVENTS,
    MOST_CALLBACKS,
    Asked,
    Wanted,
    given_fields,
    standard,
)
from tracker.store.newcomers import Newcomer, draft, insert_new
from tracker.store.outbox import Compose
from tracker.store.repeats import Registered, register_any

__all__ = ["DEFAULT_EVENTS", "MOST_CALLBACKS", "Asked", "Registered", "Wanted", "register", "register_each"]


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
        return register_any(connection, asked, names, default_format=default_format, now=now, compose=compose)
    drawn = draft(by_name, default_format=default_format, now=now)
    made = insert_new(connection, drawn, watcher=watcher, now=now)
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
    new = partial(_first, default_format=default_format, now=now)
    return [new(one, made[name]) if name in made else told[name] for name, one in by_name.items()]


def _first(one: Asked, made: Newcomer, *, default_format: str, now: datetime) -> Registered:
    """The answer to whoever registers a task for the first time."""
    want = one.want
    told = Task(key=made.key, id=made.id, upstream=want.upstream, task_id=want.task_id, registered_at=now, sequence=1)
    callbacks = []
    if made.callback_key is not None and want.url is not None:
        fields = {**standard(default_format), **given_fields(want)}
        callbacks = [Callback(key=made.callback_key, task_key=made.key, owner=one.owner, url=want.url, **fields)]
    return Registered(task=told, callbacks=callbacks, created=True, adds_live=True, is_watched=made.watcher is not None)
