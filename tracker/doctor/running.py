"""Whether a daemon runs, comes round, and gets rid of its messages. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from tracker.doctor.findings import Finding, ago, doubtful, fine, wrong
from tracker.store.inspection import MOST_DEAD, Inspection

DAEMON, DELIVERIES, RECEIVERS = "daemon", "deliveries", "receivers"
SILENT, OVERDUE = timedelta(seconds=30), timedelta(minutes=5)
"""Heartbeats come every five seconds; messages that are due go out within one, as far as there are free slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseFacts:
    """What the daemon on this machine says of itself."""

    answers: bool = False
    late: str | None = None
    """Which of its loops are late, as it says; None where none is."""
    version: str | None = None
    start: str = "tracker serve"
    """What starts one here."""
    restart: str = "tracker serve"
    installed: str = ""


def judge_daemon(pulse: PulseFacts, found: Inspection | None) -> Finding:
    """One that shows itself, and that is of the installed version."""
    if pulse.late:
        return wrong(DAEMON, f"the daemon stands still; {pulse.late}", pulse.restart)
    lives = [line for line in found.daemons if not line.is_gone and line.silent_for < SILENT] if found else []
    if not lives and not pulse.answers:
        last = found.daemons[0] if found and found.daemons else None
        seen = f": the last one was seen {ago(last.silent_for.total_seconds())} ago on {last.host}" if last else ""
        return wrong(DAEMON, f"no daemon runs{seen}", pulse.start)
    if found and not lives:
        silent = f" for {ago(found.daemons[0].silent_for.total_seconds())}" if found.daemons else ""
        return wrong(DAEMON, f"a daemon answers, but has not written to this database{silent}", pulse.restart)
    if pulse.version and pulse.version != pulse.installed:
        cause = f"version {pulse.version} runs, {pulse.installed} is installed"
        return doubtful(DAEMON, cause, pulse.restart)
    hosts = ", ".join(sorted({line.host for line in lives}))
    return fine(DAEMON, f"{len(lives)} run on {hosts}" if lives else "it answers")


def judge_deliveries(found: Inspection) -> Iterator[Finding]:
    """Messages that should have gone out, and those that were given up."""
    is_well = True
    if found.overdue > OVERDUE:
        is_well = False
        cause = f"a message has been due for {ago(found.overdue.total_seconds())}"
        yield wrong(DELIVERIES, cause, "tracker deliveries --status pending")
    if found.dead_lately:
        is_well = False
        count = f"{found.dead_lately}{' or more' if found.dead_lately >= MOST_DEAD else ''}"
        yield doubtful(
            DELIVERIES,
            f"{count} messages were given up within a day",
            "tracker deliveries --status dead; tracker redeliver --status dead --since 24h",
        )
    if is_well:
        yield fine(DELIVERIES, "none is late, and none was given up within a day")


def judge_receivers(found: Inspection) -> Finding:
    """Endpoints that get nothing just now."""
    states = found.endpoints or {}
    resting = {state: count for state, count in states.items() if state != "active" and count}
    if resting:
        told = " and ".join(f"{count} {state}" for state, count in sorted(resting.items()))
        return doubtful(RECEIVERS, f"{told}: their messages wait", "tracker endpoints")
    return fine(RECEIVERS, f"all {sum(states.values())} are sent to")
