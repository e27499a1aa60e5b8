"""What was found: whether it is well, why not, and what to type."""

from dataclasses import dataclass
from enum import StrEnum

AS_ROOT = "sudo tracker doctor"
"""What sees more, where the caller may not see something."""


class State(StrEnum):
    """How it is with one thing."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should look at it."""
    PROBLEM = "problem"
    """It does not work, or will not for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check says, in words."""

    check: str
    state: State
    cause: str
    command: str | None = None
    """What to type; None where there is nothing to do."""


def fine(check: str, cause: str) -> Finding:
    """All is well."""
    return Finding(check=check, state=State.OK, cause=cause)


def doubtful(check: str, cause: str, command: str) -> Finding:
    """Somebody should look at it."""
    return Finding(check=check, state=State.WARNING, cause=cause, command=command)


def wrong(check: str, cause: str, command: str) -> Finding:
    """It does not work."""
    return Finding(check=check, state=State.PROBLEM, cause=cause, command=command)


def ago(seconds: float) -> str:
    """A length of time as people say it."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
