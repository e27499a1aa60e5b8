"""Messages to the operator: what is to be told about endpoints, who tells it, and when it was told.

A daemon says of itself whether it tells the operator. While none does, no notice is written.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.add_column("daemon", sa.Column("tells_operator", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("endpoint", sa.Column("operator_told_at", MOMENT))
    op.create_table(
        "notice",
        sa.Column("key", KEY, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("message_type", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("settled_at", MOMENT),
        sa.Column("last_error", sa.Text()),
        sa.CheckConstraint(
            "message_type IN ('endpoint.paused', 'endpoint.disabled', 'endpoint.recovered')",
            name=op.f("notice_message_type_is_known"),
        ),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'dead')", name=op.f("notice_status_is_known")),
        sa.CheckConstraint(
            "(status = 'pending') = (next_attempt_at IS NOT NULL)", name=op.f("notice_a_pending_one_is_due")
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (settled_at IS NULL)", name=op.f("notice_a_settled_one_has_its_time")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("notice_pkey")),
        sa.UniqueConstraint("id", name=op.f("notice_id_key")),
    )
    op.create_index(
        "notice_due",
        "notice",
        ["next_attempt_at"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("notice")
    op.drop_column("endpoint", "operator_told_at")
    op.drop_column("daemon", "tells_operator")
