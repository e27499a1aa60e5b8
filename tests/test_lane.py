"""One upstream's lane: looks when it should, and tells every end once."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from fakes import UPSTREAM, FlakyDatabase, miss, snap, statements, want, writes
from lanes import HOUR, Watch, slow

from tracker.model import MissKind, Status
from tracker.providers.protocol import Look
from tracker.store.watching import Adopted

pytestmark = pytest.mark.anyio


class TestPace:
    async def test_a_new_task_is_looked_at_at_once_and_then_at_its_pace(self, watch: Watch) -> None:
        await watch.start("1")

        assert await watch.lane.run_once() == 1
        assert await watch.look_after(4.9) == 0
        assert await watch.look_after(0.2) == 1
        assert watch.provider.asked == [("1",), ("1",)]

    async def test_a_quiet_task_is_looked_at_less_and_less_and_news_bring_the_pace_back(self, watch: Watch) -> None:
        await watch.start("1")
        await watch.lane.run_once()
        assert watch.due_in() == 5
        assert await watch.look_after(600) == 1
        waits = []
        for _ in range(30):
            await watch.lane.run_once()
            waits.append(watch.due_in() or 0)
            watch.world.clock.advance(waits[-1])

        assert waits == sorted(waits)
        assert (waits[0], waits[-1]) == (5, 60) or waits[-1] > 30

        watch.provider.answers["1"] = snap(progress=50)
        await watch.lane.run_once()
        assert watch.due_in() == 5

    async def test_tasks_that_came_at_different_times_meet_in_the_same_requests(self, watch: Watch) -> None:
        """Each at its own moment would be 50 requests in every interval."""
        await watch.start()
        for number in range(50):
            await watch.world.database.write(watch.world.registering(want(str(number))))
            await watch.adoption.run_once()
            await watch.look_after(0.1)
        watch.provider.asked.clear()

        for _ in range(100):
            await watch.look_after(0.1)

        assert len(watch.provider.asked) <= 2 * 5 + 1
        assert 90 <= sum(len(ids) for ids in watch.provider.asked) <= 110

    async def test_tasks_that_are_found_after_a_start_meet_in_the_same_requests_from_the_first_look_on(
        self, watch: Watch
    ) -> None:
        watch = Watch(watch.world, watch.provider, dice=Random(1).random)  # noqa: S311 - no secret
        for key in range(500):
            found = Adopted(
                key=key, upstream=UPSTREAM, task_id=str(key), registered_at=watch.world.clock(), has_ended=False
            )
            watch.lane.watch(found, is_new=False)

        looked_at = [await watch.look_after(0.1) for _ in range(55)]

        assert sum(looked_at) >= 500
        assert len(watch.provider.asked) <= 2 * 5 + 2

    async def test_who_was_looked_at_together_stays_together_however_long_all_are_silent(self, watch: Watch) -> None:
        watch = Watch(watch.world, watch.provider, dice=Random(1).random)  # noqa: S311 - no secret
        names = [str(number) for number in range(200)]
        await watch.start(*names)
        for _ in range(20):
            await watch.look_after(61)
        watch.provider.asked.clear()

        looked_at = [await watch.look_after(0.5) for _ in range(140)]

        assert sum(looked_at) >= len(names)
        assert len(watch.provider.asked) <= 2 * len(names) / watch.provider.look_size

    async def test_a_task_that_somebody_asks_for_while_its_end_is_written_is_looked_at_again(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have been revived meanwhile, and then nobody else would ever look at it."""
        await watch.start("1")
        (watched,) = watch.lane.schedule
        asked_for = Adopted(
            key=watched.key, upstream=UPSTREAM, task_id="1", registered_at=watch.world.clock(), has_ended=False
        )
        look = watch.provider.look

        async def and_hear(*asked: Any) -> Look:  # noqa: ANN401 - what the provider takes
            monkeypatch.undo()
            watch.lane.hear(asked_for)
            return await look(*asked)

        watch.provider.answers["1"] = snap(Status.SUCCEEDED, progress=100)
        monkeypatch.setattr(watch.provider, "look", and_hear)

        assert await watch.lane.run_once() == 2

    async def test_a_date_at_the_end_of_all_time_stops_nobody(self, watch: Watch) -> None:
        late = datetime.max.replace(tzinfo=UTC)
        watch.lane.watch(
            Adopted(key=1, upstream=UPSTREAM, task_id="1", registered_at=late, has_ended=False), is_new=True
        )

        assert len(watch.lane.schedule) == 1

    async def test_tasks_share_requests_as_large_as_the_provider_likes(self, watch: Watch) -> None:
        watch.provider.look_size = 2
        await watch.start(*"abcde")

        assert await watch.lane.run_once() == 5
        assert sorted(len(ids) for ids in watch.provider.asked) == [1, 2, 2]

    async def test_only_so_many_requests_are_sent_in_a_second(self, watch: Watch) -> None:
        watch = slow(watch, max_requests_per_second=2)
        watch.provider.look_size = 1
        await watch.start(*"abcde")

        assert [await watch.lane.run_once()] + [await watch.look_after(0.25) for _ in range(8)] == [
            *(1, 0, 1, 0, 1, 0, 1, 0, 1)
        ]

    async def test_a_look_that_takes_several_requests_counts_as_many(self, watch: Watch) -> None:
        watch = slow(watch, max_requests_per_second=2)
        watch.provider.look_size = 2
        watch.provider.requests = 3
        await watch.start(*"abcd")

        assert await watch.lane.run_once() == 2
        assert await watch.look_after(1.4) == 0
        assert await watch.look_after(0.2) == 2

    async def test_unchanged_looks_cost_no_query_at_all(self, watch: Watch) -> None:
        await watch.start("1", "2")
        await watch.lane.run_once()

        with statements() as sent:
            for wait in (6, 7, 8, 9, 10):
                assert await watch.look_after(wait) == 2

        assert sent == []

    async def test_an_answer_that_comes_again_is_known_until_its_deadline_comes_near(self, watch: Watch) -> None:
        """A deadline may pass while a look is out, and then what is seen has to be judged."""
        watch = slow(watch, expire_after=HOUR)
        await watch.start("1", "2")
        watch.provider.script.append(Look(seen={"1": snap(), "2": snap(progress=7)}, digests={"1": 11, "2": 22}))
        watch.provider.script.extend([Look(seen={}, unchanged={"1", "2"})] * 2)
        await watch.lane.run_once()

        with statements() as sent:
            assert await watch.look_after(1800) == 2
            assert await watch.look_after(1800 - 31) == 2
        assert not any(" task" in statement for statement in sent), "only that the upstream answers"
        await watch.look_after(61)

        assert watch.provider.known == [{}, {11: "1", 22: "2"}, {11: "1", 22: "2"}, {}]
        assert watch.world.messages("1") == [("task.expired", "pending")]

    async def test_unchanged_looks_are_counted_and_keep_the_pace_of_a_task_without_news(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(Look(seen={"1": snap()}, digests={"1": 11}))
        watch.provider.script.append(Look(seen={}, unchanged={"1"}))
        await watch.lane.run_once()

        await watch.look_after(3600)

        assert (watch.due_in() or 0) > 5
        assert b'tracker_polls_total{upstream="default"} 2.0' in watch.metrics.exposition()[0]

    async def test_an_unchanged_look_ends_a_row_of_misses(self, watch: Watch) -> None:
        await watch.start("1")
        missing = Look(seen={"1": miss(MissKind.UNKNOWN)})
        watch.provider.script.append(Look(seen={"1": snap()}, digests={"1": 11}))
        for _ in range(3):
            watch.provider.script.extend([*[missing] * 4, Look(seen={}, unchanged={"1"})])

        while watch.provider.script:
            await watch.look_after(300)

        assert watch.world.messages() == []
        assert watch.provider.known[-1] == {11: "1"}, "a miss says nothing against what was known"

    async def test_what_could_not_be_written_is_not_known(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(Look(seen={"1": snap(progress=5)}, digests={"1": 11}))
        assert isinstance(watch.world.database, FlakyDatabase)
        watch.world.database.away = 1

        await watch.lane.run_once()
        watch.provider.answers["1"] = snap(progress=5)
        await watch.look_after(60)

        assert watch.provider.known == [{}, {}]
        assert watch.world.column("SELECT progress FROM task") == [5]

    async def test_what_has_to_be_counted_is_forgotten_as_known(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(Look(seen={"1": snap(progress=5)}, digests={"1": 11}))
        watch.provider.answers["1"] = snap(progress=100, fail_reason="banned", implies_failure=True)

        for _ in range(3):
            await watch.look_after(61)

        assert watch.provider.known == [{}, {11: "1"}, {}]

    async def test_addresses_of_images_are_no_news(self, watch: Watch) -> None:
        await watch.start("1")
        for number in range(3):
            watch.provider.answers["1"] = snap(progress=5, image_url=f"https://cdn.example/{number}.png")
            with statements() as sent:
                assert await watch.look_after(9) == 1

        assert writes(sent) == []
