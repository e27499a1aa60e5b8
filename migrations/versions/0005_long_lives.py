"""Long lives: histories by month on PostgreSQL, roll-ups that stay, and settings for the tables that are busy.

No event is moved: the table there was becomes the first part of the new one, up to the end of its last month. What it
takes is a look at each event, under a lock that is not waited for longer than five seconds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
VIEWS = ("task_overview", "task_history")
MEASURES = "measure IN ('queued', 'running', 'finish_to_detect', 'finish_to_deliver')"

SETTINGS = {
    # Most changes of a task (progress, a line more in its history) touch no index: with room on its page such a row
    # needs no new entry in any of eight indexes.
    "task": {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02},
    # Each claim moves an indexed time, so room on the page would be for nothing; but its dead entries lie where the next
    # claim begins to look.
    "delivery": {
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_cost_delay": 0,
        "autovacuum_analyze_scale_factor": 0.02,
    },
    # Written once when it begins and once when its outcome is known, seconds later.
    "attempt": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02},
    # Rewritten with every step of a task; two kilobytes each.
    "snapshot": {"fillfactor": 60, "autovacuum_vacuum_scale_factor": 0.02},
    # A few rows, rewritten every few seconds for years.
    "daemon": {"fillfactor": 25, "autovacuum_vacuum_threshold": 100},
    "upstream": {"fillfactor": 25, "autovacuum_vacuum_threshold": 100},
    "endpoint": {"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.05},
}


def upgrade() -> None:
    """Apply."""
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        _be_patient(bind)
        _divide_events(bind)
        for table, settings in SETTINGS.items():
            op.execute(
                f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in settings.items())})"
            )
    op.drop_index("task_ended", table_name="task")
    _index_when_set("task_ended", "task", ["ended_at", "key", "status"])
    _index_when_set("delivery_settled", "delivery", ["settled_at", "status"])
    _create_rollups("hourly", "hour", MOMENT)
    _create_rollups("daily", "day", sa.Date())


def downgrade() -> None:
    """Undo; on PostgreSQL every event is written anew, which takes about a minute for ten million."""
    bind = op.get_bind()
    for prefix in ("daily", "hourly"):
        for name in ("deliveries", "durations", "tasks"):
            op.drop_table(f"{prefix}_{name}")
    op.drop_index("delivery_settled", table_name="delivery")
    op.drop_index("task_ended", table_name="task")
    _index_when_set("task_ended", "task", ["ended_at"])
    if bind.dialect.name == "postgresql":
        _be_patient(bind)
        for table, settings in SETTINGS.items():
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})")
        _unite_events(bind)


def _index_when_set(name: str, table: str, columns: list[str]) -> None:
    is_set = sa.text(f"{columns[0]} IS NOT NULL")
    op.create_index(name, table, columns, sqlite_where=is_set, postgresql_where=is_set)


def _create_rollups(prefix: str, starts: str, kind: sa.types.TypeEngine[object]) -> None:
    def create(name: str, keys: Sequence[str], *counted: sa.Column[object]) -> None:
        columns: list[sa.Column[object]] = [sa.Column(starts, kind, nullable=False)]
        columns += [
            sa.Column(key, sa.Double() if key == "up_to_seconds" else sa.Text(), nullable=False) for key in keys
        ]
        table = f"{prefix}_{name}"
        checks = [sa.CheckConstraint(MEASURES, name=op.f(f"{table}_measure_is_known"))] if "measure" in keys else []
        primary = sa.PrimaryKeyConstraint(starts, *keys, name=op.f(f"{table}_pkey"))
        op.create_table(table, *columns, *counted, *checks, primary)

    create("tasks", ["upstream", "status"], sa.Column("tasks", sa.BigInteger(), nullable=False))
    create(
        "durations",
        ["upstream", "status", "measure", "up_to_seconds"],
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
    )
    create(
        "deliveries",
        ["upstream", "message_type", "status"],
        sa.Column("deliveries", sa.BigInteger(), nullable=False),
    )


def _be_patient(bind: sa.Connection) -> None:
    """Whoever reads or writes meanwhile is held up: not for long by our waiting, but the work itself may take its time."""
    bind.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    bind.exec_driver_sql("SET LOCAL statement_timeout = 0")
    bind.exec_driver_sql("LOCK TABLE task, event IN ACCESS EXCLUSIVE MODE")


def _divide_events(bind: sa.Connection) -> None:
    views, grants = _views(bind), _grants(bind)
    next_key = bind.exec_driver_sql("SELECT last_value + is_called::int FROM event_key_seq").scalar_one()
    end = _end_of_month(bind)
    first = f"event_before_{end:%Y_%m}"
    bind.exec_driver_sql(f"ALTER TABLE event RENAME TO {first}")
    for index in ("pkey", "task_key_sequence_key", "feed"):
        bind.exec_driver_sql(f"ALTER INDEX event_{index} RENAME TO {first}_{index}")
    bind.exec_driver_sql(f"ALTER TABLE {first} ALTER key DROP IDENTITY")
    bind.exec_driver_sql(
        f"CREATE TABLE event (LIKE {first} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (observed_at)"
    )
    _finish_events(bind, next_key)
    bind.exec_driver_sql(
        f"ALTER TABLE event ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{end.isoformat()}')"
    )
    # For clocks that are wrong, and for a program that nobody let make the months ahead.
    bind.exec_driver_sql("CREATE TABLE event_default PARTITION OF event (UNIQUE (task_key, sequence)) DEFAULT")
    _restore(bind, views, grants)


def _unite_events(bind: sa.Connection) -> None:
    views, grants = _views(bind), _grants(bind)
    next_key = bind.exec_driver_sql("SELECT last_value + is_called::int FROM event_key_seq").scalar_one()
    bind.exec_driver_sql("ALTER TABLE event RENAME TO event_by_month")
    bind.exec_driver_sql("ALTER TABLE event_by_month ALTER key DROP IDENTITY")
    bind.exec_driver_sql("ALTER INDEX event_feed RENAME TO event_by_month_feed")
    bind.exec_driver_sql("CREATE TABLE event (LIKE event_by_month INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    bind.exec_driver_sql("INSERT INTO event SELECT * FROM event_by_month")
    bind.exec_driver_sql("ALTER TABLE event ADD CONSTRAINT event_pkey PRIMARY KEY (key)")
    bind.exec_driver_sql("ALTER TABLE event ADD CONSTRAINT event_task_key_sequence_key UNIQUE (task_key, sequence)")
    _finish_events(bind, next_key)
    _restore(bind, views, grants)
    bind.exec_driver_sql("DROP TABLE event_by_month")


def _finish_events(bind: sa.Connection, next_key: int) -> None:
    """What `LIKE` does not copy; keys go on where they were."""
    bind.exec_driver_sql("ALTER TABLE event ALTER key ADD GENERATED BY DEFAULT AS IDENTITY")
    bind.exec_driver_sql(f"SELECT setval('event_key_seq', {next_key}, false)")
    bind.exec_driver_sql(
        "ALTER TABLE event ADD CONSTRAINT event_task_key_fkey FOREIGN KEY (task_key) REFERENCES task (key) ON DELETE CASCADE"
    )
    bind.exec_driver_sql("CREATE INDEX event_feed ON event (transaction_id, key)")


def _end_of_month(bind: sa.Connection) -> datetime:
    """The end, in UTC, of this month, or of that of the last event where a clock was ahead."""
    last: datetime = bind.exec_driver_sql("SELECT greatest(now(), max(observed_at)) FROM event").scalar_one()
    last = last.astimezone(UTC)
    return datetime(last.year + last.month // 12, last.month % 12 + 1, 1, tzinfo=UTC)


def _views(bind: sa.Connection) -> dict[str, str]:
    """How the views read now: they follow a table that is renamed, and have to be told of the new one."""
    return {view: bind.exec_driver_sql(f"SELECT pg_get_viewdef('{view}')").scalar_one() for view in VIEWS}


def _grants(bind: sa.Connection) -> list[tuple[str, str]]:
    """Who else may do what with the table."""
    found = bind.exec_driver_sql(
        "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type"
        " FROM pg_class, aclexplode(relacl) WHERE oid = 'event'::regclass AND grantee <> relowner"
    )
    return [(row[0], row[1]) for row in found]


def _restore(bind: sa.Connection, views: dict[str, str], grants: list[tuple[str, str]]) -> None:
    for name, query in views.items():
        bind.exec_driver_sql(f"CREATE OR REPLACE VIEW {name} AS {query}")
    for grantee, privilege in grants:
        bind.exec_driver_sql(f"GRANT {privilege} ON event TO {grantee}")
