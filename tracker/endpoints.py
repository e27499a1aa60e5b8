"""What one more answer changes about an endpoint: paused, probed, opened again, disabled.

Pure: the moment and the dice (a number from 0 up to 1) are arguments.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tracker.model import EndpointHealth, EndpointState

FAILURES_BEFORE_A_PAUSE = 5
FAILING_BEFORE_A_PAUSE = timedelta(seconds=60)
FAILURES_BEFORE_DISABLING = 10
FAILING_BEFORE_DISABLING = timedelta(days=5)
FIRST_PROBE_AFTER = timedelta(seconds=30)
LONGEST_BETWEEN_PROBES = timedelta(minutes=5)
_JITTER = 0.2


def succeeded(health: EndpointHealth, now: datetime) -> EndpointHealth:
    """After a 2xx: whatever was wrong is over, unless somebody disabled it by hand."""
    if health.state is EndpointState.DISABLED:
        return replace(health, last_success_at=now)
    return EndpointHealth(last_success_at=now)


def failed(health: EndpointHealth, error: str, now: datetime, *, dice: float) -> EndpointHealth:
    """After an attempt that the receiver is to blame for; one that a pause found under way moves no probe."""
    since = health.failing_since or now
    failures = health.failures + 1
    counted = replace(health, failures=failures, failing_since=since)
    if health.state is EndpointState.DISABLED:
        return counted
    if failures >= FAILURES_BEFORE_DISABLING and now - since >= FAILING_BEFORE_DISABLING:
        days = FAILING_BEFORE_DISABLING.days
        reason = f"no success for {days} days and {failures} failures, the last one: {error}"
        return replace(counted, state=EndpointState.DISABLED, paused_until=None, reason=reason)
    if health.state is EndpointState.PAUSED:
        return counted
    if failures >= FAILURES_BEFORE_A_PAUSE and now - since >= FAILING_BEFORE_A_PAUSE:
        reason = f"{failures} failures in a row, the last one: {error}"
        return replace(
            counted,
            state=EndpointState.PAUSED,
            probes=0,
            paused_until=now + probe_delay(0, dice=dice),
            reason=reason,
        )
    return counted


def probe_failed(health: EndpointHealth, error: str, now: datetime, *, dice: float) -> EndpointHealth:
    """After a probe that the receiver is to blame for: the next one waits longer."""
    counted = failed(health, error, now, dice=dice)
    if health.state is not EndpointState.PAUSED or counted.state is not EndpointState.PAUSED:
        return counted
    probes = health.probes + 1
    return replace(counted, probes=probes, paused_until=now + probe_delay(probes, dice=dice))


def disabled(health: EndpointHealth, reason: str) -> EndpointHealth:
    """Nothing more is sent until somebody enables it."""
    return replace(health, state=EndpointState.DISABLED, paused_until=None, reason=reason)


def enabled(health: EndpointHealth) -> EndpointHealth:
    """Somebody says that it works again: it gets everything, as after a success."""
    return EndpointHealth(last_success_at=health.last_success_at)


def probe_delay(probes: int, *, dice: float) -> timedelta:
    """How long to wait before the next probe: twice as long each time, ±20 %."""
    doubled = min(FIRST_PROBE_AFTER * (1 << min(probes, 10)), LONGEST_BETWEEN_PROBES)
    return doubled * (1 + _JITTER * (2 * dice - 1))
