"""Following tasks: one look after the other, until all have ended or the time is up."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from tracker.cli.protocol import Document, Selection, Tracker
from tracker.errors import NotFoundError, UnavailableError
from tracker.model import Status

_LIVE = tuple(str(status) for status in Status if not status.is_end)
_STAYING = 10
"""For how many looks a task that has ended stays among the live ones, to be seen."""
_MOST_FAILURES = 60
_BETWEEN_QUESTIONS = 5.0
"""Seconds between two times that somebody who watches asks whether a daemon runs."""


class Watched(Protocol):
    """What is looked at again and again."""

    @property
    def is_over(self) -> bool:
        """Whether another look would see nothing new."""
        ...

    def look(self) -> list[Document]:
        """The tasks as they are now."""
        ...


class Chosen:
    """Certain tasks, each asked for until it has ended."""

    def __init__(self, tracker: Tracker, found: Sequence[Document]) -> None:
        self._tracker = tracker
        self._seen = {task["id"]: task for task in found}

    @property
    def is_over(self) -> bool:
        """Whether all have ended."""
        return all(task["ended_at"] is not None for task in self._seen.values())

    def look(self) -> list[Document]:
        """All of them, in the order in which they were chosen."""
        for id_, task in self._seen.items():
            if task["ended_at"] is None:
                self._seen[id_] = self._tracker.task(id_)
        return list(self._seen.values())


class Live:
    """The newest tasks that have not ended, whichever those are at the time, and for a while those that just have."""

    is_over = False

    def __init__(self, tracker: Tracker, upstream: str | None, room: Callable[[], int]) -> None:
        self._tracker = tracker
        self._upstream = upstream
        self._room = room
        self._live: dict[str, Document] = {}
        self._ended: dict[str, tuple[Document, int]] = {}

    def look(self) -> list[Document]:
        """Newest first."""
        wanted = Selection(status=_LIVE, upstream=self._upstream, limit=self._room())
        live = {task["id"]: task for task in self._tracker.tasks(wanted)}
        self._ended = {id_: (task, looks - 1) for id_, (task, looks) in self._ended.items() if looks > 1}
        for id_ in self._live.keys() - live.keys():
            task = self._gone(id_)
            if task is not None:
                self._ended[id_] = (task, _STAYING)
        self._live = live
        seen = [*live.values(), *(task for task, _ in self._ended.values())]
        return sorted(seen, key=lambda task: str(task["registered_at"]), reverse=True)

    def _gone(self, id_: str) -> Document | None:
        """A task that is listed no more, if that is because it has ended."""
        try:
            task = self._tracker.task(id_)
        except NotFoundError:
            return None
        return task if task["ended_at"] is not None else None


class Patient:
    """Tells what was seen last while a daemon restarts or a database is busy: only what lasts is an error."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._seen: list[Document] | None = None
        self._failures = 0

    @property
    def is_over(self) -> bool:
        """Whether another look would see nothing new."""
        return self._watched.is_over

    def look(self) -> list[Document]:
        """The tasks as they are now, or were when they could be seen."""
        try:
            self._seen = self._watched.look()
            self._failures = 0
        except UnavailableError:
            self._failures += 1
            if self._seen is None or self._failures > _MOST_FAILURES:
                raise
        return self._seen


class Deadline:
    """Pauses between two looks, as long as there is time."""

    def __init__(self, timeout: timedelta | None, every: timedelta) -> None:
        self._ends_at = None if timeout is None else time.monotonic() + timeout.total_seconds()
        self._every = every.total_seconds()

    def __call__(self) -> bool:
        """Whether there is time for another look, which is taken after a pause."""
        if self._ends_at is None:
            time.sleep(self._every)
            return True
        left = self._ends_at - time.monotonic()
        time.sleep(max(0.0, min(self._every, left)))
        return left > 0


def follow(watched: Watched, pause: Callable[[], bool]) -> Iterator[list[Document]]:
    """Look after look, until nothing new can come or a pause says that the time is up."""
    while True:
        yield watched.look()
        if watched.is_over or not pause():
            return


def warned(
    looks: Iterator[list[Document]],
    watched: Watched,
    idleness: Callable[[], str | None],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Document]]:
    """The same looks; whenever it begins to be so that no daemon runs, that is said, once."""
    was_idle, next_at = False, clock()
    for look in looks:
        if clock() >= next_at and not watched.is_over:
            said = idleness()
            if said is not None and not was_idle:
                say(said)
            was_idle, next_at = said is not None, clock() + _BETWEEN_QUESTIONS
        yield look


class News:
    """Knows what was told of each task before."""

    def __init__(self) -> None:
        self._told: dict[object, object] = {}

    def of(self, seen: Sequence[Document]) -> list[Document]:
        """The tasks that are seen for the first time, and those that have changed."""
        news = {task["id"]: (task["status"], task["upstream_status"], task["progress"]) for task in seen}
        before, self._told = self._told, dict(news)
        return [task for task in seen if before.get(task["id"]) != news[task["id"]]]
