"""Engines with tracker's settings for each database."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool

from tracker.errors import ConfigError

_LIMITS = ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in (
        ("lock_timeout", "5s"),
        ("statement_timeout", "30s"),
        # Whoever is frozen in the middle must not hold its locks for longer than others take to find it dead.
        ("idle_in_transaction_session_timeout", "10s"),
    )
)
"""For transactions that write: in the transaction only, since behind a pooler the connection is everybody's."""

Preamble = Callable[[Connection, str], None]
"""Begins a transaction that writes: is handed what limits it, to be selected before anything else is done."""


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for other databases."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return None
    return Path(parsed.database)


def is_pooled(url: str) -> bool:
    """Whether a pooler hands each transaction to any connection, so that nothing may be left in one: `?pooler=…`."""
    given = make_url(url).query.get("pooler", "none")
    if given not in ("none", "transaction"):
        raise ConfigError("database_url", "names a pooler of an unknown kind", "write ?pooler=transaction, or nothing")
    return given == "transaction"


def limit(connection: Connection, limits: str) -> None:
    """Begin a transaction within its limits."""
    connection.exec_driver_sql(f"SELECT {limits}").close()


def open_engine(url: str, *, pool_size: int, read_only: bool = False, preamble: Preamble = limit) -> Engine:
    """An engine with tracker's settings for its database; `url` as in the configuration."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            hide_parameters=True,
            connect_args={"check_same_thread": False},
        )
        _prepare_sqlite(engine, read_only=read_only)
        return engine
    engine = create_engine(
        psycopg_url(url),
        pool_size=pool_size,
        max_overflow=0,
        # The one that was used last has read and prepared what is asked most.
        pool_use_lifo=True,
        hide_parameters=True,
        pool_timeout=10,
        connect_args={**CONNECTING, **_preparing(parsed), "application_name": f"tracker {os.getpid()}"},
    )
    if not read_only:
        event.listen(engine, "begin", lambda connection: preamble(connection, _LIMITS))
    return engine


CONNECTING = {"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 15000}


def psycopg_url(url: str) -> URL:
    """The same as SQLAlchemy and the driver have it, without what only we understand."""
    return make_url(url).set(drivername="postgresql+psycopg").difference_update_query(["pooler", "prepare_threshold"])


def _preparing(url: URL) -> dict[str, int | None]:
    """When statements are prepared, which the pooler has to know of: `?prepare_threshold=5`, or `none`.

    By default after five times, and never behind a pooler.
    """
    given = url.query.get("prepare_threshold", "none" if is_pooled(str(url)) else "5")
    if given == "none":
        return {"prepare_threshold": None}
    if not isinstance(given, str) or not given.isdecimal():
        raise ConfigError("database_url", "prepare_threshold is no number", "write ?prepare_threshold=5, or =none")
    return {"prepare_threshold": int(given)}


def _prepare_sqlite(engine: Engine, *, read_only: bool) -> None:
    """Our own BEGIN: IMMEDIATE for writers, since a deferred transaction that upgrades fails at once."""

    def connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own connection
        connection.isolation_level = None
        for pragma in (
            "busy_timeout=10000",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"cache_size=-{8192 if read_only else 65536}",
            "journal_size_limit=67108864",
            "temp_store=MEMORY",
            *(("query_only=ON",) if read_only else ()),
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", connect)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
