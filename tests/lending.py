"""Empty databases used again and again: making and dropping one takes Postgres longer than most tests."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import FakeClock
from databases import PostgresDatabases
from fakes import World
from sqlalchemy import create_engine, make_url, text

from tracker.store.database import Database

KINDS = ("sqlite", "postgres")
_free: list[str] = []


@contextmanager
def lent_database(request: pytest.FixtureRequest, kind: str) -> Iterator[str]:
    """The URL of a migrated, empty database of this kind."""
    if kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "tracker.db")
        yield f"sqlite:///{folder}/tracker.db"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres")
    url = _free.pop() if _free else _made(databases, request)
    yield url
    _empty(url)
    _free.append(url)


@contextmanager
def lent_worlds(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[list[World]]:
    """Three programs that share one Postgres."""
    with lent_database(request, "postgres") as url, ExitStack() as closing:
        opened = [Database(url) for _ in range(3)]
        for database in opened:
            closing.callback(database.close)
        yield [World(database, clock) for database in opened]


def _made(databases: PostgresDatabases, request: pytest.FixtureRequest) -> str:
    url = databases.migrated()
    if "TRACKER_TEST_POSTGRES" in os.environ:  # a server that outlives us
        request.config.add_cleanup(lambda: databases.drop(url))
    return url


def _empty(url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text("SET lock_timeout = '5s'"))
        for table in ("task", "endpoint", "notice", "daemon", "secret", "token", "upstream"):
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()
