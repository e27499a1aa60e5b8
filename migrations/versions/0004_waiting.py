"""What waits, by its endpoint and its time: a look shows the first few of each, whatever else waits for another.

The indexes speak of the time of settling instead of the status: SQLite preferred the one of all statuses.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _index(name: str, columns: Sequence[str], rule: str) -> None:
    only = sa.text(rule)
    op.create_index(name, "delivery", columns, sqlite_where=only, postgresql_where=only)


def upgrade() -> None:
    """Apply."""
    op.drop_index("delivery_due", table_name="delivery")
    op.drop_index("delivery_pending", table_name="delivery")
    _index("delivery_due", ["next_attempt_at"], "settled_at IS NULL")
    _index("delivery_waiting", ["endpoint_key", "next_attempt_at"], "settled_at IS NULL")


def downgrade() -> None:
    """Undo."""
    op.drop_index("delivery_waiting", table_name="delivery")
    op.drop_index("delivery_due", table_name="delivery")
    _index("delivery_due", ["next_attempt_at"], "status = 'pending'")
    _index("delivery_pending", ["endpoint_key", "key"], "status = 'pending'")
