"""Brings a database's schema to this program's version, or tells how far it is."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, func, inspect, make_url, select, text

import tracker
from tracker.errors import InputError, UnavailableError
from tracker.store import partitions
from tracker.store.engines import open_engine, sqlite_file
from tracker.store.faults import translated

_ADVISORY_LOCK = 0x7472_6163_6B65_72  # "tracker"

Revisions = tuple[str | None, str | None]


def script_location() -> Path:
    """Where the migrations are: inside an installed package, beside it in a checkout."""
    package = Path(tracker.__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def newest() -> str:
    """The revision this program needs."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Every revision there is, oldest first: migrations are numbered."""
    numbered = sorted(path.name.partition("_")[0] for path in (script_location() / "versions").glob("[0-9]*_*.py"))
    if not numbered:
        raise UnavailableError(f"no migrations in {script_location()}: the installation is not complete")
    return numbered


def current(connection: Connection) -> str | None:
    """The revision a database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def upgrade(url: str, revision: str = "head") -> Revisions:
    """Migrate up, all of it or nothing, under a lock; returns the revisions before and after."""

    def go(connection: Connection, before: str | None) -> None:
        if before != (newest() if revision == "head" else revision):
            _run_alembic(connection, "upgrade", revision)
        if revision == "head":
            partitions.make_ahead(connection, now=connection.execute(select(func.now())).scalar_one())

    return _migrate(url, go)


def downgrade(url: str, revision: str) -> Revisions:
    """Migrate down."""
    return _migrate(url, lambda connection, _: _run_alembic(connection, "downgrade", revision))


def vacuum(url: str) -> tuple[int, int]:
    """Write a SQLite file anew, so that it can shrink by itself from now on; returns its bytes before and after.

    Nobody else may write meanwhile; raises InputError where the database is none of SQLite's.
    """
    path = sqlite_file(url)
    if path is None:
        raise InputError("database_url", "PostgreSQL sees to its room by itself", "name a SQLite file")
    if not _has_content(path):
        raise UnavailableError(f"database_url: there is no database at {path}")
    before = path.stat().st_size
    with translated(), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before, path.stat().st_size


def _migrate(url: str, go: Callable[[Connection, str | None], None]) -> Revisions:
    engine = open_engine(url, pool_size=1)
    try:
        with translated():
            if make_url(url).get_backend_name() == "sqlite":
                _allow_shrinking(url)
            with engine.begin() as connection:
                _wait_for_others(connection)
                before = current(connection)
                if before is None and inspect(connection).has_table("task"):
                    raise UnavailableError(
                        "database_url: the database is another program's; name one for tracker alone"
                    )
                go(connection, before)
                return before, current(connection)
    finally:
        engine.dispose()


def _run_alembic(connection: Connection, direction: str, revision: str) -> None:
    # Imported only here: it takes ten megabytes, which a daemon on a current schema need not carry.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        getattr(command, direction)(config, revision)
    except CommandError as error:
        raise UnavailableError(f"the schema cannot be brought to {revision}: {error}") from error


def _wait_for_others(connection: Connection) -> None:
    """Take the lock of `migrations/env.py` before looking: who waited for another's migration finds it done.

    The waiting has an end; the work itself takes the time it takes, however many rows there are.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})


def _allow_shrinking(url: str) -> None:
    """Incremental vacuum can only be switched on before the first table exists.

    The file appears whole or not at all: two processes that turn one empty file to WAL get in each other's way.
    """
    path = Path(make_url(url).database or "")
    if not path.parent.is_dir():
        raise UnavailableError(f"database_url: the folder {path.parent} does not exist; make it, or name another file")
    if _has_content(path):
        return
    with TemporaryDirectory(dir=path.parent, prefix=".tracker-") as folder:
        draft = Path(folder) / "draft.db"
        _prepare(draft)
        try:
            path.hardlink_to(draft)
        except OSError:
            # Somebody was faster, or made an empty file there, or there are no links in this file system.
            if not _has_content(path):
                _prepare(path)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _prepare(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
    # It holds the secrets that sign: not for everybody on this machine. The journal beside it inherits the mode.
    path.chmod(0o640)
