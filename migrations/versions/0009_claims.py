"""Claims: an attempt says until when it is somebody's, and its delivery counts it when it is over.

Attempts that are under way just now become claims; a claim moved the delivery's due time before.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

_OPEN = """SELECT delivery.next_attempt_at FROM delivery
    WHERE delivery.key = attempt.delivery_key AND delivery.attempt = attempt.attempt AND delivery.settled_at IS NULL"""
_WAITING = "SELECT key FROM delivery WHERE settled_at IS NULL"
_IS_OUT = """EXISTS (SELECT 1 FROM attempt WHERE attempt.delivery_key = delivery.key
    AND attempt.attempt = delivery.attempt + {further} AND attempt.outcome = 'sending')"""
_UNTIL = """SELECT attempt.claimed_until FROM attempt
    WHERE attempt.delivery_key = delivery.key AND attempt.attempt = delivery.attempt + 1"""
_BEGUN = "SELECT delivery_key FROM attempt WHERE outcome = 'sending'"


def upgrade() -> None:
    """Apply."""
    op.add_column("attempt", sa.Column("claimed_until", MOMENT, nullable=True))
    open_ = f"outcome = 'sending' AND delivery_key IN ({_WAITING})"
    op.execute(f"UPDATE attempt SET claimed_until = ({_OPEN}) WHERE {open_}")
    # Nobody closes them any more: the next attempt of a message that is sent again has a number of its own.
    op.execute("UPDATE attempt SET outcome = 'interrupted' WHERE outcome = 'sending' AND claimed_until IS NULL")
    op.execute(f"UPDATE delivery SET attempt = attempt - 1 WHERE settled_at IS NULL AND {_IS_OUT.format(further=0)}")
    _leave_room(60)


def downgrade() -> None:
    """Undo."""
    # All that were begun count, also of messages that are over: else the numbers of their next attempts were taken.
    is_out = f"key IN ({_BEGUN}) AND {_IS_OUT.format(further=1)}"
    until = f"CASE WHEN settled_at IS NULL THEN ({_UNTIL}) END"
    op.execute(f"UPDATE delivery SET next_attempt_at = {until}, attempt = attempt + 1 WHERE {is_out}")
    op.drop_column("attempt", "claimed_until")
    _leave_room(30)


def _leave_room(per_cent: int) -> None:
    """In each page, for what comes of its attempts: no index hears of that where it has room beside them."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE attempt SET (fillfactor = {100 - per_cent})")
