"""Several daemons: who is gone and left tasks behind, how many tasks each watches, and what waits at one upstream.

A daemon that is gone stays in the table until others have its tasks; so it goes at once, however many they are.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

UNWATCHED = sa.text("watcher IS NULL AND ended_at IS NULL")


def upgrade() -> None:
    """Apply."""
    op.add_column("daemon", sa.Column("is_gone", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("daemon", sa.Column("watching", sa.Text(), server_default="{}", nullable=False))
    _index("upstream", "key")


def downgrade() -> None:
    """Undo."""
    # Whoever is gone would be buried a second time, and what it watched with it.
    op.execute("UPDATE task SET watcher = NULL WHERE watcher IN (SELECT id FROM daemon WHERE is_gone)")
    op.execute("DELETE FROM daemon WHERE is_gone")
    _index("key")
    op.drop_column("daemon", "watching")
    op.drop_column("daemon", "is_gone")


def _index(*columns: str) -> None:
    op.drop_index("task_unwatched", "task")
    op.create_index("task_unwatched", "task", list(columns), sqlite_where=UNWATCHED, postgresql_where=UNWATCHED)
