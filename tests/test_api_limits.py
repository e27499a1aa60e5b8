"""One owner cannot fill the database, nor keep the others waiting."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, fields, serving
from clocks import FakeClock

from tracker.config import Settings
from tracker.desk.allowance import Allowance
from tracker.desk.live_tasks import FRESH_SECONDS, REST
from tracker.desk.owner_book import OwnerBook
from tracker.errors import ThrottledError, UnavailableError
from tracker.guard import Guard
from tracker.intake import Intake
from tracker.intake.callers import LOCAL
from tracker.model import Status
from tracker.store import owners, registrations
from tracker.store.database import Database, Work
from tracker.store.registrations import Wanted
from tracker.webhooks.composer import Composer

T = TypeVar("T")
LIVE, RATE = "limits.live_tasks_per_owner", "limits.registrations_per_minute_per_owner"


def limited(database: Database, clock: FakeClock, **limits: int) -> AbstractAsyncContextManager[Api]:
    return serving(database, clock, limits=limits)


async def post(api: Api, *task_ids: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - handed on
    """Register one, or several as a batch."""
    rows = [{"task_id": task_id} for task_id in task_ids]
    if len(rows) == 1:
        return await api.client.post("/v1/tasks", json=rows[0], **options)
    return await api.client.post("/v1/tasks/batch", json=rows, **options)


def stored(api: Api) -> list[str]:
    """The task ids in the database."""
    return sorted(
        row.task_id
        for row in api.database.read_now(
            lambda connection: list(connection.exec_driver_sql("SELECT task_id FROM task").all())
        )
    )


def refused(answer: httpx.Response, setting: str, value: int) -> int:
    """The seconds to wait that a refusal tells, with the limit, its value and the way out."""
    assert answer.status_code == 429, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert re.search(rf"\b{value}\b", detail)
    for told in (setting, "try again"):
        assert told in detail
    return int(answer.headers["retry-after"])


class TestLiveTasks:
    @pytest.fixture
    async def api(self, database: Database, clock: FakeClock) -> AsyncIterator[Api]:
        async with limited(database, clock, live_tasks_per_owner=3) as made:
            made.use()
            yield made

    @pytest.mark.parametrize("scope", ["write", "admin"])
    async def test_beyond_the_cap_nothing_is_taken_whatever_the_scope(self, api: Api, scope: str) -> None:
        api.use("ann", scope)
        for number in "123":
            assert (await post(api, number)).status_code == 201

        answer = await post(api, "4")

        assert refused(answer, LIVE, 3) == 60
        assert "DELETE /v1/tasks/{id}" in answer.json()["detail"]
        assert stored(api) == ["1", "2", "3"]

    async def test_others_have_places_of_their_own(self, api: Api) -> None:
        await post(api, "1", "2", "3")

        assert (await post(api, "4", headers=api.shows("bob"))).status_code == 201
        assert (await post(api, "1", "2", headers=api.shows("bob"))).status_code == 200
        assert (await post(api, "5", headers=api.shows("bob"))).status_code == 429

    async def test_a_batch_is_taken_whole_or_not_at_all(self, api: Api) -> None:
        await post(api, "1", "2")

        assert refused(await post(api, "3", "4"), LIVE, 3) == 60
        assert stored(api) == ["1", "2"]
        assert (await post(api, "3")).status_code == 201

    async def test_a_batch_that_could_never_be_taken_is_told_so(self, api: Api) -> None:
        answer = await post(api, "1", "2", "3", "4")

        assert (answer.status_code, fields(answer)) == (422, ["body"])
        assert "retry-after" not in answer.headers
        assert answer.json()["errors"][0]["fix"] == "send at most 3 at a time"
        assert stored(api) == []

    async def test_what_is_there_already_takes_no_place(self, api: Api) -> None:
        await post(api, "1", "2", "3")

        assert (await post(api, "1")).status_code == 200
        assert (await post(api, "1", "2", "3", "1", "2", "3")).status_code == 200
        assert (await post(api, "1", "4")).status_code == 429

    async def test_what_has_ended_takes_no_place(self, api: Api) -> None:
        bob = api.shows("bob")
        await post(api, "old", headers=bob)
        api.see("old")
        await post(api, "1", "2", "3")

        assert (await post(api, "old")).status_code == 201

    async def test_what_was_dropped_takes_a_place_again(self, api: Api) -> None:
        task = await api.register("1")
        await api.client.delete(f"/v1/tasks/{task['id']}")
        await post(api, "2", "3", "4")

        assert (await post(api, "1")).status_code == 429
        assert (await api.client.get(f"/v1/tasks/{task['id']}")).json()["status"] == "dropped"

    async def test_an_end_makes_room_at_once(self, api: Api) -> None:
        await post(api, "1", "2", "3")
        assert (await post(api, "4")).status_code == 429
        api.see("2", Status.FAILED)

        assert (await post(api, "4")).status_code == 201
        assert (await post(api, "5")).status_code == 429

    async def test_what_came_in_by_other_ways_is_seen_after_some_seconds(self, api: Api) -> None:
        """Another daemon, or whoever works on the database itself, who is not limited."""
        await post(api, "1")
        intake = Intake(api.settings, Guard(), Composer(), api.clock)
        ann = [Wanted(upstream="default", task_id=str(number)) for number in range(10, 20)]
        api.database.write_now(
            partial(
                registrations.register,
                wanted=ann,
                owner="ann",
                sees_all=False,
                default_format="standard",
                now=api.clock(),
                compose=Composer(),
            )
        )
        assert len(api.database.write_now(intake.register(ann, LOCAL))) == 10
        assert (await post(api, "2")).status_code == 201

        api.clock.advance(FRESH_SECONDS)

        assert (await post(api, "3")).status_code == 429

    async def test_requests_of_the_same_moment_do_not_share_the_last_place(self, api: Api) -> None:
        answers = await asyncio.gather(*(post(api, f"{number}") for number in range(20)))
        mixed = await asyncio.gather(post(api, "a", "b"), post(api, "c"), post(api, "d", "e"))

        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 17
        assert {answer.status_code for answer in mixed} == {429}
        assert len(stored(api)) == 3

    async def test_batches_of_the_same_moment_do_not_either(self, api: Api) -> None:
        answers = await asyncio.gather(*(post(api, f"{number}a", f"{number}b") for number in range(5)))

        assert sorted(answer.status_code for answer in answers) == [200] + [429] * 4
        assert (await post(api, "last")).status_code == 201
        assert len(stored(api)) == 3


class Asked(Database):
    """Counts questions from outside, can be slow to answer them, and can be cut off."""

    def __init__(self, url: str, clock: FakeClock) -> None:
        super().__init__(url)
        self.questions = self.counts = 0
        self.takes_seconds = 0.0
        self.is_away = False
        self._clock = clock

    async def ask(self, work: Work[T]) -> T:
        self.questions += 1
        self.counts += getattr(work, "func", None) is owners.count_live
        self._clock.advance(self.takes_seconds)
        if self.is_away:
            raise UnavailableError("cut off")
        return await super().ask(work)


@ON_ONE_DATABASE
class TestWhatItCosts:
    @pytest.fixture
    async def asked(self, database_url: str, clock: FakeClock) -> AsyncIterator[Asked]:
        opened = Asked(database_url, clock)
        yield opened
        opened.close()

    async def test_without_a_limit_nothing_is_counted(self, asked: Asked, clock: FakeClock) -> None:
        async with limited(asked, clock) as api:
            api.use()
            for number in range(5):
                await post(api, f"{number}", f"{number}x")

        assert asked.questions == 0

    async def test_where_there_is_room_the_count_is_read_every_some_seconds(
        self, asked: Asked, clock: FakeClock
    ) -> None:
        async with limited(asked, clock, live_tasks_per_owner=1000) as api:
            api.use()
            for number in range(50):
                await post(api, f"{number}")
            assert asked.questions == 1
            clock.advance(FRESH_SECONDS)
            await post(api, "last")

        assert asked.questions == 2

    async def test_a_burst_reads_the_count_once(self, asked: Asked, clock: FakeClock) -> None:
        async with limited(asked, clock, live_tasks_per_owner=1000) as api:
            api.use()
            answers = await asyncio.gather(*(post(api, f"{number}") for number in range(50)))

        assert {answer.status_code for answer in answers} == {201}
        assert asked.questions == 1

    async def test_asking_in_vain_costs_little_however_often(self, asked: Asked, clock: FakeClock) -> None:
        async with limited(asked, clock, live_tasks_per_owner=1) as api:
            api.use()
            await post(api, "1")
            asked.takes_seconds = 0.1
            before = asked.counts
            for _ in range(100):
                assert (await post(api, "2")).status_code == 429

        # Whether the task is known is asked each time, which here is what makes the time pass.
        assert 100 // (REST + 1) <= asked.counts - before <= 100 // REST + 1

    async def test_what_was_refused_takes_no_place(self, asked: Asked, clock: FakeClock) -> None:
        asked.takes_seconds = 0.1
        async with limited(asked, clock, live_tasks_per_owner=2) as api:
            api.use()
            for number in range(registrations.MOST_CALLBACKS):
                await api.register("1", callback_url=f"{HOOK}/{number}")
            for _ in range(3):
                answer = await api.client.post("/v1/tasks", json={"task_id": "1", "callback_url": HOOK})
                assert fields(answer) == ["callback_url"]
            last = await post(api, "2")

        assert last.status_code == 201
        assert asked.counts == 1

    async def test_a_count_that_cannot_be_had_refuses_and_writes_nothing(self, asked: Asked, clock: FakeClock) -> None:
        async with limited(asked, clock, live_tasks_per_owner=1) as api:
            api.use()
            asked.is_away = True
            answer = await post(api, "1")
            asked.is_away = False
            assert stored(api) == []
            again = await post(api, "1")

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert again.status_code == 201


class TestRate:
    @pytest.fixture
    async def api(self, database: Database, clock: FakeClock) -> AsyncIterator[Api]:
        async with limited(database, clock, registrations_per_minute_per_owner=6) as made:
            made.use()
            yield made

    @pytest.mark.parametrize("scope", ["write", "admin"])
    async def test_a_minutes_worth_at_once_and_then_one_by_one(self, api: Api, scope: str) -> None:
        api.use("ann", scope)
        for number in "123456":
            assert (await post(api, number)).status_code == 201

        assert refused(await post(api, "7"), RATE, 6) == 10
        api.clock.advance(9)
        assert refused(await post(api, "7"), RATE, 6) == 1
        api.clock.advance(1)
        assert (await post(api, "7")).status_code == 201
        assert refused(await post(api, "8"), RATE, 6) == 10
        assert stored(api) == [*"1234567"]

    async def test_each_task_of_a_batch_counts(self, api: Api) -> None:
        assert (await post(api, *"1234")).status_code == 200

        assert refused(await post(api, *"567"), RATE, 6) == 10
        assert (await post(api, *"56")).status_code == 200
        assert refused(await post(api, *"78"), RATE, 6) == 20
        assert stored(api) == [*"123456"]

    async def test_a_repeat_counts_too(self, api: Api) -> None:
        for _ in range(6):
            assert (await post(api, "1")).is_success

        assert (await post(api, "1")).status_code == 429

    async def test_others_have_a_minute_of_their_own(self, api: Api) -> None:
        await post(api, *"123456")

        assert (await post(api, "7", headers=api.shows("bob"))).status_code == 201

    async def test_a_batch_that_no_minute_has_room_for_is_told_so(self, api: Api) -> None:
        answer = await post(api, *"1234567")

        assert (answer.status_code, fields(answer)) == (422, ["body"])
        assert "retry-after" not in answer.headers
        told = answer.json()["errors"][0]
        assert f"has 7 registrations, and an owner may make at most 6 a minute ({RATE})" in told["problem"]
        assert told["fix"] == "send at most 6 at a time"
        assert (await post(api, *"123456")).status_code == 200

    async def test_what_could_not_be_registered_does_not_count(self, api: Api) -> None:
        for _ in range(10):
            assert (await api.client.post("/v1/tasks", json={"task_id": ""})).status_code == 422

        assert (await post(api, *"123456")).status_code == 200

    async def test_what_the_other_limit_refuses_is_not_written(self, database: Database, clock: FakeClock) -> None:
        limits = {"live_tasks_per_owner": 1, "registrations_per_minute_per_owner": 3}
        async with limited(database, clock, **limits) as api:
            api.use()
            told = [await post(api, number) for number in "1234"]

        assert [answer.status_code for answer in told] == [201, 429, 429, 429]
        assert [answer.json()["detail"].count(LIVE) for answer in told[1:]] == [1, 1, 0]
        assert RATE in told[3].json()["detail"]


class TestAllowance:
    @pytest.mark.parametrize("most", [1, 7, 59, 60, 61, 100_000])
    def test_whoever_waits_as_told_is_let_in(self, clock: FakeClock, most: int) -> None:
        allowance = Allowance(most, "calls a minute", clock.timer)
        allowance.take("ann", most)
        for count in (1, most):
            with pytest.raises(ThrottledError) as caught:
                allowance.take("ann", count)
            assert 1 <= caught.value.retry_after <= 60

            clock.advance(caught.value.retry_after)
            allowance.take("ann", count)

    def test_it_never_holds_more_than_a_minutes_worth(self, clock: FakeClock) -> None:
        allowance = Allowance(10, "calls a minute", clock.timer)
        allowance.take("ann")
        clock.advance(3600)
        allowance.take("ann", 10)

        with pytest.raises(ThrottledError):
            allowance.take("ann")


class TestOwnerBook:
    def test_idle_owners_are_forgotten_when_there_are_many(self) -> None:
        idle: list[list[int]] = []
        book: OwnerBook[list[int]] = OwnerBook(make=list, is_idle=lambda entry: entry not in idle and not entry)
        book["busy"].append(1)
        for number in range(3000):
            book[str(number)]

        assert len(book) <= 1024
        assert book["busy"] == [1]

    def test_those_who_are_not_idle_are_kept_however_many(self) -> None:
        book: OwnerBook[list[int]] = OwnerBook(make=lambda: [1], is_idle=_never)
        entries = [book[str(number)] for number in range(3000)]

        assert all(book[str(number)] is entry for number, entry in enumerate(entries))


def _never(_entry: Sequence[int]) -> bool:
    return False


def test_the_limits_of_the_settings_are_those_that_are_told() -> None:
    assert {f"limits.{name}" for name in Settings().limits.model_dump()} == {LIVE, RATE}
