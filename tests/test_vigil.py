"""When a daemon is alive: its loops come round, or something that no start would mend keeps them from it."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from services import Manager, Said

from tracker.daemon.status import Numbers, tell
from tracker.daemon.vigil import SETTLES_WITHIN, Vigil, extending
from tracker.errors import UnavailableError
from tracker.metrics import Metrics
from tracker.pulse import Pulse
from tracker.store.database import Database
from tracker.systemd import Notifier

pytestmark = pytest.mark.anyio

LATE = timedelta(seconds=60)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class SomeDatabase:
    """Answers, refuses, or does neither."""

    def __init__(self) -> None:
        self.is_away = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Semaphore(0)

    async def read(self, _work: object) -> None:
        self.asked.release()
        await self.answers.wait()
        if self.is_away:
            raise UnavailableError("away")

    write = read


class World:
    """A vigil over one loop; `pass_` lets time pass."""

    def __init__(self, manager: Manager) -> None:
        self.clock = Clock()
        self.database = SomeDatabase()
        self.pulse = Pulse(self.clock, Metrics(version="1"))
        self.pulse.expect("deliver", LATE)
        self.vigil = Vigil(
            Notifier(manager.address),
            timedelta(seconds=0.04),
            pulse=self.pulse,
            database=cast("Database", self.database),
            tell=lambda: "well",
            timer=self.clock,
        )

    async def ask(self, times: int = 3) -> None:
        """Return when the database has been asked so often: each time to read, and to write."""
        for _ in range(2 * times):
            await asyncio.wait_for(self.database.asked.acquire(), 10)


async def heard(manager: Manager, name: str, count: int = 1) -> Said:
    return await asyncio.to_thread(manager.wait_for, name, count)


async def everything(manager: Manager, name: str) -> list[Said]:
    """What was said of this until now: it comes in the order in which it was said."""
    marks = len(manager.heard_of("MARK"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as marking:
        marking.sendto(b"MARK=1", f"\0{manager.address[1:]}")
    await heard(manager, "MARK", marks + 1)
    return manager.heard_of(name)


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager() as made:
        yield made


@pytest.fixture
async def world(manager: Manager) -> Any:  # noqa: ANN401 - a generator of worlds
    made = World(manager)
    watching = asyncio.create_task(made.vigil.run())
    await made.ask()
    yield made
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_loop_that_is_late_while_the_database_answers_is_stuck(world: World) -> None:
    world.clock.now += SETTLES_WITHIN + 1
    await world.ask()

    assert world.vigil.stuck() == ["deliver"]

    world.pulse.beat("deliver")

    assert world.vigil.stuck() == []


async def test_a_loop_that_is_not_expected_any_more_is_not_stuck(world: World) -> None:
    world.clock.now += SETTLES_WITHIN + 1
    world.pulse.forget("deliver")

    assert world.vigil.stuck() == []


async def test_a_database_that_refuses_excuses_everybody_and_for_as_long_again(world: World) -> None:
    world.database.is_away = True
    await world.ask()
    world.clock.now += 10 * SETTLES_WITHIN

    assert not world.vigil.database_answers
    assert world.vigil.stuck() == []

    world.database.is_away = False
    await world.ask()

    assert world.vigil.database_answers
    assert world.vigil.stuck() == []

    world.clock.now += SETTLES_WITHIN
    await world.ask()

    assert world.vigil.stuck() == ["deliver"]


async def test_a_database_that_says_nothing_excuses_as_well(world: World) -> None:
    world.database.answers.clear()
    while not world.database.asked.locked():
        await world.database.asked.acquire()
    await world.database.asked.acquire()
    world.clock.now += 10 * SETTLES_WITHIN

    assert not world.vigil.database_answers
    assert world.vigil.stuck() == []

    world.database.answers.set()
    await world.ask()

    assert world.vigil.stuck() == []


async def test_no_sign_of_life_is_given_while_a_loop_is_stuck_and_then_again(world: World, manager: Manager) -> None:
    await heard(manager, "WATCHDOG")
    world.clock.now += SETTLES_WITHIN + 1
    await world.ask()
    signs = await everything(manager, "WATCHDOG")
    await world.ask(times=5)

    assert await everything(manager, "WATCHDOG") == signs

    world.pulse.beat("deliver")

    assert await heard(manager, "WATCHDOG", len(signs) + 1)


async def test_a_status_is_said_when_it_is_another(world: World, manager: Manager) -> None:
    await world.ask(times=5)

    assert [said["STATUS"] for said in await everything(manager, "STATUS")] == ["well"]


async def test_where_nobody_listens_nobody_is_asked() -> None:
    database = SomeDatabase()
    vigil = Vigil(
        Notifier(None),
        None,
        pulse=Pulse(Clock(), Metrics(version="1")),
        database=cast("Database", database),
        tell=lambda: "well",
    )

    await vigil.run()

    assert database.asked.locked()


async def test_more_time_is_asked_for_while_something_lasts(manager: Manager) -> None:
    async with extending(Notifier(manager.address), "migrating"):
        await heard(manager, "EXTEND_TIMEOUT_USEC")

    assert manager.heard[0].fields == {"EXTEND_TIMEOUT_USEC": "30000000", "STATUS": "migrating"}


@pytest.mark.parametrize(
    ("numbers", "line"),
    [
        (
            Numbers(watched=1, late=0, waiting=0, upstreams=1),
            "watching 1 task of 1 upstream; 0 due late; 0 messages waiting",
        ),
        (
            Numbers(watched=1203, late=4, waiting=1, upstreams=2, paused=("default",)),
            "paused: default; watching 1203 tasks of 2 upstreams; 4 due late; 1 message waiting",
        ),
        (
            Numbers(watched=0, late=0, waiting=0, upstreams=1, silent=("deliver",), database_answers=False),
            "the database does not answer; watching 0 tasks of 1 upstream; 0 due late; 0 messages waiting",
        ),
        (
            Numbers(watched=0, late=0, waiting=0, upstreams=1, silent=("adopt", "deliver"), refused="log: no; write"),
            (
                "stuck: adopt, deliver; watching 0 tasks of 1 upstream; 0 due late; 0 messages waiting; "
                "the configuration was not reloaded: log: no; write"
            ),
        ),
    ],
)
def test_one_line_says_what_matters_most_first(numbers: Numbers, line: str) -> None:
    assert tell(numbers) == line
