"""A database that other tests had before is as good as a new one."""

import psycopg
import pytest
from clocks import FakeClock
from databases import PostgresDatabases
from fakes import World, want

from tracker.store.database import Database


def test_the_next_one_finds_no_row_and_counts_from_one(postgres: PostgresDatabases, clock: FakeClock) -> None:
    with postgres.lent() as first:
        database = Database(first)
        World(database, clock).pending(want())
        database.close()

    with postgres.lent() as second, psycopg.connect(second) as connection:
        tables = connection.execute("SELECT relname FROM pg_stat_user_tables WHERE relname <> 'alembic_version'")
        counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone() for (name,) in tables.fetchall()}
        key = connection.execute("INSERT INTO task (upstream, task_id) VALUES ('default', '1') RETURNING key")
        assert key.fetchone() == (1,)
        connection.rollback()

    assert second == first
    assert set(counts.values()) == {(0,)}


@pytest.mark.parametrize(
    "change",
    [
        "DROP VIEW delivery_log",
        "ALTER TABLE secret ADD COLUMN colour text",
        "ALTER TABLE secret DROP COLUMN owner CASCADE",
        "ALTER TABLE task DROP CONSTRAINT task_upstream_task_id_key",
        "ALTER TABLE task ALTER COLUMN upstream SET DEFAULT 'other'",
        "UPDATE alembic_version SET version_num = '9999'",
    ],
)
def test_one_that_was_altered_is_not_lent_again(postgres: PostgresDatabases, change: str) -> None:
    with postgres.lent() as first, psycopg.connect(first) as connection:
        connection.execute(change)

    with postgres.lent() as second:
        assert second != first


def test_a_connection_that_was_left_open_is_ended(postgres: PostgresDatabases) -> None:
    with postgres.lent() as first:
        left = psycopg.connect(first)
        left.execute("LOCK TABLE task")

    with left, pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    with postgres.lent() as second:
        assert second == first
