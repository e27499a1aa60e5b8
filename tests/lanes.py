"""A lane over a real database, with a provider of the test's choice."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fakes import UPSTREAM, FakeProvider, World, want

from tracker.config import UpstreamSettings
from tracker.metrics import Metrics
from tracker.poller import Adoption, Lane
from tracker.poller.ports import Ports
from tracker.store import upstreams
from tracker.store.upstreams import Health

HOUR = timedelta(hours=1)


def ports_of(world: World, **others: Any) -> Ports:  # noqa: ANN401 - fields of Ports
    """What lanes reach of a world; nobody hears of ends and beats, unless the `others` say so."""
    usual: dict[str, Any] = {"wake_courier": lambda: None, "beat": lambda: None}
    clock = world.clock
    return Ports(database=world.database, compose=world.compose, clock=clock, timer=clock.timer, **(usual | others))


@dataclass
class Watch:
    """A lane and its adoption, with everything they touch at hand."""

    world: World
    provider: FakeProvider
    settings: dict[str, Any] = field(default_factory=dict)
    dice: Callable[[], float] = lambda: 0.5
    woken: list[None] = field(default_factory=list)
    beats: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = UpstreamSettings(base_url="https://gateway.example/mj", **self.settings)
        self.metrics = Metrics(version="0")
        ports = ports_of(
            self.world,
            metrics=self.metrics,
            dice=self.dice,
            watcher=lambda: self.adoption.me,
            wake_courier=lambda: self.woken.append(None),
            beat=lambda: self.beats.append(None),
        )
        self.lane = Lane(UPSTREAM, settings, self.provider, ports)
        self.adoption = Adoption({UPSTREAM: self.lane}, self.world.database, self.world.clock)

    async def start(self, *task_ids: str, **fields: object) -> None:
        """Join, and adopt these tasks."""
        await self.adoption.join()
        if task_ids:
            await self.world.database.write(self.world.registering(*(want(task_id, **fields) for task_id in task_ids)))
        await self.adoption.run_once()

    async def look_after(self, seconds: float) -> int:
        self.world.clock.advance(seconds)
        return await self.lane.run_once()

    async def health(self) -> Health:
        return (await self.world.database.read(upstreams.read))[UPSTREAM]

    def due_in(self) -> float | None:
        due = self.lane.schedule.next_due()
        return None if due is None else due - self.world.clock.timer()


def slow(watch: Watch, **settings: object) -> Watch:
    """The same with other settings."""
    return Watch(watch.world, watch.provider, settings)
