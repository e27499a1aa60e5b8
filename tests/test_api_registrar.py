"""Registrations that arrive at the same moment are written together, and fail apart."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import TypeVar

import pytest
from api_harness import HOOK, SETTINGS
from clocks import FakeClock
from sqlalchemy import text

from tracker.config import LimitSettings
from tracker.desk.limits import Limits
from tracker.desk.registrar import LARGEST_GROUP, Registrar
from tracker.errors import InputError, UnavailableError
from tracker.guard import Guard
from tracker.intake import Caller, Intake
from tracker.store.database import Connection, Database, Work
from tracker.store.registrations import Registered, Wanted
from tracker.webhooks.composer import Composer

T = TypeVar("T")
ANN, BOB = Caller(owner="ann", scope="write"), Caller(owner="bob", scope="write")


class Counting(Database):
    """Counts its writes, can be held up, and can be away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.writes = 0
        self.is_away = False

    async def write(self, work: Work[T]) -> T:
        self.writes += 1
        if self.is_away:
            raise UnavailableError("cut off")
        return await super().write(work)

    def hold(self) -> threading.Event:
        """Keep the writer busy until the event is set."""
        go_on, started = threading.Event(), threading.Event()

        def wait(_connection: Connection) -> None:
            started.set()
            go_on.wait(timeout=10)

        threading.Thread(target=self.write_now, args=(wait,), daemon=True).start()
        started.wait(timeout=10)
        return go_on


class Poisoned(Intake):
    """Fails for one task, and with it for everything written in the same transaction."""

    def register(
        self, wanted: Sequence[Wanted], caller: Caller, *, watcher: str | None = None
    ) -> Work[list[Registered]]:
        if any(want.task_id == "poison" for want in wanted):
            raise ZeroDivisionError
        return super().register(wanted, caller, watcher=watcher)

    def register_each(
        self, asked: Sequence[tuple[Wanted, Caller]], *, watcher: str | None = None
    ) -> Work[list[Registered | InputError]]:
        if any(want.task_id == "poison" for want, _ in asked):
            raise ZeroDivisionError
        return super().register_each(asked, watcher=watcher)


@pytest.fixture
def counting(database_url: str) -> Iterator[Counting]:
    opened = Counting(database_url)
    yield opened
    opened.close()


@pytest.fixture
def registrar(counting: Counting, clock: FakeClock) -> Registrar:
    return Registrar(counting, Poisoned(SETTINGS, Guard(), Composer(), clock), unlimited(counting, clock))


def unlimited(database: Database, clock: FakeClock) -> Limits:
    return Limits(LimitSettings(), database, clock.timer)


def want(task_id: str) -> Wanted:
    return Wanted(upstream="default", task_id=task_id, url=HOOK)


async def test_what_arrives_while_the_writer_is_busy_is_one_write(registrar: Registrar, counting: Counting) -> None:
    go_on = counting.hold()
    asked = asyncio.gather(*(registrar.register(want(str(number)), ANN) for number in range(50)))
    await asyncio.sleep(0)
    go_on.set()

    answers = await asked

    assert [(answer.is_new, answer.task["task_id"]) for answer in answers] == [
        (True, str(number)) for number in range(50)
    ]
    assert counting.writes == 1


async def test_the_same_task_twice_in_one_write_is_new_once(registrar: Registrar, counting: Counting) -> None:
    go_on = counting.hold()
    asked = asyncio.gather(*(registrar.register(want("1"), ANN) for _ in range(3)))
    await asyncio.sleep(0)
    go_on.set()

    answers = await asked

    assert [answer.is_new for answer in answers] == [True, False, False]
    assert len({answer.task["id"] for answer in answers}) == 1


async def test_owners_are_not_mixed(registrar: Registrar, counting: Counting) -> None:
    go_on = counting.hold()
    asked = asyncio.gather(*(registrar.register(want("1"), caller) for caller in (ANN, BOB, ANN, BOB)))
    await asyncio.sleep(0)
    go_on.set()

    answers = await asked

    assert [answer.is_new for answer in answers] == [True, True, False, False]
    assert [len(answer.task["callbacks"]) for answer in answers] == [1, 1, 1, 1]
    assert counting.writes == 1


async def test_a_group_has_a_largest_size(registrar: Registrar, counting: Counting) -> None:
    go_on = counting.hold()
    asked = asyncio.gather(*(registrar.register(want(str(number)), ANN) for number in range(LARGEST_GROUP + 1)))
    await asyncio.sleep(0)
    go_on.set()

    answers = await asked

    assert all(answer.is_new for answer in answers)
    assert counting.writes == 2


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_batch_does_not_wait_for_the_one_before_it(registrar: Registrar, counting: Counting) -> None:
    """There are two writers where the database lets two write."""
    go_on = counting.hold()
    first = asyncio.ensure_future(registrar.register_all([want("1"), want("2")], ANN))
    await asyncio.sleep(0)

    second = await registrar.register_all([want("3"), want("4")], ANN)

    assert [answer.is_new for answer in second] == [True, True]
    assert not first.done()
    go_on.set()
    assert [answer.is_new for answer in await first] == [True, True]


async def test_batches_that_meet_are_each_all_or_none(registrar: Registrar, counting: Counting) -> None:
    """One of them failing takes nothing from the others."""
    go_on = counting.hold()
    batches = (["1", "2"], ["3", "poison"], ["4", "5"])
    asked = [asyncio.ensure_future(registrar.register_all(list(map(want, names)), ANN)) for names in batches]
    await asyncio.sleep(0)
    go_on.set()

    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert isinstance(answers[1], ZeroDivisionError)
    assert counting.read_now(lambda c: list(c.scalars(text("SELECT task_id FROM task ORDER BY 1")))) == list("1245")


async def test_a_bad_registration_fails_alone(registrar: Registrar, counting: Counting) -> None:
    go_on = counting.hold()
    names = ("1", "poison", "2")
    asked = asyncio.gather(*(registrar.register(want(name), ANN) for name in names), return_exceptions=True)
    await asyncio.sleep(0)
    go_on.set()

    first, bad, second = await asked

    assert isinstance(bad, ZeroDivisionError)
    assert not isinstance(first, BaseException)
    assert not isinstance(second, BaseException)
    assert (first.is_new, second.is_new) == (True, True)


async def test_a_lone_bad_registration_is_tried_once(registrar: Registrar, counting: Counting) -> None:
    with pytest.raises(ZeroDivisionError):
        await registrar.register(want("poison"), ANN)

    assert counting.writes == 1


async def test_a_database_that_was_away_is_asked_anew(registrar: Registrar, counting: Counting) -> None:
    counting.is_away = True
    with pytest.raises(UnavailableError):
        await registrar.register(want("1"), ANN)

    counting.is_away = False

    assert (await registrar.register(want("1"), ANN)).is_new
