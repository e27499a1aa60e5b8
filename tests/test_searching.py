"""Looking backwards for tasks and messages: what is found, how far a look goes, and where the next one goes on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from fakes import OWNER, World, delivered, failed, snap, want

from tracker.model import DeliveryStatus, MessageType, Status
from tracker.store import receivers, searching, searching_messages
from tracker.store.searching import Filter, Look, Patience
from tracker.store.searching_messages import Matching

DAY = 86400.0
LONG = Patience(rows=20_000, seconds=60)


def look(
    world: World, wanted: Filter | None = None, *, owner: str | None = None, patience: Patience = LONG
) -> Look[Any]:
    asked = partial(searching.look, wanted=wanted or Filter(), owner=owner, patience=patience)
    return world.database.read_now(asked)


def found(world: World, owner: str | None = None, patience: Patience = LONG, **wanted: object) -> list[str]:
    return [task.task_id for task in look(world, Filter(**wanted), owner=owner, patience=patience).found]


def messages(world: World, owner: str | None = None, patience: Patience = LONG, **wanted: object) -> list[str]:
    """The tasks that they are about."""
    asked = partial(searching_messages.look, wanted=Matching(**wanted), owner=owner, patience=patience)
    return [line.task_id for line in world.database.read_now(asked).found]


def through(
    world: World, wanted: Filter, *, owner: str | None = None, patience: Patience = LONG
) -> Iterator[Look[Any]]:
    """Every look until there is nothing further back."""
    for _ in range(1000):
        one = look(world, wanted, owner=owner, patience=patience)
        yield one
        if one.before is None:
            return
        wanted = replace(wanted, before=one.before)
    raise AssertionError("it has no end")


def told(world: World, task_id: str, **object_: object) -> None:
    world.record({world.key(task_id): snap(object=object_)})


async def test_a_part_is_found_in_ids_in_what_the_upstream_said_and_in_metadata(world: World) -> None:
    world.watched(want("1", metadata={"order": "A-17"}), want("2"), want("3"), want("zebra-4", url=None))
    told(world, "2", prompt="A Lighthouse at “dusk”, 灯塔")

    assert found(world, q="zebra") == ["zebra-4"]
    assert found(world, q="lightHOUSE at") == ["2"]
    assert found(world, q="灯塔") == ["2"]
    assert found(world, q="a-17") == ["1"]
    assert found(world, q=look(world).found[1].id[8:]) == ["3"]
    assert found(world, q="nothing of that") == []


@pytest.mark.parametrize("part", ['say "cheese"', "back\\slash", "100%", "under_score", "it's", "{", "new\nline"])
async def test_a_part_is_found_as_it_is_written(world: World, part: str) -> None:
    """Quotation marks stand in JSON with another sign before them, and LIKE has its own ideas of some."""
    world.watched(want("1"), want("2", metadata={"note": f"well: {part}!"}))
    told(world, "1", prompt=f"and {part}, please")

    assert set(found(world, q=part)) >= {"1", "2"}
    assert found(world, q=f"{part} x") == []


async def test_a_task_that_is_called_so_comes_first_and_once(world: World) -> None:
    world.watched(*(want(name) for name in ("17", "170", "x17", "3")))
    id_ = look(world, Filter(task_id="3")).found[0].id

    assert found(world, q="17") == ["17", "x17", "170"]
    assert found(world, q=id_) == ["3"]
    names = [task.task_id for one in through(world, Filter(q="17", limit=1)) for task in one.found]
    assert names == ["17", "x17", "170"]


async def test_a_task_that_is_called_so_is_found_behind_any_number_of_others(world: World) -> None:
    world.register(*(want(str(number), url=None) for number in range(300)))

    assert found(world, patience=Patience(rows=10, seconds=60), q="150") == ["150"]


async def test_a_look_goes_so_far_and_the_next_goes_on_there(world: World) -> None:
    for number in range(230):
        world.clock.advance(60)
        world.register(want(f"rare-{number}" if number % 100 == 0 else str(number), url=None))
    patience = Patience(rows=75, seconds=60)

    looks = list(through(world, Filter(q="rare-"), patience=patience))

    assert [one.looked_through for one in looks] == [75, 75, 75, 5]
    assert [[task.task_id for task in one.found] for one in looks] == [["rare-200"], ["rare-100"], [], ["rare-0"]]
    assert [one.is_full for one in looks] == [False] * 4
    ages = [round((world.clock() - one.back_to).total_seconds() / 60) for one in looks if one.back_to]
    assert ages == [74, 149, 224, 229]


async def test_a_look_ends_when_patience_does(world: World) -> None:
    world.register(*(want(str(number), url=None) for number in range(400)))
    seconds = count()
    patience = Patience(rows=10_000, seconds=0.5, timer=lambda: float(next(seconds)))

    one = look(world, Filter(q="nothing of that"), patience=patience)

    assert one.looked_through == 51
    assert one.before == look(world).found[0].key - 50


async def test_pages_hold_what_was_asked_for_and_the_last_one_says_so(world: World) -> None:
    world.register(*(want(f"{number:02}", url=None) for number in range(60)))

    sizes = [(len(one.found), one.is_full, one.looked_through) for one in through(world, Filter(limit=30))]

    assert sizes == [(30, True, 30), (30, False, 30)]
    names = [task.task_id for one in through(world, Filter(limit=7)) for task in one.found]
    assert names == [f"{number:02}" for number in range(59, -1, -1)]


async def test_filters_narrow_a_look_down(world: World) -> None:
    world.watched(*(want(str(number)) for number in range(6)), want("elsewhere", upstream="other"))
    for number, status in ((0, Status.FAILED), (2, Status.SUCCEEDED), (4, Status.FAILED)):
        world.end(str(number), status)

    assert found(world, status=(Status.FAILED,)) == ["4", "0"]
    assert found(world, status=(Status.FAILED, Status.SUCCEEDED)) == ["4", "2", "0"]
    assert found(world, status=(Status.FAILED, Status.SUCCEEDED), limit=2) == ["4", "2"]
    assert found(world, status=(Status.FAILED, Status.LOST), before=world.key("4")) == ["0"]
    assert found(world, upstream="other") == ["elsewhere"]
    assert found(world, task_id="3") == ["3"]
    assert found(world, task_id="3", upstream="other") == []
    assert found(world, status=(Status.FAILED,), q="0") == ["0"]


async def test_a_rare_status_is_found_without_looking_at_the_others(world: World) -> None:
    world.watched(*(want(str(number), url=None) for number in range(200)))
    world.end("3", Status.LOST)

    one = look(world, Filter(status=(Status.LOST,)), patience=Patience(rows=5, seconds=60))

    assert [task.task_id for task in one.found] == ["3"]
    assert (one.looked_through, one.before) == (1, None)


async def test_since_and_until_begin_and_end_a_look(world: World) -> None:
    start = world.clock()
    for number in range(40):
        world.register(want(str(number), url=None), want(f"{number}b", url=None))
        world.clock.advance(DAY)
    range_ = Filter(since=start + timedelta(days=20), until=start + timedelta(days=22))

    one = look(world, range_, patience=Patience(rows=60, seconds=60))

    assert [task.task_id for task in one.found] == ["21b", "21", "20b", "20"]
    assert one.before is None
    assert found(world, until=start) == []
    assert found(world, since=world.clock()) == []
    assert found(world, until=start + timedelta(days=1)) == ["0b", "0"]
    assert found(world, since=start + timedelta(days=39)) == ["39b", "39"]


async def test_clocks_that_were_set_back_for_less_than_an_hour_hide_nothing(world: World) -> None:
    moments = {}
    for number, minutes in enumerate((600, -50, 30, 600, -55, 600)):
        world.clock.advance(60.0 * minutes)
        moments[str(number)] = world.clock()
        world.register(want(str(number), url=None))

    for name, moment in moments.items():
        range_ = {"since": moment, "until": moment + timedelta(seconds=1)}
        assert found(world, **range_) == [name]


async def test_owners_find_their_own(world: World) -> None:
    world.register(*(want(f"{number}", metadata="secret") for number in range(50)))
    world.register(want("7", metadata="mine"), want("m1"), want("m2", url=None), owner="other")

    assert found(world, "other") == ["m2", "m1", "7"]
    assert found(world, "other", q="7") == ["7"]
    assert found(world, "other", q="8") == []
    assert found(world, "other", q="secret") == []
    assert found(world, "other", q="mine") == ["7"]
    assert found(world, "other", task_id="8") == []
    assert found(world, "other", status=(Status.QUEUED,)) == ["m2", "m1", "7"]
    assert found(world, "nobody") == []
    one = look(world, Filter(status=(Status.QUEUED,)), owner="other", patience=Patience(rows=3, seconds=60))
    assert (len(one.found), one.looked_through) == (3, 3)


async def test_an_owner_of_many_is_told_no_number_of_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By status the way leads past the tasks of all."""
    monkeypatch.setattr(searching, "FEW", 2)
    world.register(*(want(f"{number}", url=None) for number in range(10)))
    world.register(*(want(f"m{number}", url=None) for number in range(4)), owner="other")

    one = look(world, Filter(status=(Status.QUEUED,)), owner="other")

    assert [task.task_id for task in one.found] == ["m3", "m2", "m1", "m0"]
    assert one.looked_through is None


async def test_messages_are_found_by_what_they_are(world: World) -> None:
    keys = world.pending(*(want(str(number), url=f"https://shop-{number % 2}.example/x") for number in range(6)))
    for key in keys[:2]:
        world.settle(world.claim(key)[0], failed())
    world.settle(world.claim(keys[2])[0], delivered())
    endpoint = world.column("SELECT endpoint_key FROM delivery WHERE key = :key", key=keys[1])[0]

    assert messages(world) == ["5", "4", "3", "2", "1", "0"]
    assert messages(world, status=(DeliveryStatus.DEAD,)) == ["1", "0"]
    assert messages(world, status=(DeliveryStatus.DEAD, DeliveryStatus.DELIVERED)) == ["2", "1", "0"]
    assert messages(world, endpoint_key=endpoint) == ["5", "3", "1"]
    assert messages(world, endpoint_key=endpoint, status=(DeliveryStatus.DEAD,)) == ["1"]
    assert messages(world, task_key=world.key("4")) == ["4"]
    assert messages(world, message_type=MessageType.SUCCEEDED, limit=2) == ["5", "4"]
    assert messages(world, message_type=MessageType.PROGRESS) == []
    assert messages(world, before=keys[2]) == ["1", "0"]


async def test_messages_of_a_time_are_found(world: World) -> None:
    start = world.clock()
    for number in range(5):
        world.pending(want(str(number)))
        world.clock.advance(DAY)

    range_ = {"since": start + timedelta(days=1), "until": start + timedelta(days=3)}
    assert messages(world, **range_) == ["2", "1"]


@pytest.mark.parametrize("few", [2_000, 1])
async def test_owners_find_the_messages_of_their_own(world: World, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Whether there are few of them, or many among those of others."""
    monkeypatch.setattr(searching_messages, "FEW", few)
    world.watched(want("1"), want("2"))
    world.register(want("2", url="https://other.example/x"), want("3"), owner="other")
    world.adopt()
    for number in "123":
        world.end(number)

    assert messages(world, "other") == ["3", "2"]
    assert messages(world, OWNER) == ["2", "1"]
    assert messages(world, "other", task_key=world.key("2")) == ["2"]
    assert messages(world, "other", task_key=world.key("1")) == []
    assert messages(world, "other", status=(DeliveryStatus.PENDING,)) == ["3", "2"]
    assert messages(world, "nobody") == []


async def test_what_waits_for_an_endpoint_is_counted_so_far_and_no_further(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "MOST_COUNTED", 4)
    keys = world.pending(*(want(str(number)) for number in range(6)))
    world.register(want("0"), owner="other")
    key = world.column("SELECT endpoint_key FROM delivery LIMIT 1")[0]

    def counted(what: Callable[..., receivers.Count], owner: str | None = None, of: int = key) -> tuple[int, bool]:
        count_ = world.database.read_now(partial(what, key=of, owner=owner))
        return count_.found, count_.is_all

    assert counted(receivers.waiting) == (4, False)
    assert counted(receivers.dead) == (0, True)
    for number in keys[:3]:
        world.settle(world.claim(number)[0], failed())
    assert counted(receivers.waiting) == (4, True)
    assert counted(receivers.waiting, OWNER) == (3, True)
    assert counted(receivers.waiting, "other") == (1, True)
    assert counted(receivers.dead) == (3, True)
    assert counted(receivers.dead, "other") == (0, True)
    assert counted(receivers.waiting, of=key + 1) == (0, True)
    assert counted(receivers.dead, of=key + 1) == (0, True)
