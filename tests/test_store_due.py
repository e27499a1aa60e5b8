"""Looking at what is due: nobody is hidden behind what waits for somebody else."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial

from couriers import COPIES
from fakes import World, snap, statements, want
from sqlalchemy import Connection, event, text

from tracker.store import due
from tracker.store.due import FEW, Seen
from tracker.store.moments import sqlite_time

HOLE, HOLE_ENDPOINT = "https://hole.example/", "https://hole.example:443"


def look(world: World, without: Collection[str] = (), limit: int = 8) -> Seen:
    return world.database.read_now(partial(due.look, now=world.clock(), without=without, limit=limit))


def crowded(world: World, *others: str, crowd: int = 30) -> None:
    """Very much waits for one endpoint, and it has waited longer than a message for each of the others."""
    world.pending(want("hole", url=HOLE), *(want(other, url=f"https://{other}.example/") for other in others))
    world.sql(COPIES, task="hole", number=crowd)


def test_a_look_that_saw_everything_says_so(world: World) -> None:
    """Also where it shows nothing of it."""
    assert look(world) == Seen(due=[], is_all=True)
    world.pending(want("1", url=HOLE))

    assert look(world).is_all
    assert look(world, without=[HOLE_ENDPOINT]) == Seen(due=[], is_all=True, oldest=world.clock())
    assert not look(world, limit=1).is_all


def test_a_look_says_whether_it_is_worth_looking_at_more(world: World) -> None:
    assert not look(world, limit=1).is_rich
    crowded(world, "a", crowd=18)

    assert look(world).is_rich
    assert not look(world, without=[HOLE_ENDPOINT]).is_rich
    assert not look(world, limit=100).is_rich, "this is all"


def test_what_is_left_out_hides_nobody(world: World) -> None:
    crowded(world, "a", "b")

    seen = look(world, without=[HOLE_ENDPOINT])

    assert [one.endpoint for one in seen.due] == ["https://a.example:443", "https://b.example:443"]
    assert not seen.is_all, "who asks cannot know that these were the last"


def test_behind_a_crowd_each_shows_its_oldest_few_and_who_waits_longest_is_first(world: World) -> None:
    crowded(world, "a", "b")
    for other in "ab":
        world.sql(COPIES.replace("'msg_'", f"'{other}_'").replace("07:00", "07:30"), task=other, number=9)
    world.sql("UPDATE delivery SET next_attempt_at = '2026-11-22 07:29:00.000Z' WHERE id IN ('b_5', 'b_7')")

    seen = look(world, without=[HOLE_ENDPOINT])

    shown = [one.endpoint for one in seen.due]
    assert shown[:2] == ["https://b.example:443"] * 2
    assert {endpoint: shown.count(endpoint) for endpoint in shown} == {
        "https://a.example:443": FEW,
        "https://b.example:443": FEW,
    }


def test_endpoints_that_rest_are_not_shown_behind_a_crowd_either(world: World) -> None:
    crowded(world, "a", "b")
    world.sql("UPDATE endpoint SET state = 'disabled' WHERE origin = 'https://a.example:443'")

    assert [one.endpoint for one in look(world, without=[HOLE_ENDPOINT]).due] == ["https://b.example:443"]


def test_messages_that_must_wait_for_another_hide_nobody_of_their_endpoint(world: World) -> None:
    """Progress of many tasks, each of which was told something just now."""
    crowded(world)
    names = [f"p{number}" for number in range(2 * FEW)]
    world.watched(*(want(name, url="https://a.example/", events=("ended", "progress")) for name in names))
    for progress in (10, 20):
        for name in names:
            world.record({world.key(name): snap(progress=progress)})
        world.clock.advance(1)
        if progress == 10:
            out = world.due(without=[HOLE_ENDPOINT])
            assert len(world.claim(*out)) == 2 * FEW
    world.pending(want("end", url="https://a.example/"))

    (shown,) = look(world, without=[HOLE_ENDPOINT]).due

    assert world.column("SELECT message_type FROM delivery WHERE key = :key", key=shown.key) == ["task.succeeded"]


def test_the_indexes_by_time_and_by_endpoint_serve(world: World) -> None:
    """Whatever the databases think of a table that is almost empty: nothing has to be gone through or sorted."""
    crowded(world, "a")
    plans: list[str] = []

    def explained(connection: Connection) -> None:
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off")).close()
            connection.execute(text("SET LOCAL enable_sort = off")).close()
        with statements() as sent:
            due.look(connection, now=world.clock(), without=[HOLE_ENDPOINT], limit=8)
        assert len([one for one in sent if not one.startswith("BEGIN")]) == 2
        event.listen(connection, "before_cursor_execute", _explaining(explain), retval=True)
        asked = {**due.pacing.moments(world.clock()), "given": "[]", "most": 8, "few": FEW, "since": world.clock()}
        for build in (due._oldest, due._few_of_each):  # noqa: SLF001 - the statements of a look
            statement = build(connection.dialect.name)
            known = statement.compile(dialect=connection.dialect).params
            found = connection.execute(statement, {name: asked[name] for name in asked if name in known})
            plans.append("\n".join(str(line[-1]) for line in found.cursor.fetchall()))

    world.database.write_now(explained)

    oldest, few_of_each = plans
    assert "delivery_due" in oldest
    assert "delivery_waiting" in few_of_each
    assert "delivery_by_status" not in oldest + few_of_each


def _explaining(explain: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - SQLAlchemy's own signature
    def explaining(_connection, _cursor, statement, parameters, _context, _many):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return explain + statement, parameters

    return explaining


def test_a_look_from_a_mark_shows_what_has_been_due_since(world: World) -> None:
    early, late = world.pending(want("1"))[0], None
    world.clock.advance(10)
    mark = world.clock()
    (late,) = set(world.pending(want("1"), want("2"))) - {early}

    def since(moment: datetime) -> Seen:
        return world.database.read_now(partial(due.look, now=world.clock(), without=(), limit=8, since=moment))

    assert [one.key for one in since(mark).due] == [late]
    assert since(mark).oldest == mark
    assert [one.key for one in since(mark - timedelta(seconds=10)).due] == [early, late]


def test_a_look_among_the_others_begins_at_the_mark_as_well(world: World) -> None:
    crowded(world, "early")
    world.clock.advance(10)
    mark = world.clock()
    world.pending(want("late", url="https://late.example/"))
    crowd = f"UPDATE delivery SET next_attempt_at = '{sqlite_time(mark)}' WHERE key > 2"
    world.sql(crowd)

    found = world.database.read_now(partial(due.look, now=world.clock(), without=[HOLE_ENDPOINT], limit=8, since=mark))

    assert {one.endpoint for one in found.due} == {"https://late.example:443"}
