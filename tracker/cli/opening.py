"""Getting at what an invocation names: the configuration, the database, or a daemon behind its API."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from tracker import config
from tracker.cli.invocation import Invocation
from tracker.cli.protocol import Tracker
from tracker.errors import TrackerError, UnavailableError
from tracker.store.database import Database, sqlite_file

_SQLITE = b"SQLite format 3\0"
"""How each such file begins; an empty one is a database without tables."""

_MAKING_ONE = ": `tracker serve` or `tracker db upgrade` makes one"
NOT_BY_URL = (
    "this command works on the database itself, and not through --url or TRACKER_URL; "
    "TRACKER_DATABASE_URL or --database-url names the database"
)


def load(invocation: Invocation, **overrides: object) -> config.Loaded:
    """The configuration, with what the command's own options override; raises ConfigError, a usage error with --url."""
    invocation.must_be_local()
    given = {"database_url": invocation.database_url, **overrides}
    return config.load(config_path=invocation.config, overrides=given, environ=os.environ, cwd=Path.cwd())


def configured_upstreams(context: click.Context) -> list[str]:
    """The names of the upstreams, to complete one that somebody begins to type: nothing that goes wrong is told."""
    invocation = Invocation.of(context)
    if invocation.url is not None:
        return []
    try:
        loaded = config.load(config_path=invocation.config, overrides={}, environ=os.environ, cwd=Path.cwd())
    except (TrackerError, OSError):
        return []
    return list(loaded.settings.upstreams)


@contextmanager
def open_tracker(invocation: Invocation, *, may_create: bool = False) -> Iterator[Tracker]:
    """The daemon behind --url, or else the database; with `may_create` the first task makes one that is not there."""
    if invocation.url is not None:
        from tracker.cli.remote import RemoteTracker

        with RemoteTracker.open(invocation.url, os.environ.get("TRACKER_TOKEN", "").strip()) as remote:
            yield remote
        return
    from tracker.cli.local import LocalTracker

    settings = load(invocation).settings
    if not may_create:
        _must_exist(settings.database_url)
    must_be_a_database(settings.database_url)
    with closing(Database(settings.database_url)) as database:
        yield LocalTracker(settings, database)


@contextmanager
def open_database(invocation: Invocation) -> Iterator[Database]:
    """The database itself; a usage error with --url."""
    url = load(invocation).settings.database_url
    try:
        _must_exist(url)
        must_be_a_database(url)
        with closing(Database(url)) as database:
            yield database
    except UnavailableError as error:
        if invocation.url is None:
            raise
        said = str(error).removesuffix(_MAKING_ONE)
        raise UnavailableError(f"{said}: {NOT_BY_URL}") from None


def must_be_a_database(url: str) -> None:
    """Raise UnavailableError that names the file, where another program wrote something else into it."""
    path = sqlite_file(url)
    if path is None or not path.is_file():
        return
    with path.open("rb") as file:
        begin = file.read(len(_SQLITE))
    if begin not in (b"", _SQLITE):
        raise UnavailableError(f"{path}: is no SQLite database; name another file in database_url")


def _must_exist(url: str) -> None:
    """SQLite would make an empty file, in whatever directory we happen to be."""
    path = sqlite_file(url)
    if path is not None and not path.exists():
        raise UnavailableError(f"there is no database {path}{_MAKING_ONE}")
