"""Whatever is registered, seen, claimed, lost in crashes, settled and dropped, in any order: nothing is forgotten."""

import shutil
import tempfile
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import hypothesis.strategies as st
from clocks import FakeClock
from fakes import ME, UPSTREAM, World, delivered, failed, miss, moment_of, our_fault, snap, want
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tracker.model import ENDS, Delivery, MissKind, Outcome, Seen, Status
from tracker.observe import drop
from tracker.store import giving_back, migrate, tasks, watching
from tracker.store.database import Database
from tracker.store.rows import CALLBACK_COLUMNS, callback_of
from tracker.store.schema import callback

NAMES = ("1", "2")
OWNERS = ("a", "b")
FINAL = tuple(str(status) for status in ENDS if status is not Status.DROPPED)
"""What no one can undo; a dropped task lives again when somebody registers it anew."""
SEEN: tuple[Seen, ...] = (
    snap(progress=10),
    snap(progress=60),
    snap(Status.NEEDS_INPUT),
    snap(Status.NEEDS_INPUT, 70),
    snap(None),
    miss(MissKind.UNKNOWN),
    snap(Status.SUCCEEDED, 100),
    snap(Status.FAILED, fail_reason="no"),
)
OUTCOMES = (delivered(), failed(), failed(410), our_fault())
_template: list[Path] = []


def new_database() -> tuple[Path, Database]:
    """A copy of one that was migrated once."""
    if not _template:
        path = Path(tempfile.mkdtemp()) / "template.db"
        migrate.upgrade(f"sqlite:///{path}")
        _template.append(path)
    path = Path(tempfile.mkdtemp()) / "tracker.db"
    shutil.copy(_template[0], path)
    return path, Database(f"sqlite:///{path}")


class AnyLife(RuleBasedStateMachine):
    """Two tasks, two owners, two endpoints, a daemon and its predecessors."""

    def __init__(self) -> None:
        super().__init__()
        path, database = new_database()
        self.folder = path.parent
        self.world = World(database, FakeClock())
        self.me = ME
        self.former: list[str] = []
        self.world.join(self.me)
        self.claimed: list[Delivery] = []
        self.ends: dict[str, tuple[str, object]] = {}
        self.settled: dict[int, str] = {}

    def teardown(self) -> None:
        self.world.database.close()
        shutil.rmtree(self.folder)

    def known(self) -> list[int]:
        return self.world.column("SELECT key FROM task ORDER BY key")

    @rule(
        names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        owner=st.sampled_from(OWNERS),
        host=st.sampled_from(["", "x", "y"]),
        events=st.sampled_from([None, ("ended",), ("progress",), ("progress", "ended", "needs_input")]),
    )
    def register(self, names: list[str], owner: str, host: str, events: tuple[str, ...] | None) -> None:
        url = f"https://{host}.example/" if host else None
        self.world.register(*(want(name, url=url, events=events) for name in names), owner=owner)

    @rule(name=st.sampled_from(NAMES))
    def insert_by_hand(self, name: str) -> None:
        insert = "INSERT INTO task (upstream, task_id) VALUES ('default', :name) ON CONFLICT DO NOTHING"
        self.world.sql(insert, name=name)

    @rule()
    def adopt(self) -> None:
        self.world.adopt(self.me)

    @rule(clean=st.booleans())
    def replace_the_daemon(self, *, clean: bool) -> None:
        if not clean:
            self.world.clock.advance(60)
            self.world.write(partial(watching.bury, me="dmn_none", now=self.world.clock(), silent_for=timedelta(0)))
        self.world.write(partial(watching.leave, me=self.me))
        self.former.append(self.me)
        self.me = f"dmn_{len(self.former)}"
        self.world.join(self.me)

    @rule(seen=st.lists(st.sampled_from(SEEN), min_size=2, max_size=2))
    def look(self, seen: list[Seen]) -> None:
        self.world.record(dict(zip(self.known(), seen, strict=False)), self.me)

    @precondition(lambda self: self.former)
    @rule(seen=st.sampled_from(SEEN))
    def look_as_one_that_was_replaced(self, seen: Seen) -> None:
        assert self.world.record(dict.fromkeys(self.known(), seen), self.former[-1]) == {}
        assert self.world.adopt(self.former[-1]) == []

    @precondition(lambda self: self.known())
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.known()))
        decide = partial(drop, now=self.world.clock(), note="by hand")
        self.world.record({key: decide}, watcher=None)

    @precondition(lambda self: self.known())
    @rule(data=st.data(), owner=st.sampled_from(OWNERS))
    def withdraw(self, data: st.DataObject, owner: str) -> None:
        key = data.draw(st.sampled_from(self.known()))
        self.world.write(partial(tasks.withdraw, key=key, owner=owner, now=self.world.clock()))

    @rule()
    def read_notes(self) -> None:
        self.world.write(partial(watching.noted, me=self.me, upstreams=[UPSTREAM], limit=10, now=self.world.clock()))

    @rule()
    def claim(self) -> None:
        self.claimed += self.world.claim(for_seconds=50) if self.world.due() else []

    @rule()
    def crash(self) -> None:
        """What was claimed is forgotten, and its claims run out."""
        self.claimed.clear()
        self.world.clock.advance(60)

    @rule(seconds=st.sampled_from([0, 0.3, 0.5, 5, 60]))
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), again=st.booleans(), twice=st.booleans())
    def settle(self, data: st.DataObject, outcome: Outcome, *, again: bool, twice: bool) -> None:
        claimed = self.claimed.pop(data.draw(st.integers(0, len(self.claimed) - 1)))
        again_after = 5 if (again or not outcome.spent) and not outcome.gone else None
        self.world.settle(claimed, outcome, again_after)
        if twice:
            assert not self.world.settle(claimed, outcome, again_after)

    @precondition(lambda self: self.claimed)
    @rule()
    def interrupt(self) -> None:
        self.world.write(partial(giving_back.interrupt, begun=self.claimed, now=self.world.clock()))
        self.claimed.clear()

    @precondition(lambda self: self.claimed)
    @rule()
    def give_back(self) -> None:
        self.world.write(partial(giving_back.give_back, unsent=self.claimed))
        self.claimed.clear()

    @invariant()
    def histories_have_no_gaps(self) -> None:
        rows = self.world.rows(
            """SELECT t.sequence, count(e.key) AS events, coalesce(max(e.sequence), 0) AS last,
               count(DISTINCT e.sequence) AS different, coalesce(min(e.sequence), 1) AS first
               FROM task t LEFT JOIN event e ON e.task_key = t.key GROUP BY t.key"""
        )
        for row in rows:
            assert row["first"] == 1
            assert row["sequence"] == row["events"] == row["last"] == row["different"]

    @invariant()
    def an_end_stays_and_was_said_once(self) -> None:
        for row in self.world.rows("SELECT id, status, ended_at FROM task"):
            if row["status"] in FINAL:
                end = (row["status"], row["ended_at"])
                assert self.ends.setdefault(row["id"], end) == end
            else:
                assert row["id"] not in self.ends
        query = "SELECT id, count(*) AS said FROM task_history WHERE event = 'status' AND to_status IN {} GROUP BY id"
        said = {row["id"]: row["said"] for row in self.world.rows(query.format(FINAL))}
        assert said == dict.fromkeys(self.ends, 1)

    @invariant()
    def every_interested_callback_has_its_one_message_of_the_end(self) -> None:
        query = """SELECT t.status, c.key AS callback_key, c.gone_at, (SELECT count(*) FROM delivery d
                   WHERE d.callback_key = c.key AND d.message_type = 'task.' || t.status) AS messages
                   FROM callback c JOIN task t ON t.key = c.task_key WHERE t.ended_at IS NOT NULL"""
        callbacks = self.world.database.read_now(
            lambda connection: {
                row[0]: callback_of(row)
                for row in connection.execute(callback.select().with_only_columns(*CALLBACK_COLUMNS))
            }
        )
        for row in self.world.rows(query):
            assert row["messages"] <= 1
            if row["status"] != "dropped" and row["gone_at"] is None:
                words = callbacks[row["callback_key"]].events
                assert row["messages"] == 1 or "ended" not in words
        assert not self.world.rows("SELECT * FROM delivery WHERE message_type = 'task.dropped'")

    @invariant()
    def messages_are_where_they_may_be(self) -> None:
        rows = self.world.rows(
            """SELECT d.key, d.status, d.message_type, d.attempt, d.failures, t.ended_at,
               (SELECT count(*) FROM attempt a WHERE a.delivery_key = d.key) AS attempts,
               (SELECT group_concat(a.attempt) FROM attempt a
                WHERE a.delivery_key = d.key AND a.outcome = 'sending') AS open,
               (SELECT count(*) FROM attempt a WHERE a.delivery_key = d.key AND a.outcome = 'delivered') AS taken
               FROM delivery d JOIN task t ON t.key = d.task_key"""
        )
        for row in rows:
            assert row["attempts"] - (row["open"] is not None) == row["attempt"] >= row["failures"]
            assert row["open"] in (None, str(row["attempt"] + 1)), "only the next attempt may be under way"
            is_progress = row["message_type"] in ("task.progress", "task.needs_input")
            assert not (row["status"] == "pending" and is_progress and row["ended_at"])
            assert not (row["status"] == "superseded" and not is_progress)
            assert not (row["status"] == "delivered" and not row["taken"])
            if row["status"] != "pending":
                assert self.settled.setdefault(row["key"], row["status"]) == row["status"]
            else:
                assert row["key"] not in self.settled

    @invariant()
    def progress_is_told_one_at_a_time_and_not_too_fast(self) -> None:
        rows = self.world.rows(
            """SELECT d.callback_key, d.status, a.attempted_at, a.outcome, a.claimed_until FROM attempt a
               JOIN delivery d ON d.key = a.delivery_key
               WHERE d.message_type IN ('task.progress', 'task.needs_input') ORDER BY d.callback_key, a.key"""
        )
        for before, after in pairwise(rows):
            if before["callback_key"] == after["callback_key"]:
                gap = moment_of(after["attempted_at"]) - moment_of(before["attempted_at"])
                assert gap.total_seconds() >= 0.5
        now = self.world.clock()
        out = [
            row["callback_key"]
            for row in rows
            if row["outcome"] == "sending" and row["status"] == "pending" and moment_of(row["claimed_until"]) > now
        ]
        assert len(out) == len(set(out))

    @invariant()
    def of_what_waits_only_the_newest_and_a_question_are_kept(self) -> None:
        rows = self.world.rows(
            """SELECT d.callback_key, d.message_type, t.status FROM delivery d JOIN task t ON t.key = d.task_key
               LEFT JOIN attempt a ON a.delivery_key = d.key AND a.attempt = d.attempt + 1 AND a.outcome = 'sending'
               WHERE d.status = 'pending' AND a.key IS NULL
               AND d.message_type IN ('task.progress', 'task.needs_input')"""
        )
        waiting = [(row["callback_key"], row["message_type"]) for row in rows]
        assert len(waiting) == len(set(waiting))
        assert all(row["status"] == "needs_input" for row in rows if row["message_type"] == "task.needs_input")

    @invariant()
    def watched_tasks_have_a_living_watcher(self) -> None:
        query = "SELECT watcher FROM task WHERE watcher IS NOT NULL AND watcher NOT IN (SELECT id FROM daemon)"
        assert self.world.column(query) == []


AnyLife.TestCase.settings = settings(max_examples=25, stateful_step_count=40)
test_any_life = AnyLife.TestCase
