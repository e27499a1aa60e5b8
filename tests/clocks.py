"""The time in tests, and waiting."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """A wall clock and a monotonic one that move only when told to."""

    now: datetime = START
    seconds: float = 1000.0

    def __call__(self) -> datetime:
        return self.now

    def timer(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


async def until(true: Callable[[], bool], within: float = 10) -> None:
    """Return once it is true."""
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.001)
