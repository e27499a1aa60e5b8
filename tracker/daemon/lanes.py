"""The lanes of the upstreams in force: each with a client of its own, exchanged one by one while the daemon runs."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from tracker.config import UpstreamSettings
from tracker.http import Client
from tracker.metrics import Metrics
from tracker.poller import Lane
from tracker.pulse import Pulse

LATE = timedelta(seconds=60)
"""A loop that has not come round for so long is late."""
_FINISHES_WITHIN = 2.0
"""Seconds for looks that are out when their lane is exchanged; a look that is given up costs one look."""
_NO_LONGER = "the upstream is not configured any more"

MakeLane = Callable[[str, UpstreamSettings], tuple[Lane, Client]]


@dataclass(slots=True, kw_only=True)
class _Place:
    settings: UpstreamSettings
    lane: Lane
    client: Client
    running: asyncio.Task[None] | None = None


class Lanes:
    """Which upstreams are watched, and by what."""

    def __init__(
        self, upstreams: Mapping[str, UpstreamSettings], make: MakeLane, *, pulse: Pulse, metrics: Metrics
    ) -> None:
        self.by_name: dict[str, Lane] = {}
        self._make = make
        self._pulse = pulse
        self._metrics = metrics
        self._group: asyncio.TaskGroup | None = None
        self._stopping = False
        self._places = {name: self._place(name, settings) for name, settings in upstreams.items()}
        self._show()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Run them all in this group, and those that come later too."""
        self._group = group
        for name in self._places:
            self._start(name)

    def wake(self) -> None:
        """Each looks whether there is something to do."""
        for lane in self.by_name.values():
            lane.wake()

    def stop(self) -> None:
        """They take nothing more."""
        self._stopping = True
        for lane in self.by_name.values():
            lane.stop()

    async def aclose(self) -> None:
        """Let go of every connection, when none runs any more."""
        for place in self._places.values():
            await place.client.aclose()

    async def exchange(self, upstreams: Mapping[str, UpstreamSettings]) -> dict[str, list[int]]:
        """Watch these instead; nobody may hand tasks to a lane meanwhile.

        What a lane knows of its tasks goes on in the one that takes its place. Returns the keys of the tasks, by
        upstream, that nobody watches from now on.
        """
        kept = {name: place for name, place in self._places.items() if upstreams.get(name) == place.settings}
        made = {name: self._place(name, settings) for name, settings in upstreams.items() if name not in kept}
        left = {name: place for name, place in self._places.items() if name not in kept}
        await self._end(left)
        for name in made.keys() & left.keys():
            _hand_over(left[name], made[name])
        self._places = {name: kept.get(name) or made[name] for name in upstreams}
        self._show()
        for name in made:
            self._start(name)
        for name in left.keys() - made.keys():
            self._forget(name)
        return {name: [one.key for one in place.lane.schedule] for name, place in left.items() if name not in made}

    def _place(self, name: str, settings: UpstreamSettings) -> _Place:
        lane, client = self._make(name, settings)
        return _Place(settings=settings, lane=lane, client=client)

    def _start(self, name: str) -> None:
        assert self._group is not None  # noqa: S101 - started before anything is exchanged
        if self._stopping:
            return
        place = self._places[name]
        self._pulse.expect(_loop(name), LATE)
        place.running = self._group.create_task(place.lane.run())

    async def _end(self, places: Mapping[str, _Place]) -> None:
        for place in places.values():
            place.lane.stop()
        running = [place.running for place in places.values() if place.running is not None]
        if running:
            _, late = await asyncio.wait(running, timeout=_FINISHES_WITHIN)
            for task in late:
                task.cancel(_NO_LONGER)
            await asyncio.wait(running)
        for name, place in places.items():
            await place.client.aclose()
            # Whatever was wrong was wrong with what was configured then.
            self._metrics.upstream_paused.labels(name).set(0)

    def _forget(self, name: str) -> None:
        self._pulse.forget(_loop(name))
        for gauge in (self._metrics.watched, self._metrics.upstream_paused):
            gauge.remove(name)

    def _show(self) -> None:
        # The same dictionary for ever: whoever hands out tasks looks at it.
        self.by_name.clear()
        self.by_name.update({name: place.lane for name, place in self._places.items()})


def _loop(name: str) -> str:
    return f"poll {name}"


def _hand_over(before: _Place, after: _Place) -> None:
    longer = (after.settings.expire_after - before.settings.expire_after).total_seconds()
    for watched in before.lane.schedule:
        watched.expires_at += longer
        after.lane.schedule.add(watched, watched.due)
