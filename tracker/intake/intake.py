"""Checks what is asked for and writes it; the same for the API, the command line and pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from tracker.clock import Clock
from tracker.config import Settings
from tracker.errors import InputError, NotFoundError
from tracker.guard import Guard
from tracker.intake.callers import Caller
from tracker.intake.plain import PlainRequest
from tracker.intake.requests import RegistrationRequest, TrialRequest
from tracker.model import Task
from tracker.model.notes import DROPPED_BY, signed_note
from tracker.observe import drop
from tracker.store import changes, registrations, tasks
from tracker.store.database import Connection, Work
from tracker.store.outbox import Compose
from tracker.store.registrations import Asked, Registered, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What became of a wish to stop watching."""

    task: Task
    stopped: bool
    """False when the task had ended, or goes on for another owner."""
    withdrawn: bool = False
    """Whether the caller's own part ended: others registered it too."""


_OTHER_ID = ": {id} is the tracker's own id (tsk_…); GET /v1/tasks?task_id=… finds a task by its upstream's id"


_URLS = 512
"""That are remembered to be in order."""

AnyRequest = RegistrationRequest | PlainRequest


class Intake:
    """Turns wishes into work for the database's writer."""

    def __init__(self, settings: Settings, guard: Guard, compose: Compose, clock: Clock) -> None:
        self._settings = settings
        self._guard = guard
        # The tasks of a batch have few URLs, and what may be called is settled for good.
        self._check_url = lru_cache(maxsize=_URLS)(guard.check_url)
        self._compose = compose
        self._clock = clock

    def check(self, request: AnyRequest, *, where: str = "") -> Wanted:
        """What the request asks for, or InputError: its upstream is configured, its URL may be called."""
        prefix = f"{where}." if where else ""
        _needs_a_callback(request, prefix)
        if request.callback_url is not None:
            self._check_url(request.callback_url, f"{prefix}callback_url")
        return Wanted(
            upstream=self._upstream(request.upstream, f"{prefix}upstream"),
            task_id=request.task_id,
            url=request.callback_url,
            events=None if request.events is None else tuple(request.events),
            format=request.format,
            metadata=request.metadata,
        )

    def check_trial(self, request: TrialRequest) -> str:
        """The URL to be tested, or InputError where no task could be registered with it either."""
        self._guard.check_url(request.callback_url)
        return request.callback_url

    def _upstream(self, name: str | None, field: str) -> str:
        self._settings.must_have_upstreams()
        chosen = name or self._settings.upstream_default
        if chosen is not None and chosen in self._settings.upstreams:
            return chosen
        configured = ", ".join(self._settings.upstreams)
        if chosen is None:
            raise InputError(field, "is needed, since there is no default upstream", f"name one of: {configured}")
        raise InputError(field, f"{chosen!r} is not configured", f"name one of: {configured}")

    def register(
        self, wanted: Sequence[Wanted], caller: Caller, *, watcher: str | None = None
    ) -> Work[list[Registered]]:
        """Work that writes registrations and says what became of each, in order; the new ones are the watcher's."""
        return partial(
            registrations.register,
            wanted=wanted,
            owner=caller.owner,
            sees_all=caller.sees_all,
            default_format=self._settings.callbacks.format,
            now=self._clock(),
            compose=self._compose,
            watcher=watcher,
        )

    def register_each(
        self, asked: Sequence[tuple[Wanted, Caller]], *, watcher: str | None = None
    ) -> Work[list[Registered | InputError]]:
        """The same for some that have nothing to do with each other: each has its own answer, or its own error."""
        return partial(
            registrations.register_each,
            asked=[Asked(want=want, owner=caller.owner, sees_all=caller.sees_all) for want, caller in asked],
            default_format=self._settings.callbacks.format,
            now=self._clock(),
            compose=self._compose,
            watcher=watcher,
        )

    def refresh(self, id_: str, caller: Caller) -> Work[Task]:
        """Work that asks for a look at a task now; raises NotFoundError."""

        def work(connection: Connection) -> Task:
            task = visible(connection, id_, caller)
            tasks.ask_refresh(connection, task.key, now=self._clock())
            return task

        return work

    def drop(self, id_: str, caller: Caller) -> Work[Dropped]:
        """Work that stops watching a task; one that other owners registered goes on for them."""

        def work(connection: Connection) -> Dropped:
            task = visible(connection, id_, caller)
            now = self._clock()
            if not caller.sees_all and tasks.others_registered(connection, task.key, caller.owner):
                tasks.withdraw(connection, task.key, caller.owner, now=now)
                return Dropped(task=task, stopped=False, withdrawn=True)
            decide = partial(drop, now=now, note=signed_note(DROPPED_BY, caller.owner))
            recorded = changes.record(connection, {task.key: decide}, watcher=None, now=now, compose=self._compose)
            written = recorded[task.key]
            return Dropped(task=written.task, stopped=written.event is not None)

        return work


def _needs_a_callback(request: AnyRequest, prefix: str) -> None:
    """Nothing that somebody wanted to be handed back may vanish."""
    if request.callback_url is not None:
        return
    for name, value in (("metadata", request.metadata), ("events", request.events), ("format", request.format)):
        if value is not None:
            fix = "say where to POST the messages, or leave this out"
            raise InputError(f"{prefix}{name}", "needs a callback_url", fix)


def visible(connection: Connection, id_: str, caller: Caller) -> Task:
    """A task that the caller may see; raises NotFoundError."""
    task = tasks.get(connection, id_, owner=caller.only_owner)
    if task is None:
        raise NotFoundError(f"there is no task {id_!r}{'' if id_.startswith('tsk_') else _OTHER_ID}")
    return task
