"""Progress and questions: the newest only, one at a time, never after the end."""

from datetime import timedelta
from functools import partial

import pytest
from clocks import FakeClock
from fakes import World, delivered, failed, moment_of, our_fault, snap, statements, want, writes

from tracker.model import Delivery, Status
from tracker.observe import drop
from tracker.store import endpoints, giving_back, messages, redelivery
from tracker.store.database import Database
from tracker.store.redelivery import Matching

EVERYTHING = ("ended", "progress", "needs_input")
NEEDS_INPUT = snap(Status.NEEDS_INPUT)
OTHER = "https://other.example/"


class Going(World):
    """A world with a task that goes on, told step by step."""

    def tell(self, *steps: int, task_id: str = "1") -> None:
        """Progress, at this moment."""
        for progress in steps:
            self.record({self.key(task_id): snap(progress=progress)})

    def ask(self, *steps: int) -> None:
        """The task needs input, and goes on needing it."""
        for seen in NEEDS_INPUT, *(snap(Status.NEEDS_INPUT, progress) for progress in steps):
            self.record({self.key(): seen})

    def send(self) -> Delivery:
        """Claim the one message that is due."""
        (claimed,) = self.claim()
        return claimed

    def statuses(self, task_id: str = "1") -> list[str]:
        return [status for _, status in self.messages(task_id)]

    def waits(self) -> list[float]:
        """In how many seconds each pending message is due, oldest first."""
        due = self.column("SELECT next_attempt_at FROM delivery WHERE status = 'pending' ORDER BY key")
        return [(moment_of(value) - self.clock()).total_seconds() for value in due]

    def again(self, id_: str) -> None:
        self.write(partial(redelivery.redeliver, id_=id_, owner=None, now=self.clock()))

    def all_again(self, **matching: object) -> int:
        work = partial(redelivery.redeliver_matching, matching=Matching(**matching), owner=None, now=self.clock())  # type: ignore[arg-type]
        return self.write(work).redelivered

    def endpoint(self) -> int:
        return int(self.column("SELECT key FROM endpoint")[0])


@pytest.fixture
def world(database: Database, clock: FakeClock) -> Going:
    world = Going(database, clock)
    world.watched(want(events=EVERYTHING))
    return world


class TestSuperseding:
    def test_of_what_waits_only_the_newest_is_kept(self, world: Going) -> None:
        world.tell(10, 20, 30)

        assert world.messages() == [
            ("task.progress", "superseded"),
            ("task.progress", "superseded"),
            ("task.progress", "pending"),
        ]
        settled = world.column("SELECT settled_at FROM delivery WHERE status = 'superseded'")
        assert [moment_of(at) for at in settled] == [world.clock()] * 2

    def test_one_that_waits_for_its_next_attempt_is_superseded(self, world: Going) -> None:
        world.tell(10)
        world.settle(world.send(), failed(), again_after=5)

        world.tell(20)

        assert world.statuses() == ["superseded", "pending"]

    def test_other_tasks_and_other_callbacks_are_left_alone(self, world: Going) -> None:
        world.watched(want("2", events=EVERYTHING), want("1", url=OTHER, events=("progress",)))
        world.tell(10)
        world.tell(10, task_id="2")
        world.sql("UPDATE callback SET events = 'ended' WHERE url = :url", url=OTHER)

        world.tell(20)

        told = world.rows(
            """SELECT c.url, d.status FROM delivery d JOIN callback c ON c.key = d.callback_key
               JOIN task t ON t.key = d.task_key WHERE t.task_id = '1' ORDER BY c.key, d.sequence"""
        )
        assert [row["status"] for row in told if row["url"] == OTHER] == ["pending"], "it is told no newer one"
        assert [row["status"] for row in told if row["url"] != OTHER] == ["superseded", "pending"]
        assert world.statuses("2") == ["pending"]

    def test_the_one_that_is_out_finishes(self, world: Going) -> None:
        world.tell(10)
        out = world.send()

        world.tell(20, 30)

        assert world.statuses() == ["pending", "superseded", "pending"]
        assert world.settle(out, delivered())
        assert world.statuses() == ["delivered", "superseded", "pending"]

    @pytest.mark.parametrize("outcome", [failed(), our_fault()])
    def test_the_one_that_was_out_is_not_tried_again_once_there_is_a_newer_one(
        self, world: Going, outcome: object
    ) -> None:
        world.tell(10)
        out = world.send()
        world.tell(20)

        assert world.settle(out, outcome, again_after=5)  # type: ignore[arg-type]

        assert world.statuses() == ["superseded", "pending"]
        assert world.attempts() == [(1, "failed")]
        assert world.column("SELECT next_attempt_at FROM attempt") == [None]
        assert world.history()[-1] == "delivery_failed"

    def test_without_a_newer_one_it_is_tried_again(self, world: Going) -> None:
        world.tell(10)

        world.settle(world.send(), failed(), again_after=5)

        assert world.statuses() == ["pending"]
        assert world.waits() == [5]

    def test_410_is_still_the_end_of_the_callback(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.tell(20)

        world.settle(out, failed(410))

        assert world.statuses() == ["dead", "dead"]

    def test_what_a_crash_left_out_is_superseded_when_its_claim_has_run_out(self, world: Going) -> None:
        world.tell(10)
        world.claim(for_seconds=50)
        world.clock.advance(50)

        world.tell(20)

        assert world.statuses() == ["superseded", "pending"]
        assert world.send().attempt == 1

    def test_a_receiver_that_was_away_gets_one_message_of_each_callback(self, world: Going) -> None:
        world.watched(want("2", events=EVERYTHING))
        world.tell(1)
        world.write(partial(endpoints.disable, key=world.endpoint(), reason="by hand", now=world.clock()))
        for progress in range(2, 100):
            world.clock.advance(5)
            world.tell(progress)
            world.tell(progress, task_id="2")
        assert world.due() == []

        world.write(partial(endpoints.enable, key=world.endpoint(), now=world.clock()))

        claimed = world.claim()
        assert ['"progress":99' in each.body for each in claimed] == [True, True]
        assert world.column("SELECT count(*) FROM delivery WHERE status = 'pending'") == [2]

    def test_five_hundred_tasks_take_as_many_statements_as_one(self, world: Going) -> None:
        names = [str(number) for number in range(2, 502)]
        world.watched(*(want(name, events=EVERYTHING) for name in names))
        keys = world.column("SELECT key FROM task")

        def steps(some: list[int], progress: int) -> int:
            world.record(dict.fromkeys(some, snap(progress=progress)))
            world.clock.advance(5)
            with statements() as sent:
                world.record(dict.fromkeys(some, snap(progress=progress + 1)))
            return len(sent)

        assert steps(keys, 10) == steps(keys[:1], 20)
        assert world.column("SELECT count(*) FROM delivery WHERE status = 'pending'") == [501]

    def test_it_costs_nothing_where_nobody_wants_to_be_told(self, world: Going) -> None:
        world.sql("UPDATE callback SET events = 'ended'")

        with statements() as sent:
            world.tell(10)

        assert not [statement for statement in sent if "delivery" in statement]


class TestQuestions:
    def test_progress_does_not_supersede_a_question_while_it_stands(self, world: Going) -> None:
        world.ask(40)

        assert world.messages() == [("task.needs_input", "pending"), ("task.progress", "pending")]
        assert world.send().message_type == "task.needs_input"
        assert world.due() == [], "the progress after it"

    def test_a_question_supersedes_progress(self, world: Going) -> None:
        world.tell(10)
        world.ask()

        assert world.messages() == [("task.progress", "superseded"), ("task.needs_input", "pending")]

    def test_a_newer_question_supersedes_the_older_one(self, world: Going) -> None:
        world.sql("UPDATE callback SET events = 'needs_input'")
        world.ask()
        out = world.send()
        world.tell(40)
        world.ask()

        world.settle(out, failed(), again_after=5)

        assert world.messages() == [("task.needs_input", "superseded"), ("task.needs_input", "pending")]

    @pytest.mark.parametrize("events", ["needs_input", "needs_input,progress", "ended,needs_input"])
    def test_once_it_is_answered_it_is_superseded(self, world: Going, events: str) -> None:
        """Also where nobody is told that the task goes on: whoever read it now would look for a question in vain."""
        world.sql("UPDATE callback SET events = :events", events=events)
        world.ask()

        world.tell(40)

        assert world.messages()[0] == ("task.needs_input", "superseded")

    def test_one_that_was_out_when_it_was_answered_is_not_tried_again(self, world: Going) -> None:
        world.sql("UPDATE callback SET events = 'needs_input'")
        world.ask()
        out = world.send()
        world.tell(40)
        assert world.statuses() == ["pending"]

        world.settle(out, failed(), again_after=5)

        assert world.statuses() == ["superseded"]

    def test_one_that_failed_is_tried_again_through_any_progress(self, world: Going) -> None:
        world.ask()
        out = world.send()
        world.ask(40, 50)

        world.settle(out, failed(), again_after=5)

        assert world.statuses() == ["pending", "superseded", "pending"]
        assert world.due() == [], "in order: the question first"
        world.clock.advance(5)
        assert world.send().id == out.id


class TestTurns:
    def test_a_callback_is_told_one_at_a_time(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.tell(20)
        (_, waiting) = world.column("SELECT key FROM delivery ORDER BY key")
        world.clock.advance(3)

        with statements() as sent:
            assert world.due() == []
            assert world.claim(waiting) == []
        assert writes([statement for statement in sent if "RETURNING" not in statement]) == []
        assert world.attempts() == [(1, "sending")]

        world.settle(out, delivered())
        assert world.send().key == waiting

    def test_other_callbacks_of_the_task_do_not_wait_for_it(self, world: Going) -> None:
        world.watched(want(url=OTHER, events=("progress",)))
        world.tell(10)
        (first, _) = world.claim()
        world.settle(first, delivered())
        world.clock.advance(1)
        world.tell(20)

        (claimed,) = world.claim()

        assert claimed.callback_key == first.callback_key

    def test_attempts_start_half_a_second_apart(self, world: Going) -> None:
        world.tell(10)
        world.settle(world.send(), delivered())
        world.clock.advance(0.2)
        world.tell(20)

        assert world.waits() == [0.3]
        (_, waiting) = world.column("SELECT key FROM delivery ORDER BY key")
        world.sql("UPDATE delivery SET next_attempt_at = created_at WHERE key = :key", key=waiting)
        assert world.due() == []
        assert world.claim(waiting) == [], "whatever its due time says"
        world.clock.advance(0.3)
        assert world.due() == [waiting]
        assert world.send().key == waiting

    def test_the_first_wait_of_the_schedule_counts_too(self, world: Going) -> None:
        world.compose.first_wait = timedelta(seconds=3)
        world.tell(10)

        assert world.waits() == [3]

    def test_what_a_crash_left_out_blocks_nobody_when_its_claim_has_run_out(self, world: Going) -> None:
        world.tell(10)
        lost = world.send()
        world.tell(20)
        world.clock.advance(50)

        again = world.send()
        world.settle(again, failed(), again_after=1)

        assert (again.id, again.attempt) == (lost.id, 2), "it may not have arrived, and goes first"
        assert world.statuses() == ["superseded", "pending"]
        world.clock.advance(1)
        assert '"progress":20' in world.send().body

    def test_a_clock_that_was_set_back_blocks_nobody(self, world: Going) -> None:
        world.tell(10)
        world.settle(world.send(), delivered())
        world.clock.advance(-3600)

        world.tell(20)

        assert world.waits() == [0]
        assert '"progress":20' in world.send().body

    def test_one_that_began_after_we_had_looked_at_the_clock_was_sent_just_now_too(self, world: Going) -> None:
        """Between that look and our claim somebody else was faster."""
        world.tell(10)
        world.clock.advance(0.3)
        world.settle(world.send(), delivered())
        world.clock.advance(-0.3)

        world.tell(20)

        assert world.waits() == [0.8]
        (_, waiting) = world.column("SELECT key FROM delivery ORDER BY key")
        world.sql("UPDATE delivery SET next_attempt_at = created_at WHERE key = :key", key=waiting)
        assert world.claim(waiting) == [], "whatever its due time says"

    def test_of_two_that_may_go_at_once_only_the_older_is_claimed(self, world: Going) -> None:
        world.ask(40)
        keys = world.column("SELECT key FROM delivery ORDER BY key")

        assert [claimed.key for claimed in world.claim(*keys)] == keys[:1]

    def test_ends_never_wait(self, world: Going) -> None:
        world.tell(10)
        out = world.send()

        world.end()

        assert world.waits() == [0]
        assert world.send().message_type == "task.succeeded"
        assert not world.settle(out, failed(), again_after=1)

    def test_hundreds_that_wait_for_their_turn_hold_up_no_end(self, world: Going) -> None:
        """They are not even looked at, or they would fill the few places that a look has."""
        names = [str(number) for number in range(2, 202)]
        world.watched(*(want(name, events=EVERYTHING) for name in names))
        keys = [world.key(name) for name in names]
        world.record(dict.fromkeys(keys, snap(progress=10)))
        world.claim(*world.due(limit=200))
        world.clock.advance(1)
        world.record(dict.fromkeys(keys, snap(progress=20)))
        world.clock.advance(1)
        world.end()

        (only,) = world.due(limit=5)

        assert world.column("SELECT message_type FROM delivery WHERE key = :key", key=only) == ["task.succeeded"]

    def test_a_probe_takes_one_whose_turn_it_is(self, world: Going) -> None:
        """Otherwise the probe would be won and not made."""
        world.tell(10)
        world.send()
        world.tell(20)
        world.watched(want("2"))
        world.end("2")
        paused = "UPDATE endpoint SET state = 'paused', paused_until = created_at"
        world.sql(paused)
        now = world.clock()

        probe = world.write(
            partial(endpoints.take_probe, key=world.endpoint(), now=now, until=now + timedelta(seconds=50))
        )

        (claimed,) = world.claim(probe or 0)
        assert claimed.message_type == "task.succeeded"

    def test_what_was_interrupted_waits_half_a_second_too(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.write(partial(giving_back.interrupt, begun=[out], now=world.clock()))

        assert world.due() == []
        world.clock.advance(0.5)
        assert world.send().attempt == 2


class TestTelling:
    """What people who ask where a message is are told besides its status."""

    def lines(self, world: Going) -> list[messages.DeliveryLine]:
        return world.database.read_now(partial(messages.of_task, task_key=world.key(), owner=None))

    def test_what_one_waits_for(self, world: Going) -> None:
        world.ask(40)
        question, progress = self.lines(world)

        assert (question.waits_for, progress.waits_for) == (None, question.id)
        world.end()
        assert [line.waits_for for line in self.lines(world)] == [None] * 3

    def test_by_what_one_was_superseded(self, world: Going) -> None:
        world.tell(10)
        for step in (), (40,):
            world.clock.advance(1)
            world.ask(*step)
        world.clock.advance(1)
        world.end()

        assert [line.superseded_by for line in self.lines(world)] == [
            "task.needs_input",
            "task.succeeded",
            "task.succeeded",
            None,
        ]

    def test_by_nothing_where_its_callback_was_told_nothing_newer(self, world: Going) -> None:
        world.sql("UPDATE callback SET events = 'needs_input,ended'")
        world.ask()
        world.tell(50)
        world.clock.advance(1)
        world.end()

        assert [line.superseded_by for line in self.lines(world)] == [None, None]


class TestAgain:
    def told(self, world: Going, *, outcome: object = None) -> Delivery:
        """A progress message of a task that has ended since."""
        world.tell(10)
        told = world.send()
        world.settle(told, outcome or delivered())  # type: ignore[arg-type]
        world.end()
        world.settle(world.send(), delivered())
        world.clock.advance(60)
        return told

    @pytest.mark.parametrize("outcome", [delivered(), failed()])
    def test_progress_of_an_ended_task_can_be_sent_again_by_hand(self, world: Going, outcome: object) -> None:
        told = self.told(world, outcome=outcome)

        world.again(told.id)
        again = world.send()

        assert (again.id, again.body, again.attempt, again.failures) == (told.id, told.body, 2, 0)
        assert world.settle(again, delivered())
        assert world.statuses() == ["delivered", "delivered"]

    def test_sent_again_it_has_its_three_attempts(self, world: Going) -> None:
        told = self.told(world)
        world.again(told.id)

        world.settle(world.send(), failed(), again_after=1)
        assert world.statuses() == ["pending", "delivered"]
        world.clock.advance(1)
        world.settle(world.send(), failed())

        assert world.statuses() == ["dead", "delivered"]

    def test_what_is_sent_again_goes_one_at_a_time_too(self, world: Going) -> None:
        sent = []
        for progress in (10, 20, 30):
            world.tell(progress)
            sent.append(world.send())
            world.settle(sent[-1], delivered())
            world.clock.advance(1)
        for told in reversed(sent):
            world.again(told.id)

        order = []
        for _ in sent:
            claimed = world.send()
            order.append(claimed.id)
            world.settle(claimed, delivered())
            world.clock.advance(0.5)

        assert order == [told.id for told in sent]

    def test_what_is_sent_again_waits_for_a_newer_one_that_is_out(self, world: Going) -> None:
        world.tell(10)
        told = world.send()
        world.settle(told, delivered())
        world.tell(20)
        world.clock.advance(1)
        out = world.send()
        world.again(told.id)
        world.clock.advance(1)

        assert world.due() == []
        assert world.claim(told.key) == []
        world.settle(out, delivered())
        assert world.send().id == told.id

    def test_of_a_task_that_goes_on_it_is_superseded_by_the_next(self, world: Going) -> None:
        world.tell(10)
        told = world.send()
        world.settle(told, delivered())
        world.again(told.id)

        world.tell(20)

        assert world.statuses() == ["superseded", "pending"]

    def test_all_that_match_leave_out_progress_that_was_overtaken(self, world: Going) -> None:
        """After an outage it would arrive behind the ends."""
        world.watched(want("2", events=EVERYTHING))
        for name in "1", "2":
            world.tell(10, task_id=name)
        for claimed in world.claim():
            world.settle(claimed, failed())
        world.end("1")
        world.settle(world.send(), failed())

        assert world.all_again() == 2
        assert world.statuses("1") == ["dead", "pending"]
        assert world.statuses("2") == ["pending"]


class TestTheEndIsTheLastWord:
    """Progress is never sent once the end of its task exists, in whichever order the two meet."""

    def test_claimed_after_the_end_was_recorded(self, world: Going) -> None:
        world.tell(10)
        candidates = world.due()
        world.end()

        assert [claimed.message_type for claimed in world.claim(*candidates, *world.due())] == ["task.succeeded"]

    def test_claimed_before_the_end_was_recorded(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.end()
        world.clock.advance(50)

        assert world.messages() == [("task.progress", "superseded"), ("task.succeeded", "pending")]
        assert [claimed.message_type for claimed in world.claim(out.key, *world.due())] == ["task.succeeded"]

    def test_settled_after_the_end_was_recorded(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.end()

        assert not world.settle(out, failed(), again_after=1)
        world.clock.advance(1)
        assert world.claim(out.key) == []

    def test_interrupted_after_the_end_was_recorded(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.end()

        world.write(partial(giving_back.interrupt, begun=[out], now=world.clock()))

        assert world.attempts() == [(1, "interrupted")]
        assert world.column("SELECT attempt FROM delivery WHERE message_type = 'task.progress'") == [1]
        world.clock.advance(1)
        assert world.claim(out.key) == []

    def test_given_back_unsent_after_the_end_was_recorded(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.end()

        world.write(partial(giving_back.give_back, unsent=[out]))

        assert world.attempts() == []
        world.clock.advance(1)
        assert world.claim(out.key) == []

    def test_a_dropped_task_that_lives_again_is_told_only_of_its_new_life(self, world: Going) -> None:
        world.tell(10)
        out = world.send()
        world.record({world.key(): partial(drop, now=world.clock(), note="by hand")}, watcher=None)
        world.watched(want(events=EVERYTHING))
        world.clock.advance(1)
        world.tell(20)

        assert not world.settle(out, failed(), again_after=1)
        assert world.statuses() == ["superseded", "superseded", "pending"], "that it is queued again was progress too"
        assert '"progress":20' in world.send().body
