"""Progress messages where several daemons meet, on Postgres: the same rules, whoever is faster."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise
from threading import Barrier

import pytest
from clocks import FakeClock
from fakes import HeldOpen, Thread, World, delivered, failed, snap, wait_until_blocked, want
from lending import lent_worlds

from tracker.model import Delivery, Status
from tracker.store import deliveries
from tracker.store.database import Work

EVERYTHING = ("ended", "progress", "needs_input")


@dataclass
class Meeting:
    """A poller and two couriers at one database."""

    poller: World
    courier: World
    other: World

    def tell(self, progress: int) -> None:
        self.poller.record({self.poller.key(): snap(progress=progress)})

    def claiming(self, *keys: int) -> Work[list[Delivery]]:
        now = self.courier.clock()
        return partial(deliveries.claim, keys=keys, now=now, until=now + timedelta(seconds=50))

    def keys(self) -> list[int]:
        return self.poller.column("SELECT key FROM delivery ORDER BY key")

    def statuses(self) -> list[str]:
        return [status for _, status in self.poller.messages()]


@pytest.fixture
def meeting(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Meeting]:
    with lent_worlds(request, clock) as (poller, courier, other):
        poller.watched(want(events=EVERYTHING))
        yield Meeting(poller, courier, other)


def test_what_is_being_claimed_while_a_newer_one_is_written_counts_as_out(meeting: Meeting) -> None:
    meeting.tell(10)
    claiming = HeldOpen(meeting.courier.database, meeting.claiming(*meeting.keys()))

    meeting.tell(20)

    (out,) = claiming.commit()
    meeting.other.clock.advance(1)
    assert meeting.statuses() == ["pending", "pending"]
    assert meeting.other.claim(*meeting.keys()) == [], "one at a time"
    assert meeting.courier.settle(out, failed(), again_after=1)
    assert meeting.statuses() == ["superseded", "pending"]
    assert len(meeting.other.claim()) == 1


def test_what_was_claimed_while_whoever_writes_a_newer_one_held_the_task_counts_as_out(meeting: Meeting) -> None:
    """A claim needs no task, and may come in between."""
    meeting.tell(10)
    (key,) = meeting.keys()
    claimed: list[Delivery] = []
    poller = meeting.poller
    work = poller.recording({poller.key(): snap(progress=20)})

    def record_late(connection: object) -> object:
        connection.exec_driver_sql("SELECT key FROM task FOR UPDATE").all()  # type: ignore[attr-defined]
        claimed.extend(meeting.courier.claim(key))
        return work(connection)  # type: ignore[arg-type]

    poller.write(record_late)

    assert len(claimed) == 1
    assert meeting.statuses() == ["pending", "pending"]


def test_what_is_being_superseded_is_not_claimed(meeting: Meeting) -> None:
    meeting.tell(10)
    poller = meeting.poller
    recording = HeldOpen(poller.database, poller.recording({poller.key(): snap(progress=20)}))

    assert meeting.courier.claim(*meeting.keys()) == []

    recording.commit()
    assert meeting.statuses() == ["superseded", "pending"]


def test_no_progress_is_claimed_while_the_end_is_being_recorded(meeting: Meeting) -> None:
    meeting.tell(10)
    poller = meeting.poller
    recording = HeldOpen(poller.database, poller.recording({poller.key(): snap(Status.SUCCEEDED)}))

    assert meeting.courier.claim(*meeting.keys()) == []

    recording.commit()
    assert meeting.statuses() == ["superseded", "pending"]
    assert [claimed.message_type for claimed in meeting.courier.claim(*meeting.keys())] == ["task.succeeded"]


def test_the_end_waits_for_a_claim_that_was_faster_and_has_the_last_word(meeting: Meeting) -> None:
    meeting.tell(10)
    poller = meeting.poller
    claiming = HeldOpen(meeting.courier.database, meeting.claiming(*meeting.keys()))
    ending = Thread(lambda: poller.record({poller.key(): snap(Status.SUCCEEDED)}))
    wait_until_blocked(meeting.other.database)

    (out,) = claiming.commit()
    ending.result()

    assert out.message_type == "task.progress"
    assert meeting.statuses() == ["superseded", "pending"]
    assert not meeting.courier.settle(out, failed(), again_after=1)
    meeting.other.clock.advance(1)
    assert [claimed.message_type for claimed in meeting.other.claim(*meeting.keys())] == ["task.succeeded"]


def test_an_outcome_that_comes_while_a_newer_one_is_written_waits_and_sees_it(meeting: Meeting) -> None:
    meeting.tell(10)
    (out,) = meeting.courier.claim()
    poller = meeting.poller
    recording = HeldOpen(poller.database, poller.recording({poller.key(): snap(progress=20)}))
    settling = Thread(lambda: meeting.courier.settle(out, failed(), again_after=1))
    wait_until_blocked(meeting.other.database)

    recording.commit()

    assert settling.result()
    assert meeting.statuses() == ["superseded", "pending"]


def test_of_two_couriers_with_a_message_each_only_one_sends(meeting: Meeting) -> None:
    """The one that was written first, whoever looks at the second before the first is claimed, or while it is."""
    meeting.poller.record({meeting.poller.key(): snap(Status.NEEDS_INPUT)})
    meeting.poller.record({meeting.poller.key(): snap(Status.NEEDS_INPUT, 40)})
    first, second = meeting.keys()
    claiming = HeldOpen(meeting.courier.database, meeting.claiming(first))

    assert meeting.other.claim(second) == []

    assert len(claiming.commit()) == 1
    meeting.other.clock.advance(1)
    assert meeting.other.claim(second) == []


def test_whatever_meets_one_is_out_at_most_and_nothing_is_sent_after_the_end(meeting: Meeting) -> None:
    names = [str(number) for number in range(10)]
    meeting.poller.watched(*(want(name, events=EVERYTHING) for name in names))
    keys = [meeting.poller.key(name) for name in names]
    outcomes = [delivered(), failed(), delivered(), failed()]
    out: set[int] = set()
    twice: list[Delivery] = []
    together = Barrier(2)

    def poll() -> None:
        for progress in range(1, 25):
            meeting.poller.record(dict.fromkeys(keys, snap(progress=progress)))
        for key in keys:
            meeting.poller.record({key: snap(Status.SUCCEEDED)})

    def deliver(world: World) -> None:
        for turn in range(40):
            # Side by side: two that see the time more than half a second apart are taken for a clock that was set back.
            together.wait(30)
            world.clock.advance(0.3)
            taken = world.claim(*world.due())
            progress = [claimed for claimed in taken if claimed.message_type == "task.progress"]
            twice.extend(claimed for claimed in progress if claimed.callback_key in out)
            out.update(claimed.callback_key for claimed in progress)
            for claimed in taken:
                out.discard(claimed.callback_key)
                world.settle(claimed, outcomes[(turn + claimed.key) % 4], again_after=1)

    threads = [Thread(poll), Thread(partial(deliver, meeting.courier)), Thread(partial(deliver, meeting.other))]
    for thread in threads:
        thread.result()

    assert twice == []
    assert meeting.poller.column("SELECT count(*) FROM task WHERE ended_at IS NULL") == [0]
    rows = meeting.poller.rows(
        """SELECT d.callback_key, d.message_type, d.status, a.attempted_at, t.ended_at FROM attempt a
           JOIN delivery d ON d.key = a.delivery_key JOIN task t ON t.key = d.task_key
           WHERE d.message_type = 'task.progress' ORDER BY d.callback_key, a.attempted_at"""
    )
    assert len(rows) > len(names)
    for before, after in pairwise(rows):
        if before["callback_key"] == after["callback_key"]:
            assert after["attempted_at"] - before["attempted_at"] >= timedelta(milliseconds=500)
    assert meeting.poller.column(
        "SELECT count(*) FROM delivery WHERE message_type = 'task.progress' AND status = 'pending'"
    ) == [0]
