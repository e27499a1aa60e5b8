"""The watching half of a daemon, on a database and with an upstream that is made up."""

from dataclasses import dataclass, field

from fakes import UPSTREAM, FakeProvider, World
from lanes import ports_of

from tracker.config import UpstreamSettings
from tracker.metrics import Metrics
from tracker.poller import Adoption, Lane


@dataclass
class Daemon:
    """The watching half of one."""

    world: World
    upstreams: tuple[str, ...] = (UPSTREAM,)
    dice: float = 0.5
    provider: FakeProvider = field(default_factory=FakeProvider)

    def __post_init__(self) -> None:
        self.metrics = Metrics(version="0")
        ports = ports_of(self.world, metrics=self.metrics, dice=lambda: self.dice, watcher=lambda: self.adoption.me)
        settings = UpstreamSettings(base_url="https://gateway.example/mj")
        self.lanes = {name: Lane(name, settings, self.provider, ports) for name in self.upstreams}
        self.adoption = Adoption(self.lanes, self.world.database, self.world.clock, timer=self.world.clock.timer)

    @property
    def watched(self) -> list[str]:
        return sorted(entry.task_id for lane in self.lanes.values() for entry in lane.schedule)

    def owned(self) -> list[str]:
        """What the database says."""
        query = "SELECT task_id FROM task WHERE watcher = :me AND ended_at IS NULL ORDER BY task_id"
        return self.world.column(query, me=self.adoption.me)


async def many(*daemons: Daemon) -> None:
    """Let them all find what there is, in turns, until nobody finds anything."""
    while any([await daemon.adoption.run_once() for daemon in daemons]):
        pass
