"""What an upstream's tasks teach, and what that saves."""

import random
from datetime import timedelta

import pytest
from clocks import START
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bench.lives import Course, as_late_as, by_habit, dishonest, honest, silent
from tracker.model import Status, Task
from tracker.poller.habits import Habits
from tracker.poller.life import Life

INTERVAL = 5.0


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def moment(seconds: float) -> float:
    """So many seconds from the start, in seconds since 1970."""
    return (START + after(seconds)).timestamp()


def a_task(**fields: object) -> Task:
    known = {"key": 1, "id": "tsk_1", "upstream": "default", "task_id": "1", "registered_at": START, **fields}
    return Task(**known)  # type: ignore[arg-type]


def live(habits: Habits, seconds: float, action: str | None = None, looked: float | None = None) -> None:
    """One task that takes so long and is found at once."""
    end = START + after(seconds)
    life = habits.begin(a_task(action=action), START)
    habits.gap(life, moment(seconds - 1 if looked is None else looked))
    habits.end(life, end, end)


def gap(habits: Habits, seconds: float, action: str | None = None) -> float:
    """What a task of this age is told."""
    life = habits.begin(a_task(action=action), START)
    return habits.gap(life, moment(seconds))


class TestWhatItSaves:
    """On lives of 15 to 90 s with 3 to 12 steps, against a fixed interval that finds ends as soon."""

    @pytest.mark.parametrize(("draw", "at_most"), [(honest, 0.5), (dishonest, 0.8), (silent, 0.8)])
    def test_fewer_requests_find_ends_as_soon(self, draw: object, at_most: float) -> None:
        dice = random.Random(1)  # noqa: S311
        courses: list[Course] = [draw(dice) for _ in range(700)]  # type: ignore[operator]

        ours = by_habit(courses, interval=INTERVAL, learning=200)
        fixed = as_late_as(ours.late, courses, learning=200)

        assert fixed.late == pytest.approx(ours.late, rel=0.1)
        assert ours.looks / fixed.looks <= at_most
        assert ours.late <= INTERVAL / 2 * 1.1, "on average no later than the interval promises"
        assert ours.latest <= 60


class TestLearning:
    def test_nothing_known_means_the_interval(self) -> None:
        assert gap(Habits(INTERVAL), 40) == pytest.approx(INTERVAL)

    def test_each_action_has_its_own_habits(self) -> None:
        habits = Habits(INTERVAL)
        dice = random.Random(1)  # noqa: S311
        for _ in range(60):
            live(habits, dice.uniform(8, 12), "UPSCALE")
            live(habits, dice.uniform(280, 320), "VIDEO")

        assert gap(habits, 8, "UPSCALE") < INTERVAL
        assert gap(habits, 8, "VIDEO") > 4 * INTERVAL

    def test_only_so_many_actions_are_told_apart(self) -> None:
        habits = Habits(INTERVAL)

        for number in range(2000):
            live(habits, 30, f"A{number}")

        assert habits.kinds < 250

    def test_progress_that_tells_the_truth_makes_the_last_stretch_dense(self) -> None:
        habits = Habits(INTERVAL)
        dice = random.Random(1)  # noqa: S311
        for _ in range(100):
            lasts = dice.uniform(20, 80)
            life = habits.begin(a_task(started_at=START), START)
            for progress in (30, 60, 90):
                at = START + after(lasts * progress / 100)
                habits.follow(life, a_task(started_at=START, progress=progress), at)
                habits.gap(life, at.timestamp())
            habits.end(life, START + after(lasts), START + after(lasts))

        life = habits.begin(a_task(started_at=START), START)
        early = habits.begin(a_task(started_at=START), START)
        habits.follow(life, a_task(started_at=START, progress=90), START + after(45))
        habits.follow(early, a_task(started_at=START, progress=30), START + after(45))

        assert habits.gap(life, moment(47)) < INTERVAL < habits.gap(early, moment(47))

    def test_an_end_lies_after_the_last_look_whatever_the_clock_of_the_upstream_says(self) -> None:
        """A gateway whose clock is an hour slow or fast must not teach that tasks take an hour, or nothing."""
        slow, fast, right = Habits(INTERVAL), Habits(INTERVAL), Habits(INTERVAL)
        for habits, ahead in ((slow, -3600), (fast, 3600), (right, 0)):
            for _ in range(60):
                life = habits.begin(a_task(), START)
                habits.gap(life, moment(28))
                habits.end(life, START + after(30 + ahead), START + after(32))

        for told in (gap(slow, 5), gap(fast, 5)):
            assert told == pytest.approx(gap(right, 5), rel=0.3)

    def test_a_submission_in_the_future_is_now(self) -> None:
        life = Habits(INTERVAL).begin(a_task(submitted_at=START + after(3600)), START)

        assert life.began == START.timestamp()

    def test_ends_that_are_found_too_late_bring_more_looks(self) -> None:
        """However wrong the forecasts are, the mean lateness stays what the interval promises."""
        careless, careful = Habits(INTERVAL), Habits(INTERVAL)
        for _ in range(200):
            for habits, told in ((careless, 1.0), (careful, 20.0)):
                life = habits.begin(a_task(), START)
                habits.gap(life, moment(25))
                life.gap = told
                habits.end(life, START + after(30), START + after(30))

        assert gap(careful, 10) < gap(careless, 10)

    def test_starting_anew_forgets_what_was_there(self) -> None:
        habits = Habits(INTERVAL)
        for _ in range(50):
            live(habits, 20)
        began = START.timestamp()

        habits.relearn([(Life(began=began), began + 300)] * 50)

        assert habits.ends == 50
        assert gap(habits, 20) > 3 * INTERVAL

    def test_news_keep_an_outlier_at_the_interval(self) -> None:
        habits = Habits(INTERVAL)
        for _ in range(100):
            live(habits, 30)
        life = habits.begin(a_task(), START)
        moved = START + after(3600)
        habits.follow(life, a_task(status=Status.RUNNING, progress=5), moved)

        assert habits.gap(life, moved.timestamp()) == pytest.approx(INTERVAL, rel=0.01)
        assert habits.gap(life, (moved + after(300)).timestamp()) > 30


@given(
    ages=st.lists(st.floats(-100, 10**6), min_size=1, max_size=20),
    lives=st.lists(st.tuples(st.floats(0, 10**5), st.integers(-5, 120), st.floats(0, 10**5)), max_size=30),
    interval=st.floats(0.05, 3600),
)
def test_whatever_was_learned_gaps_stay_within_bounds(
    ages: list[float], lives: list[tuple[float, int, float]], interval: float
) -> None:
    habits = Habits(interval)
    known = a_task(started_at=START + after(1))
    for lasted, progress, at in lives:
        life = habits.begin(known, START)
        habits.follow(life, structs.replace(known, progress=max(min(progress, 100), 0)), START + after(at))
        habits.gap(life, moment(at))
        habits.end(life, START + after(lasted), START + after(at))

    life = habits.begin(structs.replace(known, progress=50), START + after(20))
    for age in ages:
        assert habits.bounds.shortest <= habits.gap(life, moment(age)) <= habits.bounds.longest
