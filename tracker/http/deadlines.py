"""Deadlines for what the running task does: asyncio's own would cost as much as the rest of an exchange does here."""

import asyncio
from asyncio import current_task
from types import TracebackType
from typing import Any, Self

import msgspec


class Deadlines:
    """Deadlines that are all as long: they end in the order in which they began, and one timer does for all.

    A timer for each would have the loop sort hundreds of them that are cancelled almost at once.
    """

    __slots__ = ("_loop", "_seconds", "_timer", "running")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.running: dict[Deadline, None] = {}
        """The oldest first; each takes itself out at its end, and the last one says `rest`."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> "Deadline":
        """Cancels what runs inside it once its time is over, and turns that into a TimeoutError; to be entered once."""
        loop = self._loop
        task = None if loop is None else current_task(loop)
        if loop is None or task is None:
            # Remembered, since whoever asks for it has Python ask the system which process this is.
            loop = self._loop = asyncio.get_running_loop()
            task = current_task(loop)
        if task is None:
            raise RuntimeError("a deadline is for a task")
        deadline = Deadline(self, loop, task, task.cancelling(), loop.time() + self._seconds)
        self.running[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.ends_at, self._pass)
        return deadline

    def rest(self) -> None:
        """Wait for nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass(self) -> None:
        self._timer = None
        for oldest in list(self.running):
            if oldest.ends_at > oldest.loop.time():
                self._timer = oldest.loop.call_at(oldest.ends_at, self._pass)
                break
            del self.running[oldest]
            oldest.end()


class Deadline(msgspec.Struct, eq=False):
    """One of them; does what `asyncio.timeout` does, without coroutines of its own."""

    _among: Deadlines
    loop: asyncio.AbstractEventLoop
    _task: asyncio.Task[Any]
    _cancelling: int
    ends_at: float
    _own: asyncio.TimerHandle | None = None
    has_passed: bool = False

    def move(self, ends_at: float) -> None:
        """Have it end at another moment, by a timer of its own."""
        self._leave()
        self.ends_at = ends_at
        self._own = self.loop.call_at(ends_at, self.end)

    def end(self) -> None:
        """Its time is over."""
        self.has_passed = True
        self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        # Somebody else may have cancelled the task too, which then is what counts.
        if self.has_passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _leave(self) -> None:
        running = self._among.running
        running.pop(self, None)
        if not running:
            self._among.rest()
        if self._own is not None:
            self._own.cancel()
