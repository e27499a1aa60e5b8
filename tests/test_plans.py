"""No statement goes through a big table: everything that `tracker.store` can be asked is asked, and explained."""

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from databases import PostgresDatabases
from fakes import delivered, failed, miss, snap, want
from msgspec import structs
from plans import costs
from sqlalchemy import Connection, Engine, select, text

import tracker.store
from bench import years
from tracker.model import (
    NO_STREAK,
    Callback,
    Delivery,
    DeliveryStatus,
    EndpointHealth,
    EndpointState,
    MessageType,
    MissKind,
    Notice,
    NoticeType,
    Outcome,
    Outgoing,
    Rules,
    Seen,
    Status,
)
from tracker.observe import drop, observe
from tracker.store import (
    access,
    ahead,
    audience,
    changes,
    daemons,
    deliveries,
    due,
    endpoints,
    feed,
    finding,
    giving_back,
    habits,
    inspection,
    learning,
    messages,
    migrate,
    notices,
    outbox,
    outcomes,
    overview,
    overview_now,
    overview_owner,
    overview_recent,
    overview_sums,
    owners,
    pacing,
    partitions,
    receivers,
    redelivery,
    registrations,
    retention,
    rollups,
    searching,
    searching_messages,
    searching_walk,
    sessions,
    settled,
    tasks,
    upstreams,
    watching,
)
from tracker.store.engines import open_engine
from tracker.store.rollup_tables import HOURLY
from tracker.store.schema import delivery, task
from tracker.store.searching_messages import Matching
from tracker.store.searching_walk import Patience
from tracker.webhooks.composer import Composer

TASKS = int(os.environ.get("PLANS_TASKS", "50_000"))
"""With `make plans` a million."""
EVENTS = TASKS * years.EVENTS
# 50 of its rows, or 500 that a step was given: a twentieth of the tasks, a two-hundredth of the events.
MOST_ROWS = 3_000
_SIGN_IN = sessions.SignIn(owner="a", scope="read", token_id=None)
# For SQLite, where a row costs ten operations and more; to go through the tasks alone would be 100,000, or two million
# with `make plans`: there steps come to their bounds of which 50,000 tasks have too few rows.
MOST_OPERATIONS = 60_000 if TASKS <= 50_000 else 120_000

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
UPSTREAMS = ["default", years.RARE]
COMPOSE = Composer()
OLD = [*range(1, 31)]
"""Keys of tasks of long ago."""


@dataclass(frozen=True)
class Seeded:
    """A database with the tasks of ninety days."""

    engine: Engine
    live: int
    """The key of a task that is watched."""
    waiting: list[int]
    """The keys of messages that wait."""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def seeded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    postgres: PostgresDatabases | None = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/tracker.db"
        migrate.upgrade(url)
    else:
        postgres = request.getfixturevalue("postgres")
        url = postgres.migrated()
    engine = open_engine(url, pool_size=1)
    with engine.begin() as connection:
        years.fill(connection, tasks=TASKS, now=NOW)
    with engine.begin() as connection:
        add_up(connection)
    if postgres is not None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    with engine.begin() as connection:
        live = connection.scalar(text("SELECT max(key) FROM task WHERE watcher IS NOT NULL"))
        # As many as are claimed together, however many wait.
        pending = text("SELECT key FROM delivery WHERE status = 'pending' ORDER BY key LIMIT 100")
        waiting = list(connection.scalars(pending))
    yield Seeded(engine=engine, live=int(live or 0), waiting=waiting)
    engine.dispose()
    if postgres is not None:
        postgres.drop(url)


def add_up(connection: Connection) -> None:
    hour = rollups.next_hour(connection, NOW - DAY)
    while hour is not None:
        if counted := rollups.count(connection, hour):
            rollups.keep(connection, counted)
        hour = rollups.next_hour(connection, hour + rollups.HOUR)


def claimed_of(connection: Connection, seeded: Seeded) -> list[Delivery]:
    return deliveries.claim(connection, seeded.waiting, now=NOW, until=NOW + DAY)


def left_open(connection: Connection, seeded: Seeded) -> None:
    assert claimed_of(connection, seeded)
    later = NOW + 2 * DAY
    assert deliveries.claim(connection, seeded.waiting, now=later, until=later + DAY)


def lessons_of(connection: Connection, seeded: Seeded) -> list[learning.Lesson]:
    claimed = claimed_of(connection, seeded)
    return [learning.Lesson(delivery=one, outcome=failed(), now=NOW, dice=0.5) for one in claimed]


def record(connection: Connection, keys: list[int], seen: Seen) -> object:
    decide = partial(observe, seen=seen, now=NOW, streak=NO_STREAK, rules=Rules())
    return changes.record(connection, dict.fromkeys(keys, decide), watcher=years.WATCHER, now=NOW, compose=COMPOSE)


def settle(connection: Connection, seeded: Seeded, outcome: Outcome) -> object:
    claimed = claimed_of(connection, seeded)
    return outcomes.settle(
        connection,
        [outcomes.Settlement(delivery=one, outcome=outcome, now=NOW, next_attempt_at=NOW + DAY) for one in claimed],
    )


def register(connection: Connection, *names: str, owner: str = years.OWNER) -> object:
    return registrations.register(
        connection,
        [want(name, events=("ended", "progress")) for name in names],
        owner=owner,
        sees_all=False,
        default_format="standard",
        now=NOW,
        compose=COMPOSE,
    )


def outgoing(connection: Connection, key: int, kind: MessageType) -> Outgoing:
    task = tasks.page(connection, tasks.Filter(limit=1), owner=None)[0]
    callback = Callback(key=key, task_key=key, owner=years.OWNER, url="https://shop-1.example/x", events=("progress",))
    return Outgoing(message_type=kind, task=task, callback=callback, sequence=99, at=NOW, object={})


def place(connection: Connection) -> retention.Place:
    ended_at = connection.scalar(text("SELECT ended_at FROM task WHERE key = 500"))
    moment = datetime.fromisoformat(ended_at) if isinstance(ended_at, str) else ended_at
    return retention.Place(moment, 500)


IMPATIENT = Patience(rows=600, seconds=60)
SOUGHT = [
    tasks.Filter(),
    tasks.Filter(q="t77"),
    tasks.Filter(q="lighthouse"),
    tasks.Filter(q="nothing of that"),
    tasks.Filter(q="nothing of that", before=9000),
    tasks.Filter(upstream=years.RARE),
    tasks.Filter(task_id="t77"),
    tasks.Filter(status=(Status.RUNNING,)),
    tasks.Filter(status=(Status.FAILED,), upstream="nowhere"),
    tasks.Filter(status=(Status.LOST, Status.SUCCEEDED), before=9000, q="nothing of that"),
    tasks.Filter(status=tuple(Status), upstream="nowhere"),
    tasks.Filter(since=NOW - 41 * DAY, until=NOW - 40 * DAY),
    tasks.Filter(since=NOW - DAY, q="nothing of that"),
]
SOUGHT_MESSAGES = [
    Matching(),
    Matching(before=9000),
    Matching(status=(DeliveryStatus.PENDING,)),
    Matching(status=(DeliveryStatus.DEAD,)),
    Matching(status=(DeliveryStatus.DELIVERED, DeliveryStatus.DEAD), endpoint_key=99_999),
    Matching(endpoint_key=7),
    Matching(endpoint_key=99_999),
    Matching(task_key=77),
    Matching(message_type=MessageType.PROGRESS),
    Matching(since=NOW - 41 * DAY, until=NOW - 40 * DAY),
]

NOTICE = Notice(key=1, id="msg_1", message_type=NoticeType.PAUSED, body="{}", attempt=1, failures=0)
PAUSED = EndpointHealth(state=EndpointState.PAUSED, paused_until=NOW)


def everything(seeded: Seeded) -> dict[str, list[Any]]:
    """Every function of the store that is given a connection, with calls of the kind that real life makes."""
    now, live, waiting = NOW, seeded.live, seeded.waiting
    step = {"now": now, "limit": 500}
    before = NOW - 80 * DAY
    found: dict[Any, list[Any]] = {
        access.add_token: [lambda c: access.add_token(c, made="trk_x", owner="a", scope="read", name="", now=now)],
        access.has_tokens: [access.has_tokens],
        access.check_token: [lambda c: access.check_token(c, "trk_x")],
        access.list_tokens: [access.list_tokens],
        access.revoke_token: [lambda c: access.revoke_token(c, "tok_x", now=now)],
        access.touch_tokens: [lambda c: access.touch_tokens(c, ["tok_x"], now=now)],
        access.current_secret: [lambda c: access.current_secret(c, "a", now=now, fresh="whsec_x")],
        access.rotate_secret: [lambda c: access.rotate_secret(c, "a", now=now, fresh="whsec_x")],
        access.signing_secrets: [lambda c: access.signing_secrets(c, ["a"], now=now)],
        access.list_secrets: [
            lambda c, owner=owner: access.list_secrets(c, owner=owner, now=now) for owner in (None, "a")
        ],
        access.secrets_of: [lambda c: access.secrets_of(c, "a", now=now, fresh="whsec_x")],
        sessions.begin: [lambda c: sessions.begin(c, made="ses_x", by=_SIGN_IN, now=now)],
        sessions.add_link: [lambda c: sessions.add_link(c, made="lnk_x", by=_SIGN_IN, now=now)],
        sessions.find: [lambda c: sessions.find(c, "ses_x", now=now)],
        sessions.use_link: [lambda c: sessions.use_link(c, "lnk_x", made="ses_y", now=now)],
        sessions.end: [lambda c: sessions.end(c, "ses_x")],
        audience.concerning: [
            lambda c: audience.concerning(c, tasks.history(c, 77), owner=years.OWNER),
        ],
        changes.record: [
            lambda c: record(c, [live], snap(progress=100)),
            lambda c: record(c, [live], snap(Status.SUCCEEDED)),
            lambda c: record(c, [live], miss(MissKind.UNKNOWN)),
            lambda c: changes.record(
                c, {live: partial(drop, now=now, note="x")}, watcher=None, now=now, compose=COMPOSE
            ),
        ],
        due.look: [
            lambda c: due.look(c, now=now, without=[], limit=64),
            lambda c: due.look(c, now=now, without=[], limit=64, since=now),
            lambda c: due.look(c, now=now, without=["https://shop-1.example:443"], limit=2),
        ],
        habits.recent: [
            lambda c: habits.recent(c, "default", 100),
            lambda c: habits.recent(c, years.RARE, 100),
        ],
        deliveries.claim: [lambda c: claimed_of(c, seeded), lambda c: left_open(c, seeded)],
        deliveries.count_closed: [lambda c: deliveries.count_closed(c, seeded.waiting)],
        deliveries.oldest_due_seconds: [lambda c: deliveries.oldest_due_seconds(c, now=now)],
        giving_back.end_claims: [lambda c: giving_back.end_claims(c, now=now)],
        giving_back.give_back: [lambda c: giving_back.give_back(c, claimed_of(c, seeded))],
        giving_back.interrupt: [lambda c: giving_back.interrupt(c, claimed_of(c, seeded), now=now)],
        endpoints.resting: [lambda c: endpoints.resting(c, now=now, among=["https://shop-1.example:443"])],
        endpoints.take_probe: [lambda c: endpoints.take_probe(c, 7, now=now, until=now + DAY)],
        endpoints.read_all: [lambda c: endpoints.read_all(c, ["https://shop-1.example:443"])],
        endpoints.lock: [lambda c: endpoints.lock(c, 7)],
        endpoints.enable: [lambda c: endpoints.enable(c, 7, now=now)],
        endpoints.disable: [lambda c: endpoints.disable(c, 7, "by hand", now=now)],
        endpoints.change: [lambda c: endpoints.change(c, 7, EndpointHealth(), PAUSED, now)],
        endpoints.hold_again: [
            lambda c: endpoints.hold_again(c, **step),
            lambda c: (endpoints.disable(c, 2, "x", now=now), endpoints.hold_again(c, now=now + 7 * DAY, limit=500)),
        ],
        endpoints.first_due: [lambda c: endpoints.first_due(c, [7], now=now)],
        endpoints.count_by_state: [endpoints.count_by_state],
        feed.page: [
            lambda c: feed.page(c, feed.BEGINNING, owner=None, limit=100),
            lambda c: feed.page(c, feed.Position(-TASKS, 0), owner=years.OWNER, limit=100),
            lambda c: feed.page(c, feed.end(c), owner=years.RARE, limit=100),
        ],
        feed.after: [lambda c: feed.after(c, transaction_id=-1, key=EVENTS - 500, owner=years.OWNER, limit=100)],
        feed.end: [feed.end],
        feed.is_ahead: [lambda c: feed.is_ahead(c, feed.BEGINNING)],
        learning.learn: [
            lambda c: learning.learn(c, lessons_of(c, seeded)[0]),
        ],
        learning.learn_all: [
            lambda c: learning.learn_all(c, lessons_of(c, seeded)),
        ],
        messages.get: [lambda c: messages.get(c, f"msg_{77:032}", owner=years.OWNER)],
        messages.page: [
            lambda c: messages.page(c, owner=None),
            lambda c: messages.page(c, owner=years.OWNER, before=9000),
            lambda c: messages.page(c, owner=None, status=DeliveryStatus.PENDING),
            lambda c: messages.page(c, owner=None, status=DeliveryStatus.DEAD),
            lambda c: messages.page(c, owner=years.OWNER, status=DeliveryStatus.DELIVERED),
        ],
        messages.of_task: [lambda c: messages.of_task(c, 77, owner=years.OWNER)],
        messages.attempts: [lambda c: messages.attempts(c, OLD)],
        messages.last_attempts: [lambda c: messages.last_attempts(c, OLD)],
        notices.note_turn: [lambda c: notices.note_turn(c, 7, EndpointHealth(), PAUSED, now=now)],
        notices.remind: [lambda c: notices.remind(c, **step)],
        notices.is_due: [lambda c: notices.is_due(c, now=now)],
        notices.claim: [lambda c: notices.claim(c, now=now, until=now + DAY)],
        notices.settle: [lambda c: notices.settle(c, NOTICE, delivered(), now=now, next_attempt_at=None)],
        notices.give_up: [lambda c: notices.give_up(c, **step)],
        outbox.enqueue: [
            lambda c: outbox.enqueue(c, [outgoing(c, 77, MessageType.PROGRESS)], now=now, compose=COMPOSE),
        ],
        outcomes.settle: [
            lambda c: settle(c, seeded, delivered()),
            lambda c: settle(c, seeded, failed()),
            lambda c: settle(c, seeded, failed(410)),
        ],
        owners.count_live: [lambda c: owners.count_live(c, years.OWNER, most=1000)],
        owners.live_by_upstream: [lambda c: owners.live_by_upstream(c, years.OWNER)],
        owners.adding_nothing: [
            lambda c: owners.adding_nothing(c, years.OWNER, [("default", f"t{key}") for key in OLD]),
        ],
        owners.oldest_live: [owners.oldest_live],
        overview.course: [
            lambda c, range_=range_: overview.course(c, range_, now=NOW) for range_ in overview.RANGES.values()
        ],
        overview_now.watchers: [lambda c: overview_now.watchers(c, now=NOW)],
        overview_now.unended: [
            lambda c, owner=owner: overview_now.unended(c, owner=owner) for owner in (None, years.OWNER, years.RARE)
        ],
        overview_now.count_messages: [
            lambda c, status=status, owner=owner: overview_now.count_messages(c, status, owner=owner)
            for status in (DeliveryStatus.PENDING, DeliveryStatus.DEAD)
            for owner in (None, years.OWNER, years.RARE)
        ],
        overview_now.in_trouble: [
            lambda c: (endpoints.disable(c, 7, "x", now=now), overview_now.in_trouble(c, owner=years.OWNER)),
        ],
        overview_owner.latest: [
            lambda c, owner=owner: overview_owner.latest(c, overview.RANGES["90d"], owner=owner, now=NOW)
            for owner in (years.OWNER, years.RARE, "nobody")
        ],
        overview_recent.ends: [lambda c: overview_recent.ends(c, since=NOW - DAY)],
        overview_recent.settled: [lambda c: overview_recent.settled(c, since=NOW - DAY)],
        overview_recent.detected: [lambda c: overview_recent.detected(c, since=NOW - DAY)],
        overview_recent.arrived: [lambda c: overview_recent.arrived(c, since=NOW - DAY)],
        overview_sums.last_hour: [overview_sums.last_hour],
        overview_sums.ended: [lambda c: list(overview_sums.ended(c, before, NOW, by_day=False))],
        overview_sums.settled: [lambda c: list(overview_sums.settled(c, before, NOW, by_day=True))],
        overview_sums.detected: [lambda c: list(overview_sums.detected(c, before, NOW, by_day=True))],
        overview_sums.delivered: [lambda c: list(overview_sums.delivered(c, before, NOW, by_day=True))],
        pacing.make_way: [lambda c: pacing.make_way(c, [outgoing(c, 77, MessageType.PROGRESS)], now=now)],
        pacing.supersede_questions: [lambda c: pacing.supersede_questions(c, OLD, now=now)],
        pacing.supersede_all: [lambda c: pacing.supersede_all(c, OLD, now=now)],
        pacing.outdated: [
            lambda c: pacing.outdated(c, [_as_progress(one) for one in claimed_of(c, seeded)]),
        ],
        partitions.parts: [partitions.parts],
        partitions.missing: [lambda c: partitions.missing(c, now=now)],
        partitions.make: [lambda c: partitions.make(c, datetime(2040, 1, 1, tzinfo=UTC)) if _is_postgres(c) else None],
        partitions.make_ahead: [lambda c: partitions.make_ahead(c, now=now)],
        partitions.outlived: [lambda c: partitions.outlived(c, ended_before=now - 30 * DAY)],
        partitions.drop: [
            lambda c: partitions.drop(c, "event_2026_09", ended_before=now - 30 * DAY) if _is_postgres(c) else None,
        ],
        receivers.page: [
            lambda c, owner=owner: receivers.page(c, owner=owner) for owner in (None, years.OWNER, years.RARE, "nobody")
        ],
        receivers.get: [
            lambda c: receivers.get(c, "end_7", owner=years.OWNER),
            lambda c: receivers.get(c, "end_1", owner=years.RARE),
        ],
        receivers.waiting: [
            lambda c: receivers.waiting(c, 7, owner=None),
            lambda c: receivers.waiting(c, 7, owner=years.RARE),
        ],
        receivers.dead: [
            lambda c: receivers.dead(c, 7, owner=None),
            lambda c: receivers.dead(c, 7, owner=years.RARE),
        ],
        receivers.counted: [
            lambda c: receivers.counted(
                c, select(delivery.c.callback_key).order_by(delivery.c.key.desc()), owner=years.RARE
            ),
        ],
        redelivery.redeliver: [
            lambda c: redelivery.redeliver(c, f"msg_{77:032}", owner=years.OWNER, now=now),
        ],
        redelivery.redeliver_matching: [
            lambda c: redelivery.redeliver_matching(c, redelivery.Matching(), owner=None, now=now),
            lambda c: redelivery.redeliver_matching(c, redelivery.Matching(endpoint_key=7), owner=years.OWNER, now=now),
            lambda c: redelivery.redeliver_matching(c, redelivery.Matching(task_key=77), owner=None, now=now),
        ],
        registrations.register: [
            lambda c: register(c, "new 1", "new 2"),
            lambda c: register(c, "t77", "t78"),
            lambda c: register(c, "t77", owner="other"),
        ],
        retention.ended: [
            lambda c: retention.ended(c, after=retention.START, before=before, limit=500),
            lambda c: retention.ended(c, after=place(c), before=now, limit=500),
        ],
        retention.forget_tasks: [lambda c: retention.forget_tasks(c, OLD, ended_before=now - 80 * DAY)],
        retention.forget_notices: [lambda c: retention.forget_notices(c, ended_before=now, limit=500)],
        retention.shrink: [lambda c: retention.shrink(c, limit=10)],
        rollups.newest: [rollups.newest],
        rollups.next_hour: [lambda c: rollups.next_hour(c, None), lambda c: rollups.next_hour(c, before)],
        rollups.count: [lambda c: rollups.count(c, rollups.hour_of(before))],
        rollups.keep: [
            lambda c: rollups.keep(c, rollups.Hour(starts_at=before, tasks={}, durations={}, deliveries={})),
        ],
        rollups.has_hours: [lambda c: rollups.has_hours(c, before=before)],
        rollups.forget_hours: [lambda c: rollups.forget_hours(c, before=before)],
        rollups.total: [lambda c: rollups.total(c, HOURLY.tasks, "tasks")],
        searching.look: [
            lambda c, wanted=wanted, owner=owner: searching.look(c, wanted, owner=owner, patience=IMPATIENT)
            for wanted in SOUGHT
            for owner in (None, years.OWNER, years.RARE, "nobody")
        ],
        searching_messages.look: [
            lambda c, wanted=wanted, owner=owner: searching_messages.look(c, wanted, owner=owner, patience=IMPATIENT)
            for wanted in SOUGHT_MESSAGES
            for owner in (None, years.OWNER, years.RARE, "nobody")
        ],
        searching_walk.start_below: [
            lambda c: searching_walk.start_below(c, (task.c.key, task.c.registered_at), until=before, before=None)
        ],
        tasks.get: [
            lambda c: tasks.get(c, f"tsk_{77:032}", owner=None),
            lambda c: tasks.get(c, f"tsk_{77:032}", owner=years.OWNER),
        ],
        tasks.find: [lambda c: tasks.find(c, "t77", upstream=None, owner=years.OWNER)],
        settled.write: [lambda c: settle(c, seeded, delivered())],
        tasks.page: [
            lambda c: tasks.page(c, tasks.Filter(), owner=None),
            lambda c: tasks.page(c, tasks.Filter(before=9000), owner=None),
            lambda c: tasks.page(c, tasks.Filter(), owner=years.OWNER),
            lambda c: tasks.page(c, tasks.Filter(), owner=years.RARE),
            lambda c: tasks.page(c, tasks.Filter(), owner="nobody"),
            lambda c: tasks.page(c, tasks.Filter(status=(Status.RUNNING,)), owner=None),
            lambda c: tasks.page(c, tasks.Filter(status=(Status.LOST,)), owner=None),
            lambda c: tasks.page(c, tasks.Filter(status=(Status.FAILED,), before=9000), owner=years.OWNER),
            lambda c: tasks.page(c, tasks.Filter(task_id="t77"), owner=years.OWNER),
            lambda c: tasks.page(c, tasks.Filter(upstream=years.RARE), owner=None),
            lambda c: tasks.page(c, tasks.Filter(upstream="nowhere"), owner=None),
        ],
        tasks.callbacks: [lambda c: tasks.callbacks(c, OLD, owner=years.OWNER)],
        tasks.history: [lambda c: tasks.history(c, 77)],
        tasks.last_object: [lambda c: tasks.last_object(c, 77)],
        tasks.last_objects: [lambda c: tasks.last_objects(c, [1, 2, 3])],
        tasks.count_by_status: [tasks.count_by_status],
        tasks.count_deliveries: [tasks.count_deliveries],
        tasks.ask_refresh: [lambda c: tasks.ask_refresh(c, live, now=now)],
        tasks.orphans: [lambda c: tasks.orphans(c, ["default"])],
        tasks.others_registered: [lambda c: tasks.others_registered(c, 77, "a")],
        tasks.withdraw: [lambda c: tasks.withdraw(c, 77, years.OWNER, now=now)],
        upstreams.write: [lambda c: upstreams.write(c, upstreams.Health(name="default"))],
        upstreams.read: [upstreams.read],
        upstreams.live_tasks: [upstreams.live_tasks],
        watching.join: [lambda c: watching.join(c, me="x", host="here", pid=1, version="1", now=now)],
        watching.beat: [lambda c: watching.beat(c, me=years.WATCHER, now=now)],
        watching.is_alive: [lambda c: watching.is_alive(c, years.WATCHER)],
        watching.bury: [lambda c: watching.bury(c, me="x", now=now, silent_for=-DAY)],
        watching.leave: [lambda c: watching.leave(c, me=years.WATCHER)],
        daemons.all_leave: [daemons.all_leave],
        daemons.bury_ended: [lambda c: daemons.bury_ended(c, place="", has_ended=lambda _: True)],
        daemons.forget: [lambda c: daemons.forget(c, [years.WATCHER])],
        daemons.find_strays: [lambda c: daemons.find_strays(c, now=now)],
        daemons.company: [daemons.company],
        daemons.predecessor: [lambda c: daemons.predecessor(c, upstreams=["a"], now=now, silent_for=DAY)],
        daemons.left_by: [lambda c: daemons.left_by(c, "x")],
        daemons.silences: [lambda c: daemons.silences(c, now=now)],
        daemons.strike: [lambda c: daemons.strike(c, "x")],
        daemons.count: [lambda c: daemons.count(c, who="x", watching={})],
        daemons.took_from: [lambda c: daemons.took_from(c, "x", {}, {})],
        watching.adopt_free: [
            lambda c: watching.adopt_free(
                c, me=years.WATCHER, upstream="default", above=0, limit=100, room=lambda found: found, now=now
            )
        ],
        watching.adopt_left: [
            lambda c: watching.adopt_left(
                c, me=years.WATCHER, gone="x", room=dict.fromkeys(UPSTREAMS, 9), above=0, limit=100, now=now
            )
        ],
        ahead.last: [lambda c: ahead.last(c, upstream="default")],
        ahead.waiting: [lambda c: ahead.waiting(c, upstream="default", above=0, up_to=2**62, limit=100)],
        ahead.adopt_each: [
            lambda c: (
                # Else there would be nothing to take.
                watching.give_back(c, me=years.WATCHER, keys=[live]),
                ahead.adopt_each(c, [ahead.Batch(me=years.WATCHER, keys=[live, *OLD], new=OLD, now=now)]),
            )
        ],
        watching.give_back: [lambda c: watching.give_back(c, me=years.WATCHER, keys=[live])],
        watching.mine: [lambda c: watching.mine(c, me=years.WATCHER, above=0, limit=100)],
        inspection.look: [inspection.look],
        finding.find: [
            lambda c: finding.find(c, me=years.WATCHER, above=dict.fromkeys(UPSTREAMS, 0), now=now, silent_for=DAY)
        ],
        watching.noted: [
            lambda c: (
                tasks.ask_refresh(c, live, now=now),
                watching.noted(c, me=years.WATCHER, upstreams=UPSTREAMS, limit=100, now=now),
            ),
        ],
    }
    calls = {name_of(function): made for function, made in found.items()}
    for sweep in (retention.TASKS, retention.ATTEMPTS, retention.BODIES, retention.OBJECTS):
        calls[f"retention.{sweep.name}"] = [lambda c, find=sweep.find: find(c, OLD)]
        calls[f"retention.{sweep.name}.forget"] = [
            lambda c, forget=sweep.forget: forget(c, OLD, ended_before=before),
        ]
    assert waiting
    return calls


def _is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _as_progress(claimed: Delivery) -> Delivery:
    return structs.replace(claimed, message_type=MessageType.PROGRESS)


def name_of(function: Callable[..., object]) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def of_the_store() -> set[str]:
    """Every public function that is given a connection first."""
    names = set()
    for module in pkgutil.iter_modules(tracker.store.__path__):
        found = importlib.import_module(f"tracker.store.{module.name}")
        for name, function in inspect.getmembers(found, inspect.isfunction):
            given = list(inspect.signature(function).parameters)
            if function.__module__ == found.__name__ and not name.startswith("_") and given[:1] == ["connection"]:
                names.add(name_of(function))
    return names


PLUMBING = {
    "engines.limit",
    "daemons.present",
    "daemons.what_time",
    "dialect.insert_into",
    "given.lines",
    "given.moments",
    "hints.say",
    "given.rows",
    "searching_walk.as_given",
    "migrate.current",
}
"""Nothing is asked there, or not of these tables."""
THROUGH_OTHERS = {
    "adopted.read",
    "callbacks.known_of",
    "changes.record_each",
    "newcomers.insert_new",
    "registrations.register_each",
    "repeats.register_any",
    "taskrows.lock",
    "taskrows.write",
    "watching.in_order",
    "watching.note_registration",
    "watching.take",
}
"""Asked by `changes.record`, `registrations.register` and `watching`, or asking the same for many."""


def test_everything_that_the_store_can_be_asked_is_explained(seeded: Seeded) -> None:
    """A new function needs a call in `everything`."""
    assert of_the_store() - set(everything(seeded)) == PLUMBING | THROUGH_OTHERS


FAR_AT_FIRST = {"habits.recent"}
"""What looks at 5,000 rows at most, and once in the life of a daemon."""
COUNTED = {"overview.course", "overview_now.count_messages", "overview_recent.ends", "overview_recent.settled"}
"""What counts the newest entries of an index: 20,000 at most, or 2,000 of rows."""


def test_no_statement_goes_through_a_big_table(seeded: Seeded) -> None:
    most = MOST_ROWS if seeded.engine.dialect.name == "postgresql" else MOST_OPERATIONS
    expensive = {}
    for name, calls in everything(seeded).items():
        for number, call in enumerate(calls):
            with seeded.engine.connect() as connection, costs(connection) as found:
                call(connection)
                connection.rollback()
            factor = 4 if name in COUNTED else 3 if name in FAR_AT_FIRST else 1
            if said := found.expensive(most * factor):
                expensive[f"{name} {number}"] = said

    assert not expensive, "\n\n".join(f"{name}: {one}" for name, said in expensive.items() for one in said)


def test_a_scan_is_noticed(seeded: Seeded) -> None:
    """Or the test above would prove nothing."""
    most = MOST_ROWS if seeded.engine.dialect.name == "postgresql" else MOST_OPERATIONS
    for scan in (
        "SELECT count(*) FROM task WHERE image_url = 'x'",
        "SELECT max(key) FROM event WHERE note = 'x'",
        "SELECT key FROM delivery WHERE settled_at > '2026-01-01' AND body = 'x' ORDER BY key LIMIT 1",
    ):
        with seeded.engine.connect() as connection, costs(connection) as found:
            connection.execute(text(scan)).all()
            connection.rollback()
        assert found.expensive(most), scan
