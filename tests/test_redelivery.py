"""Sending again: the same id and body, from the first place in the schedule on."""

from datetime import datetime, timedelta
from functools import partial

import pytest
from fakes import OWNER, World, delivered, failed, snap, want

from tracker.errors import ConflictError, NotFoundError
from tracker.model import DeliveryStatus, MessageType, Status
from tracker.store import endpoints, redelivery
from tracker.store.redelivery import Matching


def again(world: World, id_: str, owner: str | None = OWNER) -> None:
    world.write(partial(redelivery.redeliver, id_=id_, owner=owner, now=world.clock()))


def all_again(world: World, owner: str | None = None, **matching: object) -> int:
    step, count = redelivery.Step(redelivered=0, after=0), 0
    while step.after is not None:
        work = partial(redelivery.redeliver_matching, matching=Matching(**matching), owner=owner, now=world.clock())
        step = world.write(partial(work, after=step.after))
        count += step.redelivered
    return count


def statuses(world: World) -> list[str]:
    return world.column("SELECT status FROM delivery ORDER BY key")


@pytest.mark.parametrize("outcome", [delivered(), failed()])
def test_what_was_delivered_or_is_dead_goes_again_as_it_was(world: World, outcome: object) -> None:
    world.pending(want())
    (first,) = world.claim()
    world.settle(first, outcome)  # type: ignore[arg-type]

    again(world, first.id)

    (second,) = world.claim()
    assert (second.id, second.body) == (first.id, first.body)
    assert (second.attempt, second.failures) == (2, 0)
    assert world.settle(second, delivered())
    assert statuses(world) == ["delivered"]


def test_what_is_under_way_is_not_sent_twice(world: World) -> None:
    world.pending(want())
    (claimed,) = world.claim()

    with pytest.raises(ConflictError, match="attempt 1 of it is under way"):
        again(world, claimed.id)
    assert world.due() == []


def test_what_waits_for_its_next_attempt_goes_now_and_has_no_more_attempts_than_before(world: World) -> None:
    world.pending(want())
    (first,) = world.claim()
    world.settle(first, failed(), again_after=7200)
    assert world.due() == []

    again(world, first.id)
    again(world, first.id)

    (second,) = world.claim()
    assert (second.id, second.body) == (first.id, first.body)
    assert (second.attempt, second.failures) == (2, 1)


def test_news_that_waits_still_keeps_its_distance_from_what_was_sent_before(world: World) -> None:
    key = world.watched(want(events=("progress",)))
    world.record({key: snap(Status.RUNNING, 10)})
    (first,) = world.claim()
    world.settle(first, delivered())
    world.record({key: snap(Status.RUNNING, 20)})
    (id_,) = world.column("SELECT id FROM delivery WHERE status = 'pending'")

    again(world, id_)

    assert world.claim() == []
    world.clock.advance(1)
    assert [one.id for one in world.claim()] == [id_]


def test_what_waits_for_an_endpoint_at_rest_stays_held_and_is_told_what_opens_it(world: World) -> None:
    world.pending(want())
    (id_,) = world.column("SELECT id FROM delivery")
    ((key, named),) = [(row["key"], row["id"]) for row in world.rows("SELECT key, id FROM endpoint")]
    world.write(partial(endpoints.disable, key=key, reason="by hand", now=world.clock()))

    with pytest.raises(ConflictError, match=f"is disabled: `tracker endpoints enable {named}`"):
        again(world, id_)
    assert world.due() == []


def test_without_its_body_it_cannot_go_again(world: World) -> None:
    world.pending(want())
    (claimed,) = world.claim()
    world.settle(claimed, delivered())
    world.sql("UPDATE delivery SET body = NULL")

    with pytest.raises(ConflictError, match=claimed.id):
        again(world, claimed.id)
    assert all_again(world, status=DeliveryStatus.DELIVERED) == 0


def test_that_of_another_owner_does_not_exist(world: World) -> None:
    world.pending(want())
    (claimed,) = world.claim()
    world.settle(claimed, delivered())

    with pytest.raises(NotFoundError):
        again(world, claimed.id, owner="bob")
    assert all_again(world, owner="bob", status=DeliveryStatus.DELIVERED) == 0
    again(world, claimed.id, owner=None)


def test_all_that_match_go_again(world: World) -> None:
    start: datetime = world.clock()
    for number in range(4):
        world.pending(want(str(number), url="https://b.example/" if number == 3 else "https://a.example/"))
        world.clock.advance(10)
    for claimed in world.claim():
        world.settle(claimed, failed())
    (here,) = world.column("SELECT key FROM endpoint WHERE origin = 'https://a.example:443'")

    count = all_again(world, endpoint_key=here, since=start + timedelta(seconds=10))

    assert count == 2
    assert statuses(world) == ["dead", "pending", "pending", "dead"]
    assert all_again(world, until=start + timedelta(seconds=10)) == 1
    assert all_again(world) == 1


def test_what_its_receiver_wants_no_more_is_left_out(world: World) -> None:
    world.pending(want())
    world.settle(world.claim()[0], failed(410))

    assert all_again(world) == 0


def test_many_go_in_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.store.redelivery.STEP", 2)
    world.pending(*(want(str(number)) for number in range(5)))
    for claimed in world.claim():
        world.settle(claimed, failed())

    assert all_again(world) == 5


def test_for_an_endpoint_at_rest_they_are_held(world: World) -> None:
    world.pending(want())
    (claimed,) = world.claim()
    world.settle(claimed, failed())
    (key,) = world.column("SELECT key FROM endpoint")
    world.write(partial(endpoints.disable, key=key, reason="by hand", now=world.clock()))

    again(world, claimed.id)

    assert statuses(world) == ["pending"]
    assert world.due() == []
    world.write(partial(endpoints.enable, key=key, now=world.clock()))
    assert len(world.due()) == 1


def test_of_all_that_match_each_condition_counts(world: World) -> None:
    world.pending(want("1"), want("2"))
    for one in world.claim():
        world.settle(one, failed())
    key = world.column("SELECT task_key FROM delivery ORDER BY key")[0]

    assert all_again(world, message_type=MessageType.LOST) == 0
    assert all_again(world, task_key=key, message_type=MessageType.SUCCEEDED) == 1

    assert statuses(world) == ["pending", "dead"]
