"""Who is signed in to the pages; beside the other tables, so that neither file says everything."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Table, Text, false

from tracker.store.moments import UtcDateTime
from tracker.store.naming import metadata

session = Table(
    "session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("token_id", Text, ForeignKey("token.id", ondelete="CASCADE")),
    Column("is_link", Boolean, nullable=False, server_default=false()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope_is_known"),
    Index("session_expires", "expires_at"),
)
"""Only hashes of what a browser shows are kept. A link is a session that has not begun: it is used once."""
