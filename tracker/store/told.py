"""Rows that are taken from the database as one text, where each row would cost more than what is in it.

SQLite's driver lets other threads run between two rows, and has to wait for its turn after each; Postgres's makes an
object of each value.
"""

from typing import Any

from sqlalchemy import Select, Text, cast, func, select


def as_one(dialect: str, query: Select[Any]) -> Select[Any]:
    """The rows of a query as JSON, a list of lists, in one value that may be NULL where there are none."""
    lines = query.subquery("lines")
    if dialect == "sqlite":
        return select(func.json_group_array(func.json_array(*lines.c)))
    # As text, or the driver would decode it.
    return select(cast(func.json_agg(func.json_build_array(*lines.c)), Text))
