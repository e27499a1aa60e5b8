"""Every word, number, time and code that upstreams are known to use."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.model import MissKind, Status
from tracker.vocabulary import STATUS_WORDS, miss_by_code, parse_progress, parse_status, parse_time

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("NOT_START", Status.QUEUED),
        ("SUBMITTED", Status.QUEUED),
        ("submitted", Status.QUEUED),
        ("PENDING", Status.QUEUED),
        ("QUEUED", Status.QUEUED),
        ("IN_PROGRESS", Status.RUNNING),
        ("in progress", Status.RUNNING),
        ("In-Progress", Status.RUNNING),
        ("RUNNING", Status.RUNNING),
        ("processing", Status.RUNNING),
        ("MODAL", Status.NEEDS_INPUT),
        ("SUCCESS", Status.SUCCEEDED),
        (" success\n", Status.SUCCEEDED),
        ("succeed", Status.SUCCEEDED),
        ("succeeded", Status.SUCCEEDED),
        ("completed", Status.SUCCEEDED),
        ("done", Status.SUCCEEDED),
        ("Finished", Status.SUCCEEDED),
        ("FAILURE", Status.FAILED),
        ("FAILED", Status.FAILED),
        ("CANCEL", Status.CANCELLED),
        ("cancelled", Status.CANCELLED),
        ("Canceled", Status.CANCELLED),
    ],
)
def test_known_words_are_read_in_any_dress(word: str, status: Status) -> None:
    assert parse_status(word) is status


@pytest.mark.parametrize(
    "word", ["", " ", None, "unknown", "UNKNOWN", "SUCCESSISH", "Task not found", 0, 1, True, [], {}]
)
def test_unknown_empty_and_missing_words_are_no_status(word: object) -> None:
    assert parse_status(word) is None


@given(ANYTHING)
def test_only_a_listed_word_can_be_an_end(value: object) -> None:
    status = parse_status(value)

    if status is not None:
        assert isinstance(value, str)
        assert status in STATUS_WORDS.values()
        assert status not in (Status.LOST, Status.EXPIRED, Status.DROPPED)


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        ("100%", 100),
        ("31%", 31),
        (" 31 % ", 31),
        ("0%", 0),
        ("", None),
        (None, None),
        ("Waiting to start", None),
        ("Stopped%", None),
        (55, 55),
        (0.55, 55),
        ("0.55", 55),
        ("55", 55),
        ("55.5%", 55),
        ("0.5%", 0),
        (0.29, 29),
        (0.57, 57),
        (1, 1),
        (1.0, 1),
        ("1", 1),
        (0, 0),
        (0.0, 0),
        (150, 100),
        ("150%", 100),
        (10**400, 100),
        (1e300, 100),
        (-1, None),
        (-0.5, None),
        ("-5%", None),
        (math.nan, None),
        (math.inf, None),
        (True, None),
        ([], None),
        ("1e3", None),
        ("٣١%", None),
        ("9" * 5000, None),
    ],
)
def test_progress_is_read_from_every_form(value: object, percent: int | None) -> None:
    assert parse_progress(value) == percent


@given(ANYTHING)
def test_progress_is_a_percentage_or_nothing(value: object) -> None:
    assert parse_progress(value) in (None, *range(101))


@given(st.integers(0, 100))
def test_every_percentage_survives_as_text_number_and_fraction(percent: int) -> None:
    assert parse_progress(f"{percent}%") == parse_progress(percent) == percent
    if 0 < percent < 100:
        assert parse_progress(percent / 100) == parse_progress(str(percent / 100)) == percent


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1730621826053, datetime(2024, 11, 3, 8, 17, 6, 53000, UTC)),
        ("1730621826053", datetime(2024, 11, 3, 8, 17, 6, 53000, UTC)),
        (1730621826053.0, datetime(2024, 11, 3, 8, 17, 6, 53000, UTC)),
        (1730621826, datetime(2024, 11, 3, 8, 17, 6, tzinfo=UTC)),
        (1730621826.5, datetime(2024, 11, 3, 8, 17, 6, 500000, UTC)),
        (0, None),
        ("0", None),
        (None, None),
        ("", None),
        (-1, None),
        (True, None),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
        (-(10**400), None),
        (1e300, None),
        ("2024-11-03 08:17:06", None),
        ("9" * 18, None),
        ([], None),
    ],
)
def test_times_are_milliseconds_or_seconds_and_zero_is_not_yet(value: object, moment: datetime | None) -> None:
    assert parse_time(value) == moment


@given(ANYTHING)
def test_a_time_is_aware_and_whole_milliseconds(value: object) -> None:
    moment = parse_time(value)

    if moment is not None:
        assert moment.tzinfo is UTC
        assert moment.microsecond % 1000 == 0


@given(st.integers(100_000_000_000, 253_402_300_799_000))
def test_milliseconds_are_exact(value: int) -> None:
    moment = parse_time(value)

    assert moment is not None
    assert moment.replace(microsecond=0).timestamp() * 1000 + moment.microsecond // 1000 == value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, MissKind.REFUSED),
        (402, MissKind.REFUSED),
        (403, MissKind.REFUSED),
        (407, MissKind.REFUSED),
        (429, MissKind.THROTTLED),
        (408, MissKind.TRANSIENT),
        (425, MissKind.TRANSIENT),
        (500, MissKind.TRANSIENT),
        (502, MissKind.TRANSIENT),
        (503, MissKind.TRANSIENT),
        (524, MissKind.TRANSIENT),
        (302, MissKind.UNUSABLE),
        (400, MissKind.UNUSABLE),
        (404, MissKind.UNUSABLE),
        (418, MissKind.UNUSABLE),
    ],
)
def test_codes_have_a_meaning_without_a_body(code: int, kind: MissKind) -> None:
    assert miss_by_code(code) is kind


@given(st.integers(300, 999))
def test_no_code_alone_says_that_an_id_is_unknown(code: int) -> None:
    assert miss_by_code(code) is not MissKind.UNKNOWN
