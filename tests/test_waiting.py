"""Why a message has not arrived yet, in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tracker.store.messages import AttemptLine, DeliveryLine
from tracker.telling.translation import tell_delivery
from tracker.telling.waiting import why

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LINE = DeliveryLine(
    key=1,
    id="msg_1",
    task="tsk_1",
    task_id="1",
    upstream="default",
    message_type="task.succeeded",
    sequence=2,
    owner="ann",
    url="https://x.example/hook",
    endpoint="https://x.example:443",
    status="pending",
    attempt=0,
    next_attempt_at=NOW,
    created_at=NOW,
    settled_at=None,
    failures=0,
    callback_gone_at=None,
    endpoint_id="end_1",
    endpoint_state="active",
    endpoint_reason=None,
    failing_since=None,
    paused_until=None,
)
PROGRESS = replace(LINE, message_type="task.progress")
TRIED = replace(LINE, attempt=2, failures=2)
FAILED = AttemptLine(
    attempt=2,
    attempted_at=NOW,
    outcome="failed",
    status_code=500,
    duration_ms=1,
    phase=None,
    error="status",
    detail=None,
    response=None,
    next_attempt_at=None,
)
LATER = NOW + timedelta(minutes=5)
PAUSED = replace(
    TRIED,
    endpoint_state="paused",
    endpoint_reason="5 failures in a row, the last one: timeout",
    failing_since=NOW,
    paused_until=LATER,
)
AT, THEN = "2026-11-22T08:00:00.000Z", "2026-11-22T08:05:00.000Z"


@pytest.mark.parametrize(
    ("line", "last", "said"),
    [
        (LINE, None, f"waiting for attempt 1 at {AT}"),
        (TRIED, FAILED, f"waiting for attempt 3 at {AT} after HTTP 500"),
        (TRIED, replace(FAILED, status_code=None, error="timeout"), f"waiting for attempt 3 at {AT} after timeout"),
        (
            TRIED,
            replace(FAILED, outcome="interrupted"),
            f"waiting for attempt 3 at {AT} after attempt 2 was interrupted",
        ),
        (
            TRIED,
            replace(FAILED, outcome="delivered", status_code=200, error=None),
            f"to be sent again at {AT}, as attempt 3: it was delivered before",
        ),
        (
            replace(TRIED, next_attempt_at=LATER),
            replace(FAILED, outcome="sending"),
            f"attempt 2 is under way since {AT}; left without an outcome, it is repeated at {THEN}",
        ),
        (
            PAUSED,
            FAILED,
            f"held: {PAUSED.endpoint} is paused, failing since {AT}: {PAUSED.endpoint_reason}; next probe at {THEN}",
        ),
        (
            replace(LINE, endpoint_state="disabled", endpoint_reason="disabled by admin"),
            None,
            "held: https://x.example:443 is disabled: disabled by admin; tracker endpoints enable end_1",
        ),
        (replace(TRIED, status="delivered", settled_at=NOW), FAILED, f"delivered at {AT}"),
        (
            replace(TRIED, status="dead", failures=10, settled_at=NOW),
            FAILED,
            "dead: the schedule of 10 attempts is used up after HTTP 500; tracker redeliver msg_1",
        ),
        (
            replace(TRIED, status="dead", settled_at=NOW, callback_gone_at=NOW),
            FAILED,
            f"dead: its callback is gone since {AT} (HTTP 410, or withdrawn); tracker redeliver msg_1",
        ),
        (
            replace(PROGRESS, status="superseded", settled_at=NOW, superseded_by="task.failed"),
            FAILED,
            f"superseded at {AT}: its task has ended, and the end is told instead",
        ),
        (
            replace(PROGRESS, status="superseded", settled_at=NOW, superseded_by="task.needs_input"),
            FAILED,
            f"superseded at {AT}: there is a newer message about its task",
        ),
        (replace(PROGRESS, status="superseded", settled_at=NOW), None, f"superseded at {AT}: its task has moved on"),
        (
            replace(PROGRESS, waits_for="msg_0"),
            None,
            "waiting for its turn: msg_0 about the same task goes first",
        ),
        (
            replace(PROGRESS, status="dead", failures=3, settled_at=NOW),
            FAILED,
            "dead: such news is soon old, and given up early after HTTP 500; tracker redeliver msg_1",
        ),
    ],
)
def test_where_it_stands_is_said_in_one_sentence(line: DeliveryLine, last: AttemptLine | None, said: str) -> None:
    assert why(line, last) == said


HELD_UNTIL = NOW + timedelta(days=7)


@pytest.mark.parametrize(
    ("line", "last", "told"),
    [
        (replace(LINE, next_attempt_at=LATER), FAILED, THEN),
        (replace(PAUSED, next_attempt_at=HELD_UNTIL), FAILED, THEN),
        (replace(PAUSED, next_attempt_at=HELD_UNTIL, endpoint_state="disabled", paused_until=None), FAILED, None),
        (replace(PAUSED, next_attempt_at=LATER, paused_until=NOW), replace(FAILED, outcome="sending"), THEN),
        (replace(PAUSED, next_attempt_at=None, status="dead"), FAILED, None),
    ],
)
def test_the_next_attempt_of_what_is_held_is_the_probe_or_unknown(
    line: DeliveryLine, last: AttemptLine, told: str | None
) -> None:
    """The date behind which it is held is nobody's plan."""
    assert tell_delivery(line, last)["next_attempt_at"] == told
