"""The tables, as queries see them. People query them too: plain names, words for statuses, UTC times.

The migrations create them; a test keeps the two equal. `key` is a row's number inside the database,
`id` the name that is told to people.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from tracker.model import ENDS, DeliveryStatus, EventKind, MessageType, NoticeStatus, NoticeType, Status
from tracker.store import endpoint_owner_table, rollup_tables, session_table  # noqa: F401 - with tables of their own
from tracker.store.moments import UtcDateTime
from tracker.store.naming import metadata


def _key() -> Column[int]:
    return Column("key", BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True)


def _task_key() -> Column[int]:
    return Column("task_key", BigInteger, ForeignKey("task.key", ondelete="CASCADE"), nullable=False)


def _moment(name: str, *, required: bool = False) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=not required)


def _only(rule: str) -> dict[str, Any]:
    """Makes an index partial, with the same words that queries write."""
    return {"sqlite_where": text(rule), "postgresql_where": text(rule)}


def _word_check(column: str, words: type[Any], *, optional: bool = False) -> CheckConstraint:
    rule = f"{column} IN (" + ", ".join(f"'{word.value}'" for word in words) + ")"
    return CheckConstraint(f"{column} IS NULL OR {rule}" if optional else rule, name=f"{column}_is_known")


_ENDS = ", ".join(f"'{status.value}'" for status in ENDS)
task = Table(
    "task",
    metadata,
    _key(),
    Column("id", Text, nullable=False, unique=True),
    Column("upstream", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="queued"),
    Column("upstream_status", Text, nullable=False, server_default=""),
    Column("action", Text),
    Column("progress", Integer),
    Column("sequence", Integer, nullable=False, server_default="0"),
    _moment("registered_at", required=True),
    _moment("submitted_at"),
    _moment("started_at"),
    _moment("finished_at"),
    _moment("ended_at"),
    Column("image_url", Text),
    Column("fail_reason", Text),
    Column("contradiction", Text),
    Column("watcher", Text),
    _moment("refresh_at"),
    UniqueConstraint("upstream", "task_id"),
    _word_check("status", Status),
    CheckConstraint(f"(ended_at IS NOT NULL) = (status IN ({_ENDS}))", name="an_end_has_its_time"),
    CheckConstraint("progress BETWEEN 0 AND 100", name="progress_is_a_percentage"),
    CheckConstraint("length(task_id) BETWEEN 1 AND 512", name="task_id_is_named"),
    # Written by hand it may be anything; on SQLite that could not be read again, and would stop whoever tried.
    CheckConstraint(
        "registered_at GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]*'"
        " AND julianday(registered_at) IS NOT NULL",
        name="registered_at_is_a_time",
    ).ddl_if(dialect="sqlite"),
    CheckConstraint("isfinite(registered_at)", name="registered_at_is_a_time").ddl_if(dialect="postgresql"),
    Index("task_unwatched", "upstream", "key", **_only("watcher IS NULL AND ended_at IS NULL")),
    Index("task_watched", "watcher", "key", **_only("watcher IS NOT NULL")),
    Index("task_refresh", "refresh_at", **_only("refresh_at IS NOT NULL")),
    # In the order in which they are forgotten; with the status, so that an hour is counted without its rows.
    Index("task_ended", "ended_at", "key", "status", **_only("ended_at IS NOT NULL")),
    Index("task_by_status", "status", "key"),
    Index("task_by_task_id", "task_id"),
)  # fmt: skip

registration = Table(
    "registration",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("task_key", BigInteger, ForeignKey("task.key", ondelete="CASCADE"), primary_key=True),
    _moment("registered_at", required=True),
    Index("registration_task_key", "task_key"),
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("task_key", BigInteger, ForeignKey("task.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _moment("seen_at", required=True),
    Column("object", Text, nullable=False),
)

event = Table(
    "event",
    metadata,
    _key(),
    _task_key(),
    Column("sequence", Integer, nullable=False),
    Column("event", Text, nullable=False),
    _moment("observed_at", required=True),
    Column("from_status", Text),
    Column("to_status", Text),
    Column("upstream_status", Text),
    Column("progress", Integer),
    Column("note", Text),
    Column("transaction_id", BigInteger, nullable=False, server_default="0"),
    # On PostgreSQL each month has one of its own: `tracker.store.partitions`.
    UniqueConstraint("task_key", "sequence").ddl_if(dialect="sqlite"),
    _word_check("event", EventKind),
    _word_check("from_status", Status, optional=True),
    _word_check("to_status", Status, optional=True),
    Index("event_feed", "transaction_id", "key"),
    # Readers go on after the last key they have: none may be used twice, even when the newest rows were forgotten.
    sqlite_autoincrement=True,
)

callback = Table(
    "callback",
    metadata,
    _key(),
    _task_key(),
    Column("owner", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("metadata", Text),
    _moment("created_at", required=True),
    _moment("gone_at"),
    UniqueConstraint("task_key", "owner", "url"),
    CheckConstraint("format IN ('standard', 'upstream')", name="format_is_known"),
)

endpoint = Table(
    "endpoint",
    metadata,
    _key(),
    Column("id", Text, nullable=False, unique=True),
    Column("origin", Text, nullable=False, unique=True),
    _moment("created_at", required=True),
    Column("state", Text, nullable=False, server_default="active"),
    Column("failures", Integer, nullable=False, server_default="0"),
    _moment("failing_since"),
    Column("probes", Integer, nullable=False, server_default="0"),
    _moment("paused_until"),
    Column("reason", Text),
    _moment("last_success_at"),
    _moment("operator_told_at"),
    Index("endpoint_paused", "paused_until", **_only("state = 'paused'")),
)  # fmt: skip

delivery = Table(
    "delivery",
    metadata,
    _key(),
    Column("id", Text, nullable=False, unique=True),
    _task_key(),
    Column("callback_key", BigInteger, ForeignKey("callback.key", ondelete="CASCADE"), nullable=False),
    Column("endpoint_key", BigInteger, ForeignKey("endpoint.key"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("message_type", Text, nullable=False),
    Column("body", Text),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    _moment("next_attempt_at"),
    _moment("created_at", required=True),
    _moment("settled_at"),
    UniqueConstraint("callback_key", "sequence"),
    _word_check("message_type", MessageType),
    _word_check("status", DeliveryStatus),
    CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="a_pending_one_is_due"),
    CheckConstraint("(status = 'pending') = (settled_at IS NULL)", name="a_settled_one_has_its_time"),
    # Not said of the status: of two indexes that serve one, SQLite takes that of all statuses, and sorts what it finds.
    Index("delivery_due", "next_attempt_at", **_only("settled_at IS NULL")),
    Index("delivery_waiting", "endpoint_key", "next_attempt_at", **_only("settled_at IS NULL")),
    Index("delivery_task_key", "task_key"),
    Index("delivery_by_status", "status", "key"),
    Index("delivery_settled", "settled_at", "status", **_only("settled_at IS NOT NULL")),
    Index("delivery_endpoint_key", "endpoint_key"),
)  # fmt: skip

attempt = Table(
    "attempt",
    metadata,
    _key(),
    Column("delivery_key", BigInteger, ForeignKey("delivery.key", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    _moment("attempted_at", required=True),
    _moment("claimed_until"),
    Column("outcome", Text, nullable=False, server_default="sending"),
    Column("status_code", Integer),
    Column("duration_ms", Integer),
    Column("phase", Text),
    Column("error", Text),
    Column("detail", Text),
    Column("response", Text),
    _moment("next_attempt_at"),
    UniqueConstraint("delivery_key", "attempt"),
    CheckConstraint("outcome IN ('sending', 'delivered', 'failed', 'interrupted')", name="outcome_is_known"),
)

notice = Table(
    "notice",
    metadata,
    _key(),
    Column("id", Text, nullable=False, unique=True),
    Column("message_type", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    _moment("next_attempt_at"),
    _moment("created_at", required=True),
    _moment("settled_at"),
    Column("last_error", Text),
    _word_check("message_type", NoticeType),
    _word_check("status", NoticeStatus),
    CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="a_pending_one_is_due"),
    CheckConstraint("(status = 'pending') = (settled_at IS NULL)", name="a_settled_one_has_its_time"),
    Index("notice_due", "next_attempt_at", **_only("status = 'pending'")),
)  # fmt: skip

upstream = Table(
    "upstream",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    _moment("paused_until"),
    Column("last_error", Text),
    _moment("last_error_at"),
    _moment("last_ok_at"),
    Column("look_size", Integer),
    CheckConstraint("state IN ('ok', 'paused')", name="state_is_known"),
)

daemon = Table(
    "daemon",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    _moment("started_at", required=True),
    _moment("heartbeat_at", required=True),
    Column("tells_operator", Boolean, nullable=False, server_default=false()),
    Column("is_gone", Boolean, nullable=False, server_default=false()),
    Column("watching", Text, nullable=False, server_default="{}"),
    Column("life", Text, nullable=False, server_default=""),
    Column("place", Text, nullable=False, server_default=""),
)

token = Table(
    "token",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("prefix", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    _moment("created_at", required=True),
    _moment("last_used_at"),
    _moment("revoked_at"),
    CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope_is_known"),
)

secret = Table(
    "secret",
    metadata,
    _key(),
    Column("owner", Text, nullable=False),
    Column("secret", Text, nullable=False),
    _moment("created_at", required=True),
    _moment("expires_at"),
    Index("secret_owner", "owner"),
    Index("secret_current", "owner", unique=True, **_only("expires_at IS NULL")),
)  # fmt: skip
