"""What the log and the metrics hear of attempts and endpoints."""

import structlog

from tracker.courier.settling import Verdict
from tracker.metrics import Metrics
from tracker.model import Delivery, DeliveryStatus, EndpointState, MessageType
from tracker.store.endpoints import Turn

log = structlog.get_logger()


def tell_attempt(metrics: Metrics, delivery: Delivery, verdict: Verdict, status: DeliveryStatus) -> None:
    """An attempt is over; `status` is where that left the delivery."""
    outcome, is_dead = verdict.outcome, status is DeliveryStatus.DEAD
    result = "delivered" if outcome.delivered else ("dead" if is_dead else "failed")
    metrics.delivery_outcomes.labels(result).inc()
    metrics.attempt_duration.observe(outcome.duration.total_seconds())
    who = {"delivery": delivery.id, "endpoint": delivery.endpoint, "attempt": delivery.attempt}
    if outcome.delivered:
        since = delivery.finished_at or delivery.created_at
        metrics.finish_to_deliver.observe(max((verdict.now - since).total_seconds(), 0.0))
        metrics.events.labels("delivered").inc()
        log.info("delivered", **who, type=str(delivery.message_type), status_code=outcome.status_code)
        return
    metrics.events.labels("delivery_dead" if is_dead else "delivery_failed").inc()
    said = {"error": outcome.error, "status_code": outcome.status_code}
    match status:
        case DeliveryStatus.SUPERSEDED:
            log.info("delivery_superseded", **who, **said)
        case DeliveryStatus.DEAD:
            # Nobody has to look after progress that was not taken: the next message says more.
            say = log.warning if delivery.message_type is MessageType.PROGRESS else log.error
            say("delivery_dead", **who, **said)
        case _:
            log.warning("delivery_failed", **who, **said, next_attempt_at=verdict.next_attempt_at)


def tell_turn(metrics: Metrics, endpoint: str, turn: Turn | None) -> None:
    """An endpoint was paused, recovered, or given up."""
    if turn is None or not turn.is_new_state:
        return
    metrics.endpoint_turns.labels(str(turn.after.state)).inc()
    match turn.after.state:
        case EndpointState.PAUSED:
            until = turn.after.paused_until
            log.warning("endpoint_paused", endpoint=endpoint, reason=turn.after.reason, next_probe_at=until)
        case EndpointState.DISABLED:
            log.error("endpoint_disabled", endpoint=endpoint, reason=turn.after.reason)
        case EndpointState.ACTIVE:
            log.info("endpoint_recovered", endpoint=endpoint, failing_since=turn.before.failing_since)
