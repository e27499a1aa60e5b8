"""The outbox: claims never overlap, outcomes count once, nothing is forgotten."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes import (
    HOOK,
    OWNER,
    HeldOpen,
    Thread,
    World,
    delivered,
    failed,
    moment_of,
    our_fault,
    snap,
    wait_until_blocked,
    want,
)

from tracker.model import Delivery, MessageType, Phase, Status
from tracker.store import deliveries, due, giving_back, outcomes, redelivery
from tracker.store.outcomes import Settlement


def statuses(world: World) -> list[str]:
    return world.column("SELECT status FROM delivery ORDER BY key")


class TestDue:
    def test_the_longest_due_comes_first(self, world: World) -> None:
        late, early = world.pending(want("1"), want("2"))
        world.sql("UPDATE delivery SET next_attempt_at = '2026-11-22 07:00:00.000Z' WHERE key = :key", key=early)

        assert world.due() == [early, late]
        assert world.due(limit=1) == [early]

    def test_what_is_due_later_or_settled_is_not_due(self, world: World) -> None:
        first, _, third = world.pending(want("1"), want("2"), want("3"))
        claimed = world.claim()
        world.settle(claimed[0], failed(), again_after=5)
        world.settle(claimed[1], delivered())
        world.settle(claimed[2], failed(), again_after=6)

        world.clock.advance(5)

        assert world.due() == [first]
        world.clock.advance(1)
        assert world.due() == [first, third]

    def test_endpoints_without_room_are_left_out(self, world: World) -> None:
        a, b = world.pending(want("1", url="https://a.example/"), want("2", url="https://b.example/"))

        assert world.due(without=["https://a.example:443"]) == [b]
        assert world.due(without=["https://b.example:443"]) == [a]
        assert world.due(without=["https://a.example:443", "https://b.example:443"]) == []

    def test_the_oldest_due_tells_how_long_it_waits(self, world: World) -> None:
        def oldest() -> float:
            return world.database.read_now(partial(deliveries.oldest_due_seconds, now=world.clock()))

        assert oldest() == 0
        world.pending(want())
        world.clock.advance(7)

        assert oldest() == 7
        world.claim()
        assert oldest() == 0, "one that is being sent is not late"


class TestClaiming:
    def test_a_claim_carries_all_that_an_attempt_needs(self, world: World) -> None:
        world.watched()
        world.record({world.key(): snap(Status.SUCCEEDED, finished_at=moment_of("2026-11-22 07:59:59.000Z"))})

        (claimed,) = world.claim()

        assert claimed.id.startswith("msg_")
        assert (claimed.message_type, claimed.owner, claimed.url) == (MessageType.SUCCEEDED, OWNER, HOOK)
        assert claimed.endpoint == "https://shop.example:443"
        assert (claimed.attempt, claimed.failures) == (1, 0)
        assert claimed.body == world.column("SELECT body FROM delivery")[0]
        assert claimed.created_at == world.clock()
        assert claimed.finished_at == world.clock() - timedelta(seconds=1)

    def test_a_claim_is_an_attempt_that_is_a_row_before_it_is_a_request(self, world: World) -> None:
        (key,) = world.pending(want())
        before = world.rows("SELECT * FROM delivery")

        world.claim(key, for_seconds=50)

        assert world.due() == []
        assert world.claim(key) == []
        assert moment_of(world.column("SELECT claimed_until FROM attempt")[0]) == world.clock() + timedelta(seconds=50)
        assert world.attempts() == [(1, "sending")]
        assert world.rows("SELECT * FROM delivery") == before

    def test_what_a_crash_left_open_is_interrupted_and_sent_again_under_the_same_id(self, world: World) -> None:
        world.pending(want())
        (lost,) = world.claim(for_seconds=50)
        world.clock.advance(50)

        (again,) = world.claim()

        assert (again.id, again.body) == (lost.id, lost.body)
        assert (again.attempt, again.failures) == (2, 0), "a crash of ours costs the receiver no attempt"
        assert world.attempts() == [(1, "interrupted"), (2, "sending")]

    def test_what_somebody_else_has_in_hand_hides_nothing(self, world: World) -> None:
        *taken, last = world.pending(*(want(str(number)) for number in range(9)))

        world.claim(*taken)

        assert world.due(limit=4) == [last]

    def test_what_a_crash_left_open_long_ago_is_looked_for_from_its_due_time_on(self, world: World) -> None:
        (lost,) = world.pending(want("lost"))
        due_since = world.clock()
        world.claim(lost, for_seconds=50)
        world.clock.advance(40)
        world.pending(want("next"))

        seen = world.database.read_now(partial(due.look, now=world.clock(), without=(), limit=8))

        assert (seen.oldest, len(seen.due)) == (due_since, 1)

    def test_a_claim_leaves_the_attempts_of_others_alone(self, world: World) -> None:
        first, second = world.pending(want("1"), want("2"))
        world.claim(first, for_seconds=50)
        world.claim(second, for_seconds=500)
        world.clock.advance(60)

        world.claim(first)

        assert world.attempts() == [(1, "interrupted"), (1, "sending"), (2, "sending")]

    def test_nothing_is_claimed_of_nothing(self, world: World) -> None:
        assert world.claim(4711) == []

    def test_each_gets_its_own_body_whatever_somebody_wrote_into_one(self, world: World) -> None:
        world.pending(want("1"), want("2"), want("3"))
        odd = "{\x1e\u00e9\x1e}"
        world.sql("UPDATE delivery SET body = :odd, created_at = '2026-11-22 07:00:00+00:00' WHERE key = 2", odd=odd)
        bodies = world.column("SELECT body FROM delivery ORDER BY key")

        claimed = world.claim()

        assert [one.body for one in claimed] == bodies
        assert claimed[1].created_at == datetime(2026, 11, 22, 7, tzinfo=UTC)


class TestSettling:
    def test_2xx_is_the_end_of_it(self, world: World) -> None:
        world.pending(want())
        (claimed,) = world.claim()

        assert world.settle(claimed, delivered())

        assert statuses(world) == ["delivered"]
        assert moment_of(world.column("SELECT settled_at FROM delivery")[0]) == world.clock()
        (attempt,) = world.rows("SELECT * FROM attempt")
        assert (attempt["outcome"], attempt["status_code"], attempt["duration_ms"]) == ("delivered", 200, 20)
        assert attempt["response"] == "thanks"
        assert world.history() == ["registered", "status", "delivered"]
        assert claimed.id in world.column("SELECT note FROM event ORDER BY key DESC")[0]

    def test_a_failure_is_due_again_and_says_what_broke(self, world: World) -> None:
        world.pending(want())
        (claimed,) = world.claim()

        assert world.settle(claimed, failed(None, error="timeout", phase=Phase.HEADERS), again_after=5)

        assert statuses(world) == ["pending"]
        (attempt,) = world.rows("SELECT * FROM attempt")
        assert (attempt["outcome"], attempt["error"], attempt["phase"]) == ("failed", "timeout", "headers")
        assert moment_of(attempt["next_attempt_at"]) == world.clock() + timedelta(seconds=5)
        assert world.history()[-1] == "delivery_failed"
        world.clock.advance(5)
        assert world.claim()[0].failures == 1

    def test_without_another_attempt_it_is_dead_kept_and_told(self, world: World) -> None:
        world.pending(want())

        assert world.settle(world.claim()[0], failed())

        assert statuses(world) == ["dead"]
        assert world.column("SELECT body FROM delivery")[0]
        assert world.history()[-1] == "delivery_dead"
        world.clock.advance(10**6)
        assert world.due() == []

    def test_our_own_faults_spend_no_attempts(self, world: World) -> None:
        world.pending(want())
        for _ in range(3):
            world.settle(world.claim()[0], our_fault(), again_after=30)
            world.clock.advance(30)

        (claimed,) = world.claim()

        assert (claimed.attempt, claimed.failures) == (4, 0)

    @pytest.mark.parametrize("outcome", [delivered(), failed(), our_fault()])
    def test_the_outcome_of_an_outrun_attempt_changes_nothing_of_the_delivery(
        self, world: World, outcome: object
    ) -> None:
        world.pending(want())
        (outrun,) = world.claim(for_seconds=50)
        world.clock.advance(50)
        world.claim()
        before = world.rows("SELECT status, attempt, failures, next_attempt_at FROM delivery")

        assert not world.settle(outrun, outcome, again_after=1)  # type: ignore[arg-type]

        assert world.rows("SELECT status, attempt, failures, next_attempt_at FROM delivery") == before
        assert world.history() == ["registered", "status"]
        assert world.attempts()[1] == (2, "sending")

    def test_an_outcome_that_is_written_twice_counts_once(self, world: World) -> None:
        """The connection broke while it was committed: nobody knows, so it is written again."""
        world.pending(want())
        (claimed,) = world.claim()

        assert world.settle(claimed, delivered())
        assert not world.settle(claimed, delivered())

        assert world.history() == ["registered", "status", "delivered"]
        assert world.attempts() == [(1, "delivered")]

    def test_a_failure_that_is_written_twice_counts_once(self, world: World) -> None:
        world.pending(want())
        (claimed,) = world.claim()

        assert world.settle(claimed, failed(), again_after=5)
        assert not world.settle(claimed, failed(), again_after=9)

        assert world.column("SELECT failures FROM delivery") == [1]
        assert world.history() == ["registered", "status", "delivery_failed"]

    def test_one_superseded_while_it_was_out_stays_superseded_but_its_attempt_is_told(self, world: World) -> None:
        key = world.watched(want(events=("progress", "ended")))
        world.record({key: snap(progress=5)})
        (progress,) = world.claim()
        world.end()

        assert not world.settle(progress, delivered())

        assert world.messages() == [("task.progress", "superseded"), ("task.succeeded", "pending")]
        assert world.attempts() == [(1, "delivered")]

    def test_one_whose_callback_went_while_it_was_out_can_be_sent_again(self, world: World) -> None:
        """Its last attempt came to its end without it, and counts all the same."""
        key = world.watched(want(events=("progress", "ended")))
        world.record({key: snap(progress=5)})
        (progress,) = world.claim()
        world.end()
        (end,) = world.claim()
        world.settle(progress, failed(410))
        world.settle(end, delivered())
        world.sql("UPDATE callback SET gone_at = NULL")
        assert world.messages()[1] == ("task.succeeded", "dead")

        world.write(partial(redelivery.redeliver, id_=end.id, owner=OWNER, now=world.clock()))

        assert [(again.id, again.attempt) for again in world.claim()] == [(end.id, 2)]

    def test_the_line_in_the_history_follows_what_the_poller_wrote_meanwhile(self, world: World) -> None:
        key = world.watched(want(events=("progress", "ended")))
        world.record({key: snap(progress=5)})
        (claimed,) = world.claim()
        world.record({key: snap(progress=50)})

        world.settle(claimed, delivered())
        world.end()

        assert world.sequences() == [1, 2, 3, 4, 5]
        assert world.history() == ["registered", "status", "progress", "delivered", "status"]


class TestGone:
    def test_410_ends_the_callback_and_what_waits_for_it(self, world: World) -> None:
        key = world.watched(want(events=("progress", "ended")), want(url="https://b.example/"))
        world.record({key: snap(progress=5)})
        (first,) = world.claim()
        world.record({key: snap(progress=50)})

        assert world.settle(first, failed(410))

        assert world.messages() == [("task.progress", "dead"), ("task.progress", "dead")]
        assert world.end().deliveries == 1, "the other callback"

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_what_failed_in_the_same_batch_as_the_410_has_no_next_attempt(
        self, world: World, order: tuple[int, int]
    ) -> None:
        key = world.watched(want(events=("progress", "ended")))
        world.record({key: snap(progress=5)})
        (progress,) = world.claim()
        world.end()
        (end,) = world.claim()
        now = world.clock()
        batch = [
            Settlement(delivery=progress, outcome=failed(410), now=now, next_attempt_at=None),
            Settlement(delivery=end, outcome=failed(503), now=now, next_attempt_at=now + timedelta(seconds=5)),
        ]

        said = world.write(partial(outcomes.settle, settlements=[batch[place] for place in order]))

        assert [said[order.index(place)] for place in (0, 1)] == [None, "dead"], "the first was superseded by the end"
        assert world.messages() == [("task.progress", "superseded"), ("task.succeeded", "dead")]
        assert world.column("SELECT next_attempt_at FROM attempt ORDER BY key") == [None, None]
        assert world.column("SELECT failures FROM delivery ORDER BY key") == [0, 1]
        assert world.history()[-1] == "delivery_dead"

    def test_410_of_one_callback_leaves_others_of_the_endpoint_alone(self, world: World) -> None:
        first, second = world.pending(want("1"), want("2"))

        world.settle(world.claim(first)[0], failed(410))

        assert statuses(world) == ["dead", "pending"]
        assert world.due() == [second]


Release = Callable[..., None]


def give_back(world: World, *claimed: Delivery) -> None:
    world.write(partial(giving_back.give_back, unsent=claimed))


def interrupt(world: World, *claimed: Delivery) -> None:
    world.write(partial(giving_back.interrupt, begun=claimed, now=world.clock()))


class TestGivingBack:
    def test_what_was_never_sent_is_due_as_before_and_is_no_attempt(self, world: World) -> None:
        world.pending(want("1"), want("2"))
        before = world.column("SELECT next_attempt_at FROM delivery ORDER BY key")

        give_back(world, *world.claim(for_seconds=50))

        assert len(world.due()) == 2
        assert world.attempts() == []
        assert world.column("SELECT next_attempt_at FROM delivery ORDER BY key") == before
        assert [(claimed.attempt, claimed.failures) for claimed in world.claim()] == [(1, 0), (1, 0)]

    def test_what_others_claimed_meanwhile_stays_theirs(self, world: World) -> None:
        world.pending(want("1"), want("2"))
        first, second = world.claim(for_seconds=50)

        give_back(world, first)

        assert world.due() == [first.key]
        assert world.attempts() == [(1, "sending")]
        assert not world.claim(second.key)

    def test_what_has_been_sent_since_under_the_same_number_stays_written(self, world: World) -> None:
        world.pending(want())
        (first,) = world.claim(for_seconds=50)
        give_back(world, first)
        (second,) = world.claim(for_seconds=50)
        world.settle(second, delivered())

        give_back(world, first)

        assert (first.attempt, second.attempt) == (1, 1)
        assert world.attempts() == [(1, "delivered")]

    def test_what_was_cut_off_is_due_at_once_and_costs_nothing(self, world: World) -> None:
        world.pending(want("1"), want("2"))

        interrupt(world, *world.claim(for_seconds=50))

        assert len(world.due()) == 2
        again = world.claim()
        assert [(claimed.attempt, claimed.failures) for claimed in again] == [(2, 0), (2, 0)]
        assert world.attempts() == [(1, "interrupted"), (1, "interrupted"), (2, "sending"), (2, "sending")]

    @pytest.mark.parametrize("release", [give_back, interrupt])
    def test_an_outcome_that_was_written_is_not_taken_back(self, world: World, release: Release) -> None:
        """Stopped between the commit and its answer: the receiver has it, and the log says so."""
        world.pending(want())
        (claimed,) = world.claim()
        world.settle(claimed, delivered())

        release(world, claimed)

        assert statuses(world) == ["delivered"]
        assert world.attempts() == [(1, "delivered")]

    @pytest.mark.parametrize("release", [give_back, interrupt])
    def test_a_failure_that_was_written_keeps_its_wait(self, world: World, release: Release) -> None:
        world.pending(want())
        (claimed,) = world.claim()
        world.settle(claimed, failed(), again_after=300)

        release(world, claimed)

        assert world.due() == []
        assert world.attempts() == [(1, "failed")]

    @pytest.mark.parametrize("release", [give_back, interrupt])
    def test_one_that_has_gone_on_is_not_taken_back(self, world: World, release: Release) -> None:
        world.pending(want())
        (outrun,) = world.claim(for_seconds=50)
        world.clock.advance(50)
        world.claim(for_seconds=50)

        release(world, outrun)

        assert world.due() == []
        assert world.attempts() == [(1, "interrupted"), (2, "sending")]


class TestSeveralCouriers:
    """On Postgres."""

    def test_claims_never_overlap(self, worlds: list[World]) -> None:
        worlds[0].pending(*(want(str(number)) for number in range(100)))

        def claim_all(world: World) -> list[str]:
            taken: list[str] = []
            while due := world.due(limit=9):
                taken += [claimed.id for claimed in world.claim(*due)]
            return taken

        threads = [Thread(partial(claim_all, world)) for world in worlds]
        taken = [id_ for thread in threads for id_ in thread.result()]

        assert len(taken) == len(set(taken)) == 100
        assert set(worlds[0].attempts()) == {(1, "sending")}

    def test_what_another_is_claiming_just_now_is_skipped_without_waiting(self, worlds: list[World]) -> None:
        first, second, _ = worlds
        keys = first.pending(want("1"), want("2"))
        until = first.clock() + timedelta(seconds=50)
        held = HeldOpen(first.database, partial(deliveries.claim, keys=keys[:1], now=first.clock(), until=until))

        (claimed,) = second.claim(*keys)

        assert claimed.key == keys[1]
        assert [found.key for found in held.commit()] == keys[:1]

    def test_an_outcome_and_the_end_of_the_task_at_the_same_moment_do_not_lock_each_other_out(
        self, worlds: list[World]
    ) -> None:
        """Both need the task and its message: they have to take them in the same order."""
        poller, courier, other = worlds
        key = poller.watched(want(events=("progress", "ended")))
        poller.record({key: snap(progress=5)})
        (claimed,) = courier.claim()

        def take_the_task_first(connection: object) -> None:
            poller.recording({key: snap(Status.SUCCEEDED)})(connection)  # type: ignore[arg-type]

        def settle_half(connection):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            settlement = Settlement(delivery=claimed, outcome=delivered(), now=courier.clock(), next_attempt_at=None)
            return outcomes.settle(connection, [settlement])[0]

        locked = HeldOpen(poller.database, lambda c: c.exec_driver_sql("SELECT key FROM task FOR UPDATE").all())
        settling = Thread(lambda: courier.database.write_now(settle_half))
        wait_until_blocked(other.database)
        holds = other.column("SELECT count(*) FROM (SELECT key FROM delivery FOR UPDATE SKIP LOCKED) AS free")
        locked.commit()

        assert settling.result()
        assert holds == [1], "an outcome that waits for the task holds no message"
        poller.write(take_the_task_first)

    def test_an_outrun_outcome_and_the_next_claim_do_not_lock_each_other_out(self, worlds: list[World]) -> None:
        first, second, other = worlds
        first.pending(want())
        (outrun,) = first.claim(for_seconds=50)
        first.clock.advance(50)
        until = first.clock() + timedelta(seconds=50)
        claiming = HeldOpen(
            second.database, partial(deliveries.claim, keys=[outrun.key], now=second.clock(), until=until)
        )

        settling = Thread(lambda: first.settle(outrun, delivered()))
        wait_until_blocked(other.database)
        free = other.column(
            "SELECT count(*) FROM (SELECT key FROM attempt WHERE attempt = 1 FOR UPDATE SKIP LOCKED) AS a"
        )
        claiming.commit()

        assert settling.result() is False
        assert free == [0], "the claim has closed it"

    def test_outcomes_and_ends_by_different_daemons_at_the_same_moment(self, worlds: list[World]) -> None:
        poller, courier, _ = worlds
        names = [str(number) for number in range(60)]
        poller.watched(*(want(name, events=("progress", "ended")) for name in names))
        keys = [poller.key(name) for name in names]
        poller.record(dict.fromkeys(keys, snap(progress=5)))
        claimed = courier.claim(*courier.due(limit=60))

        def settle() -> int:
            return sum(courier.settle(each, delivered()) for each in claimed)

        def end() -> None:
            for key in reversed(keys):
                poller.record({key: snap(Status.SUCCEEDED)})

        settling, ending = Thread(settle), Thread(end)
        ending.result()

        assert (
            settling.result()
            == poller.column(
                "SELECT count(*) FROM delivery WHERE message_type = 'task.progress' AND status = 'delivered'"
            )[0]
        )
        gaps = poller.rows(
            """SELECT task_key FROM event GROUP BY task_key
               HAVING count(*) <> max(sequence) OR count(DISTINCT sequence) <> count(*)"""
        )
        assert gaps == []
