"""The feed: every event once, in an order that never changes, whoever commits when."""

from functools import partial

import pytest
from fakes import HOOK, OWNER, HeldOpen, World, delivered, failed, snap, statements, want
from sqlalchemy import text

from tracker.model import EventKind, Status
from tracker.store import feed
from tracker.store.database import Connection
from tracker.store.feed import BEGINNING, FeedLine, Position


def after(
    world: World, position: Position = BEGINNING, *, owner: str | None = None, limit: int = 1000
) -> list[FeedLine]:
    place = {"transaction_id": position.transaction_id, "key": position.key}
    return world.database.read_now(partial(feed.after, **place, owner=owner, limit=limit))


def page(
    world: World, position: Position = BEGINNING, *, owner: str | None = None, limit: int = 1000
) -> tuple[list[FeedLine], Position]:
    return world.database.read_now(partial(feed.page, position=position, owner=owner, limit=limit))


def told(lines: list[FeedLine]) -> list[tuple[str, str]]:
    return [(line.task_id, line.event) for line in lines]


def test_a_line_tells_the_event_and_its_task(world: World) -> None:
    world.watched(want("a"))
    world.record({world.key("a"): snap(Status.RUNNING, 40)})

    registered, running = after(world)

    (task,) = world.rows("SELECT id, task_id, upstream FROM task")
    assert (running.id, running.task_id, running.upstream) == tuple(task.values())
    assert (registered.sequence, registered.event) == (1, EventKind.REGISTERED)
    assert (running.sequence, running.event, running.progress) == (2, EventKind.STATUS, 40)
    assert (running.from_status, running.to_status, running.upstream_status) == ("queued", "running", "IN_PROGRESS")
    assert running.observed_at == world.clock()


def test_pages_tell_every_line_once(world: World) -> None:
    world.pending(*(want(str(number)) for number in range(7)))
    whole = after(world)
    found: list[FeedLine] = []
    position = BEGINNING

    while True:
        lines, position = page(world, position, limit=4)
        found += lines
        if not lines:
            break

    assert found == whole
    assert len(whole) == 14
    assert whole == sorted(whole, key=lambda line: line.position)


def test_where_nothing_is_new_the_position_stays(world: World) -> None:
    assert page(world) == ([], BEGINNING)
    world.register(want())
    _, position = page(world)

    assert page(world, position) == ([], position)
    assert world.database.read_now(feed.end) == position


def test_an_owner_reads_of_the_tasks_it_registered(world: World) -> None:
    world.register(want("a"), owner="ann")
    world.register(want("b"), owner="bob")
    world.register(want("both"), owner="ann")
    world.register(want("both"), owner="bob")

    assert told(after(world, owner="ann")) == [("a", "registered"), ("both", "registered")]
    assert told(after(world, owner="bob")) == [("b", "registered"), ("both", "registered")]
    assert after(world, owner="cleo") == []


def test_an_owner_reads_of_its_own_deliveries_only(world: World) -> None:
    world.register(want("a", f"{HOOK}/ann"), owner="ann")
    world.register(want("a", f"{HOOK}/bob"), owner="bob")
    world.watched(want("a", None))
    world.end("a")
    for claimed in world.claim():
        world.settle(claimed, delivered() if claimed.owner == "ann" else failed(), again_after=5)

    ours = {owner: [event for _, event in told(after(world, owner=owner))] for owner in ("ann", "bob", OWNER)}

    assert ours["ann"] == ["registered", "status", "delivered"]
    assert ours["bob"] == ["registered", "status", "delivery_failed"]
    assert ours[OWNER] == ["registered", "status"]
    assert len(after(world)) == 4


def test_lines_that_an_owner_may_not_read_do_not_shorten_its_pages(world: World) -> None:
    """More of them stand between its own than one look at the table finds."""
    world.register(want("a", f"{HOOK}/bob"), owner="bob")
    world.watched(want("a", None))
    world.end("a")
    (claimed,) = world.claim()
    world.settle(claimed, failed(), again_after=5)
    grown = """INSERT INTO event (task_key, sequence, event, observed_at, note)
               SELECT task_key, :sequence, event, observed_at, note
               FROM event WHERE event = 'delivery_failed' LIMIT 1"""

    def grow(connection: Connection) -> None:
        connection.execute(text(grown), [{"sequence": number} for number in range(100, 350)])

    world.write(grow)
    world.register(want("z"))

    lines, position = page(world, owner=OWNER, limit=3)

    assert told(lines) == [("a", "registered"), ("a", "status"), ("z", "registered")]
    assert page(world, position, owner=OWNER, limit=3) == ([], position)


def test_what_is_others_business_is_looked_at_once(world: World) -> None:
    world.register(want("a"), owner="ann")
    world.register(want("b"), owner="bob")

    lines, position = page(world, owner="ann")

    assert told(lines) == [("a", "registered")]
    assert position == world.database.read_now(feed.end) > lines[-1].position


def test_a_position_of_another_database_is_known_as_such(world: World) -> None:
    world.register(want())
    (line,) = after(world)

    def is_ahead(position: Position) -> bool:
        return world.database.read_now(partial(feed.is_ahead, position=position))

    assert not is_ahead(BEGINNING)
    assert not is_ahead(line.position)
    assert is_ahead(Position(10**17, 1))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_feed_is_read_along_its_index(world: World) -> None:
    with statements() as seen:
        after(world, owner=OWNER)
    (query,) = (statement for statement in seen if "FROM event" in statement)

    values = (0, OWNER, 100, 0)
    plan = world.database.read_now(
        lambda connection: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).all()
    )

    steps = [row[3] for row in plan]
    assert any(step == "SEARCH event USING INTEGER PRIMARY KEY (rowid>?)" for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_a_late_committer_is_told_later_and_never_skipped(worlds: list[World]) -> None:
    """The one that began first commits last: its key is the smaller one, and by then a reader has been there."""
    early, late, reader = worlds
    held = HeldOpen(early.database, early.registering(want("early")))
    late.register(want("late"))

    before, position = page(reader)
    start = reader.database.read_now(feed.end)
    held.commit()
    lines, last = page(reader, position)

    assert before == []
    assert told(lines) == [("early", "registered"), ("late", "registered")]
    assert lines[0].key < lines[1].key
    assert lines[0].transaction_id < lines[1].transaction_id
    assert page(reader, start)[0] == lines
    assert page(reader, last) == ([], last)


def test_what_came_before_an_open_transaction_is_told_meanwhile(worlds: list[World]) -> None:
    early, late, reader = worlds
    late.register(want("first"))
    held = HeldOpen(early.database, early.registering(want("held")))
    late.register(want("after"))

    lines, position = page(reader)
    held.commit()

    assert told(lines) == [("first", "registered")]
    assert told(page(reader, position)[0]) == [("held", "registered"), ("after", "registered")]


def test_whatever_order_they_commit_in_a_reader_reads_each_once(worlds: list[World]) -> None:
    """Keys are given out in one order, transactions begin in another, and commit in a third."""
    first, second, reader = worlds
    held = [
        HeldOpen(first.database, first.registering(want("1"))),
        HeldOpen(second.database, second.registering(want("2"))),
    ]
    found: list[FeedLine] = []
    position = BEGINNING

    for step in (lambda: None, held[1].commit, lambda: reader.register(want("3")), held[0].commit):
        step()
        lines, position = page(reader, position, limit=1)
        while lines:
            found += lines
            lines, position = page(reader, position, limit=1)

    assert found == after(reader)
    assert sorted(line.task_id for line in found) == ["1", "2", "3"]
