"""Whose messages an endpoint is sent: one row for an owner and an endpoint, however many messages those are."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from tracker.store.naming import metadata

endpoint_owner = Table(
    "endpoint_owner",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("endpoint_key", BigInteger, ForeignKey("endpoint.key", ondelete="CASCADE"), primary_key=True),
    Index("endpoint_owner_endpoint_key", "endpoint_key"),
)
"""Written with the first message; kept, as the endpoint is, when the messages are forgotten."""
