"""Places of daemons: one that is killed need not be waited for by its successor, which sees that its process has ended.

Those that are in the table by now have told none, and are waited for. Secrets get an index by their owner.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.add_column("daemon", sa.Column("place", sa.Text(), server_default="", nullable=False))
    # What signs is asked for by owner, the old beside the new.
    op.create_index("secret_owner", "secret", ["owner"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("secret_owner", table_name="secret")
    op.drop_column("daemon", "place")
