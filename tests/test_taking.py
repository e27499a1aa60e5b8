"""When tasks that come many together are looked at first."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tracker.cadence import STOPS_PER_INTERVAL
from tracker.config import UpstreamSettings
from tracker.poller.schedule import Schedule
from tracker.poller.taking import Taking
from tracker.store.watching import Adopted

NOW, INTERVAL = 1_000.0, 60.0
SETTINGS = UpstreamSettings(base_url="https://gateway.example/mj", poll_interval=timedelta(seconds=INTERVAL))


class Lane:
    """A schedule, and who fills it."""

    def __init__(self, phase: float = 0.0) -> None:
        self.schedule = Schedule()
        self._taking = Taking(self.schedule, SETTINGS, phase=phase)

    def take_in(self, count: int, *, look_size: int, now: float = NOW, is_new: bool = False) -> None:
        first = len(self.schedule)
        registered_at = datetime(2026, 11, 23, tzinfo=UTC)
        tasks = [
            Adopted(key=first + number, upstream="default", task_id=str(number), registered_at=registered_at)
            for number in range(count)
        ]
        self._taking.take_in(tasks, now=now, is_new=is_new, look_size=look_size)

    def together(self) -> Counter[float]:
        """How many are due at each moment."""
        return Counter(watched.due for watched in self.schedule)


def test_new_ones_are_looked_at_now() -> None:
    lane = Lane()

    lane.take_in(3, look_size=100, is_new=True)

    assert lane.together() == {NOW: 3}


@given(count=st.integers(1, 400), phase=st.floats(0, 1))
def test_one_by_one_each_tenth_of_the_interval_has_about_a_tenth(count: int, phase: float) -> None:
    lane = Lane(phase)

    lane.take_in(count, look_size=1)

    tenths = Counter(int((due - NOW) * 10 // INTERVAL) for due in lane.together().elements())
    assert all(abs(tenths[tenth] - count / 10) <= 3 for tenth in range(10))
    assert sum(tenths[tenth] for tenth in range(10)) >= count - 1


@given(handfuls=st.lists(st.integers(1, 300), min_size=1, max_size=30), phase=st.floats(0, 1))
def test_with_lists_as_many_as_a_request_asks_about_go_together(handfuls: list[int], phase: float) -> None:
    """In however many handfuls they come."""
    lane = Lane(phase)

    for handful in handfuls:
        lane.take_in(handful, look_size=100)

    together = lane.together()
    count = sum(together.values())
    assert len([tasks for tasks in together.values() if tasks % 100]) <= 1, "all but the last request are full"
    assert all(NOW <= moment <= NOW + 1.1 * INTERVAL for moment in together)
    assert max(together.values()) <= 100 * (count / 100 / STOPS_PER_INTERVAL + 2)


def test_who_comes_later_goes_within_an_interval_too() -> None:
    lane = Lane()
    lane.take_in(3, look_size=100)

    lane.take_in(1, look_size=100, now=NOW + 500)

    assert max(lane.together()) > NOW + 490
