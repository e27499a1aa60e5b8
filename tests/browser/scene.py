"""A tracker in which everything that a page can show has happened."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemons import free_port

from browser.world import World, running_world
from tracker.simulate import Ending

MANY = 60
"""More tasks than a page has rows."""

PAGES = {
    "/": "/",
    "/tasks": "/tasks",
    "/tasks/{id}": "/tasks/{0.succeeded[id]}",
    "/tasks/{id} of one that failed": "/tasks/{0.failed[id]}",
    "/tasks/{id} of one that runs": "/tasks/{0.running[id]}",
    "/register": "/register",
    "/deliveries": "/deliveries",
    "/deliveries/{id}": "/deliveries/{0.delivered[id]}",
    "/deliveries/{id} of a dead one": "/deliveries/{0.dead[id]}",
    "/deliveries/{id} of one that waits": "/deliveries/{0.waiting[id]}",
    "/endpoints": "/endpoints",
    "/endpoints/{id}": "/endpoints/{0.endpoint}",
    "/upstreams": "/upstreams",
    "/test": "/test",
    "/tokens": "/tokens",
    "/secrets": "/secrets",
}
"""Every page there is for those who are signed in, by the route that serves it, and where it is."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Some of what there is, by what is to be seen of it."""

    world: World
    succeeded: dict[str, Any]
    failed: dict[str, Any]
    running: dict[str, Any]
    delivered: dict[str, Any]
    dead: dict[str, Any]
    waiting: dict[str, Any]
    endpoint: str

    def address(self, page: str) -> str:
        """Where one of PAGES is."""
        return PAGES[page].format(self)


@contextmanager
def set_scene(folder: Path) -> Iterator[Scene]:
    """Have it all happen, and wait until it has."""
    with running_world(folder) as world:
        world.register_many([f"pig {number}" for number in range(MANY)])
        succeeded = world.register("a lighthouse at dusk", metadata={"order": 17})
        failed = world.register("a city of glass", ending=Ending.FAILURE)
        running = world.register("one red chair", ending=Ending.NEVER)
        delivered = world.wait_until_told(succeeded)
        world.wait_until_told(failed)
        world.receiver.answer_next(410)
        dead = world.wait_until_told(world.register("paper cranes"), "dead")
        unheard = world.register("a pig in rain", path=f"http://127.0.0.1:{free_port()}/nobody")
        world.wait_for("a second attempt", lambda: any(one["attempt"] >= 2 for one in world.deliveries(unheard["id"])))
        waiting = world.wait_until_told(unheard, "pending")
        world.wait_for("progress", lambda: bool(world.task(running["id"])["progress"]))
        (endpoint, *_) = world.endpoints()
        yield Scene(
            world=world,
            succeeded=succeeded,
            failed=failed,
            running=running,
            delivered=delivered,
            dead=dead,
            waiting=waiting,
            endpoint=endpoint["id"],
        )
