"""Sessions of the pages: who is signed in, and links that sign somebody in once."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# As in the tables: text on SQLite, so that people can read it.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "session",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("is_link", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.CheckConstraint("scope IN ('read', 'write', 'admin')", name=op.f("session_scope_is_known")),
        sa.ForeignKeyConstraint(["token_id"], ["token.id"], name=op.f("session_token_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("session_pkey")),
        sa.UniqueConstraint("hash", name=op.f("session_hash_key")),
    )
    op.create_index("session_expires", "session", ["expires_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("session")
