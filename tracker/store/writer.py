"""The one writer: takes all that waits into one transaction, and answers after its commit."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from tracker.errors import ConflictError, NotFoundError, UnavailableError
from tracker.store.faults import concerns_all, is_broken_connection, translated

P = TypeVar("P")
T = TypeVar("T")
Promise = Future[Any] | asyncio.Future[Any]
Work = Callable[[Connection], T]
"""A piece of work inside one transaction. It may be run again, so it touches nothing but its connection, and
it raises NotFoundError and ConflictError before it writes anything."""


@dataclass(frozen=True, slots=True)
class Each(Generic[P, T]):
    """One piece of work of a kind that is done together: what of it meets in one group is a single call."""

    work: Callable[[Connection, Sequence[P]], Sequence[T]]
    """Takes pieces, returns as many answers."""
    piece: P
    size: int = 1
    """About how many rows it writes."""

    def __call__(self, connection: Connection) -> T:
        """This piece alone."""
        return self.work(connection, [self.piece])[0]


Entry = tuple[Work[Any], Promise]
GROUP_SIZE = 64
"""The most pieces of work in one commit: large enough to share a flush, small enough not to delay the first."""
GROUP_ROWS = 1024
"""A group takes no further piece once it has this many rows to write: more save nothing, and others wait."""
_COMPANY = 4
"""Pieces of work in a group that tell of a busy time."""
_COMPANY_SECONDS = 0.004
_FAREWELL_SECONDS = 1.5
"""How long closing waits for a writer that a database out of reach may hold up."""


class Stopwatch(Protocol):
    """Told how long each transaction took."""

    def __call__(self, operation: str, seconds: float) -> None:
        """Record one `read` or `write`."""
        ...


def untimed(operation: str, seconds: float) -> None:
    """A stopwatch for those who do not count."""


class Writer:
    """One thread, one connection; takes all that waits into one transaction."""

    def __init__(self, engine: Engine, stopwatch: Stopwatch) -> None:
        self._engine = engine
        self._is_alone = engine.dialect.name == "sqlite"
        self._stopwatch = stopwatch
        self._waiting: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tracker-write", daemon=True)
        self._started = threading.Lock()
        self._stopped = False
        self._had_company = False

    def submit(self, work: Work[T]) -> Future[T]:
        """Have it written; raises UnavailableError once stopped."""
        promise: Future[T] = Future()
        self._put(work, promise)
        return promise

    def submit_from_loop(self, work: Work[T]) -> asyncio.Future[T]:
        """The same for the running event loop."""
        promise: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(work, promise)
        return promise

    def _put(self, work: Work[Any], promise: Promise) -> None:
        with self._started:
            if self._stopped:
                raise UnavailableError("the database is closed")
            if not self._thread.is_alive():
                self._thread.start()
            self._waiting.put((work, promise))

    def stop(self) -> None:
        """Write what was submitted and take nothing more."""
        with self._started:
            self._stopped = True
            self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(_FAREWELL_SECONDS)

    def _run(self) -> None:
        while True:
            group, is_last = self._take()
            self._had_company = len(group) >= _COMPANY
            for part in self._parts(group):
                started = time.perf_counter()
                self._commit(part)
                self._stopwatch("write", time.perf_counter() - started)
            if is_last:
                return

    def _take(self) -> tuple[list[Entry], bool]:
        """Wait for one piece of work, then take whatever else is there.

        Where the last group had company this one will have it too, and half of what a small group costs is there
        before its first row: it is worth a short wait.
        """
        group: list[Entry] = []
        size = 0
        entry = self._waiting.get()
        if self._had_company:
            time.sleep(_COMPANY_SECONDS)
        while entry is not None:
            if _is_wanted(entry[1]):
                group.append(entry)
                size += entry[0].size if isinstance(entry[0], Each) else 1
            if len(group) >= GROUP_SIZE or size >= GROUP_ROWS:
                return group, False
            try:
                entry = self._waiting.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _parts(self, group: list[Entry]) -> list[list[Entry]]:
        """Its transactions."""
        if self._is_alone:
            return [group] if group else []
        return _by_kind(group)

    def _commit(self, group: list[Entry]) -> None:
        try:
            results = transact(self._engine, partial(_outcomes, [work for work, _ in group]))
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            if len(group) == 1 or concerns_all(error):
                _answer([(promise, error) for _, promise in group])
                return
            # One bad piece must not take the others with it: each gets a transaction of its own.
            for entry in group:
                self._commit([entry])
            return
        _answer([(promise, result) for (_, promise), result in zip(group, results, strict=True)])


def transact(engine: Engine, work: Work[T]) -> T:
    """Run work in a transaction of its own; returns after its commit.

    A connection that broke while nobody used it is found broken as the transaction begins, when nothing has been done:
    then a new one does it. To try each connection before its use would cost as much as a question.
    """
    has_begun = False
    try:
        with translated(), engine.begin() as connection:
            has_begun = True
            return work(connection)
    except UnavailableError as error:
        if has_begun or not is_broken_connection(error):
            raise
    with translated(), engine.begin() as connection:
        return work(connection)


def _by_kind(group: Sequence[Entry]) -> list[list[Entry]]:
    """What is to be one transaction where other programs write too.

    Each kind takes the locks of all its pieces in one order. One after the other in a transaction, two kinds would
    not, and two daemons would lock each other out.
    """
    kinds: dict[object, list[Entry]] = {}
    for entry in group:
        kinds.setdefault(entry[0].work if isinstance(entry[0], Each) else None, []).append(entry)
    return list(kinds.values())


def _is_wanted(promise: Promise) -> bool:
    """Whether somebody still waits for it; from now on it is done in any case."""
    return not promise.cancelled() if isinstance(promise, asyncio.Future) else promise.set_running_or_notify_cancel()


def _answer(answers: Sequence[tuple[Promise, Any]]) -> None:
    """Tell everybody; each event loop is woken once, since waking it costs more than the answer."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for promise, result in answers:
        if isinstance(promise, asyncio.Future):
            loops.setdefault(promise.get_loop(), []).append((promise, result))
        else:
            _keep(promise, result)
    for loop, promised in loops.items():
        with suppress(RuntimeError):  # it is closed: nobody waits any more
            loop.call_soon_threadsafe(_keep_all, promised)


def _keep_all(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for promise, result in answers:
        if not promise.done():
            _keep(promise, result)


def _keep(promise: Promise, result: Any) -> None:  # noqa: ANN401 - whatever the work returned
    if isinstance(result, Exception):
        promise.set_exception(result)
    else:
        promise.set_result(result)


_HARMLESS = (NotFoundError, ConflictError)
"""Answers of a kind, given before anything is written: no reason to undo what others wrote in the same group."""


def _outcomes(group: Sequence[Work[Any]], connection: Connection) -> list[Any]:
    """What each piece of work returns, in the order given; pieces of one kind are done where the first one stands."""
    kinds: dict[object, list[int]] = {}
    for place, work in enumerate(group):
        kinds.setdefault(work.work if isinstance(work, Each) else place, []).append(place)
    results: list[Any] = [None] * len(group)
    for places in kinds.values():
        for place, result in zip(places, _together([group[place] for place in places], connection), strict=True):
            results[place] = result
    return results


def _together(same: Sequence[Work[Any]], connection: Connection) -> Sequence[Any]:
    first = same[0]
    if isinstance(first, Each):
        return first.work(connection, [work.piece for work in same if isinstance(work, Each)])
    return [_outcome(first, connection)]


def _outcome(work: Work[T], connection: Connection) -> T | NotFoundError | ConflictError:
    try:
        return work(connection)
    except _HARMLESS as answer:
        return answer
