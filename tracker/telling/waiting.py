"""Why a message has not arrived yet, in one sentence for people, and when it is tried next."""

from datetime import datetime

from tracker.model import DeliveryStatus, EndpointState
from tracker.pacing import PROGRESS_TYPES
from tracker.store.messages import AttemptLine, DeliveryLine
from tracker.telling.sentences import Sentence, Template, sentence

DELIVERED = Template("delivered at {settled_at}")
SUPERSEDED_BY_NEWS = Template("superseded at {settled_at}: there is a newer message about its task")
SUPERSEDED_BY_END = Template("superseded at {settled_at}: its task has ended, and the end is told instead")
SUPERSEDED = Template("superseded at {settled_at}: its task has moved on")
GONE = Template("dead: its callback is gone since {gone_at} (HTTP 410, or withdrawn); tracker redeliver {id}")
OLD_NEWS = Template("dead: such news is soon old, and given up early; tracker redeliver {id}")
OLD_NEWS_AFTER = Template("dead: such news is soon old, and given up early after {cause}; tracker redeliver {id}")
USED_UP = Template("dead: the schedule of {failures} attempts is used up; tracker redeliver {id}")
USED_UP_AFTER = Template("dead: the schedule of {failures} attempts is used up after {cause}; tracker redeliver {id}")
UNDER_WAY = Template(
    "attempt {attempt} is under way since {attempted_at}; left without an outcome, it is repeated at {next_attempt_at}"
)
# When it was paused is not kept: that is later than its first failure, and must not be told as the same.
PAUSED = Template("held: {endpoint} is paused: {reason}; next probe at {probe_at}")
PAUSED_FAILING = Template(
    "held: {endpoint} is paused, failing since {failing_since_at}: {reason}; next probe at {probe_at}"
)
DISABLED = Template("held: {endpoint} is disabled: {reason}; tracker endpoints enable {endpoint_id}")
DISABLED_FAILING = Template(
    "held: {endpoint} is disabled, failing since {failing_since_at}: {reason}; tracker endpoints enable {endpoint_id}"
)
NO_REASON = Template("no reason is known")
BEHIND = Template("waiting for its turn: {id} about the same task goes first")
AGAIN = Template("to be sent again at {next_attempt_at}, as attempt {attempt}: it was delivered before")
WAITING = Template("waiting for attempt {attempt} at {next_attempt_at}")
WAITING_AFTER = Template("waiting for attempt {attempt} at {next_attempt_at} after {cause}")
INTERRUPTED = Template("attempt {attempt} was interrupted")
ANSWERED = Template("HTTP {status_code}")
NO_ANSWER = Template("no answer")


def why(line: DeliveryLine, last: AttemptLine | None) -> str:
    """Where a message stands, and what happens next; in English, as programs and the command line have it."""
    return standing(line, last).english


def standing(line: DeliveryLine, last: AttemptLine | None) -> Sentence:
    """Where a message stands, and what happens next."""
    match DeliveryStatus(line.status):
        case DeliveryStatus.DELIVERED:
            return sentence(DELIVERED, settled_at=line.settled_at)
        case DeliveryStatus.SUPERSEDED:
            return sentence(_superseded(line), settled_at=line.settled_at)
        case DeliveryStatus.DEAD:
            return _dead(line, last)
        case DeliveryStatus.PENDING:
            return _pending(line, last)


def next_attempt_at(line: DeliveryLine, last: AttemptLine | None) -> datetime | None:
    """When it may be tried next: where its endpoint is paused with the next probe; None where nobody can tell.

    A row that is held has a date far ahead, behind which nothing finds it: that is nobody's plan.
    """
    is_out = last is not None and last.outcome == "sending"
    if line.next_attempt_at is None or is_out or line.endpoint_state == EndpointState.ACTIVE:
        return line.next_attempt_at
    return line.paused_until


def _superseded(line: DeliveryLine) -> Template:
    if line.superseded_by in PROGRESS_TYPES:
        return SUPERSEDED_BY_NEWS
    return SUPERSEDED if line.superseded_by is None else SUPERSEDED_BY_END


def _dead(line: DeliveryLine, last: AttemptLine | None) -> Sentence:
    cause = _cause(last)
    if line.callback_gone_at is not None:
        return sentence(GONE, gone_at=line.callback_gone_at, id=line.id)
    if line.message_type in PROGRESS_TYPES:
        return sentence(OLD_NEWS_AFTER, cause=cause, id=line.id) if cause else sentence(OLD_NEWS, id=line.id)
    if cause:
        return sentence(USED_UP_AFTER, failures=line.failures, cause=cause, id=line.id)
    return sentence(USED_UP, failures=line.failures, id=line.id)


def _pending(line: DeliveryLine, last: AttemptLine | None) -> Sentence:
    next_at = line.next_attempt_at
    if last is not None and last.outcome == "sending":
        return sentence(UNDER_WAY, attempt=last.attempt, attempted_at=last.attempted_at, next_attempt_at=next_at)
    if line.endpoint_state != EndpointState.ACTIVE:
        return _held(line)
    if line.waits_for is not None:
        return sentence(BEHIND, id=line.waits_for)
    if last is not None and last.outcome == "delivered":
        return sentence(AGAIN, next_attempt_at=next_at, attempt=line.attempt + 1)
    if cause := _cause(last):
        return sentence(WAITING_AFTER, attempt=line.attempt + 1, next_attempt_at=next_at, cause=cause)
    return sentence(WAITING, attempt=line.attempt + 1, next_attempt_at=next_at)


def _held(line: DeliveryLine) -> Sentence:
    is_paused = line.endpoint_state == EndpointState.PAUSED
    if line.failing_since:
        template = PAUSED_FAILING if is_paused else DISABLED_FAILING
    else:
        template = PAUSED if is_paused else DISABLED
    return sentence(
        template,
        endpoint=line.endpoint,
        failing_since_at=line.failing_since,
        reason=line.endpoint_reason or sentence(NO_REASON),
        probe_at=line.paused_until,
        endpoint_id=line.endpoint_id,
    )


def _cause(last: AttemptLine | None) -> Sentence | str | None:
    """What came of the last attempt, as a phrase that stands after "after"."""
    if last is None:
        return None
    if last.outcome == "interrupted":
        return sentence(INTERRUPTED, attempt=last.attempt)
    if last.status_code:
        return sentence(ANSWERED, status_code=last.status_code)
    return last.error or sentence(NO_ANSWER)
