"""What makes a message about a task that goes on old, and for how long one is worth trying again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import cadence
from tracker.model import ENDS, MessageType, Status
from tracker.pacing import (
    PATIENCE,
    PROGRESS_TYPES,
    SPACING,
    first_start,
    is_outdated,
    outdated_by,
    retry_delay,
)

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
DICE = st.floats(0, 1, exclude_max=True)
MIDDLE = 0.5
SCHEDULE = tuple(timedelta(seconds=s) for s in (0, 5, 300, 1800, 7200))
PROGRESS, NEEDS_INPUT = MessageType.PROGRESS, MessageType.NEEDS_INPUT
END_TYPES = [kind for kind in MessageType if kind not in (*PROGRESS_TYPES, MessageType.TEST)]
LIVE = [status for status in Status if not status.is_end]


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class TestWhatIsOld:
    @pytest.mark.parametrize(
        ("news", "status", "old"),
        [
            (PROGRESS, Status.RUNNING, {PROGRESS, NEEDS_INPUT}),
            (PROGRESS, Status.QUEUED, {PROGRESS, NEEDS_INPUT}),
            (PROGRESS, Status.NEEDS_INPUT, {PROGRESS}),
            (NEEDS_INPUT, Status.NEEDS_INPUT, {PROGRESS, NEEDS_INPUT}),
            (MessageType.SUCCEEDED, Status.SUCCEEDED, {PROGRESS, NEEDS_INPUT}),
            (MessageType.LOST, Status.LOST, {PROGRESS, NEEDS_INPUT}),
            (MessageType.TEST, Status.RUNNING, set()),
        ],
    )
    def test_news_leaves_older_messages_nothing_to_say(
        self, news: MessageType, status: Status, old: set[MessageType]
    ) -> None:
        """Except that the task needs input, for as long as it does."""
        assert outdated_by(news, status) == old

    @given(news=st.sampled_from(MessageType), status=st.sampled_from(Status))
    def test_the_message_of_an_end_is_never_old(self, news: MessageType, status: Status) -> None:
        assert not outdated_by(news, status) & {*END_TYPES, MessageType.TEST}

    @pytest.mark.parametrize(
        ("message_type", "status", "newer", "old"),
        [
            (PROGRESS, Status.RUNNING, None, False),
            (PROGRESS, Status.RUNNING, PROGRESS, True),
            (PROGRESS, Status.NEEDS_INPUT, NEEDS_INPUT, True),
            (PROGRESS, Status.NEEDS_INPUT, PROGRESS, True),
            (NEEDS_INPUT, Status.NEEDS_INPUT, None, False),
            (NEEDS_INPUT, Status.NEEDS_INPUT, PROGRESS, False),
            (NEEDS_INPUT, Status.NEEDS_INPUT, NEEDS_INPUT, True),
            (NEEDS_INPUT, Status.RUNNING, None, True),
            (NEEDS_INPUT, Status.RUNNING, PROGRESS, True),
        ],
    )
    def test_one_that_failed_is_compared_with_what_came_since(
        self, message_type: MessageType, status: Status, newer: MessageType | None, *, old: bool
    ) -> None:
        assert is_outdated(message_type, status, newer=newer) is old

    @given(
        message_type=st.sampled_from(MessageType),
        status=st.sampled_from(sorted(ENDS)),
        newer=st.none() | st.sampled_from(MessageType),
    )
    def test_what_is_sent_of_an_ended_task_was_asked_for_and_is_tried_as_any_other(
        self, message_type: MessageType, status: Status, newer: MessageType | None
    ) -> None:
        assert not is_outdated(message_type, status, newer=newer)

    @given(
        message_type=st.sampled_from(END_TYPES), status=st.sampled_from(Status), newer=st.none() | st.sampled_from(LIVE)
    )
    def test_an_end_that_failed_is_tried_again_whatever_came_since(
        self, message_type: MessageType, status: Status, newer: object
    ) -> None:
        """A dropped task may live again, and have progress after its end."""
        assert not is_outdated(message_type, status, newer=MessageType.PROGRESS if newer else None)


class TestTries:
    @pytest.mark.parametrize(
        ("message_type", "waits"),
        [(PROGRESS, [0, 1, 5, None]), (NEEDS_INPUT, [0, 5, 300, None]), (MessageType.FAILED, [0, 5, 300, 1800, 7200])],
    )
    def test_each_kind_has_its_own_patience(self, message_type: MessageType, waits: list[float | None]) -> None:
        for failures, wait in enumerate(waits):
            delay = retry_delay(message_type, failures, schedule=SCHEDULE, retry_after=None, dice=MIDDLE)
            assert delay == (None if wait is None else seconds(wait))

    @given(
        message_type=st.sampled_from(sorted(PROGRESS_TYPES)),
        failures=st.integers(3, 100),
        retry_after=st.none() | st.timedeltas(),
        dice=DICE,
    )
    def test_progress_is_tried_three_times_at_most(
        self, message_type: MessageType, failures: int, retry_after: timedelta | None, dice: float
    ) -> None:
        delay = retry_delay(message_type, failures, schedule=SCHEDULE * 3, retry_after=retry_after, dice=dice)

        assert delay is None

    @given(message_type=st.sampled_from(MessageType), length=st.integers(1, 5), dice=DICE)
    def test_nothing_is_tried_more_often_than_the_configuration_says(
        self, message_type: MessageType, length: int, dice: float
    ) -> None:
        delay = retry_delay(message_type, length, schedule=SCHEDULE[:length], retry_after=None, dice=dice)

        assert delay is None

    @given(message_type=st.sampled_from(sorted(PROGRESS_TYPES)), failures=st.integers(1, 2), dice=DICE)
    def test_jitter_is_a_fifth_to_either_side(self, message_type: MessageType, failures: int, dice: float) -> None:
        wait = PATIENCE[message_type].waits[failures - 1]

        delay = retry_delay(message_type, failures, schedule=SCHEDULE, retry_after=None, dice=dice)

        assert delay is not None
        assert wait * 0.799 <= delay <= wait * 1.201

    @given(
        message_type=st.sampled_from(sorted(PROGRESS_TYPES)),
        failures=st.integers(1, 2),
        retry_after=st.timedeltas(),
        dice=DICE,
    )
    def test_it_waits_as_long_as_the_receiver_asks_or_gives_up(
        self, message_type: MessageType, failures: int, retry_after: timedelta, dice: float
    ) -> None:
        longest = PATIENCE[message_type].longest_retry_after

        delay = retry_delay(message_type, failures, schedule=SCHEDULE, retry_after=retry_after, dice=dice)

        assert (delay is None) == (retry_after > longest)
        assert delay is None or retry_after <= delay <= max(longest, seconds(300)) * 1.201

    @given(
        message_type=st.sampled_from(END_TYPES),
        failures=st.integers(0, 9),
        retry_after=st.none() | st.timedeltas(),
        dice=DICE,
    )
    def test_ends_go_by_the_schedule(
        self, message_type: MessageType, failures: int, retry_after: timedelta | None, dice: float
    ) -> None:
        said = retry_delay(message_type, failures, schedule=SCHEDULE, retry_after=retry_after, dice=dice)

        assert said == cadence.retry_delay(failures, schedule=SCHEDULE, retry_after=retry_after, dice=dice)

    def test_a_question_is_worth_more_patience_than_progress(self) -> None:
        """A receiver that is being restarted must not miss what a person waits to be asked."""
        progress, question = PATIENCE[PROGRESS], PATIENCE[NEEDS_INPUT]

        assert sum(question.waits, seconds(0)) > 10 * sum(progress.waits, seconds(0))
        assert question.longest_retry_after > progress.longest_retry_after


class TestSpacing:
    @pytest.mark.parametrize(("ago", "wait"), [(None, 0), (0, 0.5), (0.2, 0.3), (0.5, 0), (60, 0)])
    def test_the_next_starts_half_a_second_after_the_one_before(self, ago: float | None, wait: float) -> None:
        last = None if ago is None else NOW - seconds(ago)

        assert first_start(NOW, last) == NOW + seconds(wait)

    @given(ago=st.timedeltas(timedelta(0), timedelta(days=1)))
    def test_it_is_never_put_off_for_longer_than_that(self, ago: timedelta) -> None:
        start = first_start(NOW, NOW - ago)

        assert NOW <= start <= NOW + SPACING
        assert start - (NOW - ago) >= SPACING
