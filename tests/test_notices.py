"""What the operator is told about endpoints."""

import json
from datetime import timedelta

import pytest
from clocks import START

from tracker.model import EndpointHealth, EndpointState
from tracker.notices import MOST_COUNTED, compose, is_due_again

PAUSED = EndpointHealth(
    state=EndpointState.PAUSED,
    failures=5,
    failing_since=START - timedelta(minutes=2),
    paused_until=START + timedelta(seconds=30),
    reason="5 failures in a row, the last one: HTTP 500",
)


def composed(state: EndpointState, health: EndpointHealth = PAUSED, waiting: int = 7) -> dict[str, object]:
    body = compose(state, health, endpoint_id="end_1", origin="https://a.example:443", waiting=waiting, now=START)
    assert "\n" not in body
    told = json.loads(body)
    assert list(told) == ["type", "timestamp", "data"]
    assert told["timestamp"] == "2026-11-22T08:00:00.000Z"
    return {"type": told["type"], **told["data"]}


def test_a_pause_tells_why_since_when_and_when_it_is_tried_again() -> None:
    assert composed(EndpointState.PAUSED) == {
        "type": "endpoint.paused",
        "id": "end_1",
        "endpoint": "https://a.example:443",
        "state": "paused",
        "reason": "5 failures in a row, the last one: HTTP 500",
        "failing_since": "2026-11-22T07:58:00.000Z",
        "failures": 5,
        "next_probe_at": "2026-11-22T08:00:30.000Z",
        "waiting": 7,
        "waiting_is_exact": True,
    }


def test_a_recovery_tells_what_is_over() -> None:
    told = composed(EndpointState.ACTIVE)

    assert (told["type"], told["state"], told["next_probe_at"]) == ("endpoint.recovered", "active", None)
    assert (told["reason"], told["failing_since"]) == (PAUSED.reason, "2026-11-22T07:58:00.000Z")


def test_what_is_disabled_by_hand_need_not_have_failed() -> None:
    told = composed(EndpointState.DISABLED, EndpointHealth(state=EndpointState.DISABLED, reason="disabled by ann"))

    assert (told["type"], told["state"]) == ("endpoint.disabled", "disabled")
    assert (told["failing_since"], told["failures"], told["next_probe_at"]) == (None, 0, None)


@pytest.mark.parametrize(
    ("waiting", "told", "is_exact"),
    [(0, 0, True), (MOST_COUNTED, MOST_COUNTED, True), (MOST_COUNTED + 1, MOST_COUNTED, False)],
)
def test_more_than_are_counted_are_not_passed_off_as_a_count(waiting: int, told: int, *, is_exact: bool) -> None:
    about = composed(EndpointState.DISABLED, waiting=waiting)

    assert (about["waiting"], about["waiting_is_exact"]) == (told, is_exact)


@pytest.mark.parametrize(
    ("hours_ago", "due"), [(None, True), (0, False), (23.99, False), (24, True), (24 * 30, True), (-1, False)]
)
def test_it_is_said_again_after_a_day_and_not_before(hours_ago: float | None, *, due: bool) -> None:
    told_at = None if hours_ago is None else START - timedelta(hours=hours_ago)

    assert is_due_again(told_at, START) is due
