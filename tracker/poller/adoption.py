"""This daemon among the others: joining, showing that it lives, adopting tasks and giving some back, leaving."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from tracker.clock import Clock, steady
from tracker.errors import UnavailableError
from tracker.poller.ahead import Ahead
from tracker.poller.giving import Giving
from tracker.poller.handing import Handing
from tracker.poller.lane import Lane
from tracker.poller.marks import Marks
from tracker.poller.newcomers import Newcomers
from tracker.poller.presence import DEAD_AFTER, Presence
from tracker.poller.sharing import Shares, has_company, most_left
from tracker.store import daemons, finding, watching
from tracker.store.daemons import Member
from tracker.store.database import Connection, Database, Work
from tracker.store.fence import ReplacedError
from tracker.store.watching import Batch

log = structlog.get_logger()
T = TypeVar("T")

_AT_ONCE = 1000
_IN_A_ROW = 8
"""Batches between two looks at who else is there, for one who is alone."""
_WORTH_MOVING = 2
"""How many times as many tasks as ours somebody left behind, for us to leave ours to adoption and take up those."""


class Adoption:
    """Fills the lanes with tasks that nobody watches."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        database: Database,
        clock: Clock,
        *,
        tells_operator: bool = False,
        timer: Callable[[], float] = steady,
        hint: Callable[[], None] = lambda: None,
        wake_heart: Callable[[], None] = lambda: None,
        wake_courier: Callable[[], None] = lambda: None,
    ) -> None:
        self._presence = Presence(database, clock, tells_operator=tells_operator)
        self._lanes = lanes
        self._database = database
        self._clock = clock
        self._timer = timer
        self._wake_heart = wake_heart
        self._wake_courier = wake_courier
        self._marks = Marks(timer)
        self._shares = Shares(timer)
        self._resumed_up_to: int | None = None
        """The last key that was read of what was ours before; None when all is."""
        self._left: Mapping[str, int] = {}
        """How many that is, of each upstream."""
        self._handing = Handing(lanes, clock, lambda: self.me)
        self._ahead = Ahead(lanes, database, self._handing, clock, timer=timer)
        self._giving = Giving(lanes, database, self._shares, watching=self._watching, hint=hint)
        self.has_company = False
        """Whether there were other daemons at the last heartbeat."""
        self.newcomers = Newcomers(self._taker)

    @property
    def me(self) -> str:
        """The name under which tasks are watched."""
        return self._presence.me

    async def resume(self) -> None:
        """Go on as one that is gone, whose tasks then need no write; or join anew, where others live or none left."""
        if self._database.is_sqlite:
            # The lock on the file is ours: whoever is in the table died, or left.
            await self._database.write(daemons.all_leave)
        # Not where it begins anew: two that take each other's process for ended would replace each other without end.
        _tell_of(await self._presence.bury_ended())
        await self._enter(anew=False)

    async def join(self) -> None:
        """Enter the table of daemons under a new name."""
        await self._enter(anew=True)

    async def _enter(self, *, anew: bool) -> None:
        self._left = {}
        gone = await self._presence.enter(self._watching(), anew=anew)
        if gone is not None:
            self._left = gone.watching
            log.info("daemon_goes_on", daemon=gone.id, tasks=sum(gone.watching.values()))
        self._resumed_up_to = 0 if gone else None

    async def run_once(self) -> int:
        """Take one step: adopt what is free, find what was noted, give back what is too much.

        Returns how many tasks were adopted or noted.
        """
        try:
            return await self._step()
        finally:
            await self._handing.finish()

    async def _step(self) -> int:
        for me, new in self.newcomers.taken(self._lanes):
            await self._handing.hand(new, me, is_new=len(new) < _AT_ONCE)
        if self._resumed_up_to is not None:
            return await self._read_mine(self._resumed_up_to)
        self._marks.begin()
        work = await self._database.look(self._look)
        if work.has_due:
            self._wake_courier()
        if work.has_gone:
            await self._bury()
        members = (
            await self._database.read(daemons.company)
            if work.free or work.has_gone or self._shares.is_giving_back
            else []
        )
        if self._shares.is_giving_back:
            await self._giving.step(self.me, members)
        if self._has_better_place(members):
            # With the next heartbeat, which is at once. What is adopted until then would be adopted in vain.
            self._wake_heart()
            return 0
        found, left = 0, bool(work.free or work.has_gone)
        for step in self._steps(work, members):
            taken, left = await step
            found += taken
        self._shares.left(left)
        found += await self._hear() if work.has_notes else 0
        return found + await self._ahead.step(self.me, is_alone=not self.has_company)

    async def _read_mine(self, above: int) -> int:
        me, life = self.me, self._presence.life
        tasks = await self._database.read_as_one(partial(watching.mine, me=me, above=above, limit=_AT_ONCE))
        ours = [task for task in tasks if task.upstream in self._lanes]
        if others := [task.key for task in tasks if task.upstream not in self._lanes]:
            await self._database.write(partial(watching.give_back, me=me, keys=others))
        await self._handing.hand(ours, me, is_new=False)
        if self._presence.life == life:
            # Only now: where something went wrong, all of it is read again.
            self._resumed_up_to = tasks[-1].key if tasks else None
        return max(len(tasks), 1)

    def _look(self, connection: Connection) -> finding.Work:
        started, above = self._timer(), {name: self._above(name) for name in self._lanes}
        found = finding.find(connection, me=self.me, above=above, now=self._clock(), silent_for=DEAD_AFTER)
        self._marks.looked(self._timer() - started)
        return found

    def _above(self, place: str) -> int:
        """From where on free tasks are looked for; what is below may be watched already, and be adopted later."""
        seen_to = self._ahead.floor(place) if self._marks.is_from_bottom else self._ahead.top(place)
        return max(self._marks[place], seen_to)

    def _taker(self) -> str | None:
        """This daemon, if it is sure of what it has."""
        return self.me if self.newcomers.is_sure and self._resumed_up_to is None else None

    def _steps(self, work: finding.Work, members: Sequence[Member]) -> Iterator[Coroutine[Any, Any, tuple[int, bool]]]:
        is_alone = not has_company(self.me, members)
        for name in work.free:
            if self._room(name, members, _AT_ONCE) <= 0:
                continue
            yield self._adopt_free(name, partial(self._room, name, members), is_alone=is_alone)
        for gone in [member.id for member in members if member.is_gone]:
            room = {name: self._room(name, members) for name in self._lanes}
            if max(room.values(), default=0) <= 0:
                continue
            take = partial(watching.adopt_left, gone=gone, room=room)
            yield self._adopt(gone, take, _IN_A_ROW if is_alone else 1, is_new=False)

    def _room(self, name: str, members: Sequence[Member], free: int = 0) -> int:
        return self._shares.room(name, self.me, len(self._lanes[name].schedule), members, most=_AT_ONCE, free=free)

    async def _adopt_free(self, name: str, room: watching.Room, *, is_alone: bool) -> tuple[int, bool]:
        in_a_row = _IN_A_ROW if is_alone else 1
        take = partial(watching.adopt_free, upstream=name, room=room)
        taken, left = await self._adopt(name, take, in_a_row, is_new=True)
        if is_alone and taken >= in_a_row * _AT_ONCE:
            # There may be very many more: they are watched first, and adopted afterwards.
            await self._ahead.begin(name, above=self._marks[name])
        return taken, left

    async def _adopt(self, place: str, take: Callable[..., Batch], in_a_row: int, *, is_new: bool) -> tuple[int, bool]:
        """Take what is found at a place, so many batches at most; returns how many, and whether some were left."""
        watched = Counter(self._watching())
        before = watched.total()
        for _ in range(in_a_row):
            me = self.me
            batch, is_full = await self._take(place, take, watched)
            # While the next one is being written.
            await self._handing.begin(batch.taken, me, is_new=is_new and not is_full)
            if not is_full:
                break
        # What there is room for at the next place is counted by what the lanes have.
        await self._handing.finish()
        return watched.total() - before, bool(batch.left)

    async def _take(self, place: str, take: Callable[..., Batch], watched: Counter[str]) -> tuple[Batch, bool]:
        """One batch, and whether there may be more behind it; it is added to what is `watched`."""
        me, above, now = self.me, self._above(place), self._clock()

        def work(connection: Connection) -> Batch:
            batch = take(connection, me=me, above=above, limit=_AT_ONCE, now=now)
            if batch.taken:
                more = Counter(task.upstream for task in batch.taken)
                daemons.count(connection, who=me, watching={name: watched[name] + more[name] for name in watched})
            return batch

        batch = await self._doubtful(work)
        is_full = len(batch.taken) + batch.left >= _AT_ONCE
        # What was left to others is looked at again: it may become ours.
        self._marks.saw(place, None if batch.left else batch.last, is_full=is_full)
        watched.update(task.upstream for task in batch.taken)
        return batch, is_full

    async def _doubtful(self, work: Work[T]) -> T:
        try:
            return await self._database.write(work)
        except UnavailableError as error:
            if not isinstance(error, ReplacedError):
                # It may be committed all the same; then tasks are ours of which we know nothing.
                self.newcomers.doubt()
            raise

    async def _hear(self) -> int:
        take = partial(watching.noted, me=self.me, upstreams=list(self._lanes), limit=_AT_ONCE, now=self._clock())
        noted = await self._doubtful(take)
        for task in noted:
            self._lanes[task.upstream].hear(task)
        for name in {task.upstream for task in noted}:
            self._lanes[name].wake()
        return len(noted)

    async def beat(self) -> None:
        """Show that we live, start anew where we were taken for dead, see whether we have more than our share."""
        members: list[Member] = []
        if not self.newcomers.is_sure:
            log.warning("adoption_in_doubt", daemon=self.me)
            await self.leave()
            await self._start_anew()
        elif not await self._presence.show(self._watching(), members):
            log.warning("daemon_was_replaced", daemon=self.me)
            await self._start_anew()
        elif self._has_better_place(members):
            await self.leave()
            await self._start_anew()
        if not self._database.is_sqlite:
            members = members or await self._database.read(daemons.company)
            self.has_company = has_company(self.me, members)
            for name, lane in self._lanes.items():
                self._shares.surplus(name, self.me, len(lane.schedule), members)

    def _has_better_place(self, members: Sequence[Member]) -> bool:
        """Whether we are alone, and to go on as one that is gone spares more writes than it costs; not on SQLite."""
        worth = max(_WORTH_MOVING * sum(self._watching().values()), _AT_ONCE)
        return not self._database.is_sqlite and most_left(self._lanes, self.me, members) > worth

    async def _start_anew(self) -> None:
        for lane in self._lanes.values():
            lane.schedule.clear()
        self._ahead.clear()
        self._resumed_up_to = None
        await self._presence.end_life()
        await self._enter(anew=False)
        self.newcomers.is_sure = True

    async def _bury(self) -> None:
        _tell_of(await self._presence.bury())

    async def leave(self) -> None:
        """Release everything, so that others can adopt it at once."""
        adopted = {name: max(tasks - self._ahead.unadopted(name), 0) for name, tasks in self._watching().items()}
        await self._presence.leave(adopted, aloud=self.has_company)

    def _watching(self) -> dict[str, int]:
        """By upstream; while what is ours is still being read, as many as it will be."""
        left = self._left if self._resumed_up_to is not None else {}
        return {name: max(len(lane.schedule), left.get(name, 0)) for name, lane in self._lanes.items()}


def _tell_of(dead: Sequence[str]) -> None:
    if dead:
        log.warning("daemons_taken_for_dead", daemons=dead)
