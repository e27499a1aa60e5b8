"""The few words that the two databases say differently."""

from typing import Any

from sqlalchemy import Connection, Table


def insert_into(connection: Connection, table: Table) -> Any:  # noqa: ANN401 - the two dialects share no type
    """The dialect's INSERT, which knows ON CONFLICT."""
    return inserting(connection.dialect.name, table)


def inserting(dialect: str, table: Table) -> Any:  # noqa: ANN401 - the two dialects share no type
    """The same where no connection is at hand, to be built once and kept."""
    # The other dialect is not imported: it would cost megabytes for nothing.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
