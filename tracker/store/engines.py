"""Engines with tracker's settings for each database."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for other databases."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return None
    return Path(parsed.database)


def open_engine(url: str, *, pool_size: int, read_only: bool = False) -> Engine:
    """An engine with tracker's settings for its database; `url` as in the configuration."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,
            connect_args={"check_same_thread": False},
        )
        _prepare_sqlite(engine, read_only=read_only)
        return engine
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 15000},
    )

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'")

    if not read_only:
        event.listen(engine, "begin", limit)
    return engine


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
