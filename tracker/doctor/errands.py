"""Things to find out, all at the same time, none for longer than it may take."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from tracker.doctor.findings import AS_ROOT, Finding, doubtful

T = TypeVar("T")


class Unanswered(Exception):  # noqa: N818 - it is no error, only nothing that is known
    """What came of an errand that brought nothing; its text says why, and repeats no value."""


class Errand(Generic[T]):
    """One of them, on a thread that nobody waits for once its time is over."""

    def __init__(self, run: Callable[[], T]) -> None:
        self._run = run
        self._brought: list[T] = []
        self._failed: str | None = None
        self._done = threading.Event()
        threading.Thread(target=self._go, name="errand", daemon=True).start()

    def _go(self) -> None:
        try:
            self._brought.append(self._run())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            # Not its text: there may be an address with a password in it.
            self._failed = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        finally:
            self._done.set()

    def wait(self, ends_at: float) -> T:
        """What it brought, at `ends_at` of the monotonic clock at the latest; raises Unanswered."""
        if not self._done.wait(max(ends_at - time.monotonic(), 0)):
            raise Unanswered("it took too long")
        if not self._brought:
            raise Unanswered(f"it failed ({self._failed})")
        return self._brought[0]


class Patience:
    """How long all errands together may take."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def hear(self, errand: Errand[T]) -> T | None:
        """What an errand brought; None where it brought nothing in time."""
        try:
            return errand.wait(self._ends_at)
        except Unanswered:
            return None

    def judge(self, check: str, errand: Errand[T], judge: Callable[[T], Iterable[Finding]]) -> Iterator[Finding]:
        """What it brought means, or that it brought nothing."""
        try:
            brought = errand.wait(self._ends_at)
        except Unanswered as said:
            yield doubtful(check, f"this cannot be told: {said}", AS_ROOT)
        else:
            yield from judge(brought)
