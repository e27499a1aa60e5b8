"""The schema: up, down and up again with data in it, equal to what queries see, and open to plain SQL."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from clocks import FakeClock
from databases import PostgresDatabases, lent_database
from fakes import HOOK, OWNER, HeldOpen, World, delivered, moment_of, refused_by, snap, want
from sqlalchemy import CheckConstraint, Connection, inspect, text

from tracker.errors import TrackerError, UnavailableError
from tracker.model import Status
from tracker.store import access, endpoints, migrate, redelivery, rollups, sessions, upstreams
from tracker.store.database import Database
from tracker.store.schema import metadata

VIEWS = {
    "task_overview": """id, task_id, upstream, status, upstream_status, action, progress, registered_at, submitted_at,
        started_at, finished_at, ended_at, queued_seconds, running_seconds, image_url, fail_reason, callbacks,
        delivered, last_event_at""",
    "task_history": """id, task_id, upstream, sequence, observed_at, event, from_status, to_status, upstream_status,
        progress, note""",
    "delivery_log": """delivery_id, task_id, upstream, message_type, url, endpoint, attempt, attempted_at, status_code,
        duration_ms, outcome, phase, error, next_attempt_at""",
}


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/tracker.db"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres")
    url = databases.empty()
    yield url
    databases.drop(url)


def fill(world: World) -> None:
    """A row in every table."""
    world.join("dmn_teller", tells_operator=True)
    world.pending(want(events=("ended", "progress"), metadata={"order": 17}))
    world.settle(world.claim()[0], delivered())
    world.watched(want("2"))
    disable(world)
    world.write(lambda c: upstreams.write(c, upstreams.Health(name="default")))
    world.write(lambda c: access.rotate_secret(c, "shop", now=world.clock(), fresh="whsec_x"))
    world.write(lambda c: access.add_token(c, made="trk_x", owner="shop", scope="read", name="", now=world.clock()))
    by = sessions.SignIn(owner="shop", scope="read", token_id=None)
    world.write(lambda c: sessions.begin(c, made="ses_x", by=by, now=world.clock()))
    world.sql("UPDATE task SET finished_at = registered_at WHERE ended_at IS NOT NULL")
    hour = world.database.read_now(partial(rollups.count, hour=rollups.hour_of(world.clock())))
    if hour is not None:
        world.write(partial(rollups.keep, hour=hour))


def disable(world: World) -> None:
    key = world.column("SELECT key FROM endpoint")[0]
    world.write(lambda c: endpoints.disable(c, key, "by hand", now=world.clock()))


def everything(world: World) -> dict[str, list[dict[str, Any]]]:
    return {name: world.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in metadata.tables}


def all_tables(connection: Connection) -> set[str]:
    inspector = inspect(connection)
    return {*inspector.get_table_names(), *inspector.get_view_names()} - {"alembic_version"}


def ours(connection: Connection) -> set[str]:
    """But for the months of the histories."""
    return {name for name in all_tables(connection) if not name.startswith("event_")}


def test_up_down_and_up_again_with_data_in_every_table(database_url: str, clock: FakeClock) -> None:
    """Down from the first revision leaves nothing of ours; up works again, and what it makes works."""
    database = Database(database_url)
    fill(World(database, clock))
    assert all(everything(World(database, clock)).values()), "a table without a row tests nothing"
    database.close()

    assert migrate.downgrade(database_url, "base") == (migrate.newest(), None)
    database = Database(database_url)
    assert database.read_now(all_tables) == set()
    database.close()

    assert migrate.upgrade(database_url) == (None, migrate.newest())
    database = Database(database_url)
    world = World(database, clock)
    assert not any(everything(world).values())
    fill(world)
    database.close()


MONTHS_OF_EVENTS = """INSERT INTO event (task_key, sequence, event, observed_at) VALUES
    (1, 100, 'progress', '2019-01-05 08:00Z'), (1, 101, 'progress', '2026-11-23 08:00Z'),
    (1, 102, 'progress', '2031-02-01 08:00Z')"""


def test_histories_survive_the_way_down_and_up_again(database_url: str, clock: FakeClock) -> None:
    """Whatever month a line belongs to; new ones go on with the numbers, and whoever may read them still may."""
    world = World(Database(database_url), clock)
    fill(world)
    if not world.database.is_sqlite:
        world.sql("GRANT SELECT ON event TO pg_monitor")
    world.sql(MONTHS_OF_EVENTS)
    lines = "SELECT * FROM event ORDER BY key"
    before = world.rows(lines)
    world.database.close()

    for go in (partial(migrate.downgrade, revision="0004"), migrate.upgrade) * 2:
        go(database_url)
        world = World(Database(database_url), clock)
        assert world.rows(lines) == before
        assert len(world.rows("SELECT * FROM task_history")) == len(before)
        if not world.database.is_sqlite:
            assert world.column("SELECT has_table_privilege('pg_monitor', 'event', 'SELECT')") == [True]
        world.database.close()

    world = World(Database(database_url), clock)
    world.register(want("late"))
    assert world.column("SELECT max(key) FROM event") == [before[-1]["key"] + 1]
    world.sql("DELETE FROM task")
    assert world.rows(lines) == []
    world.database.close()


def test_a_busy_database_is_not_held_up_by_the_migration(request: pytest.FixtureRequest) -> None:
    """Somebody reads for hours: the migration gives up, and nothing has changed."""
    databases: PostgresDatabases = request.getfixturevalue("postgres")
    url = databases.empty()
    migrate.upgrade(url, "0004")
    reader = Database(url)
    held = HeldOpen(reader, lambda connection: connection.execute(text("SELECT count(*) FROM event")).all())

    with pytest.raises(UnavailableError, match="lock timeout"):
        migrate.upgrade(url, "0005")

    held.commit()
    assert reader.read_now(migrate.current) == "0004"
    assert migrate.upgrade(url, "0005") == ("0004", "0005")
    reader.close()
    databases.drop(url)


def test_a_migration_takes_the_time_it_takes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows by the ten million need more than any question may."""
    limits: list[str] = []
    monkeypatch.setattr(
        migrate,
        "_run_alembic",
        lambda connection, *_: limits.append(connection.scalar(text("SHOW statement_timeout"))),
    )
    with lent_database(request, "postgres") as url:
        migrate.downgrade(url, "0010")

    assert limits == ["0"]


def test_busy_tables_have_settings_of_their_own(request: pytest.FixtureRequest) -> None:
    databases: PostgresDatabases = request.getfixturevalue("postgres")
    with databases.lent() as url:
        database = Database(url)
        query = "SELECT relname, array_to_string(reloptions, ' ') FROM pg_class WHERE reloptions IS NOT NULL"
        found = database.read_now(lambda connection: dict(map(tuple, connection.execute(text(query)))))
        database.close()

    assert set(found) >= {"task", "delivery", "attempt", "snapshot", "daemon", "upstream", "endpoint"}
    assert "fillfactor=80" in found["task"]
    assert "fillfactor=40" in found["attempt"]
    assert "fillfactor" not in found["delivery"], "each outcome moves it in indexes: room would be for nothing"


def test_a_second_upgrade_changes_nothing(database: Database, clock: FakeClock) -> None:
    world = World(database, clock)
    fill(world)
    before = everything(world)

    assert migrate.upgrade(database.url) == (migrate.newest(), migrate.newest())

    assert everything(world) == before


def test_what_was_under_way_before_claims_were_attempts_goes_on(database: Database, clock: FakeClock) -> None:
    """Left by a daemon that was killed, and not counted as an attempt that came to nothing until it runs out."""
    world = World(database, clock)
    world.pending(want("1"), want("2"))
    (out, _) = world.claim(for_seconds=50)
    migrate.downgrade(database.url, "0008")
    assert world.column("SELECT attempt FROM delivery") == [1, 1]
    (until, _) = world.column("SELECT next_attempt_at FROM delivery ORDER BY key")
    assert moment_of(until) == clock() + timedelta(seconds=50)

    migrate.upgrade(database.url)

    assert world.due() == []
    assert world.settle(out, delivered())
    clock.advance(50)
    assert [again.attempt for again in world.claim()] == [2]
    assert world.column("SELECT attempt FROM delivery ORDER BY key") == [1, 1]


def superseded(world: World) -> None:
    """A message whose task has ended while it was out, and nobody knows what came of it."""
    key = world.watched(want(events=("ended", "progress")))
    world.record({key: snap(progress=5)})
    assert world.claim()
    world.end()
    assert world.messages() == [("task.progress", "superseded"), ("task.succeeded", "pending")]


def test_what_nobody_waits_for_is_not_under_way_after_the_upgrade(database: Database, clock: FakeClock) -> None:
    """It was left for ever: before, the next attempt of its message closed it, which has a number of its own now."""
    world = World(database, clock)
    superseded(world)
    migrate.downgrade(database.url, "0008")
    assert world.attempts() == [(1, "sending")]
    world.sql("UPDATE delivery SET status = 'dead' WHERE status = 'superseded'")

    migrate.upgrade(database.url)

    assert world.attempts() == [(1, "interrupted")]
    (dead,) = world.rows("SELECT key, id FROM delivery WHERE status = 'dead'")
    world.write(partial(redelivery.redeliver, id_=dead["id"], owner=OWNER, now=clock()))
    clock.advance(1)
    assert [again.attempt for again in world.claim(dead["key"])] == [2]


def test_whatever_was_begun_counts_after_the_downgrade(database: Database, clock: FakeClock) -> None:
    """Also of messages that are over: the numbers of their next attempts would be taken."""
    world = World(database, clock)
    superseded(world)
    world.claim()

    migrate.downgrade(database.url, "0008")

    begun = """SELECT max(attempt.attempt) AS attempt FROM attempt JOIN delivery ON delivery.key = attempt.delivery_key
               GROUP BY delivery.key ORDER BY delivery.key"""
    assert world.column("SELECT attempt FROM delivery ORDER BY key") == world.column(begun) == [1, 1]
    migrate.upgrade(database.url)


def test_owners_of_what_was_there_before_see_where_it_went(database: Database, clock: FakeClock) -> None:
    world = World(database, clock)
    world.pending(want("1"), want("2"), want("3", url="https://b.example/"))
    pairs = "SELECT owner, endpoint_key FROM endpoint_owner ORDER BY endpoint_key"
    before = world.rows(pairs)

    migrate.downgrade(database.url, "0010")
    migrate.upgrade(database.url)

    assert len(before) == 2
    assert world.rows(pairs) == before


def test_a_failing_migration_leaves_nothing_behind(empty_url: str) -> None:
    """The name of a table is taken: all or nothing."""
    Path(empty_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    database = Database(empty_url)
    database.write_now(lambda connection: connection.execute(text("CREATE TABLE attempt (x integer)")).close())

    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(empty_url)

    assert database.read_now(ours) == {"attempt"}
    database.close()


UPGRADE = """
import sys
from tracker.store import migrate
print("ready", flush=True)
for url in sys.stdin.read().split():
    print(*migrate.upgrade(url), flush=True)
"""


def upgrade_together(*urls: str, processes: int = 3) -> list[list[str]]:
    """What each of some processes said, which all upgrade the same databases, one after the other."""
    running = [
        subprocess.Popen([sys.executable, "-c", UPGRADE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n".join(urls))
        process.stdin.close()
    said = [(process.stdout.read() if process.stdout else "").splitlines() for process in running]
    for process in running:
        assert process.wait(30) == 0
        assert process.stdout is not None
        process.stdout.close()
    return said


def test_upgrades_at_the_same_moment_migrate_once(empty_url: str) -> None:
    answers = [line for said in upgrade_together(empty_url) for line in said]

    newest = migrate.newest()
    assert sorted(answers) == [f"{newest} {newest}", f"{newest} {newest}", f"None {newest}"]
    database = Database(empty_url)
    assert database.read_now(ours) == {*metadata.tables, *VIEWS}
    database.close()


def test_many_new_sqlite_files_upgraded_at_the_same_moment(tmp_path: Path) -> None:
    """The file is made outside the transaction, which must not trip over itself."""
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(10)]

    answers = upgrade_together(*urls)

    for lines in zip(*answers, strict=True):
        assert sorted(line.split()[0] == "None" for line in lines) == [False, False, True]
    assert {pragma(url, "auto_vacuum") for url in urls} == {2}


def test_the_migrated_schema_is_the_one_that_queries_see(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        def is_ours(thing: object, name: str | None, kind: str, *_rest: object) -> bool:
            # Alembic does not ask for which database a constraint is.
            if kind == "unique_constraint" and (only := getattr(thing, "_ddl_if", None)) is not None:
                return bool(only.dialect == connection.dialect.name)
            return kind != "table" or not str(name).startswith("event_")

        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": is_ours})
        return list(compare_metadata(context, metadata))

    assert database.read_now(differences) == []


def test_partial_indexes_have_the_predicates_that_queries_write(database: Database) -> None:
    def predicates(connection: Connection) -> dict[str, str]:
        kept = f"{connection.dialect.name}_where"
        found = {}
        for table in metadata.tables:
            for index in inspect(connection).get_indexes(table):
                where = index.get("dialect_options", {}).get(kept)
                if where is not None:
                    found[str(index["name"])] = re.sub(r"::text|[()]", "", str(where)).lower()
        return found

    expected = {
        str(index.name): str(index.dialect_options["sqlite"]["where"]).lower()
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }

    assert database.read_now(predicates) == expected
    assert len(expected) == 10


def test_both_say_the_same_checks(database: Database) -> None:
    """Alembic compares no CHECKs, so their names are compared here, and what they refuse below."""

    def checks(connection: Connection) -> dict[str, set[str]]:
        return {
            table: {str(check["name"]) for check in inspect(connection).get_check_constraints(table)}
            for table in metadata.tables
        }

    assert database.read_now(checks) == {
        name: {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}
        for name, table in metadata.tables.items()
    }


class TestConstraints:
    @pytest.mark.parametrize(
        "refused",
        [
            "INSERT INTO task (upstream, task_id) VALUES ('default', '1')",
            "INSERT INTO task (upstream, task_id) VALUES ('default', '')",
            "INSERT INTO task (upstream, task_id, id) SELECT 'other', '1', id FROM task",
            "INSERT INTO task (upstream, task_id, progress) VALUES ('default', 'x', 101)",
            "INSERT INTO task (upstream, task_id, progress) VALUES ('default', 'x', -1)",
            "INSERT INTO task (upstream, task_id, status) VALUES ('default', 'x', 'SUCCESS')",
            "INSERT INTO task (upstream, task_id, status) VALUES ('default', 'x', 'succeeded')",
            "UPDATE task SET ended_at = NULL",
            "UPDATE task SET status = 'dropped', ended_at = NULL",
            """INSERT INTO event (task_key, sequence, event, observed_at)
               SELECT task_key, sequence, event, observed_at FROM event""",
            "UPDATE event SET event = 'finished'",
            "UPDATE event SET from_status = 'unknown'",
            "UPDATE event SET to_status = 'unknown'",
            "UPDATE event SET task_key = -1",
            """INSERT INTO callback (task_key, owner, url, events, format, created_at)
               SELECT task_key, owner, url, events, format, created_at FROM callback""",
            "UPDATE callback SET format = 'xml'",
            "UPDATE callback SET task_key = -1",
            "INSERT INTO endpoint (id, origin, created_at) SELECT 'end_2', origin, created_at FROM endpoint",
            "INSERT INTO endpoint (id, origin, created_at) SELECT id, 'http://x:80', created_at FROM endpoint",
            """INSERT INTO delivery (id, task_key, callback_key, endpoint_key, sequence, message_type, next_attempt_at,
               created_at) SELECT 'msg_2', task_key, callback_key, endpoint_key, sequence, message_type, created_at,
               created_at FROM delivery""",
            """INSERT INTO delivery (id, task_key, callback_key, endpoint_key, sequence, message_type, next_attempt_at,
               created_at) SELECT id, task_key, callback_key, endpoint_key, 99, message_type, created_at, created_at
               FROM delivery""",
            "UPDATE delivery SET status = 'sent'",
            "UPDATE delivery SET message_type = 'task.dropped'",
            "UPDATE delivery SET next_attempt_at = NULL",
            "UPDATE delivery SET status = 'dead', settled_at = created_at",
            "UPDATE delivery SET status = 'dead', next_attempt_at = NULL",
            "UPDATE delivery SET settled_at = created_at",
            "UPDATE delivery SET endpoint_key = -1",
            "UPDATE delivery SET callback_key = -1",
            "UPDATE delivery SET task_key = -1",
            """INSERT INTO attempt (delivery_key, attempt, attempted_at)
               SELECT delivery_key, attempt, attempted_at FROM attempt""",
            "UPDATE attempt SET outcome = 'ok'",
            "UPDATE attempt SET delivery_key = -1",
            """INSERT INTO registration (owner, task_key, registered_at)
               SELECT owner, task_key, registered_at FROM registration""",
            "UPDATE registration SET task_key = -1",
            "INSERT INTO snapshot (task_key, seen_at, object) SELECT task_key, seen_at, object FROM snapshot",
            "UPDATE snapshot SET task_key = -1",
            "UPDATE notice SET message_type = 'endpoint.deleted'",
            "UPDATE notice SET status = 'superseded'",
            "UPDATE notice SET next_attempt_at = NULL",
            "UPDATE notice SET status = 'dead', settled_at = created_at",
            "UPDATE notice SET status = 'dead', next_attempt_at = NULL",
            "UPDATE notice SET settled_at = created_at",
            "UPDATE notice SET body = NULL",
            """INSERT INTO notice (id, message_type, body, next_attempt_at, created_at)
               SELECT id, message_type, body, next_attempt_at, created_at FROM notice""",
            "UPDATE daemon SET tells_operator = NULL",
            "UPDATE upstream SET state = 'broken'",
            "UPDATE token SET scope = 'root'",
            """INSERT INTO token (id, owner, scope, prefix, hash, created_at)
               SELECT 'tok_2', owner, scope, prefix, hash, created_at FROM token""",
            "INSERT INTO secret (owner, secret, created_at) SELECT owner, 'whsec_y', created_at FROM secret",
            "DELETE FROM endpoint",
        ],
        ids=lambda statement: re.sub(r"\s+", " ", statement)[:70],
    )
    def test_refuse(self, full: World, refused: str) -> None:
        assert refused_by(full, refused)

    @pytest.fixture(scope="class", params=["sqlite", "postgres"])
    @classmethod
    def full(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
        """A database with one row in every table, for tests that change nothing."""
        if request.param == "sqlite":
            path = tmp_path_factory.mktemp("full") / "tracker.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            url = f"sqlite:///{path}"
        else:
            databases: PostgresDatabases = request.getfixturevalue("postgres")
            url = databases.migrated()
        world = World(Database(url), FakeClock())
        world.join("dmn_teller", tells_operator=True)
        (key,) = world.pending(want())
        world.claim(key)
        disable(world)
        world.write(lambda c: upstreams.write(c, upstreams.Health(name="default")))
        world.write(lambda c: access.current_secret(c, "shop", now=world.clock(), fresh="whsec_x"))
        world.write(lambda c: access.add_token(c, made="trk_x", owner="shop", scope="read", name="", now=world.clock()))
        yield world
        world.database.close()
        if request.param == "postgres":
            databases.drop(url)

    def test_the_only_current_secret_is_unique_but_past_ones_are_not(self, world: World) -> None:
        for fresh in ("whsec_1", "whsec_2", "whsec_3"):
            world.write(lambda c, fresh=fresh: access.rotate_secret(c, "shop", now=world.clock(), fresh=fresh))

        assert len(world.rows("SELECT * FROM secret WHERE expires_at IS NOT NULL")) == 2

    def test_deleting_a_task_deletes_all_it_has(self, world: World) -> None:
        world.claim(*world.pending(want()))

        world.sql("DELETE FROM task")

        left = {name for name, rows in everything(world).items() if rows}
        assert left == {"daemon", "endpoint", "endpoint_owner"}


class TestPlainSql:
    def test_two_names_are_enough_to_insert_a_task(self, world: World) -> None:
        world.sql("INSERT INTO task (upstream, task_id) VALUES ('default', 'a'), ('default', 'b')")

        first, second = world.rows("SELECT * FROM task ORDER BY key")
        assert (first["status"], first["upstream_status"], first["sequence"]) == ("queued", "", 0)
        assert re.fullmatch(r"tsk_[0-9a-f]{32}", first["id"])
        assert first["id"] != second["id"]
        registered_at = moment_of(first["registered_at"])
        assert registered_at.tzinfo is not None
        assert registered_at.microsecond % 1000 == 0

    def test_the_default_time_is_written_as_all_others_are(self, world: World) -> None:
        """Text on SQLite sorts and compares only if every hand writes the same form."""
        world.register(want())
        world.sql("INSERT INTO task (upstream, task_id) VALUES ('default', 'a')")

        by_us, by_hand = (str(value) for value in world.column("SELECT registered_at FROM task ORDER BY key"))

        if world.database.is_sqlite:
            assert re.sub(r"\d", "0", by_us) == re.sub(r"\d", "0", by_hand) == "0000-00-00 00:00:00.000Z"

    @pytest.mark.parametrize(("view", "columns"), VIEWS.items())
    def test_views_have_exactly_the_promised_columns(self, world: World, view: str, columns: str) -> None:
        world.claim(*world.pending(want()))

        assert list(world.rows(f"SELECT * FROM {view}")[0]) == re.split(r",\s*", columns)

    def test_the_overview_reckons_durations_and_counts(self, world: World) -> None:
        world.watched(
            want(), want(url="https://other.example/hook"), want(url="https://third.example/", events=("progress",))
        )
        seen = snap(
            Status.SUCCEEDED,
            100,
            submitted_at=world.clock(),
            started_at=moment_of("2026-11-22 08:00:01.500Z"),
            finished_at=moment_of("2026-11-22 08:01:02.625Z"),
        )
        world.record({world.key(): snap(progress=10)})
        world.record({world.key(): seen})
        world.clock.advance(5)
        for claimed in world.claim():
            world.settle(claimed, delivered())

        (row,) = world.rows("SELECT * FROM task_overview")

        assert (row["queued_seconds"], row["running_seconds"]) == (1.5, 61.125)
        assert (row["callbacks"], row["delivered"]) == (3, 2)
        assert moment_of(row["last_event_at"]) == world.clock()

    def test_the_log_of_deliveries_names_task_and_endpoint(self, world: World) -> None:
        world.settle(world.claim(*world.pending(want()))[0], delivered())

        (row,) = world.rows("SELECT * FROM delivery_log")

        assert row["delivery_id"].startswith("msg_")
        assert (row["task_id"], row["url"], row["endpoint"]) == ("1", HOOK, "https://shop.example:443")
        assert (row["attempt"], row["outcome"], row["status_code"], row["duration_ms"]) == (1, "delivered", 200, 20)


def test_keys_of_events_are_never_used_twice(world: World) -> None:
    """A reader's cursor is the key of the last event it has; later ones must be greater, whatever was forgotten."""
    world.register(want())
    (before,) = world.column("SELECT max(key) FROM event")
    world.sql("DELETE FROM task")

    world.register(want())

    assert world.column("SELECT max(key) FROM event")[0] > before


def pragma(url: str, name: str) -> object:
    database = Database(url)
    try:
        return database.write_now(lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar())
    finally:
        database.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("auto_vacuum", 2), ("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 10000)],
)
def test_sqlite_is_durable_checked_and_can_shrink(tmp_path: Path, name: str, value: object) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    migrate.upgrade(url)

    assert pragma(url, name) == value


def test_sqlite_readers_cannot_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    migrate.upgrade(url)
    database = Database(url)

    with pytest.raises(Exception, match="readonly"):
        database.read_now(lambda connection: connection.execute(text("DELETE FROM task")).close())
    database.close()


def test_a_file_that_cannot_shrink_can_after_a_vacuum(tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA user_version=1")
    url = f"sqlite:///{path}"
    migrate.upgrade(url)
    database = Database(url)
    many = "WITH RECURSIVE r(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM r WHERE g < 5000) SELECT g FROM r"
    database.write_now(lambda c: c.execute(text(f"INSERT INTO task (upstream, task_id) SELECT 'a', g FROM ({many})")))
    database.write_now(lambda c: c.execute(text("DELETE FROM task")))
    database.close()
    assert pragma(url, "auto_vacuum") == 0

    before, after = migrate.vacuum(url)

    assert after < before / 2
    assert pragma(url, "auto_vacuum") == 2
    assert pragma(url, "journal_mode") == "wal"


@pytest.mark.parametrize("url", ["postgresql://somewhere/x", "sqlite:////nowhere/tracker.db"])
def test_there_is_nothing_to_vacuum_elsewhere(url: str) -> None:
    with pytest.raises(TrackerError, match=r"PostgreSQL|no database"):
        migrate.vacuum(url)
