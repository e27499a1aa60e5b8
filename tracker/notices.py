"""What the operator is told about endpoints: which turn makes which message, what it says, when it is said again.

Pure: the moment is an argument.
"""

import json
from datetime import datetime, timedelta

from tracker.model import EndpointHealth, EndpointState, NoticeType
from tracker.moments import rfc3339

REMIND_EVERY = timedelta(days=1)
"""While an endpoint stays disabled and messages wait for it."""
MOST_COUNTED = 10_000
"""Waiting messages: enough to know that it is serious."""

_TYPES = {
    EndpointState.PAUSED: NoticeType.PAUSED,
    EndpointState.DISABLED: NoticeType.DISABLED,
    EndpointState.ACTIVE: NoticeType.RECOVERED,
}


def type_of(state: EndpointState) -> NoticeType:
    """What is said of an endpoint that has come into this state."""
    return _TYPES[state]


def is_due_again(told_at: datetime | None, now: datetime) -> bool:
    """Whether to say once more that an endpoint is disabled; `told_at` is when that was said last, if ever."""
    return told_at is None or now - told_at >= REMIND_EVERY


def compose(
    state: EndpointState, health: EndpointHealth, *, endpoint_id: str, origin: str, waiting: int, now: datetime
) -> str:
    """The body of a notice, as every attempt sends it.

    `health` tells why and since when; for an endpoint that recovered, as it was until then. `waiting` may count one
    more than is told, to say that there are more.
    """
    about = {
        "id": endpoint_id,
        "endpoint": origin,
        "state": str(state),
        "reason": health.reason,
        "failing_since": rfc3339(health.failing_since),
        "failures": health.failures,
        "next_probe_at": rfc3339(health.paused_until) if state is EndpointState.PAUSED else None,
        "waiting": min(waiting, MOST_COUNTED),
        "waiting_is_exact": waiting <= MOST_COUNTED,
    }
    told = {"type": str(type_of(state)), "timestamp": rfc3339(now), "data": about}
    return json.dumps(told, separators=(",", ":"))
