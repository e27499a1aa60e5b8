"""Whose turn it is where more is due than may be asked for: what may end soon comes first, and none starves."""

import random
from itertools import pairwise

from clocks import START
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tracker.poller.life import Life
from tracker.poller.schedule import Schedule, Watched
from tracker.poller.turns import Turns

INTERVAL = 5.0


def watched(key: int, gap: float | None = None) -> Watched:
    life = None if gap is None else Life(began=0.0, gap=gap)
    return Watched(key=key, task_id=str(key), expires_at=START, news_at=0.0, life=life)


def turns_of(*tasks: tuple[Watched, float]) -> tuple[Turns, Schedule]:
    schedule = Schedule()
    for task, due in tasks:
        schedule.add(task, due)
    return Turns(schedule, INTERVAL), schedule


def keys(taken: list[Watched]) -> list[int]:
    return [task.key for task in taken]


def test_where_there_is_room_for_all_they_come_in_the_order_of_their_due_times() -> None:
    turns, _ = turns_of((watched(1, gap=50), 1.0), (watched(2, gap=1), 2.0), (watched(3), 3.0))

    assert keys(turns.take(10.0, 2, is_scarce=False)) == [1, 2]
    assert turns.next_due() == 3.0
    assert keys(turns.take(10.0, 2, is_scarce=False)) == [3]


def test_where_there_is_not_the_one_that_may_end_any_moment_comes_first() -> None:
    turns, _ = turns_of((watched(1, gap=20), 1.0), (watched(2, gap=1), 2.0), (watched(3), 3.0), (watched(4), 99.0))

    assert [keys(turns.take(10.0, 1, is_scarce=True)) for _ in range(4)] == [[2], [3], [1], []]
    assert turns.next_due() == 99.0


def test_what_waits_is_handed_out_before_anything_else_when_there_is_room_again() -> None:
    turns, _ = turns_of((watched(1), 1.0), (watched(2), 2.0))
    turns.take(10.0, 1, is_scarce=True)

    assert keys(turns.take(10.0, 1, is_scarce=False)) == [2]


def test_who_asks_first_is_served_first() -> None:
    turns, schedule = turns_of(*((watched(key), float(key)) for key in range(1, 6)))
    turns.take(10.0, 1, is_scarce=True)

    for key in (4, 3, 5):
        assert schedule.hurry(key, 10.0)
        turns.hurry(key)

    assert [keys(turns.take(10.0, 1, is_scarce=True)) for _ in range(4)] == [[4], [3], [5], [2]]


def test_what_somebody_asks_for_comes_before_all_others_and_once() -> None:
    asked = watched(3, gap=60)
    turns, schedule = turns_of((watched(1), 1.0), (watched(2), 2.0), (asked, 9.0))
    turns.take(10.0, 1, is_scarce=True)

    assert schedule.hurry(3, 10.0)
    turns.hurry(3)

    assert [keys(turns.take(10.0, 1, is_scarce=True)) for _ in range(3)] == [[3], [2], []]
    assert not asked.is_hurried, "this look is the one that was asked for"


def test_what_somebody_asks_for_comes_before_those_whose_turn_was_next() -> None:
    asked = watched(9, gap=60)
    turns, schedule = turns_of(*((watched(key), float(key)) for key in range(1, 9)), (asked, 9.0))
    one_by_one = [keys(turns.take(10.0, 1, is_scarce=True)) for _ in range(2)]

    assert schedule.hurry(9, 10.0)
    turns.hurry(9)

    one_by_one += [keys(turns.take(10.0, 1, is_scarce=True)) for _ in range(8)]
    assert one_by_one == [[1], [2], [9], [3], [4], [5], [6], [7], [8], []]


def test_who_asked_before_keeps_its_place_when_somebody_else_asks() -> None:
    turns, schedule = turns_of(*((watched(key), float(key)) for key in range(1, 10)))
    for _ in range(2):
        turns.take(10.0, 1, is_scarce=True)
    for key in (9, 8, 7):
        assert schedule.hurry(key, 10.0)
        turns.hurry(key)
    one_by_one = [keys(turns.take(10.0, 1, is_scarce=True))]

    for key in (6, 3):
        assert schedule.hurry(key, 10.0)
        turns.hurry(key)

    one_by_one += [keys(turns.take(10.0, 1, is_scarce=True)) for _ in range(6)]
    assert one_by_one == [[9], [8], [7], [6], [3], [4], [5]]


def test_what_waited_for_its_turn_in_another_lane_is_not_handed_out_twice() -> None:
    before, left = turns_of((watched(1), 1.0), (watched(2), 2.0))
    before.take(10.0, 1, is_scarce=True)
    turns, schedule = turns_of(*((one, one.due) for one in left))

    assert keys(turns.take(10.0, 2, is_scarce=False)) == [1, 2]
    assert schedule.hurry(2, 10.0)
    turns.hurry(2)
    assert turns.take(10.0, 2, is_scarce=False) == []


def test_an_order_holds_for_a_moment_only() -> None:
    turns, schedule = turns_of(*((watched(key, gap=60), float(key)) for key in range(1, 7)))
    one_by_one = [keys(turns.take(10.0, 1, is_scarce=True)) for _ in range(2)]
    assert one_by_one == [[1], [2]]

    schedule.add(watched(7, gap=1), 10.1)
    later = [keys(turns.take(10.0 + seconds, 1, is_scarce=True)) for seconds in (0.2, 0.4, 0.6)]

    assert later == [[7], [3], [4]]


def test_asking_while_nothing_is_due_leaves_the_next_ones_one_by_one() -> None:
    turns, schedule = turns_of((watched(1, gap=60), 10.0), (watched(2, gap=60), 10.0))
    for _ in range(6):
        assert turns.take(9.999, 1, is_scarce=True) == []

    assert keys(turns.take(10.0, 1, is_scarce=True)) == [1]
    schedule.add(watched(3, gap=1), 10.0)
    assert keys(turns.take(10.0, 1, is_scarce=True)) == [3]


def test_how_long_those_waited_that_were_let_go_is_no_measure_for_the_others() -> None:
    turns, schedule = turns_of(*((watched(key, gap=1), 0.0) for key in range(500)))
    turns.take(1.0, 1, is_scarce=True)
    schedule.clear()
    assert turns.take(1000.0, 1, is_scarce=True) == []

    schedule.add(watched(501, gap=10), 1000.0)
    schedule.add(watched(502, gap=1), 1200.0)
    assert keys(turns.take(1200.0, 1, is_scarce=True)) == [501], "two hundred seconds are more than it can wait"


def test_what_was_let_go_meanwhile_is_passed_over() -> None:
    turns, schedule = turns_of((watched(1), 1.0), (watched(2), 2.0), (watched(3), 3.0))
    turns.take(10.0, 1, is_scarce=True)
    schedule.remove(2)

    assert keys(turns.take(10.0, 5, is_scarce=True)) == [3]

    schedule.add(watched(4), 4.0)
    schedule.add(watched(5), 5.0)
    turns.take(10.0, 1, is_scarce=True)
    schedule.clear()
    schedule.add(watched(5), 6.0)
    assert keys(turns.take(10.0, 5, is_scarce=True)) == [5], "the new one of this key, once"


class Overload:
    """One request a second, and tasks whose gaps ask for many times as much; in simulated time."""

    def __init__(self, gaps: list[float]) -> None:
        self.looks: dict[int, list[float]] = {key: [] for key in range(len(gaps))}
        self._turns, self._schedule = turns_of(*((watched(key, gap), 0.0) for key, gap in enumerate(gaps)))

    def run(self, seconds: int) -> None:
        for now in range(seconds):
            for task in self._turns.take(float(now), 1, is_scarce=True):
                self.looks[task.key].append(float(now))
                assert task.life
                self._schedule.put_back(task, now + task.life.gap)

    def longest_wait(self, key: int, until: int) -> float:
        seen = [0.0, *self.looks[key], float(until)]
        return max(after - before for before, after in pairwise(seen))


@hypothesis_settings(max_examples=40)
@given(st.lists(st.floats(1, 60), min_size=2, max_size=30))
def test_however_much_is_asked_for_none_starves(gaps: list[float]) -> None:
    """A task waits for its few gaps, and then for one look at each of the others."""
    overload = Overload(gaps)
    overload.run(1500)

    for key, gap in enumerate(gaps):
        others = sum(1 + (5 * gap + 2 * len(gaps)) / max(other, 1.0) for other in gaps)
        assert overload.longest_wait(key, 1500) <= 5 * gap + min(others, 12 * len(gaps)) + 2


def test_in_an_overload_all_gaps_are_stretched_alike() -> None:
    """Ten that may end soon and ninety that may not, three times as many looks asked for as there is room."""
    overload = Overload([5.0] * 10 + [90.0] * 90)
    overload.run(4000)

    soon = [len(overload.looks[key]) for key in range(10)]
    later = [len(overload.looks[key]) for key in range(10, 100)]

    assert min(soon) > 8 * max(later), "they need eighteen times as many"
    assert min(later) >= 10


def test_in_an_overload_ends_are_found_sooner_than_in_the_order_of_due_times() -> None:
    """Where one kind ends at every moment and the other hardly ever, as long as the gaps say so."""
    dice = random.Random(1)  # noqa: S311
    gaps = [4.0] * 20 + [60.0] * 200
    ours, plain = Overload(gaps), Overload([INTERVAL] * len(gaps))
    for overload in (ours, plain):
        overload.run(3000)

    def late(overload: Overload) -> float:
        total = 0.0
        for _ in range(500):
            key, end = dice.randrange(20), dice.uniform(500, 2500)
            total += next(at for at in overload.looks[key] if at >= end) - end
        return total / 500

    assert late(ours) < late(plain) / 4
