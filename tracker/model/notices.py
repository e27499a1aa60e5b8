"""Messages to the operator about endpoints."""

from dataclasses import dataclass
from enum import StrEnum


class NoticeType(StrEnum):
    """What the operator can be told."""

    PAUSED = "endpoint.paused"
    DISABLED = "endpoint.disabled"
    """Said again once a day while something waits for it."""
    RECOVERED = "endpoint.recovered"
    """It works again, or somebody enabled it."""


class NoticeStatus(StrEnum):
    """Where a notice stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to the operator, claimed for one attempt."""

    key: int
    id: str
    """`msg_…`, the `webhook-id` of every attempt."""
    message_type: NoticeType
    body: str
    """What is sent, byte for byte the same in every attempt."""
    attempt: int
    """The number of this attempt; outcomes are recorded only under it."""
    failures: int
    """How many attempts have failed before: the place in the retry schedule."""
