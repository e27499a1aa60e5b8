"""What commands ask of a tracker, wherever it is: the database beside us, or a daemon's API.

Answers are dictionaries in the shape of the API's JSON, so that commands do not know which one they have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import click

from tracker.errors import InputError, NotFoundError

Document = dict[str, Any]
"""One JSON object."""
Checked = TypeVar("Checked")
_LARGEST_ANSWER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One registration as somebody wrote it, and where: `line 3`, or empty for the command line."""

    document: object
    where: str = ""
    fault: InputError | None = None
    """Why there is no document: the line cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tasks to list; None asks for all."""

    status: tuple[str, ...] = ()
    upstream: str | None = None
    task_id: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Which messages to send again; None asks for all, but dead ones only."""

    endpoint: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Tracker(Protocol):
    """Raises TrackerError for whatever a person can do something about."""

    def register(self, entries: Sequence[Entry]) -> list[Document]:
        """Register them in order; each answer is the task and `created`. All are checked before any is written."""
        ...

    def tasks(self, wanted: Selection) -> list[Document]:
        """The newest tasks that match."""
        ...

    def task(self, id_: str) -> Document:
        """A task by its `tsk_…`."""
        ...

    def history(self, id_: str) -> list[Document]:
        """The events of a task, first to last."""
        ...

    def deliveries(self, *, status: str | None, limit: int) -> list[Document]:
        """The newest deliveries of all tasks, each with its last attempt."""
        ...

    def task_deliveries(self, id_: str) -> list[Document]:
        """The deliveries of a task with every attempt, first to last."""
        ...

    def refresh(self, id_: str) -> Document:
        """Have a look taken now."""
        ...

    def drop(self, id_: str) -> Document:
        """Stop watching; the answer is the task as it is then, and `stopped`."""
        ...

    def ping(self, url: str, owner: str | None) -> Document:
        """Send a test to a URL, signed for this owner (ours otherwise); tell what came of it."""
        ...

    def redeliver(self, id_: str) -> Document:
        """Send a message again; the answer is the delivery as it is then."""
        ...

    def redeliver_matching(self, wanted: Again) -> int:
        """Send all again that match; returns how many those are."""
        ...

    def endpoints(self, *, limit: int) -> list[Document]:
        """How the newest receivers are doing."""
        ...

    def enable(self, endpoint: str) -> Document:
        """Send to an endpoint again; the answer is the endpoint as it is then."""
        ...

    def disable(self, endpoint: str) -> Document:
        """Send an endpoint nothing; the answer is the endpoint as it is then."""
        ...

    def link(self, owner: str | None, scope: str | None) -> Document:
        """An address of the pages that signs in whoever opens it first: `url` and `expires_at`."""
        ...

    def upstreams(self) -> list[Document]:
        """How each upstream is doing; those that only live tasks name as well."""
        ...

    def idleness(self) -> str | None:
        """That no daemon runs, in a sentence; None where one does, or where that is not known."""
        ...


def at(where: str, error: InputError) -> InputError:
    """The same error, with the place of the entry it is about."""
    return InputError(f"{where}, {error.field}", error.problem, error.fix) if where else error


class BadEntriesError(InputError):
    """Several entries that cannot be used; nothing was done."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        super().__init__(errors[0].field, errors[0].problem, errors[0].fix)
        self.errors = tuple(errors)


def checked(entries: Sequence[Entry], check: Callable[[Entry], Checked]) -> list[Checked]:
    """What a check makes of all entries; raises one error that tells what is wrong with each that it refuses."""
    good: list[Checked] = []
    errors: list[InputError] = []
    for entry in entries:
        if entry.fault:
            errors.append(entry.fault)
            continue
        try:
            good.append(check(entry))
        except InputError as error:
            errors.append(at(entry.where, error))
    if len(errors) > 1:
        raise BadEntriesError(errors)
    if errors:
        raise errors[0]
    return good


def resolve(tracker: Tracker, name: str, upstream: str | None) -> Document:
    """The task that a person means by `tsk_…` or by the upstream's id; a usage error where that may be several."""
    if name.startswith("tsk_"):
        try:
            found = [tracker.task(name)]
        except NotFoundError:
            # Upstreams choose their ids: one may begin like ours.
            found = tracker.tasks(Selection(task_id=name, limit=_LARGEST_ANSWER))
    else:
        found = tracker.tasks(Selection(task_id=name, limit=_LARGEST_ANSWER))
    meant = [task for task in found if upstream in (None, task["upstream"])]
    if not meant:
        raise NotFoundError(f"there is no task {name!r}" + (f" at the upstream {upstream!r}" if upstream else ""))
    if len(meant) > 1:
        names = ", ".join(sorted(task["upstream"] for task in meant))
        raise click.UsageError(f"{name!r} is a task of several upstreams ({names}): choose one with --upstream")
    return tracker.task(meant[0]["id"])
