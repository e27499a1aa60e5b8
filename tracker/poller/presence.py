"""This daemon in the table of daemons: under which name, in which of that name's lives; entering, showing, leaving."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from secrets import token_hex

import tracker
from tracker.clock import Clock, SharedClock, steady
from tracker.errors import UnavailableError
from tracker.poller.place import has_ended, this_place
from tracker.store import daemons, hints
from tracker.store.daemons import Member
from tracker.store.database import Connection, Database, Work

HEARTBEAT_EVERY = timedelta(seconds=5)
DEAD_AFTER = timedelta(seconds=15)
"""A daemon that has not shown itself for so long is taken to be dead, and its tasks are adopted by others."""

Watching = Mapping[str, int]
"""How many tasks are watched, by upstream."""


class Presence:
    """What a daemon says about itself: outside the fence, which it moves."""

    def __init__(self, database: Database, clock: Clock, *, tells_operator: bool) -> None:
        self.me = _new_name()
        self.life = ""
        """A word for this life under that name: another may have that by now, whom we must not disturb."""
        self._database = database
        self._clock = clock
        self._tells_operator = tells_operator

    async def enter(self, watching: Watching, *, anew: bool) -> Member | None:
        """Get a place in the table: as one that is gone, whose tasks then are ours without a write, or `anew`.

        Returns the one whose name we go on under. `watching` has every upstream that we are configured for.
        """
        life, now = token_hex(8), self._clock()
        entered: list[tuple[str, Member | None]] = []

        def enter(connection: Connection) -> datetime:
            gone = None if anew else daemons.predecessor(connection, upstreams=watching, now=now, silent_for=DEAD_AFTER)
            if gone is not None:
                daemons.strike(connection, gone.id)
                # The others reckon with all of them from now on, though it takes us a while to read them.
                told: Watching = {name: gone.watching.get(name, 0) for name in watching}
            else:
                told = watching
            me = gone.id if gone else _new_name()
            entered[:] = [(me, gone)]
            return self._join(connection, me, life, told, now)

        await self._say(enter)
        ((me, gone),) = entered
        self.me, self.life = me, life
        self._database.fence(me, life)
        return gone

    def _join(self, connection: Connection, me: str, life: str, watching: Watching, now: datetime) -> datetime:
        return daemons.join(
            connection,
            me=me,
            life=life,
            place=this_place(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=tracker.__version__,
            now=now,
            tells_operator=self._tells_operator,
            watching=watching,
        )

    async def show(self, watching: Watching, among: list[Member]) -> bool:
        """Show that we live; False where we were taken for dead. Who is there is put `among` on Postgres."""
        me, life, now = self.me, self.life, self._clock()

        def show(connection: Connection) -> datetime | None:
            return daemons.beat(connection, me=me, life=life, now=now, watching=watching, among=among)

        return await self._say(show) is not None

    async def leave(self, watching: Watching, *, aloud: bool) -> None:
        """Release everything, so that others can adopt it at once; `aloud` with a hint to them."""
        me, life = self.me, self.life

        def leave(connection: Connection) -> None:
            daemons.leave(connection, me=me, life=life, watching=watching)
            if aloud:
                hints.say(connection, me=me)

        await self._database.write_apart(leave)

    async def end_life(self) -> None:
        """Return when nothing waits any more that was to be written in this life, which is over: it is refused.

        It could be allowed in the next one under the same name, and write of tasks that nobody remembers by then.
        """
        for write in (self._database.write, self._database.write_beside):
            with suppress(UnavailableError):
                await write(lambda _: None)

    async def bury_ended(self) -> list[str]:
        """Declare dead whose process was here and has ended, however short a while ago; returns their names."""
        if self._database.is_sqlite or not this_place():
            return []
        bury = partial(daemons.bury_ended, place=this_place(), has_ended=has_ended)
        try:
            return await self._database.write_apart(bury)
        except UnavailableError:
            # Something of theirs is still under way at the server: then it is their silence that tells.
            return []

    async def bury(self) -> list[str]:
        """Declare dead who has been silent for too long; returns their names."""
        me, now = self.me, self._clock()

        def bury(connection: Connection) -> list[str]:
            return daemons.bury(connection, me=me, now=now, silent_for=DEAD_AFTER)

        return await self._database.write_apart(bury)

    async def _say(self, work: Work[datetime | None]) -> datetime | None:
        """Write what concerns only us; the answer tells the time of the database, by which everything is done."""

        def timed(connection: Connection) -> tuple[datetime | None, float, float]:
            asked = steady()
            return work(connection), asked, steady()

        said, asked, answered = await self._database.write_apart(timed)
        if said is not None and not self._database.is_sqlite and isinstance(self._clock, SharedClock):
            self._clock.set(said, asked=asked, answered=answered)
        return said


def _new_name() -> str:
    return f"dmn_{token_hex(8)}"
