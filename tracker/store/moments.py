"""Moments, as each database keeps them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text, TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment: `timestamptz` on Postgres, `2026-11-22 08:00:00.123Z` on SQLite.

    The text sorts as time, reads as time, and is understood by SQLite's own date functions.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:  # noqa: ANN401 - SQLAlchemy's own signature
        """Text on SQLite, the real type elsewhere."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ANN401
        """Refuse naive times; write UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        moment = value.astimezone(UTC)
        return sqlite_time(moment) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401
        """Read UTC."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return from_sqlite(value)
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_WITHOUT_ZONE = len("2026-11-22 08:00:00.123")


def sqlite_time(moment: datetime) -> str:
    """A moment, in UTC, as SQLite stores it."""
    return moment.isoformat(" ", "milliseconds")[:_WITHOUT_ZONE] + "Z"


def from_sqlite(text: str) -> datetime:
    """A moment as SQLite stores it, or as somebody wrote it by hand."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
