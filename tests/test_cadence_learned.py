"""Looks by what was learned: most where ends are likely, bounded whatever was learned."""

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.cadence import Bounds, Durations, Forecast, Tally, next_gap, surest, tempo

SECONDS = st.floats(0, 10**6)
UNITS = st.floats(10**-4, 10**4)
BOUNDS = st.floats(0.05, 3600).map(Bounds.around)
LEARNED = st.lists(SECONDS, max_size=60).map(lambda many: learned(*many))
FORECASTS = st.builds(Forecast, durations=LEARNED, seconds=SECONDS, unit=UNITS)
FIVE = Bounds.around(5.0)


def learned(*durations: float) -> Durations:
    tally = Tally()
    for duration in durations:
        tally.add(duration)
    return tally.learned()


def even(shortest: float, longest: float, count: int = 3000) -> Durations:
    """From as many ends, equally likely at every moment between two."""
    dice = random.Random(1)  # noqa: S311
    return learned(*(dice.uniform(shortest, longest) for _ in range(count)))


def gap_at(durations: Durations, seconds: float, quiet: float = 0.0) -> float:
    forecast = Forecast(durations=durations, seconds=seconds)
    return next_gap(forecast, looks=tempo(durations, interval=5), quiet=quiet, bounds=FIVE)


class TestWhatIsLearned:
    @given(LEARNED)
    def test_it_is_a_distribution_in_which_nothing_is_impossible(self, durations: Durations) -> None:
        assert math.fsum(durations.shares) == pytest.approx(1)
        assert min(durations.shares) > 0
        assert all(before > after for before, after in zip(durations.left, durations.left[1:], strict=False))

    @given(LEARNED, SECONDS)
    def test_the_chance_of_an_end_is_a_number_at_every_age(self, durations: Durations, age: float) -> None:
        assert 0 < durations.hazard(age) < math.inf
        assert -0.001 < durations.doubt(age) < math.inf

    @given(LEARNED, SECONDS, st.floats(0.01, 100), st.floats(0.01, 100))
    def test_more_looks_take_longer_and_in_two_parts_as_long_as_in_one(
        self, durations: Durations, age: float, one: float, more: float
    ) -> None:
        first = durations.wait(age, one)
        both = durations.wait(age, one + more)

        assert 0 <= first <= both < math.inf
        assume(age + both < 50_000)
        assert first + durations.wait(age + first, more) == pytest.approx(both, rel=0.01, abs=0.01)

    @pytest.mark.parametrize("nonsense", [-1.0, math.nan, math.inf])
    def test_what_is_no_duration_teaches_nothing(self, nonsense: float) -> None:
        assert learned(nonsense) == learned()

    def test_the_worked_example_needs_as_few_requests_as_it_should(self) -> None:
        """Ends anywhere from 15 to 90 s: the optimum is 0.63 of the requests that a fixed interval needs.

        What was learned is a little vaguer than the truth.
        """
        durations = even(15, 90)

        assert 0.63 < durations.mean_root**2 / 52.5 < 0.73

    def test_what_was_long_ago_is_forgotten_slowly(self) -> None:
        tally = Tally()
        for _ in range(1000):
            tally.add(300)
        for _ in range(50):
            tally.add(20)
        assert tally.learned().longest > 300, "fifty of another kind say little yet"
        for _ in range(3000):
            tally.add(20)

        assert tally.learned().longest < 30

    def test_a_tally_can_go_on_for_ever(self) -> None:
        tally = Tally()
        for _ in range(20_000):
            tally.add(20)

        assert max(tally.weights) < 1e12
        assert tally.learned().weight == pytest.approx(333, rel=0.02)


class TestTheNextLook:
    @given(FORECASTS, st.floats(10**-6, 10**6), SECONDS, BOUNDS)
    def test_it_is_never_earlier_than_the_floor_or_later_than_the_cap(
        self, forecast: Forecast, looks: float, quiet: float, bounds: Bounds
    ) -> None:
        gap = next_gap(forecast, looks=looks, quiet=quiet, bounds=bounds)

        assert bounds.shortest <= gap <= bounds.longest
        assert bounds.longest <= max(60, bounds.interval)

    @given(FORECASTS, st.floats(10**-3, 10**3), st.floats(1, 1000), SECONDS, BOUNDS)
    def test_more_looks_are_never_further_apart(
        self, forecast: Forecast, looks: float, times: float, quiet: float, bounds: Bounds
    ) -> None:
        seldom = next_gap(forecast, looks=looks, quiet=quiet, bounds=bounds)
        often = next_gap(forecast, looks=looks * times, quiet=quiet, bounds=bounds)

        assert often <= seldom * 1.000001

    @given(SECONDS, SECONDS)
    def test_while_nothing_is_known_it_is_the_interval(self, age: float, quiet: float) -> None:
        assert gap_at(learned(), age, quiet) == pytest.approx(5)

    def test_little_is_looked_at_before_the_shortest_and_most_near_the_end(self) -> None:
        durations = even(15, 90)

        assert gap_at(durations, 2) > 12
        assert gap_at(durations, 2) > 2 * gap_at(durations, 40) > 2 * gap_at(durations, 80)

    def test_the_first_of_what_is_possible_is_not_slept_through(self) -> None:
        assert 2 + gap_at(even(15, 90), 2) < 30

    @given(st.floats(90, 10**6), st.floats(0, 10**6))
    def test_what_outlasts_all_others_is_found_within_a_fifth_of_its_silence(self, age: float, quiet: float) -> None:
        assert gap_at(even(15, 60, 300), age, quiet) <= max(5, 5 + 0.2 * min(quiet, age - 60)) * 1.0001

    @given(st.floats(120, 10**6), st.floats(0, 10**6), st.floats(0, 10**6))
    def test_the_longer_it_is_silent_the_less_it_is_looked_at(self, age: float, one: float, more: float) -> None:
        durations = even(15, 60, 300)

        assert gap_at(durations, age, one) <= gap_at(durations, age, one + more) * 1.000001

    @given(LEARNED)
    def test_a_task_that_never_ends_costs_a_bounded_number_of_looks(self, durations: Durations) -> None:
        """In an hour, whatever was learned: never more than five for each interval."""
        age, looks = 0.0, 0
        while age < 3600:
            age += gap_at(durations, age, quiet=age)
            looks += 1

        assert looks <= 3600 / FIVE.shortest + 1

    def test_a_task_that_outlasts_all_others_costs_about_one_look_a_minute(self) -> None:
        durations = even(15, 90)
        age, looks = 0.0, 0
        while age < 86_400:
            age += gap_at(durations, age, quiet=age)
            looks += 1

        assert looks < 86_400 / 60 * 1.2

    def test_the_clock_that_says_most_is_believed(self) -> None:
        vague = Forecast(durations=even(10, 1000), seconds=30)
        sharp = Forecast(durations=even(90, 100), seconds=30, unit=0.4)

        assert surest([vague, sharp]) is sharp
        assert surest([sharp, vague]) is sharp

    def test_a_clock_that_this_task_contradicts_is_not_believed(self) -> None:
        beyond = Forecast(durations=even(90, 100), seconds=500)
        other = Forecast(durations=even(300, 900), seconds=500)

        assert surest([beyond, other]) is other

    def test_units_are_only_another_way_to_count(self) -> None:
        """The same durations told in percent of a task that takes 0.4 s for each."""
        seconds, percent = even(40, 60), learned(*(d / 0.4 for d in _drawn(40, 60)))
        one = Forecast(durations=seconds, seconds=45.0)
        other = Forecast(durations=percent, seconds=45.0, unit=0.4)

        assert other.hazard == pytest.approx(one.hazard, rel=0.5)
        assert other.gap(1.0) == pytest.approx(one.gap(1.0), rel=0.3)


def _drawn(shortest: float, longest: float) -> list[float]:
    dice = random.Random(1)  # noqa: S311
    return [dice.uniform(shortest, longest) for _ in range(3000)]
