"""How tasks are shared out: evenly, and not moved for little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.shares import share, surplus

COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("watched", "waiting", "due"),
    [([0], 7, 7), ([0, 0, 0], 7, 3), ([10, 0], 0, 5), ([10, 1], 0, 6), ([3, 3], 1, 4), ([], 5, 5)],
)
def test_a_share_is_everything_divided_evenly_and_rounded_up(watched: list[int], waiting: int, due: int) -> None:
    assert share(watched, waiting) == due


@given(watched=COUNTS, waiting=st.integers(0, 10_000))
def test_there_is_room_for_all_that_waits(watched: list[int], waiting: int) -> None:
    due = share(watched, waiting)

    assert sum(max(due - mine, 0) for mine in watched) >= waiting


@given(watched=COUNTS)
def test_what_is_given_back_leaves_a_share_and_nobody_with_less_gives_anything(watched: list[int]) -> None:
    for mine in watched:
        over = surplus(mine, watched, is_giving_back=True)
        assert mine - over == min(mine, share(watched)) or (over == 0 and len(watched) == 1)


@pytest.mark.parametrize(
    ("mine", "watched", "is_giving_back", "over"),
    [
        (1000, [1000], False, 0),
        (1000, [1000, 0], False, 500),
        (545, [545, 455], False, 0),
        (560, [560, 440], False, 60),
        (545, [545, 455], True, 45),
        (30, [30, 0], False, 0),
    ],
    ids=["alone", "another joined", "a little more", "too much more", "once it has begun", "too few to matter"],
)
def test_a_daemon_gives_back_what_is_beyond_its_share(
    mine: int, watched: list[int], *, is_giving_back: bool, over: int
) -> None:
    assert surplus(mine, watched, is_giving_back=is_giving_back) == over
