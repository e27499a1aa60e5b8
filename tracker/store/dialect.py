"""The few words that the two databases say differently."""

from typing import Any

from sqlalchemy import Connection, Table


def insert_into(connection: Connection, table: Table) -> Any:  # noqa: ANN401 - the two dialects share no type
    """The dialect's INSERT, which knows ON CONFLICT."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> Any:  # noqa: ANN401 - the two dialects share no type
    """The same for statements that are built once, by the dialect's name."""
    # The other dialect is not imported: it would cost megabytes for nothing.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
