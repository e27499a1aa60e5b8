"""Why a message has not arrived yet, in one sentence for people, and when it is tried next."""

from datetime import datetime

from tracker.model import DeliveryStatus, EndpointState
from tracker.moments import rfc3339
from tracker.pacing import PROGRESS_TYPES
from tracker.store.messages import AttemptLine, DeliveryLine


def why(line: DeliveryLine, last: AttemptLine | None) -> str:
    """Where a message stands, and what happens next."""
    match DeliveryStatus(line.status):
        case DeliveryStatus.DELIVERED:
            return f"delivered at {_at(line.settled_at)}"
        case DeliveryStatus.SUPERSEDED:
            return f"superseded at {_at(line.settled_at)}: {_why_superseded(line)}"
        case DeliveryStatus.DEAD:
            return _why_dead(line, last)
        case DeliveryStatus.PENDING:
            return _why_pending(line, last)


def next_attempt_at(line: DeliveryLine, last: AttemptLine | None) -> datetime | None:
    """When it may be tried next: where its endpoint is paused with the next probe; None where nobody can tell.

    A row that is held has a date far ahead, behind which nothing finds it: that is nobody's plan.
    """
    is_out = last is not None and last.outcome == "sending"
    if line.next_attempt_at is None or is_out or line.endpoint_state == EndpointState.ACTIVE:
        return line.next_attempt_at
    return line.paused_until


def _why_superseded(line: DeliveryLine) -> str:
    if line.superseded_by in PROGRESS_TYPES:
        return "there is a newer message about its task"
    if line.superseded_by is not None:
        return "its task has ended, and the end is told instead"
    return "its task has moved on"


def _why_dead(line: DeliveryLine, last: AttemptLine | None) -> str:
    again = f"tracker redeliver {line.id}"
    if line.callback_gone_at is not None:
        return f"dead: its callback is gone since {_at(line.callback_gone_at)} (HTTP 410, or withdrawn); {again}"
    if line.message_type in PROGRESS_TYPES:
        return f"dead: such news is soon old, and given up early{_after(last)}; {again}"
    return f"dead: the schedule of {line.failures} attempts is used up{_after(last)}; {again}"


def _why_pending(line: DeliveryLine, last: AttemptLine | None) -> str:
    if last is not None and last.outcome == "sending":
        began = f"attempt {last.attempt} is under way since {_at(last.attempted_at)}"
        return f"{began}; left without an outcome, it is repeated at {_at(line.next_attempt_at)}"
    if line.endpoint_state != EndpointState.ACTIVE:
        return _why_held(line)
    if line.waits_for is not None:
        return f"waiting for its turn: {line.waits_for} about the same task goes first"
    if last is not None and last.outcome == "delivered":
        return (
            f"to be sent again at {_at(line.next_attempt_at)}, as attempt {line.attempt + 1}: it was delivered before"
        )
    return f"waiting for attempt {line.attempt + 1} at {_at(line.next_attempt_at)}{_after(last)}"


def _why_held(line: DeliveryLine) -> str:
    # When it was paused is not kept: that is later than its first failure, and must not be told as the same.
    since = f", failing since {_at(line.failing_since)}" if line.failing_since else ""
    held = f"held: {line.endpoint} is {line.endpoint_state}{since}: {line.endpoint_reason or 'no reason is known'}"
    if line.endpoint_state == EndpointState.PAUSED:
        return f"{held}; next probe at {_at(line.paused_until)}"
    return f"{held}; tracker endpoints enable {line.endpoint_id}"


def _after(last: AttemptLine | None) -> str:
    if last is None:
        return ""
    if last.outcome == "interrupted":
        return f" after attempt {last.attempt} was interrupted"
    return f" after {f'HTTP {last.status_code}' if last.status_code else last.error or 'no answer'}"


def _at(moment: datetime | None) -> str:
    return rfc3339(moment) or "an unknown time"
