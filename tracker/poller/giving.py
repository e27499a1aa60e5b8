"""Giving tasks back, so that another daemon that has fewer can adopt them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice

import structlog

from tracker.errors import UnavailableError
from tracker.poller.lane import Lane
from tracker.poller.schedule import Watched
from tracker.poller.sharing import Shares
from tracker.store import daemons, watching
from tracker.store.daemons import Member
from tracker.store.database import Connection, Database

log = structlog.get_logger()

_AT_ONCE = 1000


class Giving:
    """Lets go of some of what is too much; never of what is being looked at."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        database: Database,
        shares: Shares,
        *,
        watching: Callable[[], Mapping[str, int]],
        hint: Callable[[], None],
    ) -> None:
        self._lanes = lanes
        self._database = database
        self._shares = shares
        self._watching = watching
        self._hint = hint

    async def step(self, me: str, members: Sequence[Member]) -> None:
        """Give some of each upstream back, where there is too much."""
        for name, lane in self._lanes.items():
            over = self._shares.surplus(name, me, len(lane.schedule), members)
            idle = (watched for watched in lane.schedule if not (watched.is_out or watched.has_ended))
            if given := list(islice(idle, min(over, _AT_ONCE))):
                log.info("tasks_given_back", upstream=name, tasks=len(given), surplus=over)
                await self._give(me, lane, given)
                self._hint()

    async def _give(self, me: str, lane: Lane, given: Sequence[Watched]) -> None:
        for watched in given:
            lane.schedule.remove(watched.key)
        keys = [watched.key for watched in given]
        try:
            await self._database.write(partial(_giving_back, me=me, keys=keys, left=self._watching()))
        except UnavailableError:
            # Ours still, perhaps. If they are not, the first thing to be written about them will say so.
            for watched in given:
                lane.schedule.add(watched, watched.due)
            raise


def _giving_back(connection: Connection, *, me: str, keys: Sequence[int], left: Mapping[str, int]) -> None:
    watching.give_back(connection, me=me, keys=keys)
    daemons.count(connection, who=me, watching=left)
