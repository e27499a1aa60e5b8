"""When to look at a task again, when to try a delivery again, how long to leave an upstream alone. Pure.

The moment and the dice (a number from 0 up to 1) are arguments, and what has been learned is a value.
"""

from tracker.cadence.durations import Durations, Tally
from tracker.cadence.forecasts import Bounds, Forecast, next_gap, surest, tempo
from tracker.cadence.looks import (
    PATIENCE_SECONDS,
    SLOWEST_SECONDS,
    STOPS_PER_INTERVAL,
    aligned,
    jittered,
    patient,
    stops,
    when_missing,
)
from tracker.cadence.retries import LONGEST_RETRY_AFTER, pause, retry_delay

__all__ = [
    "LONGEST_RETRY_AFTER",
    "PATIENCE_SECONDS",
    "SLOWEST_SECONDS",
    "STOPS_PER_INTERVAL",
    "Bounds",
    "Durations",
    "Forecast",
    "Tally",
    "aligned",
    "jittered",
    "next_gap",
    "patient",
    "pause",
    "retry_delay",
    "stops",
    "surest",
    "tempo",
    "when_missing",
]
