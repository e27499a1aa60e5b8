"""What the log and the metrics hear of attempts and endpoints."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import structlog

from tracker.courier.settling import Closing, Settled
from tracker.metrics import Metrics
from tracker.model import DeliveryStatus, EndpointState, MessageType
from tracker.store.endpoints import Turn

log = structlog.get_logger()


class Teller:
    """Tells of many outcomes at a time."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Looking for a metric by its labels costs more than counting.
        self._outcomes = {name: metrics.delivery_outcomes.labels(name) for name in ("delivered", "dead", "failed")}
        self._events = {
            "delivered": metrics.events.labels("delivered"),
            "dead": metrics.events.labels("delivery_dead"),
            "failed": metrics.events.labels("delivery_failed"),
        }

    def tell(self, written: Sequence[tuple[Closing, Settled | None]]) -> None:
        """Of what was written as it is now; nothing of what was written before, or has gone on without us."""
        bound, counts = log.bind(), Counter[str]()
        for closing, settled in written:
            if settled is None or settled.status is None:
                continue
            result = "dead" if settled.status is DeliveryStatus.DEAD else "failed"
            result = "delivered" if closing.outcome.delivered else result
            counts[result] += 1
            self._metrics.attempt_duration.observe(closing.outcome.duration.total_seconds())
            if result == "delivered":
                self._tell_delivered(bound, closing)
            else:
                _tell_failed(bound, closing, settled.status)
            _tell_turn(self._metrics, closing.entry.delivery.endpoint, settled.turn)
        for result, number in counts.items():
            self._outcomes[result].inc(number)
            self._events[result].inc(number)

    def _tell_delivered(self, bound: Any, closing: Closing) -> None:  # noqa: ANN401 - a logger
        delivery = closing.entry.delivery
        since = delivery.finished_at or delivery.created_at
        self._metrics.finish_to_deliver.observe(max((closing.now - since).total_seconds(), 0.0))
        bound.info(
            "delivered",
            delivery=delivery.id,
            endpoint=delivery.endpoint,
            attempt=delivery.attempt,
            type=delivery.message_type.value,
            status_code=closing.outcome.status_code,
        )


def _tell_failed(bound: Any, closing: Closing, status: DeliveryStatus) -> None:  # noqa: ANN401 - a logger
    delivery, outcome = closing.entry.delivery, closing.outcome
    about = {
        "delivery": delivery.id,
        "endpoint": delivery.endpoint,
        "attempt": delivery.attempt,
        "error": outcome.error,
        "status_code": outcome.status_code,
    }
    match status:
        case DeliveryStatus.SUPERSEDED:
            bound.info("delivery_superseded", **about)
        case DeliveryStatus.DEAD:
            # Nobody has to look after progress that was not taken: the next message says more.
            say = bound.warning if delivery.message_type is MessageType.PROGRESS else bound.error
            say("delivery_dead", **about)
        case _:
            bound.warning("delivery_failed", **about, next_attempt_at=closing.next_attempt_at)


def _tell_turn(metrics: Metrics, endpoint: str, turn: Turn | None) -> None:
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
