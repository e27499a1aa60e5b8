"""Whether this machine's clock is right, by those of others: of gateways, and of the database's server. Pure."""

from collections.abc import Mapping
from datetime import timedelta

from tracker.doctor.findings import Finding, ago, doubtful, fine, wrong

CHECK = "clock"
NOTICEABLE, TOO_MUCH = timedelta(seconds=5), timedelta(seconds=60)
"""Receivers refuse messages that are five minutes off; other machines may be off the other way."""
_COMMAND = "timedatectl timesync-status; timedatectl set-ntp true"


def judge_clock(ahead: Mapping[str, timedelta]) -> Finding:
    """`ahead` is by how much each of the other clocks, by whose it is, is ahead of ours."""
    if not ahead:
        return fine(CHECK, "nobody told the time to compare with")
    least = min(ahead.values(), key=abs)
    worst = max(ahead, key=lambda name: abs(ahead[name]))
    if abs(ahead[worst]) < NOTICEABLE:
        return fine(CHECK, f"agrees with {', '.join(ahead)}")
    if abs(least) < NOTICEABLE:
        cause = f"the clock of {worst} is {_off(ahead[worst])} of ours, with which others agree"
        return doubtful(CHECK, cause, "timedatectl timesync-status")
    said = ", ".join(f"{name} is {_off(by)}" for name, by in ahead.items())
    # Only what all of them say is surely ours.
    judged = wrong if abs(least) >= TOO_MUCH else doubtful
    return judged(CHECK, f"this machine's clock is off: {said} of it", _COMMAND)


def _off(by: timedelta) -> str:
    return f"{ago(abs(by.total_seconds()))} {'ahead' if by > timedelta(0) else 'behind'}"
