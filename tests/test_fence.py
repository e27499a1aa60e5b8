"""What a daemon writes once it has been declared dead: nothing, whatever it is. On Postgres, where there are others."""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from fakes import ME, HeldOpen, Thread, World, delivered, snap, wait_until_blocked, want
from sqlalchemy import text

from tracker.errors import UnavailableError
from tracker.model import Status
from tracker.store import daemons, giving_back, hints, upstreams
from tracker.store.fence import Fence, ReplacedError
from tracker.store.upstreams import Health

SILENT = timedelta(seconds=15)


@pytest.fixture
def worlds(worlds: list[World]) -> list[World]:
    """A daemon with a fence around it and a task that has ended, and others."""
    worlds[0].watched(want("1"), want("2"))
    worlds[0].end("1")
    worlds[0].database.fence(ME)
    return worlds


def bury(world: World) -> list[str]:
    world.age(16)
    return world.write(partial(daemons.bury, me="dmn_other", now=world.clock(), silent_for=SILENT))


def everything(world: World) -> dict[str, list[dict[str, object]]]:
    tables = ("task", "event", "delivery", "attempt", "snapshot", "upstream", "endpoint", "callback", "registration")
    return {table: world.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


WRITES: dict[str, Callable[[World], object]] = {
    "what was seen": lambda world: world.record({world.key("2"): snap(Status.SUCCEEDED)}),
    "a claim": lambda world: world.claim(),
    "how an upstream does": lambda world: world.write(partial(upstreams.write, health=Health(name="default"))),
    "a registration": lambda world: world.register(want("3")),
    "an adoption": lambda world: world.adopt(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_daemon_writes_while_it_lives_and_nothing_once_it_was_declared_dead(
    worlds: list[World], write: Callable[[World], object]
) -> None:
    zombie, other, _ = worlds
    before = everything(other)
    assert bury(other) == [ME]

    with pytest.raises(ReplacedError):
        write(zombie)

    assert everything(other) == before


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_the_same_is_written_under_a_new_name(worlds: list[World], write: Callable[[World], object]) -> None:
    zombie, other, _ = worlds
    bury(other)
    other.join("dmn_new")
    zombie.database.fence("dmn_new")

    write(zombie)


def test_an_outcome_is_kept_until_there_is_a_new_name_and_then_written_where_nobody_was_faster(
    worlds: list[World],
) -> None:
    zombie, other, _ = worlds
    (claimed,) = zombie.claim(for_seconds=300)
    bury(other)
    with pytest.raises(ReplacedError):
        zombie.settle(claimed, delivered())
    other.join("dmn_new")
    zombie.database.fence("dmn_new")

    assert zombie.settle(claimed, delivered())
    assert other.messages("1") == [("task.succeeded", "delivered")]


def test_an_outcome_of_an_attempt_that_another_repeats_decides_nothing(worlds: list[World]) -> None:
    zombie, other, _ = worlds
    (claimed,) = zombie.claim(for_seconds=1)
    bury(other)
    other.join("dmn_other")
    (again,) = other.claim(for_seconds=300)
    zombie.database.fence("dmn_other")

    assert not zombie.settle(claimed, delivered())
    assert other.messages("1") == [("task.succeeded", "pending")]
    assert other.settle(again, delivered())


def test_whoever_buries_waits_for_what_is_being_written(worlds: list[World]) -> None:
    slow, other, third = worlds
    held = HeldOpen(slow.database, slow.recording({slow.key("2"): snap(Status.SUCCEEDED)}))

    burying = Thread(lambda: bury(other))
    wait_until_blocked(third.database)
    held.commit()

    assert burying.result() == [ME]
    assert third.messages("2") == [("task.succeeded", "pending")]


def test_a_daemon_that_is_frozen_within_a_transaction_holds_up_nobody_and_has_written_nothing(
    worlds: list[World],
) -> None:
    frozen, other, _ = worlds
    record = frozen.recording({frozen.key("2"): snap(Status.SUCCEEDED)})

    def freeze(connection: object) -> object:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '200ms'"))  # type: ignore[attr-defined]
        return record(connection)  # type: ignore[arg-type]

    held = HeldOpen(frozen.database, freeze)
    started = time.monotonic()
    assert bury(other) == [ME]

    with pytest.raises(UnavailableError):
        held.commit()
    assert time.monotonic() - started < 4
    assert other.messages("2") == []
    assert other.column("SELECT status FROM task WHERE task_id = '2'") == ["queued"]


def test_every_transaction_that_writes_has_its_limits(worlds: list[World]) -> None:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

    def show(connection: object) -> list[str]:
        return [connection.scalar(text(f"SHOW {name}")) for name in names]  # type: ignore[attr-defined]

    assert worlds[0].write(show) == worlds[1].write(show) == ["5s", "30s", "10s"]
    assert worlds[0].database.read_now(show) == ["0", "0", "0"]


async def test_what_a_daemon_says_about_itself_is_outside_the_fence(worlds: list[World]) -> None:
    zombie, other, _ = worlds
    bury(other)

    await zombie.database.write_apart(partial(hints.say, me=ME))
    assert await zombie.database.write_apart(partial(daemons.beat, me=ME, now=zombie.clock())) is None


def test_a_name_that_is_no_word_gets_no_fence() -> None:
    with pytest.raises(ValueError, match="letters"):
        Fence().put_around("x' OR true --", "")


def test_claims_given_back_are_due_for_others(worlds: list[World]) -> None:
    """What a clean stop does for deliveries in hand."""
    leaving, other, _ = worlds
    claimed = leaving.claim(for_seconds=300)
    leaving.write(partial(giving_back.interrupt, begun=claimed, now=leaving.clock()))

    assert other.due() == [one.key for one in claimed]
