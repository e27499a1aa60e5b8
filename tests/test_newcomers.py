"""Tasks that are registered at a daemon which is alone are its own from the moment they are written."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

import pytest
from api_harness import SETTINGS
from clocks import FakeClock
from fakes import ME, OWNER, UPSTREAM, FlakyDatabase, World, want

from tracker.config import LimitSettings
from tracker.desk.limits import Limits
from tracker.desk.registrar import Registrar
from tracker.errors import UnavailableError
from tracker.guard import Guard
from tracker.intake import Caller, Intake
from tracker.model import Task
from tracker.poller.newcomers import Newcomers
from tracker.store import registrations
from tracker.store.database import Database, Work
from tracker.store.registrations import Newcomer, Registered, Wanted
from tracker.telling import tell_newcomer, tell_task
from tracker.webhooks.composer import Composer

T = TypeVar("T")
ANN = Caller(owner="ann", scope="write")


class TestWriting:
    def register(self, world: World, *wanted: Wanted) -> list[Registered]:
        work = world.registering(*wanted)
        assert isinstance(work, partial)
        return world.write(partial(work, watcher=ME))

    def test_new_tasks_are_watched_at_once_and_known_ones_stay_as_they_are(self, world: World) -> None:
        world.join()
        world.register(want("1"))

        written = self.register(world, want("1"), want("2"), want("3", url=None))

        assert [(entry.task.task_id, entry.is_watched) for entry in written] == [("1", False), ("2", True), ("3", True)]
        assert [entry.created for entry in written] == [False, True, True]
        assert [len(entry.callbacks) for entry in written] == [1, 1, 0]
        assert world.column("SELECT watcher FROM task ORDER BY task_id") == [None, ME, ME]

    def test_where_there_are_others_nobody_has_them(self, world: World) -> None:
        world.join()
        world.join("other")

        (entry,) = self.register(world, want())

        assert not entry.is_watched
        assert world.column("SELECT watcher FROM task") == [None]

    def test_one_that_has_gone_has_nothing(self, world: World) -> None:
        world.join()
        world.sql("UPDATE daemon SET is_gone = true")

        (entry,) = self.register(world, want())

        assert not entry.is_watched
        assert world.column("SELECT watcher FROM task") == [None]

    @pytest.mark.parametrize(
        "wanted", [want(), want(url=None), want(events=("failed",), format="upstream", metadata=1)]
    )
    def test_what_is_told_of_it_is_what_is_told_of_its_task(self, world: World, wanted: Wanted) -> None:
        """There is a shorter way to say it, since nearly all of it is known."""
        (entry,) = self.register(world, wanted)

        assert isinstance(entry, Newcomer)
        assert tell_newcomer(entry) == tell_task(entry.task, entry.callbacks)

    def test_what_is_told_is_what_is_kept(self, world: World) -> None:
        wanted = want(events=("progress", "ended"), format="upstream", metadata={"order": [17, "ü"]})

        (entry,) = self.register(world, wanted)

        work = partial(
            registrations.register_each,
            asked=[registrations.Asked(want=wanted, owner=OWNER, sees_all=False)],
            default_format="standard",
            now=world.clock(),
            compose=world.compose,
        )
        (again,) = world.write(work)
        assert isinstance(again, Registered)
        assert (again.task, again.callbacks) == (entry.task, entry.callbacks)


class Lossy(FlakyDatabase):
    """Loses the answer of a commit when told to."""

    loses = False

    async def write(self, work: Work[T]) -> T:
        result = await super().write(work)
        if self.loses:
            raise UnavailableError("the connection broke")
        return result


class TestHandingOver:
    @pytest.fixture
    def database(self, database_url: str) -> Iterator[Lossy]:
        opened = Lossy(database_url)
        yield opened
        opened.close()

    @pytest.fixture
    def newcomers(self) -> Newcomers:
        return Newcomers(lambda: ME)

    @pytest.fixture
    def registrar(self, database: Database, clock: FakeClock, newcomers: Newcomers) -> Registrar:
        limits = Limits(LimitSettings(), database, clock.timer)
        return Registrar(database, Intake(SETTINGS, Guard(), Composer(), clock), limits, newcomers)

    def taken(self, newcomers: Newcomers) -> Sequence[tuple[str, Sequence[str]]]:
        return [(me, sorted(task.task_id for task in tasks)) for me, tasks in newcomers.taken([UPSTREAM])]

    async def test_what_was_written_as_ours_is_handed_over(
        self, world: World, registrar: Registrar, newcomers: Newcomers
    ) -> None:
        world.join()

        await registrar.register_all([want("1"), want("2")], ANN)
        await registrar.register(want("3"), ANN)
        await registrar.register(want("3"), ANN)

        assert self.taken(newcomers) == [(ME, ["1", "2"]), (ME, ["3"])]
        assert self.taken(newcomers) == []

    async def test_also_where_nobody_waits_for_the_answer(
        self, world: World, registrar: Registrar, newcomers: Newcomers
    ) -> None:
        """Nobody would look at it: it is this daemon's."""
        world.join()
        asking = [asyncio.ensure_future(call) for call in (registrar.register_all([want("1")], ANN),)]
        asking.append(asyncio.ensure_future(registrar.register(want("2"), ANN)))
        await asyncio.sleep(0)

        for call in asking:
            call.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

        handed: list[str] = []
        while len(handed) < 2:
            await asyncio.sleep(0.001)
            handed += [task_id for _, tasks in self.taken(newcomers) for task_id in tasks]
        assert sorted(handed) == ["1", "2"]

    async def test_a_commit_without_an_answer_is_a_doubt(
        self, world: World, registrar: Registrar, newcomers: Newcomers, database: Lossy
    ) -> None:
        world.join()
        database.loses = True

        with pytest.raises(UnavailableError):
            await registrar.register_all([want()], ANN)

        assert not newcomers.is_sure

    async def test_a_database_that_is_away_leaves_no_doubt(
        self, world: World, registrar: Registrar, newcomers: Newcomers, database: Lossy
    ) -> None:
        world.join()
        database.away = 1

        with pytest.raises(UnavailableError):
            await registrar.register_all([want()], ANN)

        assert newcomers.is_sure


def test_tasks_are_kept_until_they_are_taken(world: World) -> None:
    newcomers = Newcomers(lambda: ME)
    tasks: list[Task] = [entry.task for entry in world.register(want("1"), want("2"))]

    newcomers.take(ME, tasks)

    ((me, taken),) = newcomers.taken([UPSTREAM])
    assert (me, [task.key for task in taken]) == (ME, [task.key for task in tasks])
