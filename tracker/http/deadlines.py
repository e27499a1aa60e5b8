"""A deadline for what the running task does: asyncio's own would cost as much as the rest of an exchange does here."""

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """Cancels what runs inside it at a moment of the loop's clock, and turns that into a TimeoutError.

    It does what `asyncio.timeout_at` does, without coroutines of its own. To be entered once.
    """

    __slots__ = ("_cancelling", "_loop", "_task", "_timer", "has_passed")

    def __init__(self, loop: asyncio.AbstractEventLoop, ends_at: float) -> None:
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline is for a task")
        self._loop = loop
        self._task = task
        self._cancelling = task.cancelling()
        self.has_passed = False
        self._timer = loop.call_at(ends_at, self._pass)

    def move(self, ends_at: float) -> None:
        """Have it end at another moment."""
        self._timer.cancel()
        self._timer = self._loop.call_at(ends_at, self._pass)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # Somebody else may have cancelled the task too, which then is what counts.
        if self.has_passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _pass(self) -> None:
        self.has_passed = True
        self._task.cancel()
