"""Has outcomes written, as many as there are in one go, and tells of them: attempts need not wait for that."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog

from tracker.courier import settling
from tracker.courier.settling import Closing, Settled
from tracker.courier.writing import written
from tracker.store.database import Database

log = structlog.get_logger()

Told = Callable[[Sequence[tuple[Closing, Settled | None]]], None]

_PATIENCE = 0.02
"""Seconds in which somebody else may take outcomes into a transaction of theirs, or more of them come together."""
_MOST = 256
"""Outcomes in one transaction."""
_FAREWELL = 1.0
"""Seconds for what is not written yet when there is no more time."""


class Recorder:
    """Keeps outcomes until they are written; what a receiver has is known only here."""

    def __init__(self, database: Database, tell: Told) -> None:
        """`tell` hears of outcomes that were written, and of those that cannot be: without what was written then."""
        self._database = database
        self._tell = tell
        self._waiting: list[Closing] = []
        self._returned: list[Closing] = []
        self._writing: asyncio.Future[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()
        """Outcomes that could not be written with others, each in a write of its own."""
        self._wake = asyncio.Event()
        self._finishing = False

    def add(self, closing: Closing) -> None:
        """Have it written soon."""
        self._waiting.append(closing)
        self._wake.set()

    def take(self) -> list[Closing]:
        """What is not written yet, for somebody who writes it, and then calls `say` or `give_back`."""
        some, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        return some

    def give_back(self, closings: Sequence[Closing]) -> None:
        """They could not be written together with something else, so they are not lent again."""
        self._returned += closings
        self._wake.set()

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Outcomes are written meanwhile, and all are when this is over."""
        self._finishing = False
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run())
            try:
                yield
            finally:
                self._finishing = True
                self._wake.set()

    async def _run(self) -> None:
        try:
            await self._record_all()
        except asyncio.CancelledError:
            await self._hurry()
            raise

    async def _record_all(self) -> None:
        while self._waiting or self._returned or not self._finishing:
            await self._wake.wait()
            self._wake.clear()
            if not self._finishing:
                await asyncio.sleep(_PATIENCE)
            while some := self._returned or self.take():
                self._returned = []
                self._writing = asyncio.ensure_future(self._write(some))
                await asyncio.shield(self._writing)
        await asyncio.gather(*self._alone)

    async def _hurry(self) -> None:
        """Out of time: what can be written soon is written, of the rest the claims run out."""
        last = [*self._returned, *self._waiting]
        self._returned, self._waiting = [], []
        if last:
            # At once, beside what is being written: that may be waiting for a database that has come back.
            self._begin(self._write(last))
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + _FAREWELL
        while open_ := {*self._alone, *([self._writing] if self._writing and not self._writing.done() else [])}:
            done, _ = await asyncio.wait(open_, timeout=max(ends_at - loop.time(), 0))
            if not done:
                log.warning("outcomes_not_written", reason="out of time")
                for late in open_:
                    late.cancel()
                return

    async def _write(self, closings: Sequence[Closing]) -> None:
        try:
            settled = await self._database.write_beside(partial(settling.settle, closings=closings))
        except Exception:  # noqa: BLE001 - found out one by one
            # One bad outcome, or one row that somebody holds, must not hold up the others.
            for closing in closings:
                self._begin(self._write_alone(closing))
            return
        self.say(list(zip(closings, settled, strict=True)))

    async def _write_alone(self, closing: Closing) -> None:
        delivery = closing.entry.delivery.id
        try:
            write = partial(self._database.write_each, settling.settle, closing)
            settled = await written(write, delivery=delivery)
        except Exception:
            # The claim runs out by itself and the delivery is tried again.
            log.exception("delivery_failed_inside", delivery=delivery)
            self.say([(closing, None)])
            return
        self.say([(closing, settled)])

    def _begin(self, write: Coroutine[Any, Any, None]) -> None:
        begun = asyncio.get_running_loop().create_task(write)
        self._alone.add(begun)
        begun.add_done_callback(self._alone.discard)

    def say(self, written: Sequence[tuple[Closing, Settled | None]]) -> None:
        """These are written, or cannot be."""
        try:
            self._tell(written)
        except Exception:
            # What is written is written, whoever cannot hear of it.
            log.exception("outcomes_not_told")
