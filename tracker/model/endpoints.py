"""How the receivers that callbacks share are doing."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EndpointState(StrEnum):
    """Whether an endpoint is sent to."""

    ACTIVE = "active"
    PAUSED = "paused"
    """It failed too often: one probe now and then, everything else waits."""
    DISABLED = "disabled"
    """Nothing is sent until somebody enables it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """What is remembered of an endpoint between attempts."""

    state: EndpointState = EndpointState.ACTIVE
    failures: int = 0
    """In a row, since the last success."""
    failing_since: datetime | None = None
    """When the first of them was."""
    probes: int = 0
    """How many probes have failed since it was paused."""
    paused_until: datetime | None = None
    """When the next probe may go out."""
    reason: str | None = None
    """Why it is paused or disabled, for people."""
    last_success_at: datetime | None = None
