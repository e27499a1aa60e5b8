"""What a soak calls growth."""

import pytest

from bench.growth import Sample, Tolerances, Verdict, judge, slope

MB = 2**20


def steady(number: int, **changes: object) -> Sample:
    """Of a run of ten minutes in which as much comes as goes, and everything that ended is kept."""
    ended = 1000 * number
    found = {
        "at": 10.0 * number,
        "resident": 150.0 + 0.3 * (number % 3),
        "descriptors": 40 + number % 2,
        "size": 100 * MB + 6000 * ended,
        "ended": ended,
        "kept": ended,
        "live": 50_000 + 100 * (number % 5),
        "waiting": 20 + number % 7,
        "dead": 9000 if number % 6 else 100,
        "rows": 500_000,
    }
    return Sample(**{**found, **changes})  # type: ignore[arg-type]


def judged(**by_name: list[object]) -> dict[str, Verdict]:
    """The verdicts on a run of which some columns were otherwise, by their first word."""
    samples = [
        steady(number, **{name: column[number - 1] for name, column in by_name.items()}) for number in range(1, 61)
    ]
    return {verdict.what.split()[0].rstrip(","): verdict for verdict in judge(samples, Tolerances())}


def grown(verdicts: dict[str, Verdict]) -> set[str]:
    return {name for name, verdict in verdicts.items() if not verdict.holds}


def test_a_run_in_which_only_the_history_grows_holds() -> None:
    assert grown(judged()) == set()


def test_two_hundred_bytes_left_of_each_task_are_a_leak() -> None:
    leaking: list[object] = [150 + 200 * 1000 * number / MB for number in range(1, 61)]

    assert grown(judged(resident=leaking)) == {"memory"}


def test_what_grew_while_everything_warmed_up_is_no_leak() -> None:
    warming: list[object] = [min(100 + 5 * number, 150) for number in range(1, 61)]

    assert grown(judged(resident=warming)) == set()


def test_a_descriptor_that_is_left_open_each_minute_is_found() -> None:
    assert grown(judged(descriptors=[40 + number // 6 for number in range(1, 61)])) == {"descriptors"}


def test_connections_that_come_with_a_burst_are_no_growth() -> None:
    bursting: list[object] = [40 + 60 * (number % 4 > 1) for number in range(60)]
    bursting[-6:] = [110] * 6

    assert grown(judged(descriptors=bursting)) == set()


def test_a_single_peak_is_no_growth() -> None:
    peaking: list[object] = [40 if number != 50 else 90 for number in range(1, 61)]

    assert grown(judged(descriptors=peaking, resident=[150 if number != 55 else 300 for number in range(60)])) == set()


def test_a_database_that_takes_more_for_each_task_than_before_is_bloated() -> None:
    sizes: list[object] = [
        100 * MB + 6000 * 1000 * number * (1 if number < 30 else number / 30) for number in range(60)
    ]

    assert grown(judged(size=sizes)) == {"database"}


def test_a_database_that_forgets_as_much_as_it_learns_must_not_grow_at_all() -> None:
    kept: list[object] = [min(1000 * number, 20_000) for number in range(1, 61)]
    growing: list[object] = [100 * MB + 6000 * 1000 * number for number in range(1, 61)]
    flat: list[object] = [100 * MB + 6000 * min(1000 * number, 20_000) for number in range(1, 61)]

    assert grown(judged(kept=kept, size=growing)) == {"database"}
    assert grown(judged(kept=kept, size=flat)) == set()


def test_rows_of_a_table_that_take_more_room_than_before_are_bloated() -> None:
    sizes: list[object] = [{"task": 400.0, "event": 200.0}, *[{}] * 58, {"task": 480.0, "event": 201.0}]

    tables: list[object] = [{}] * 29 + sizes[:1] + [{}] * 29 + sizes[-1:]

    assert grown(judged(tables=tables)) == {"a"}


def test_dead_tuples_may_come_and_go_but_their_most_may_not_rise() -> None:
    rising: list[object] = [2000 * number for number in range(1, 61)]

    assert grown(judged(dead=rising)) == {"dead"}


def test_a_run_in_which_nothing_comes_any_more_proves_nothing() -> None:
    assert "live" in grown(judged(live=[50_000 - 800 * number for number in range(60)]))


def test_messages_that_pile_up_are_found() -> None:
    assert grown(judged(waiting=[100 * number for number in range(60)])) == {"messages"}


@pytest.mark.parametrize("outlier", [-1e9, 1e9])
def test_the_slope_does_not_bend_to_outliers(outlier: float) -> None:
    points = [(float(x), 3.0 * x) for x in range(20)]
    points[4] = (4.0, outlier)
    points[11] = (11.0, outlier)

    assert slope(points) == pytest.approx(3.0)
