"""What the tests of store, poller, courier and intake put in the place of the world."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from clocks import FakeClock
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from tracker.errors import UnavailableError
from tracker.model import (
    NO_STREAK,
    Delivery,
    Miss,
    MissKind,
    Outcome,
    Outgoing,
    Rules,
    Seen,
    Snapshot,
    Status,
    Streak,
)
from tracker.observe import observe
from tracker.providers.protocol import NOTHING_KNOWN, Look
from tracker.store import changes, daemons, deliveries, due, outcomes, registrations, watching
from tracker.store.changes import Decide, Recorded
from tracker.store.database import Connection, Database, Work
from tracker.store.outcomes import Settlement
from tracker.store.registrations import Registered, Wanted
from tracker.store.watching import Adopted
from tracker.webhooks.composer import Composer

T = TypeVar("T")

UPSTREAM = "default"
OWNER = "shop"
ME = "dmn_me"
HOOK = "https://shop.example/hook"
WORDS = {Status.SUCCEEDED: "SUCCESS", Status.FAILED: "FAILURE", Status.RUNNING: "IN_PROGRESS"}


def adopt(connection: Connection, *, me: str, upstreams: Collection[str], limit: int, now: datetime) -> list[Adopted]:
    """Take up to `limit` free tasks of these upstreams, without regard for the shares of others."""
    taken: list[Adopted] = []
    for upstream in upstreams:
        most = limit - len(taken)
        free = partial(watching.adopt_free, me=me, upstream=upstream, above=0, limit=limit, now=now)
        taken += free(connection, room=partial(min, most)).taken
    for gone in [member.id for member in daemons.company(connection) if member.is_gone]:
        room = dict.fromkeys(upstreams, limit - len(taken))
        taken += watching.adopt_left(connection, me=me, gone=gone, room=room, above=0, limit=limit, now=now).taken
    return taken


def snap(status: Status | None = Status.RUNNING, progress: int | None = None, **fields: object) -> Snapshot:
    """What an upstream says; the object tells the same."""
    word = WORDS.get(status, status.upper()) if status else ""
    fields.setdefault("upstream_status", word)
    told = fields.pop("object", {"status": word, "progress": progress})
    return Snapshot(task_id="", status=status, progress=progress, kept=lambda: told, **fields)


def miss(kind: MissKind, retry_after: timedelta | None = None, detail: str = "made up") -> Miss:
    return Miss(kind=kind, detail=detail, retry_after=retry_after)


def want(task_id: str = "1", url: str | None = HOOK, **fields: object) -> Wanted:
    return Wanted(**{"upstream": UPSTREAM, "task_id": task_id, "url": url, **fields})


def delivered() -> Outcome:
    return Outcome(delivered=True, duration=timedelta(milliseconds=20), status_code=200, response="thanks")


def failed(status_code: int | None = 500, **fields: object) -> Outcome:
    known: dict[str, Any] = {"error": "status", "detail": "it answered", "gone": status_code == 410, **fields}
    return Outcome(delivered=False, duration=timedelta(milliseconds=20), status_code=status_code, **known)


def our_fault() -> Outcome:
    return failed(None, error="internal", spent=False)


@dataclass
class World:
    """A database and the few things that are done to it in almost every test."""

    database: Database
    clock: FakeClock
    compose: Composer = field(default_factory=Composer)

    def write(self, work: Work[T]) -> T:
        return self.database.write_now(work)

    def rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        """Any query, straight."""
        found = self.database.read_now(lambda connection: connection.execute(text(query), values).mappings().all())
        return [dict(row) for row in found]

    def column(self, query: str, **values: object) -> list[Any]:
        """The first column of any query."""
        return [next(iter(row.values())) for row in self.rows(query, **values)]

    def sql(self, statement: str, **values: object) -> None:
        """Any statement, straight."""
        self.write(lambda connection: connection.execute(text(statement), values).close())

    def registering(self, *wanted: Wanted, owner: str = OWNER, sees_all: bool = False) -> Work[list[Registered]]:
        return partial(
            registrations.register,
            wanted=wanted,
            owner=owner,
            sees_all=sees_all,
            default_format="standard",
            now=self.clock(),
            compose=self.compose,
        )

    def register(self, *wanted: Wanted, owner: str = OWNER, sees_all: bool = False) -> list[Registered]:
        return self.write(self.registering(*wanted, owner=owner, sees_all=sees_all))

    def key(self, task_id: str = "1") -> int:
        return int(self.column("SELECT key FROM task WHERE task_id = :id", id=task_id)[0])

    def join(self, me: str = ME, *, tells_operator: bool = False) -> None:
        entry = {"me": me, "host": "here", "pid": 1, "version": "1", "tells_operator": tells_operator}
        self.write(partial(watching.join, **entry, now=self.clock()))

    def age(self, seconds: float) -> None:
        """Let time pass without a heartbeat; on Postgres its own clock counts, so the heartbeats move instead."""
        self.clock.advance(seconds)
        if not self.database.is_sqlite:
            self.sql("UPDATE daemon SET heartbeat_at = heartbeat_at - make_interval(secs => :by)", by=seconds)

    def adopt(self, me: str = ME, upstreams: Collection[str] = (UPSTREAM,), limit: int = 1000) -> list[Adopted]:
        return self.write(partial(adopt, me=me, upstreams=upstreams, limit=limit, now=self.clock()))

    def watched(self, *wanted: Wanted) -> int:
        """Register tasks and have `ME` watch them; returns the key of the first."""
        self.register(*(wanted or (want(),)))
        if not self.column("SELECT id FROM daemon WHERE id = :me", me=ME):
            self.join()
        self.adopt()
        return self.key(wanted[0].task_id if wanted else "1")

    def seeing(self, seen: Seen, streak: Streak = NO_STREAK, rules: Rules | None = None) -> Decide:
        return partial(observe, seen=seen, now=self.clock(), streak=streak, rules=rules or Rules())

    def recording(self, decisions: Mapping[int, Decide | Seen], watcher: str | None = ME) -> Work[dict[int, Recorded]]:
        made = {
            key: self.seeing(found) if isinstance(found, Snapshot | Miss) else found for key, found in decisions.items()
        }
        return partial(changes.record, decisions=made, watcher=watcher, now=self.clock(), compose=self.compose)

    def record(self, decisions: Mapping[int, Decide | Seen], watcher: str | None = ME) -> dict[int, Recorded]:
        return self.write(self.recording(decisions, watcher))

    def end(self, task_id: str = "1", status: Status = Status.SUCCEEDED) -> Recorded:
        """The upstream says that a watched task has ended."""
        key = self.key(task_id)
        return self.record({key: snap(status)})[key]

    def pending(self, *wanted: Wanted) -> list[int]:
        """Tasks that have ended, so that their messages wait; returns the keys of those."""
        self.watched(*wanted)
        for entry in wanted or (want(),):
            self.end(entry.task_id)
        return self.column("SELECT key FROM delivery WHERE status = 'pending' ORDER BY key")

    def due(self, without: Collection[str] = (), limit: int = 100) -> list[int]:
        look = partial(due.look, now=self.clock(), without=without, limit=limit)
        return [found.key for found in self.database.read_now(look).due]

    def claim(self, *keys: int, for_seconds: float = 50) -> list[Delivery]:
        until = self.clock() + timedelta(seconds=for_seconds)
        chosen = keys or self.due()
        return self.write(partial(deliveries.claim, keys=chosen, now=self.clock(), until=until))

    def settle(self, claimed: Delivery, outcome: Outcome, again_after: float | None = None) -> bool:
        again = None if again_after is None else self.clock() + timedelta(seconds=again_after)
        settlement = Settlement(delivery=claimed, outcome=outcome, now=self.clock(), next_attempt_at=again)
        return self.write(partial(outcomes.settle, settlements=[settlement]))[0] is not None

    def history(self, task_id: str = "1") -> list[str]:
        return self.column("SELECT event FROM task_history WHERE task_id = :id ORDER BY sequence", id=task_id)

    def sequences(self, task_id: str = "1") -> list[int]:
        return self.column("SELECT sequence FROM task_history WHERE task_id = :id ORDER BY sequence", id=task_id)

    def messages(self, task_id: str = "1") -> list[tuple[str, str]]:
        """Type and status of each message of a task, first to last."""
        query = """SELECT d.message_type, d.status FROM delivery d JOIN task t ON t.key = d.task_key
                   WHERE t.task_id = :id ORDER BY d.key"""
        return [(row["message_type"], row["status"]) for row in self.rows(query, id=task_id)]

    def attempts(self) -> list[tuple[int, str]]:
        """Number and outcome of each attempt, first to last."""
        return [
            (row["attempt"], row["outcome"]) for row in self.rows("SELECT attempt, outcome FROM attempt ORDER BY key")
        ]


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement that any engine of this process sends meanwhile."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement.strip())

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def writes(seen: list[str]) -> list[str]:
    """Those that change something."""
    return [statement for statement in seen if statement.split()[0] in ("INSERT", "UPDATE", "DELETE")]


class Thread(threading.Thread):
    """Runs something beside the test and hands back what came of it."""

    def __init__(self, run: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._run_it = run
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._run_it()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error

    def result(self) -> Any:  # noqa: ANN401 - whatever was run
        self.join(30)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result


class HeldOpen:
    """Work that stays inside its transaction until it is let go, done but not committed."""

    def __init__(self, database: Database, work: Work[Any]) -> None:
        self._work = work
        self._is_in = threading.Event()
        self._go = threading.Event()
        self._thread = Thread(lambda: database.write_now(self._wait))
        assert self._is_in.wait(10)

    def _wait(self, connection: Connection) -> Any:  # noqa: ANN401 - whatever the work returns
        result = self._work(connection)
        self._is_in.set()
        assert self._go.wait(30)
        return result

    def commit(self) -> Any:  # noqa: ANN401 - whatever the work returns
        self._go.set()
        return self._thread.result()


def wait_until_blocked(database: Database) -> None:
    """Return once some transaction of this Postgres database waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(20_000):
        if database.read_now(lambda connection: connection.scalar(query)):
            return
    raise AssertionError("nothing waits for a lock")


@dataclass
class FakeProvider:
    """Answers from a table, unless the script says otherwise for the next looks."""

    look_size: int = 100
    answers: dict[str, Seen] = field(default_factory=dict)
    """By task id; anything else is running and tells nothing new."""
    script: deque[Seen | Exception | Look] = field(default_factory=deque)
    """What the next looks bring, each for all of its tasks; a miss is then the upstream's trouble."""
    asked: list[tuple[str, ...]] = field(default_factory=list)
    known: list[dict[int, str]] = field(default_factory=list)
    """What each look was told to be known already."""
    requests: int = 1
    meanwhile: Callable[[], None] = lambda: None
    """What happens while a look is out."""
    gate: asyncio.Event | None = None
    """Where set, looks stay out until it opens."""

    async def look(self, task_ids: Sequence[str], known: Mapping[int, str] = NOTHING_KNOWN) -> Look:
        self.asked.append(tuple(task_ids))
        self.known.append(dict(known))
        if self.gate is not None:
            await self.gate.wait()
        self.meanwhile()
        if not self.script:
            seen = {task_id: self.answers.get(task_id, snap()) for task_id in task_ids}
            return Look(seen=seen, requests=self.requests)
        said = self.script.popleft()
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Look):
            return said
        trouble = said if isinstance(said, Miss) else None
        return Look(seen=dict.fromkeys(task_ids, said), trouble=trouble, requests=self.requests)

    def times(self, task_id: str) -> int:
        """How often a task was looked at."""
        return sum(task_id in ids for ids in self.asked)


@dataclass
class FakeSender:
    """Delivers everything, unless the script says otherwise for an endpoint or for the next attempts."""

    script: deque[Outcome | Exception] = field(default_factory=deque)
    holes: dict[str, asyncio.Event] = field(default_factory=dict)
    """Endpoints that answer nothing until their event is set."""
    sent: list[Delivery] = field(default_factory=list)
    signed: list[tuple[str, ...]] = field(default_factory=list)
    most_at_once: int = 0
    _out: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by each attempt as it begins."""

    async def send(self, delivery: Delivery, secrets: Sequence[str]) -> Outcome:
        self.sent.append(delivery)
        self.signed.append(tuple(secrets))
        self.started.set()
        self._out += 1
        self.most_at_once = max(self.most_at_once, self._out)
        try:
            # A message to the operator has no endpoint.
            if (hole := self.holes.get(getattr(delivery, "endpoint", ""))) is not None:
                await hole.wait()
                return failed(None, error="timeout")
            await asyncio.sleep(0)
            said = self.script.popleft() if self.script else delivered()
            if isinstance(said, Exception):
                raise said
            return said
        finally:
            self._out -= 1

    def sent_to(self, endpoint: str) -> int:
        return sum(delivery.endpoint == endpoint for delivery in self.sent)


class FlakyDatabase(Database):
    """A database that is out of reach for its next writes."""

    away = 0
    """How many writes still fail."""
    refused: int = 0
    """How many have failed."""

    async def write(self, work: Work[T]) -> T:
        self._refuse()
        return await super().write(work)

    async def write_beside(self, work: Work[T]) -> T:
        self._refuse()
        return await super().write_beside(work)

    async def write_apart(self, work: Work[T]) -> T:
        if not self.is_sqlite:  # there it is the same
            self._refuse()
        return await super().write_apart(work)

    def _refuse(self) -> None:
        if self.away:
            self.away -= 1
            self.refused += 1
            raise UnavailableError("the database is out of reach: on purpose")


class Unwritable(Composer):
    """Composes all messages but those of one task: a defect of ours that only one row meets."""

    def __init__(self, task_id: str) -> None:
        super().__init__()
        self._task_id = task_id

    def body(self, outgoing: Outgoing) -> str:
        if outgoing.task.task_id == self._task_id:
            raise ValueError("cannot be composed")
        return super().body(outgoing)


def refused_by(world: World, statement: str) -> bool:
    """Whether a constraint refuses a statement."""
    try:
        world.sql(statement)
    except DBAPIError as error:
        return "constraint" in str(error.orig).lower()
    return False


def moment_of(value: object) -> datetime:
    """A time as a straight query reads it: text on SQLite."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value  # type: ignore[return-value]
