"""The writer: commits in groups, answers after the commit, lets no bad piece take the others with it."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from databases import PostgresDatabases
from fakes import HeldOpen, Thread, World, snap, wait_until_blocked, want
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tracker.errors import NotFoundError, TrackerError, UnavailableError
from tracker.model import Status
from tracker.store.database import Database, Work, sqlite_file
from tracker.store.writer import GROUP_SIZE

T = TypeVar("T")


def count(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM task")) or 0)


class Insert:
    """Work that inserts a task, and remembers in which transactions it ran."""

    def __init__(self, task_id: str, *, mistake: Exception | None = None) -> None:
        self.task_id = task_id
        self.mistake = mistake
        self.transactions: list[object] = []

    def __call__(self, connection: Connection) -> str:
        self.transactions.append(connection.get_transaction())
        connection.execute(text("INSERT INTO task (upstream, task_id) VALUES ('default', :id)"), {"id": self.task_id})
        if self.mistake is not None:
            raise self.mistake
        return self.task_id


class Gate:
    """Keeps the writer busy with an empty transaction, so that what is submitted meanwhile becomes one group."""

    def __init__(self, database: Database) -> None:
        self._held = HeldOpen(database, lambda _: None)

    def open(self) -> None:
        self._held.commit()


@pytest.fixture
def gate(database: Database) -> Iterator[Gate]:
    made = Gate(database)
    yield made
    made.open()


def together(database: Database, gate: Gate, *works: Work[Any]) -> list[Thread]:
    """All of these, asked for in this order while the writer was busy."""
    threads = []
    for work in works:
        submitted = threading.Event()
        future = database._writer.submit(work)  # noqa: SLF001 - the order of a group is made here and nowhere else
        submitted.set()
        threads.append(Thread(future.result))
    gate.open()
    return threads


class TestGroups:
    def test_what_waits_is_written_in_one_transaction(self, database: Database, gate: Gate) -> None:
        works = [Insert(str(number)) for number in range(5)]

        answers = [thread.result() for thread in together(database, gate, *works)]

        assert answers == ["0", "1", "2", "3", "4"]
        assert len({id(work.transactions[0]) for work in works}) == 1
        assert database.read_now(count) == 5

    def test_a_group_has_a_largest_size(self, database: Database, gate: Gate) -> None:
        works = [Insert(str(number)) for number in range(GROUP_SIZE + 1)]

        for thread in together(database, gate, *works):
            thread.result()

        assert len({id(work.transactions[0]) for work in works[:-1]}) == 1
        assert works[-1].transactions[0] is not works[0].transactions[0]

    def test_an_answer_such_as_not_found_undoes_nobody_elses_work(self, database: Database, gate: Gate) -> None:
        """It is given before anything is written, so the group commits once all the same."""
        first, second = Insert("first"), Insert("second")

        def not_found(_: Connection) -> str:
            raise NotFoundError("no such thing")

        threads = together(database, gate, first, not_found, second)

        with pytest.raises(NotFoundError):
            threads[1].result()
        assert (threads[0].result(), threads[2].result()) == ("first", "second")
        assert len(first.transactions) == 1

    @pytest.mark.parametrize("mistake", [ValueError("bad"), TrackerError("no")])
    def test_one_bad_piece_fails_alone(self, database: Database, gate: Gate, mistake: Exception) -> None:
        good, bad, late = Insert("good"), Insert("bad", mistake=mistake), Insert("late")

        threads = together(database, gate, good, bad, late)

        assert (threads[0].result(), threads[2].result()) == ("good", "late")
        with pytest.raises(type(mistake)):
            threads[1].result()
        assert database.read_now(count) == 2

    def test_one_that_the_database_refuses_fails_alone(self, database: Database, gate: Gate) -> None:
        first, again = Insert("1"), Insert("1")

        threads = together(database, gate, first, again)

        assert threads[0].result() == "1"
        with pytest.raises(IntegrityError):
            threads[1].result()

    def test_the_others_run_again_in_a_second_transaction_that_knows_nothing_of_the_first(
        self, database: Database, gate: Gate
    ) -> None:
        good, bad = Insert("good"), Insert("bad", mistake=ValueError("bad"))

        threads = together(database, gate, good, bad)

        assert threads[0].result() == "good"
        with pytest.raises(ValueError, match="bad"):
            threads[1].result()
        first, second = good.transactions
        assert first is not second
        assert database.read_now(count) == 1

    def test_an_answer_comes_after_the_commit(self, database: Database) -> None:
        """Whoever is told may look at once, on another connection."""
        for number in range(20):
            database.write_now(Insert(str(number)))
            assert database.read_now(count) == number + 1

    def test_text_that_the_database_cannot_store_is_one_bad_piece(self, database: Database, gate: Gate) -> None:
        """Postgres' driver refuses NUL by itself, without a code; that is no sign of a database out of reach."""
        bad = "a\ud800" if database.is_sqlite else "a\0"

        threads = together(database, gate, Insert("good"), Insert(bad))

        assert threads[0].result() == "good"
        with pytest.raises((DBAPIError, UnicodeEncodeError)):
            threads[1].result()


class TestWaiting:
    pytestmark = pytest.mark.anyio

    async def test_reads_and_writes_lend_the_loop_a_thread(self, database: Database) -> None:
        assert await database.write(Insert("1")) == "1"
        assert await database.read(count) == 1

    async def test_work_that_is_cancelled_before_its_turn_is_never_done(self, database: Database, gate: Gate) -> None:
        cancelled = asyncio.ensure_future(database.write(Insert("cancelled")))
        kept = asyncio.ensure_future(database.write(Insert("kept")))
        await asyncio.sleep(0)
        cancelled.cancel()
        with suppress(asyncio.CancelledError):
            await cancelled

        gate.open()

        assert await kept == "kept"
        assert await database.read(count) == 1

    async def test_work_that_has_begun_is_finished_whoever_stops_waiting(self, database: Database) -> None:
        is_in, go = threading.Event(), threading.Event()

        def slow(connection: Connection) -> None:
            is_in.set()
            assert go.wait(10)
            Insert("slow")(connection)

        waiting = asyncio.ensure_future(database.write(slow))
        await asyncio.to_thread(is_in.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()

        assert await database.write(count) == 1

    async def test_a_bad_piece_tells_whoever_waits_for_it(self, database: Database) -> None:
        with pytest.raises(ValueError, match="bad"):
            await database.write(Insert("1", mistake=ValueError("bad")))
        with pytest.raises(UnavailableError, match="db upgrade"):
            await database.read(lambda connection: connection.execute(text("SELECT * FROM no_such_table")).all())

    @pytest.mark.parametrize("how", ["read", "write"])
    async def test_a_closed_database_is_out_of_reach(self, database: Database, how: str) -> None:
        database.close()

        with pytest.raises(UnavailableError, match="closed"):
            await getattr(database, how)(count)


class TestClosing:
    def test_what_is_in_hand_is_finished(self, database: Database, gate: Gate) -> None:
        futures = [database._writer.submit(Insert(str(number))) for number in range(3)]  # noqa: SLF001
        closing = Thread(database.close)
        gate.open()
        closing.result()

        assert [future.result(10) for future in futures] == ["0", "1", "2"]

    def test_closing_twice_does_no_harm(self, database: Database) -> None:
        database.write_now(count)
        database.close()
        database.close()


class TestOutOfReach:
    def test_a_locked_sqlite_file_is_out_of_reach(self, tmp_path: Path) -> None:
        path = tmp_path / "tracker.db"
        database = Database(f"sqlite:///{path}")
        database.write_now(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=1").close())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            with pytest.raises(UnavailableError, match="out of reach: database is locked"):
                database.write_now(lambda _: None)

            other.execute("ROLLBACK")
        database.write_now(lambda _: None)
        database.close()

    def test_a_folder_that_is_not_there_is_out_of_reach(self, tmp_path: Path) -> None:
        database = Database(f"sqlite:///{tmp_path}/no/tracker.db")

        with pytest.raises(UnavailableError, match="unable to open"):
            database.write_now(count)
        database.close()

    def test_a_server_that_is_not_there_is_out_of_reach_and_its_password_is_not_told(self) -> None:
        database = Database("postgresql://me:geheim@127.0.0.1:1/tracker")

        with pytest.raises(UnavailableError) as told:
            database.read_now(count)
        assert "geheim" not in str(told.value)
        assert "\n" not in str(told.value)
        database.close()

    def test_a_connection_that_broke_is_told_once_and_replaced(self, postgres: PostgresDatabases) -> None:
        url = postgres.migrated()
        database = Database(url)
        database.write_now(Insert("1"))

        def broken(connection: Connection) -> int:
            (me,) = connection.execute(text("SELECT pg_backend_pid()")).one()
            postgres.execute(f"SELECT pg_terminate_backend({me}, 5000)")
            return count(connection)

        with pytest.raises(UnavailableError):
            database.write_now(broken)

        assert database.write_now(count) == 1
        database.close()
        postgres.drop(url)

    @pytest.mark.parametrize("way", ["read_now", "write_now"])
    def test_a_connection_that_broke_while_nobody_used_it_is_replaced_unnoticed(
        self, postgres: PostgresDatabases, way: str
    ) -> None:
        url = postgres.migrated()
        database = Database(url)
        run = getattr(database, way)
        me = run(lambda connection: connection.scalar(text("SELECT pg_backend_pid()")))
        postgres.execute(f"SELECT pg_terminate_backend({me}, 5000)")

        assert run(count) == 0
        database.close()
        postgres.drop(url)

    @pytest.mark.anyio
    async def test_whoever_reads_while_it_is_closed_leaves_no_connection_open(
        self, postgres: PostgresDatabases
    ) -> None:
        url = postgres.migrated()
        database = Database(url)
        has_begun, may_end, used = threading.Event(), threading.Event(), []

        def slow(connection: Connection) -> None:
            used.append(connection.connection.driver_connection)
            has_begun.set()
            may_end.wait(10)

        reading = asyncio.ensure_future(database.read(slow))
        await asyncio.to_thread(has_begun.wait, 10)
        database.close()
        may_end.set()
        await reading

        assert [connection.closed for connection in used] == [True]
        postgres.drop(url)

    def test_work_whose_connection_breaks_under_it_is_not_done_again(self, postgres: PostgresDatabases) -> None:
        url = postgres.migrated()
        database = Database(url)
        done = []

        def breaking(connection: Connection) -> None:
            done.append(connection)
            postgres.execute(f"SELECT pg_terminate_backend({connection.scalar(text('SELECT pg_backend_pid()'))}, 5000)")

        with pytest.raises(UnavailableError):
            database.write_now(breaking)

        assert len(done) == 1, "whether it was committed is not known"
        database.close()
        postgres.drop(url)

    def test_a_group_is_told_together_when_the_database_is_away(self, tmp_path: Path) -> None:
        database = Database(f"sqlite:///{tmp_path}/no/tracker.db")
        threads = [Thread(lambda: database.write_now(count)) for _ in range(3)]

        for thread in threads:
            with pytest.raises(UnavailableError):
                thread.result()
        database.close()


class TestConflicts:
    """On Postgres, where others hold locks."""

    def test_a_deadlock_of_two_groups_costs_nobody_an_answer(self, worlds: list[World]) -> None:
        """Locks inside one piece are taken in one order; of pieces that share a transaction nobody knows the order."""
        first, second, other = worlds
        first.watched(want("1"), want("2"))
        keys = [first.key("1"), first.key("2")]
        gate = Gate(first.database)
        futures = [
            first.database._writer.submit(first.recording({key: snap(Status.SUCCEEDED)}))  # noqa: SLF001
            for key in keys
        ]

        def other_way_round(connection: Connection) -> None:
            for key in reversed(keys):
                connection.execute(text("SELECT key FROM task WHERE key = :key FOR UPDATE"), {"key": key})
                if key == keys[1]:
                    gate.open()
                    wait_until_blocked(other.database)

        with suppress(UnavailableError):  # one of the two is chosen to fail; alone in its transaction, this one stays
            second.write(other_way_round)

        assert [len(future.result(20)) for future in futures] == [1, 1]
        assert other.messages("1") == other.messages("2") == [("task.succeeded", "pending")]

    def test_a_row_that_somebody_holds_stops_no_other_piece(self, worlds: list[World]) -> None:
        """Somebody left a transaction open in a console: that task waits, the others go on."""
        first, second, _ = worlds
        first.watched(want("1"), want("2"))
        held = HeldOpen(
            second.database, lambda c: c.exec_driver_sql("SELECT key FROM task WHERE task_id = '1' FOR UPDATE").all()
        )
        gate = Gate(first.database)
        works = [first.recording({first.key(name): snap(Status.SUCCEEDED)}) for name in ("1", "2")]
        stuck, free = (first.database._writer.submit(impatient(work)) for work in works)  # noqa: SLF001
        gate.open()

        assert len(free.result(20)) == 1
        with pytest.raises(UnavailableError, match="lock timeout"):
            stuck.result(20)
        held.commit()


def impatient(work: Work[T]) -> Work[T]:
    """The same, but waits for locks as short as a test may."""

    def working(connection: Connection) -> T:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        return work(connection)

    return working


def test_the_stopwatch_is_told_of_each_transaction(database_url: str) -> None:
    told: list[str] = []
    database = Database(database_url, stopwatch=lambda operation, seconds: told.append(f"{operation} {seconds >= 0}"))

    database.write_now(Insert("1"))
    database.read_now(count)
    database.close()

    assert told == ["write True", "read True"]


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:////var/lib/tracker/tracker.db", Path("/var/lib/tracker/tracker.db")),
        ("sqlite:///tracker.db", Path("tracker.db")),
        ("sqlite://", None),
        ("postgresql://me@host/tracker", None),
    ],
)
def test_only_sqlite_has_a_file(url: str, file: Path | None) -> None:
    assert sqlite_file(url) == file


@pytest.mark.anyio
async def test_questions_from_outside_do_not_hold_up_our_own(database: Database) -> None:
    released = threading.Event()

    def slow(_: Connection) -> bool:
        return released.wait(30)

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(database.ask(slow)) for _ in range(10)]
        assert await database.read(count) == 0
        released.set()

    assert all(question.result() for question in asked)


@pytest.mark.anyio
async def test_a_question_that_takes_too_long_is_ended(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.store.database._LONGEST_QUESTION_SECONDS", 1)
    endless = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")

    with pytest.raises(UnavailableError, match="took the database too long"):
        await database.ask(lambda connection: connection.scalar(endless))

    assert await database.ask(count) == 0
