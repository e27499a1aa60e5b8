"""Long lives, made up by the database itself: the tasks of ninety days, with histories and messages, in seconds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from tracker.store import partitions
from tracker.store.moments import sqlite_time

EVENTS = 10
"""Lines of one history."""
DAYS = 90
LIVE = 100
"""So many tasks live, however many there are: every other one of the last."""
PENDING_EVERY = 500
RARE_EVERY = 1000
"""One task of so many is of another owner, upstream and action."""
OWNER, RARE = "shop", "rare"
WATCHER = "dmn_me"
_ENDPOINTS = 50


def fill(connection: Connection, *, tasks: int, now: datetime) -> None:
    """Fill an empty database; the last task was registered just now, the first ninety days ago."""
    if connection.dialect.name == "sqlite":
        # Nothing tells SQLite what is in the tables: nobody does so in real life either.
        _run(connection, _sqlite_words(tasks, now))
        return
    connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = off"))
    _make_months(connection, now)
    # What the database makes up itself fits together: its rows need not be compared with each other.
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    _run(connection, _postgres_words(tasks, now))
    for table in ("task", "callback", "delivery", "attempt", "endpoint"):
        connection.execute(text(f"SELECT setval('{table}_key_seq', (SELECT max(key) FROM {table}))"))
    connection.execute(text("SET LOCAL session_replication_role = origin"))
    connection.execute(text("ANALYZE"))


def _run(connection: Connection, words: "_Words") -> None:
    for statement in _rows(words):
        connection.execute(text(statement))


def _make_months(connection: Connection, now: datetime) -> None:
    """As if the program had been there all the time."""
    for part in partitions.parts(connection):
        if part.starts_at is None:
            connection.execute(text(f"DROP TABLE {part.name}"))
    for days in range(0, DAYS + 31, 28):
        partitions.make(connection, partitions.month_of(now - timedelta(days=days)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What the two databases say differently; `g` numbers tasks."""

    tasks: int
    now: str
    numbers: Callable[[int], str]
    """A table of the numbers up to one, in a column `g`."""
    padded: str
    transaction: str
    """That wrote a task's events: before all real ones, fifty tasks in each."""
    at: Callable[[str], str]
    """So many seconds after a task was registered."""


def _rows(words: _Words) -> Iterator[str]:
    at, everything, most = words.at, words.numbers(words.tasks), words.tasks
    live = f"(g > {most} - {2 * LIVE} AND g % 2 = 0)"
    rare = f"(g % {RARE_EVERY} = 0)"
    failed = "g % 20 = 3"
    yield f"""INSERT INTO daemon (id, host, pid, version, started_at, heartbeat_at)
        VALUES ('{WATCHER}', 'here', 1, '1', {words.now}, {words.now})"""
    yield f"""INSERT INTO endpoint (key, id, origin, created_at, last_success_at)
        SELECT g, 'end_' || g, 'https://shop-' || g || '.example:443', {words.now}, {words.now}
        FROM {words.numbers(_ENDPOINTS)}"""
    yield f"""INSERT INTO task (key, id, upstream, task_id, status, upstream_status, action, progress, sequence,
            registered_at, submitted_at, started_at, finished_at, ended_at, image_url, watcher)
        SELECT g, 'tsk_' || {words.padded}, CASE WHEN {rare} THEN '{RARE}' ELSE 'default' END, 't' || g,
            CASE WHEN {live} THEN 'running' WHEN {failed} THEN 'failed' ELSE 'succeeded' END, 'SUCCESS',
            CASE WHEN {rare} THEN '{RARE}' ELSE 'IMAGINE' END, 100, {EVENTS}, {at("0")}, {at("1")},
            {at("3")}, CASE WHEN NOT {live} THEN {at("50")} END,
            CASE WHEN NOT {live} THEN {at("52")} END, 'https://cdn.example/' || g || '.png',
            CASE WHEN {live} AND g % 8 <> 0 THEN '{WATCHER}' END
        FROM {everything}"""
    yield f"""INSERT INTO registration (owner, task_key, registered_at)
        SELECT CASE WHEN upstream = '{RARE}' THEN '{RARE}' ELSE '{OWNER}' END, key, registered_at FROM task"""
    yield """INSERT INTO snapshot (task_key, seen_at, object)
        SELECT key, registered_at, '{"id":"' || task_id || '","prompt":"a lighthouse at dusk"}' FROM task"""
    yield f"""INSERT INTO callback (key, task_key, owner, url, events, format, created_at)
        SELECT key, key, CASE WHEN upstream = '{RARE}' THEN '{RARE}' ELSE '{OWNER}' END,
            'https://shop-' || (key % {_ENDPOINTS} + 1) || '.example/hook', 'ended', 'standard', registered_at
        FROM task"""
    pending = f"(key % {PENDING_EVERY} = 1 AND key > {most} * 9 / 10)"
    yield f"""INSERT INTO delivery (key, id, task_key, callback_key, endpoint_key, sequence, message_type, body, status,
            attempt, next_attempt_at, created_at, settled_at)
        SELECT key, replace(id, 'tsk_', 'msg_'), key, key, key % {_ENDPOINTS} + 1, {EVENTS - 1}, 'task.succeeded',
            '{{"type":"task.succeeded"}}', CASE WHEN {pending} THEN 'pending' ELSE 'delivered' END, 1,
            CASE WHEN {pending} THEN ended_at END, ended_at, CASE WHEN NOT {pending} THEN ended_at END
        FROM task WHERE ended_at IS NOT NULL ORDER BY key"""
    yield """INSERT INTO endpoint_owner (owner, endpoint_key)
        SELECT DISTINCT owner, endpoint_key FROM delivery JOIN callback ON callback.key = callback_key"""
    yield """INSERT INTO attempt (key, delivery_key, attempt, attempted_at, outcome, status_code, duration_ms)
        SELECT key, key, 1, created_at, CASE status WHEN 'pending' THEN 'failed' ELSE 'delivered' END, 200, 20
        FROM delivery ORDER BY key"""
    listed = ", ".join(f"({number})" for number in range(1, EVENTS + 1))
    yield f"""INSERT INTO event (task_key, sequence, event, observed_at, from_status, to_status, progress,
            transaction_id)
        SELECT key, column1, CASE column1 WHEN 1 THEN 'registered' WHEN {EVENTS - 1} THEN 'status'
                WHEN {EVENTS} THEN 'delivered' ELSE 'progress' END, registered_at,
            CASE column1 WHEN {EVENTS - 1} THEN 'running' END,
            CASE column1 WHEN 1 THEN 'queued' WHEN {EVENTS - 1} THEN 'succeeded' END, column1 * {100 // EVENTS},
            {words.transaction}
        FROM (SELECT key, registered_at FROM task ORDER BY key) AS ours CROSS JOIN (VALUES {listed}) AS lines"""


def _sqlite_words(tasks: int, now: datetime) -> _Words:
    born = f"julianday('{sqlite_time(now)}') - {DAYS}.0 * ({tasks} - g) / {tasks}"
    upto = "(WITH RECURSIVE r(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM r WHERE g < {}) SELECT g FROM r)"
    return _Words(
        tasks=tasks,
        now=f"'{sqlite_time(now)}'",
        numbers=upto.format,
        padded="printf('%032d', g)",
        transaction="0",
        at=lambda seconds: f"strftime('%Y-%m-%d %H:%M:%fZ', {born} + ({seconds}) / 86400.0)",
    )


def _postgres_words(tasks: int, now: datetime) -> _Words:
    moment = f"timestamptz '{now.isoformat()}'"
    born = f"{moment} - interval '{DAYS} days' * (({tasks} - g)::float / {tasks})"
    return _Words(
        tasks=tasks,
        now=moment,
        numbers="generate_series(1, {}) AS g".format,
        padded="lpad(g::text, 32, '0')",
        transaction=f"(key - {tasks}) / 50",
        at=lambda seconds: f"date_trunc('milliseconds', {born} + interval '1 second' * ({seconds}))",
    )
