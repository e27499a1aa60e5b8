"""Runs migrations in one transaction, under a lock: two daemons that start together migrate once.

The program hands in an open connection; the `alembic` command, for developers, opens its own.
"""

from alembic import context
from sqlalchemy import Connection, create_engine, text

from tracker.store.schema import metadata

ADVISORY_LOCK = 0x7472_6163_6B65_72  # "tracker"


def run(connection: Connection) -> None:
    """Bring the schema where it was asked to go, all of it or nothing."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.config.get_main_option("sqlalchemy.url") or ""
    with create_engine(url).begin() as opened:
        run(opened)
