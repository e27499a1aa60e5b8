"""Finding work for the lanes, and being one daemon among others: what is repeated for both, and when it must rest."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import structlog

from tracker.poller import Adoption, Lane
from tracker.pulse import Pulse
from tracker.store import daemons, giving_back, hints, tasks, watching
from tracker.store.database import Database

log = structlog.get_logger()

_HINT_EVERY = 0.05
"""Seconds: a hint for each registration would cost more than it saves."""
_AT_ONCE = 1000


class Finding:
    """Adopts, shows that we live, and tells others that there is something to adopt."""

    def __init__(self, adoption: Adoption, lanes: Mapping[str, Lane], database: Database, pulse: Pulse) -> None:
        self.has_looked = asyncio.Event()
        """Set when a first look for work went well."""
        self._adoption = adoption
        self._lanes = lanes
        self._database = database
        self._pulse = pulse
        self._stopping = False
        self._has_warned = False
        self._unwatched = adoption.newcomers.strays
        """Keys of tasks that are ours still, of upstreams that no longer are."""
        self._handing, self._counting = asyncio.Lock(), asyncio.Lock()

    def stop(self) -> None:
        """Find nothing more."""
        self._stopping = True
        self.has_looked.set()

    async def enter(self) -> None:
        """Take our place in the table of daemons."""
        if strays := await self._database.write(partial(daemons.find_strays, now=self._database.now())):
            log.warning("watchers_unknown", daemons=strays)
        if self._database.is_sqlite:
            # The lock on the file is ours: whoever was sending died, and what it had claimed need not wait for that.
            ended = await self._database.write(partial(giving_back.end_claims, now=self._database.now()))
            if ended:
                log.info("claims_ended", deliveries=ended)
        await self._adoption.resume()

    async def leave(self) -> None:
        """Release everything, and go; others notice our silence where that cannot be written."""
        try:
            async with asyncio.timeout(1.5):
                await self._adoption.leave()
        except Exception as error:  # noqa: BLE001 - others notice our silence and adopt what was ours
            log.warning("left_without_goodbye", reason=str(error) or type(error).__name__)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Nothing is handed to lanes while this lasts, and their tasks are not counted: they may be exchanged."""
        async with self._handing, self._counting:
            yield
        self._has_warned = False

    async def find(self) -> None:
        """Adopt all that is there to be adopted."""
        await self._give_back()
        while not self._stopping and await self._adopt():
            self._pulse.beat("adopt")
        if not self._has_warned:
            await self._warn_of_orphans()

    async def _adopt(self) -> int:
        async with self._handing:
            found = await self._adoption.run_once()
        self.has_looked.set()
        return found

    async def show_life(self) -> None:
        """Show that we live."""
        async with self._counting:
            await self._adoption.beat()

    def let_go(self, upstream: str, keys: list[int]) -> None:
        """Nobody here watches these any more; whoever has this upstream may adopt them, at the next look."""
        log.info("upstream_left", upstream=upstream, tasks=len(keys))
        self._unwatched += keys

    async def _give_back(self) -> None:
        while self._unwatched:
            keys = self._unwatched[:_AT_ONCE]
            await self._database.write(partial(watching.give_back, me=self._adoption.me, keys=keys))
            del self._unwatched[: len(keys)]

    async def say_hint(self) -> None:
        """Tell the others that there is something to find, and whatever comes within a moment with it."""
        if self._adoption.has_company:
            await asyncio.sleep(_HINT_EVERY)
            await self._database.write_apart(partial(hints.say, me=self._adoption.me))

    async def _warn_of_orphans(self) -> None:
        """Say once which tasks nobody looks at; after the first round, when what was left behind has been sorted."""
        self._has_warned = True
        orphans = await self._database.read(partial(tasks.orphans, upstreams=list(self._lanes)))
        for name, count in orphans.items():
            log.warning("upstream_is_not_configured", upstream=name, tasks=count)
