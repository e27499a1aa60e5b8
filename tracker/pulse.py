"""Whether the loops are alive: each says when it came round, anyone can ask who is late."""

from collections.abc import Callable
from datetime import timedelta

from tracker.metrics import Metrics


class Pulse:
    """The heartbeats of one daemon's loops, on a monotonic clock."""

    def __init__(self, timer: Callable[[], float], metrics: Metrics) -> None:
        self._timer = timer
        self._metrics = metrics
        self._beats: dict[str, tuple[float, float]] = {}

    def expect(self, loop: str, within: timedelta) -> None:
        """From now on this loop is late when it is silent for longer than `within`."""
        self._beats[loop] = (self._timer(), within.total_seconds())

    def forget(self, loop: str) -> None:
        """It will not come round any more."""
        self._beats.pop(loop, None)

    def beat(self, loop: str) -> None:
        """The loop came round."""
        if loop in self._beats:
            self._beats[loop] = (self._timer(), self._beats[loop][1])
        self._metrics.heartbeat.labels(loop).set_to_current_time()

    def late(self) -> dict[str, float]:
        """The loops that are late, and for how many seconds they have been silent."""
        now = self._timer()
        return {loop: now - at for loop, (at, within) in self._beats.items() if now - at > within}
