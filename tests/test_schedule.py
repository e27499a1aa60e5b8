"""When each task is due, and when an upstream is left alone."""

from datetime import timedelta

import pytest
from clocks import START
from fakes import miss
from hypothesis import given
from hypothesis import strategies as st

from tracker.model import MissKind
from tracker.poller.pause import Pause
from tracker.poller.schedule import Schedule, Watched


def watched(key: int) -> Watched:
    return Watched(key=key, task_id=str(key), expires_at=START.timestamp(), news_at=0.0)


def schedule(*dues: float) -> Schedule:
    made = Schedule()
    for key, due in enumerate(dues):
        made.add(watched(key), due)
    return made


def keys(taken: list[Watched]) -> list[int]:
    return [entry.key for entry in taken]


class TestSchedule:
    def test_what_is_due_comes_longest_due_first_and_no_more_than_asked_for(self) -> None:
        made = schedule(3, 1, 2, 9)

        assert made.next_due() == 1
        assert keys(made.take(5, 2)) == [1, 2]
        assert keys(made.take(5, 2)) == [0]
        assert made.take(5, 2) == []
        assert made.next_due() == 9

    def test_what_is_due_within_one_tick_is_due_together_and_never_late(self) -> None:
        made = schedule(*(10 + number / 10_000 for number in range(100)))

        assert made.next_due() == 10
        assert made.take(9.99, 1000) == []
        assert sorted(keys(made.take(10, 60)) + keys(made.take(10, 60))) == list(range(100))
        assert made.next_due() is None

    def test_what_is_late_is_counted_without_being_taken(self) -> None:
        made = schedule(1, 2, 2, 3, 9)

        assert [made.late(before) for before in (1, 2.5, 4, 10)] == [0, 3, 4, 5]

        made.take(2, 9)

        assert made.late(4) == 1

    def test_a_task_that_moved_within_its_tick_is_taken_once(self) -> None:
        made = schedule(10, 10.001)
        made.hurry(0, 10.002)
        made.hurry(1, 10.003)

        assert sorted(keys(made.take(11, 9))) == [0, 1]
        assert made.take(11, 9) == []

    def test_what_is_out_is_due_again_only_when_it_is_back(self) -> None:
        made = schedule(1)
        (out,) = made.take(1, 9)

        assert made.next_due() is None
        assert 0 in made
        made.put_back(out, 4)

        assert made.next_due() == 4
        assert made.take(3, 9) == []
        assert keys(made.take(4, 9)) == [0]

    def test_a_hurried_task_is_due_at_once_and_once(self) -> None:
        made = schedule(100, 200)

        assert made.hurry(1, 5)
        assert made.hurry(1, 5)

        assert keys(made.take(5, 9)) == [1]
        assert made.take(150, 1)[0].key == 0
        assert made.take(1000, 9) == []

    def test_one_that_is_out_is_remembered_as_hurried(self) -> None:
        made = schedule(1)
        (out,) = made.take(1, 9)

        assert made.hurry(0, 2)

        assert out.is_hurried
        assert made.next_due() is None

    def test_what_is_not_watched_cannot_be_hurried(self) -> None:
        assert not schedule().hurry(1, 0)

    def test_what_is_removed_is_neither_due_nor_held(self) -> None:
        made = schedule(1, 2)
        first = next(iter(made))

        made.remove(0)
        made.remove(0)

        assert (len(made), 0 in made, made.holds(first)) == (1, False, False)
        assert keys(made.take(9, 9)) == [1]

    def test_a_task_that_is_watched_anew_is_another_entry(self) -> None:
        made = schedule(1)
        (before,) = made.take(1, 9)

        made.add(watched(0), 7)

        assert not made.holds(before)
        assert made.next_due() == 7

    def test_cleared_it_is_empty(self) -> None:
        made = schedule(1, 2)

        made.clear()

        assert (len(made), made.next_due(), made.take(9, 9)) == (0, None, [])

    @given(st.lists(st.tuples(st.sampled_from(["add", "take", "back", "hurry", "remove"]), st.integers(0, 4))))
    def test_whatever_is_done_nothing_is_taken_twice_or_forgotten(self, steps: list[tuple[str, int]]) -> None:
        """Against a plain dictionary of due times."""
        made = Schedule()
        due: dict[int, float] = {}
        out: dict[int, Watched] = {}
        for now, (step, key) in enumerate(steps):
            if step == "add":
                out.pop(key, None)
                made.add(watched(key), now + key)
                due[key] = now + key
            elif step == "take":
                taken = made.take(now, 2)
                expected = sorted(at for at in due.values() if at <= now)[:2]
                assert sorted(due.pop(entry.key) for entry in taken) == expected
                out |= {entry.key: entry for entry in taken}
            elif step == "back" and key in out:
                made.put_back(out.pop(key), now + 2)
                due[key] = now + 2
            elif step == "hurry" and made.hurry(key, now) and key not in out:
                due[key] = now
            elif step == "remove":
                made.remove(key)
                due.pop(key, None)
                out.pop(key, None)
            assert made.next_due() == min(due.values(), default=None)
            assert len(made) == len(due) + len(out)


class TestPause:
    @pytest.mark.parametrize("kind", [MissKind.REFUSED, MissKind.THROTTLED, MissKind.UNUSABLE])
    def test_a_clear_word_pauses_at_once(self, kind: MissKind) -> None:
        pause = Pause()

        assert pause.trouble(miss(kind), 100)

        assert pause.is_on
        assert pause.until == 105
        assert pause.reason == f"{kind}: made up"

    def test_failures_that_may_pass_pause_only_when_they_do_not(self) -> None:
        pause = Pause()

        said = [pause.trouble(miss(MissKind.TRANSIENT), number) for number in range(3)]

        assert said == [False, False, True]
        assert pause.is_on

    def test_each_probe_that_fails_doubles_the_pause_up_to_a_minute(self) -> None:
        pause, now, lengths = Pause(), 0.0, []
        for _ in range(6):
            pause.trouble(miss(MissKind.REFUSED), now)
            lengths.append(pause.until - now)
            now = pause.until

        assert lengths == [5, 10, 20, 40, 60, 60]

    def test_what_was_out_when_the_pause_began_does_not_double_it(self) -> None:
        """Eight requests that are refused together are one trouble."""
        pause = Pause()

        said = [pause.trouble(miss(MissKind.REFUSED), 100 + number / 10) for number in range(8)]

        assert said == [True] + [False] * 7
        assert pause.until == 105

    def test_one_that_was_out_may_still_ask_for_a_longer_pause(self) -> None:
        pause = Pause()
        pause.trouble(miss(MissKind.THROTTLED), 100)

        pause.trouble(miss(MissKind.THROTTLED, timedelta(seconds=30)), 101)

        assert pause.until == 131

    def test_retry_after_is_obeyed(self) -> None:
        pause = Pause()

        pause.trouble(miss(MissKind.THROTTLED, timedelta(seconds=90)), 100)

        assert pause.until == 190

    def test_an_answer_ends_it_and_is_news_only_then(self) -> None:
        pause = Pause()
        assert not pause.over(99)
        pause.trouble(miss(MissKind.REFUSED), 100)

        assert pause.over(105)

        assert not pause.is_on
        assert pause.until == 0
        pause.trouble(miss(MissKind.REFUSED), 200)
        assert pause.until == 205, "counted anew"

    def test_an_answer_that_was_out_when_the_pause_began_does_not_end_it(self) -> None:
        pause = Pause()
        pause.trouble(miss(MissKind.THROTTLED, timedelta(seconds=30)), 100)

        assert not pause.over(101)

        assert pause.is_on
        assert pause.until == 130

    def test_another_reason_is_news(self) -> None:
        pause = Pause()
        pause.trouble(miss(MissKind.REFUSED), 100)

        assert not pause.trouble(miss(MissKind.REFUSED), 105)
        assert pause.trouble(miss(MissKind.REFUSED, detail="another"), 115)
