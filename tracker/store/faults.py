"""What databases raise when they are away, too slow or held up, as errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tracker.errors import UnavailableError


@contextmanager
def translated() -> Iterator[None]:
    """Turn what drivers raise when a database is away into UnavailableError, without its address."""
    try:
        yield
    except PoolTimeoutError as error:
        raise UnavailableError("the database is out of reach: no connection became free") from error
    except DBAPIError as error:
        if reason := _away(error):
            raise UnavailableError(reason) from error
        raise


def is_broken_connection(error: UnavailableError) -> bool:
    """Whether a connection broke: where nothing was done on it yet, a new one may do it."""
    return bool(getattr(error.__cause__, "connection_invalidated", False))


_TOOK_TOO_LONG = "57014"
_NO_SCHEMA = ("42P01", "42703")
"""SQLSTATEs of a table and of a column that is not there."""
_POSTGRES_AWAY = ("08", "53", "57", "55P03", "40")
"""SQLSTATE classes: connection, resources, operator intervention, lock timeout, deadlock: all pass with time."""


def _away(error: DBAPIError) -> str | None:
    cause = error.orig
    said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if said == "interrupted" or getattr(cause, "sqlstate", None) == _TOOK_TOO_LONG:
        return "the question took the database too long; ask for less, or name an upstream, a status or a time"
    if said.startswith(("no such table", "no such column")) or getattr(cause, "sqlstate", None) in _NO_SCHEMA:
        return "the database has no schema yet, or an old one: run `tracker db upgrade`"
    if isinstance(cause, sqlite3.Error):
        # A plain DatabaseError is a file that is no database, or a broken one; its subclasses are about one statement.
        is_away = isinstance(cause, sqlite3.OperationalError) or type(cause) is sqlite3.DatabaseError
        return f"the database is out of reach: {said}" if is_away else None
    state = getattr(cause, "sqlstate", None)
    if state is None:
        # What the driver refuses by itself, a NUL in a text say, has no code either.
        is_away = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    else:
        is_away = error.connection_invalidated or state.startswith(_POSTGRES_AWAY)
    if is_away:
        return f"the database is out of reach: {said}"
    return None


_CONTENTION = ("40", "55P03", "57014")
"""SQLSTATE classes: deadlock, lock timeout, statement timeout: somebody holds a row that one piece needs."""


def concerns_all(error: Exception) -> bool:
    """Whether the other pieces of a group cannot be written either: the database is away, not held up by one row."""
    state = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) or ""
    return isinstance(error, UnavailableError) and not state.startswith(_CONTENTION)
