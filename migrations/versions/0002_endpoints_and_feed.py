"""How endpoints are doing, and the order in which events can be told.

On PostgreSQL an event notes the transaction that wrote it, so that a reader of the feed can stop before the first
one that may still commit: keys are given out before commits, and a row that commits late must not be skipped.
On SQLite writers take turns, so the key alone is the order and the column stays 0.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Apply."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("endpoint", sa.Column("state", sa.Text(), server_default="active", nullable=False))
    op.add_column("endpoint", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("endpoint", sa.Column("failing_since", MOMENT))
    op.add_column("endpoint", sa.Column("probes", sa.Integer(), server_default="0", nullable=False))
    op.add_column("endpoint", sa.Column("paused_until", MOMENT))
    op.add_column("endpoint", sa.Column("reason", sa.Text()))
    op.add_column("endpoint", sa.Column("last_success_at", MOMENT))
    op.create_index(
        "endpoint_paused",
        "endpoint",
        ["paused_until"],
        sqlite_where=sa.text("state = 'paused'"),
        postgresql_where=sa.text("state = 'paused'"),
    )
    op.create_index(
        "delivery_pending",
        "delivery",
        ["endpoint_key", "key"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.add_column("event", sa.Column("transaction_id", sa.BigInteger(), server_default="0", nullable=False))
    if not sqlite:
        # What is there already is older than any reader: it keeps 0.
        op.execute("ALTER TABLE event ALTER transaction_id SET DEFAULT pg_current_xact_id()::text::bigint")
    op.create_index("event_feed", "event", ["transaction_id", "key"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("event_feed", table_name="event")
    op.drop_column("event", "transaction_id")
    op.drop_index("delivery_pending", table_name="delivery")
    op.drop_index("endpoint_paused", table_name="endpoint")
    for column in ("last_success_at", "reason", "paused_until", "probes", "failing_since", "failures", "state"):
        op.drop_column("endpoint", column)
