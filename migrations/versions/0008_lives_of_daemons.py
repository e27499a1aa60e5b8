"""Lives of daemons: one may go on under the name of another that is gone, and the fence tells the two apart.

Those that are in the table by now know nothing of lives, so nobody goes on under their names.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.add_column("daemon", sa.Column("life", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    """Undo."""
    op.drop_column("daemon", "life")
