"""Whose messages an endpoint is sent: asked of the messages themselves, it took going through all there are."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "endpoint_owner",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("endpoint_key", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_key"], ["endpoint.key"], name=op.f("endpoint_owner_endpoint_key_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("owner", "endpoint_key", name=op.f("endpoint_owner_pkey")),
    )
    op.create_index("endpoint_owner_endpoint_key", "endpoint_owner", ["endpoint_key"])
    op.execute(
        "INSERT INTO endpoint_owner (owner, endpoint_key) SELECT DISTINCT callback.owner, delivery.endpoint_key"
        " FROM delivery JOIN callback ON callback.key = delivery.callback_key"
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("endpoint_owner")
