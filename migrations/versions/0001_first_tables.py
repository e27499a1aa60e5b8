"""The first tables and the three views.

Migrations are additive, so that the version before can still run beside the new schema, and reversible.
The three views are a contract: columns are only ever added to them.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Apply."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    # So that `INSERT INTO task (upstream, task_id)` alone registers a task.
    new_id = (
        "('tsk_' || lower(hex(randomblob(16))))" if sqlite else "'tsk_' || replace(gen_random_uuid()::text, '-', '')"
    )
    now = "(strftime('%Y-%m-%d %H:%M:%fZ', 'now'))" if sqlite else "date_trunc('milliseconds', now())"
    is_a_time = (
        "registered_at GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]*'"
        " AND julianday(registered_at) IS NOT NULL"
        if sqlite
        else "isfinite(registered_at)"
    )
    op.create_table(
        "daemon",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("heartbeat_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("daemon_pkey")),
    )
    op.create_table(
        "endpoint",
        sa.Column("key", KEY, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("endpoint_pkey")),
        sa.UniqueConstraint("id", name=op.f("endpoint_id_key")),
        sa.UniqueConstraint("origin", name=op.f("endpoint_origin_key")),
    )
    op.create_table(
        "secret",
        sa.Column("key", KEY, sa.Identity(always=False), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("secret_pkey")),
    )
    op.create_index(
        "secret_current",
        "secret",
        ["owner"],
        unique=True,
        sqlite_where=sa.text("expires_at IS NULL"),
        postgresql_where=sa.text("expires_at IS NULL"),
    )

    op.create_table(
        "task",
        sa.Column("key", KEY, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), server_default=sa.text(new_id), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("upstream_status", sa.Text(), server_default="", nullable=False),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("progress", sa.Integer(), nullable=True),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("registered_at", MOMENT, server_default=sa.text(now), nullable=False),
        sa.Column("submitted_at", MOMENT, nullable=True),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("fail_reason", sa.Text(), nullable=True),
        sa.Column("contradiction", sa.Text(), nullable=True),
        sa.Column("watcher", sa.Text(), nullable=True),
        sa.Column("refresh_at", MOMENT, nullable=True),
        sa.CheckConstraint(is_a_time, name=op.f("task_registered_at_is_a_time")),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled', 'lost', 'expired', 'dropped'))",
            name=op.f("task_an_end_has_its_time"),
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'needs_input', 'succeeded', 'failed', 'cancelled', 'lost', 'expired', 'dropped')",
            name=op.f("task_status_is_known"),
        ),
        sa.CheckConstraint("length(task_id) BETWEEN 1 AND 512", name=op.f("task_task_id_is_named")),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name=op.f("task_progress_is_a_percentage")),
        sa.PrimaryKeyConstraint("key", name=op.f("task_pkey")),
        sa.UniqueConstraint("id", name=op.f("task_id_key")),
        sa.UniqueConstraint("upstream", "task_id", name=op.f("task_upstream_task_id_key")),
    )
    op.create_index("task_by_status", "task", ["status", "key"], unique=False)
    op.create_index("task_by_task_id", "task", ["task_id"], unique=False)
    op.create_index(
        "task_ended",
        "task",
        ["ended_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NOT NULL"),
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index(
        "task_refresh",
        "task",
        ["refresh_at"],
        unique=False,
        sqlite_where=sa.text("refresh_at IS NOT NULL"),
        postgresql_where=sa.text("refresh_at IS NOT NULL"),
    )
    op.create_index(
        "task_unwatched",
        "task",
        ["key"],
        unique=False,
        sqlite_where=sa.text("watcher IS NULL AND ended_at IS NULL"),
        postgresql_where=sa.text("watcher IS NULL AND ended_at IS NULL"),
    )
    op.create_index(
        "task_watched",
        "task",
        ["watcher", "key"],
        unique=False,
        sqlite_where=sa.text("watcher IS NOT NULL"),
        postgresql_where=sa.text("watcher IS NOT NULL"),
    )

    op.create_table(
        "token",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.CheckConstraint("scope IN ('read', 'write', 'admin')", name=op.f("token_scope_is_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("token_pkey")),
        sa.UniqueConstraint("hash", name=op.f("token_hash_key")),
    )
    op.create_table(
        "upstream",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("paused_until", MOMENT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", MOMENT, nullable=True),
        sa.Column("last_ok_at", MOMENT, nullable=True),
        sa.Column("look_size", sa.Integer(), nullable=True),
        sa.CheckConstraint("state IN ('ok', 'paused')", name=op.f("upstream_state_is_known")),
        sa.PrimaryKeyConstraint("name", name=op.f("upstream_pkey")),
    )
    op.create_table(
        "callback",
        sa.Column("key", KEY, sa.Identity(always=False), nullable=False),
        sa.Column("task_key", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("gone_at", MOMENT, nullable=True),
        sa.CheckConstraint("format IN ('standard', 'upstream')", name=op.f("callback_format_is_known")),
        sa.ForeignKeyConstraint(["task_key"], ["task.key"], name=op.f("callback_task_key_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", name=op.f("callback_pkey")),
        sa.UniqueConstraint("task_key", "owner", "url", name=op.f("callback_task_key_owner_url_key")),
    )
    op.create_table(
        "event",
        sa.Column("key", KEY, sa.Identity(always=False), nullable=False),
        sa.Column("task_key", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("observed_at", MOMENT, nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("to_status", sa.Text(), nullable=True),
        sa.Column("upstream_status", sa.Text(), nullable=True),
        sa.Column("progress", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "event IN ('registered', 'status', 'progress', 'contradiction', 'delivered', 'delivery_failed', 'delivery_dead')",
            name=op.f("event_event_is_known"),
        ),
        sa.CheckConstraint(
            "from_status IS NULL OR from_status IN ('queued', 'running', 'needs_input', 'succeeded', 'failed', 'cancelled', 'lost', 'expired', 'dropped')",
            name=op.f("event_from_status_is_known"),
        ),
        sa.CheckConstraint(
            "to_status IS NULL OR to_status IN ('queued', 'running', 'needs_input', 'succeeded', 'failed', 'cancelled', 'lost', 'expired', 'dropped')",
            name=op.f("event_to_status_is_known"),
        ),
        sa.ForeignKeyConstraint(["task_key"], ["task.key"], name=op.f("event_task_key_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", name=op.f("event_pkey")),
        sa.UniqueConstraint("task_key", "sequence", name=op.f("event_task_key_sequence_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "registration",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("task_key", sa.BigInteger(), nullable=False),
        sa.Column("registered_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["task_key"], ["task.key"], name=op.f("registration_task_key_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("owner", "task_key", name=op.f("registration_pkey")),
    )
    op.create_index("registration_task_key", "registration", ["task_key"], unique=False)

    op.create_table(
        "snapshot",
        sa.Column("task_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task_key"], ["task.key"], name=op.f("snapshot_task_key_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_key", name=op.f("snapshot_pkey")),
    )
    op.create_table(
        "delivery",
        sa.Column("key", KEY, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("task_key", sa.BigInteger(), nullable=False),
        sa.Column("callback_key", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_key", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("message_type", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("settled_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(status = 'pending') = (next_attempt_at IS NOT NULL)", name=op.f("delivery_a_pending_one_is_due")
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (settled_at IS NULL)", name=op.f("delivery_a_settled_one_has_its_time")
        ),
        sa.CheckConstraint(
            "message_type IN ('task.succeeded', 'task.failed', 'task.cancelled', 'task.lost', 'task.expired', 'task.progress', 'task.needs_input', 'callback.test')",
            name=op.f("delivery_message_type_is_known"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'delivered', 'dead', 'superseded')", name=op.f("delivery_status_is_known")
        ),
        sa.ForeignKeyConstraint(
            ["callback_key"], ["callback.key"], name=op.f("delivery_callback_key_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["endpoint_key"], ["endpoint.key"], name=op.f("delivery_endpoint_key_fkey")),
        sa.ForeignKeyConstraint(["task_key"], ["task.key"], name=op.f("delivery_task_key_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", name=op.f("delivery_pkey")),
        sa.UniqueConstraint("callback_key", "sequence", name=op.f("delivery_callback_key_sequence_key")),
        sa.UniqueConstraint("id", name=op.f("delivery_id_key")),
    )
    op.create_index("delivery_by_status", "delivery", ["status", "key"], unique=False)
    op.create_index(
        "delivery_due",
        "delivery",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("delivery_endpoint_key", "delivery", ["endpoint_key"], unique=False)
    op.create_index("delivery_task_key", "delivery", ["task_key"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("key", KEY, sa.Identity(always=False), nullable=False),
        sa.Column("delivery_key", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempted_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.Text(), server_default="sending", nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "outcome IN ('sending', 'delivered', 'failed', 'interrupted')", name=op.f("attempt_outcome_is_known")
        ),
        sa.ForeignKeyConstraint(
            ["delivery_key"], ["delivery.key"], name=op.f("attempt_delivery_key_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("attempt_pkey")),
        sa.UniqueConstraint("delivery_key", "attempt", name=op.f("attempt_delivery_key_attempt_key")),
    )
    for view in views(sqlite=sqlite):
        op.execute(view)


def downgrade() -> None:
    """Undo."""
    for view in ("delivery_log", "task_history", "task_overview"):
        op.execute(f"DROP VIEW {view}")
    for table in (
        "attempt",
        "delivery",
        "snapshot",
        "registration",
        "event",
        "callback",
        "upstream",
        "token",
        "task",
        "secret",
        "endpoint",
        "daemon",
    ):
        op.drop_table(table)


def seconds_between(earlier: str, later: str, *, sqlite: bool) -> str:
    """SQL for the seconds from one moment to another, to the millisecond."""
    if sqlite:
        return f"round((julianday({later}) - julianday({earlier})) * 86400.0, 3)"
    return f"round(extract(epoch FROM {later} - {earlier}), 3)::double precision"


def views(*, sqlite: bool) -> tuple[str, str, str]:
    """The three views that people query; contracts, the same on both databases."""
    queued = seconds_between("t.submitted_at", "t.started_at", sqlite=sqlite)
    running = seconds_between("t.started_at", "t.finished_at", sqlite=sqlite)
    return (
        f"""
        CREATE VIEW task_overview AS
        SELECT t.id, t.task_id, t.upstream, t.status, t.upstream_status, t.action, t.progress,
               t.registered_at, t.submitted_at, t.started_at, t.finished_at, t.ended_at,
               {queued} AS queued_seconds, {running} AS running_seconds, t.image_url, t.fail_reason,
               (SELECT count(*) FROM callback c WHERE c.task_key = t.key AND c.gone_at IS NULL) AS callbacks,
               (SELECT count(*) FROM delivery d WHERE d.task_key = t.key AND d.status = 'delivered'
                   AND d.message_type NOT IN ('task.progress', 'task.needs_input')) AS delivered,
               (SELECT e.observed_at FROM event e WHERE e.task_key = t.key
                   ORDER BY e.sequence DESC LIMIT 1) AS last_event_at
        FROM task t
        """,
        """
        CREATE VIEW task_history AS
        SELECT t.id, t.task_id, t.upstream, e.sequence, e.observed_at, e.event, e.from_status, e.to_status,
               e.upstream_status, e.progress, e.note
        FROM event e JOIN task t ON t.key = e.task_key
        """,
        """
        CREATE VIEW delivery_log AS
        SELECT d.id AS delivery_id, t.task_id, t.upstream, d.message_type, c.url, p.origin AS endpoint,
               a.attempt, a.attempted_at, a.status_code, a.duration_ms, a.outcome, a.phase, a.error, a.next_attempt_at
        FROM attempt a
        JOIN delivery d ON d.key = a.delivery_key
        JOIN task t ON t.key = d.task_key
        JOIN callback c ON c.key = d.callback_key
        JOIN endpoint p ON p.key = d.endpoint_key
        """,
    )
