"""Telling people and programs what is stored: the same JSON through the API and at the command line."""

from tracker.telling.reading import told_deliveries, told_tasks, told_upstreams, told_with_attempts
from tracker.telling.shapes import (
    DeliveryAnswer,
    DeliveryWithAttempts,
    EventAnswer,
    FeedEvent,
    TaskAnswer,
    TaskWithObject,
    UpstreamAnswer,
)
from tracker.telling.translation import tell_event, tell_line, tell_token

__all__ = [
    "DeliveryAnswer",
    "DeliveryWithAttempts",
    "EventAnswer",
    "FeedEvent",
    "TaskAnswer",
    "TaskWithObject",
    "UpstreamAnswer",
    "tell_event",
    "tell_line",
    "tell_token",
    "told_deliveries",
    "told_tasks",
    "told_upstreams",
    "told_with_attempts",
]
