"""Telling people and programs what is stored: the same JSON through the API and at the command line."""

from tracker.telling.reading import told_deliveries, told_tasks, told_upstreams, told_with_attempts
from tracker.telling.shapes import (
    DeliveryAnswer,
    DeliveryWithAttempts,
    EndpointAnswer,
    EventAnswer,
    FeedEvent,
    TaskAnswer,
    TaskWithObject,
    TrialAnswer,
    UpstreamAnswer,
)
from tracker.telling.translation import (
    tell_endpoint,
    tell_event,
    tell_line,
    tell_newcomer,
    tell_task,
    tell_token,
    tell_trial,
)

__all__ = [
    "DeliveryAnswer",
    "DeliveryWithAttempts",
    "EndpointAnswer",
    "EventAnswer",
    "FeedEvent",
    "TaskAnswer",
    "TaskWithObject",
    "TrialAnswer",
    "UpstreamAnswer",
    "tell_endpoint",
    "tell_event",
    "tell_line",
    "tell_newcomer",
    "tell_task",
    "tell_token",
    "tell_trial",
    "told_deliveries",
    "told_tasks",
    "told_upstreams",
    "told_with_attempts",
]
