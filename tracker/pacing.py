"""How messages about a task that goes on keep from piling up: the newest only, one at a time, while it is news.

Pure: moments and the dice (a number from 0 up to 1) are arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker import cadence
from tracker.model import MessageType, Status

PROGRESS_TYPES = frozenset({MessageType.PROGRESS, MessageType.NEEDS_INPUT})
"""What is told of a task before its end."""
SPACING = timedelta(milliseconds=500)
"""From the start of one attempt to the start of the next, among such messages of one callback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a message that cannot be delivered is worth trying again."""

    waits: tuple[timedelta, ...]
    """Before the second attempt and those after it."""
    longest_retry_after: timedelta
    """Whoever asks to be left alone for longer would be told what is no news by then."""


PATIENCE = {
    MessageType.PROGRESS: Patience(
        waits=(timedelta(seconds=1), timedelta(seconds=5)), longest_retry_after=timedelta(minutes=1)
    ),
    # Nothing follows until somebody answers: a receiver that is only being restarted must not miss it.
    MessageType.NEEDS_INPUT: Patience(
        waits=(timedelta(seconds=5), timedelta(minutes=5)), longest_retry_after=timedelta(hours=1)
    ),
}
"""Three attempts each; ends go by the schedule of the configuration."""


def outdated_by(news: MessageType, status: Status) -> frozenset[MessageType]:
    """What older messages are not worth sending once this one exists; `status` is the task's.

    That it needs input stays worth saying through any progress, for as long as it does.
    """
    if news is MessageType.TEST:
        return frozenset()
    if news is MessageType.PROGRESS and status is Status.NEEDS_INPUT:
        return frozenset({MessageType.PROGRESS})
    return PROGRESS_TYPES


def is_outdated(message_type: MessageType, status: Status, *, newer: MessageType | None) -> bool:
    """Whether a message that failed is not worth another attempt: its task has moved on.

    `status` is the task's, `newer` the type of a message that its callback was written since, if there is any. Of a
    task that has ended only what somebody wants to see again is sent at all.
    """
    if message_type not in PROGRESS_TYPES or status.is_end:
        return False
    if message_type is MessageType.NEEDS_INPUT and status is not Status.NEEDS_INPUT:
        return True
    return newer is not None and message_type in outdated_by(newer, status)


def retry_delay(
    message_type: MessageType,
    failures: int,
    *,
    schedule: Sequence[timedelta],
    retry_after: timedelta | None,
    dice: float,
) -> timedelta | None:
    """How long to wait before the next attempt of a message that has failed `failures` times; None: give up.

    `schedule` is the configuration's, and none gets more attempts than that has; see `cadence.retry_delay`.
    """
    patience = PATIENCE.get(message_type)
    if patience is None:
        return cadence.retry_delay(failures, schedule=schedule, retry_after=retry_after, dice=dice)
    if retry_after is not None and retry_after > patience.longest_retry_after:
        return None
    own = (*schedule[:1], *patience.waits)[: len(schedule)]
    return cadence.retry_delay(failures, schedule=own, retry_after=retry_after, dice=dice)


def first_start(now: datetime, last_started_at: datetime | None) -> datetime:
    """When a message may first be sent whose callback was last sent one at that moment."""
    return now if last_started_at is None else max(now, last_started_at + SPACING)
