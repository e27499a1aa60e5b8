"""The API over a real database, called in the same process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from clocks import FakeClock
from fastapi import FastAPI
from msgspec import structs

from tracker import __version__
from tracker.api import create_app
from tracker.config import Settings
from tracker.desk import Ports
from tracker.guard import Guard
from tracker.intake import Intake
from tracker.metrics import Metrics
from tracker.model import NO_STREAK, Delivery, Outcome, Rules, Snapshot, Status
from tracker.observe import observe
from tracker.pulse import Pulse
from tracker.store import access, changes, deliveries, due, outcomes, tasks
from tracker.store.database import Database
from tracker.store.outcomes import Settlement
from tracker.webhooks.composer import Composer
from tracker.webhooks.sender import Attempt, Message
from tracker.webhooks.trials import Attempting

ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For facts in which the kind of database plays no part."""
HOOK = "https://receiver.example/hook"
SETTINGS = Settings.model_validate(
    {
        "upstreams": {
            "default": {"base_url": "https://gateway.example/mj", "token": "sk-hidden-0123456789"},
            "spare": {"base_url": "https://spare.example", "poll_interval": "2500ms"},
        }
    }
)


class Accepting:
    """A sender whose every message is taken, wherever it goes."""

    async def attempt(self, _message: Message, _secrets: Sequence[str]) -> Attempt:
        return Attempt(outcome=Outcome(delivered=True, duration=timedelta(milliseconds=7), status_code=204))


@dataclass
class Api:
    """One API, its clock, and those who may call it."""

    database: Database
    clock: FakeClock
    woken: list[str] = field(default_factory=list)
    sender: Attempting = field(default_factory=Accepting)
    guard: Guard = field(default_factory=Guard)
    settings: Settings = SETTINGS
    pulse: Pulse = field(init=False)
    app: FastAPI = field(init=False)
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        metrics = Metrics(version=__version__)
        self.pulse = Pulse(self.clock.timer, metrics)
        made = create_app(
            Ports(
                database=self.database,
                intake=Intake(self.settings, self.guard, Composer(), self.clock),
                settings=self.settings,
                metrics=metrics,
                pulse=self.pulse,
                sender=self.sender,
                clock=self.clock,
                wake=partial(self.woken.append, "poller"),
                wake_courier=partial(self.woken.append, "courier"),
                timer=self.clock.timer,
            )
        )
        self.app = _with_built_routes(made)

    def token(self, owner: str = "ann", scope: str = "write") -> str:
        made = access.new_token()
        add = partial(access.add_token, made=made, owner=owner, scope=scope, name="", now=self.clock())
        self.database.write_now(add)
        return made

    def shows(self, owner: str = "ann", scope: str = "write") -> dict[str, str]:
        """The header that a new token makes."""
        return {"authorization": f"Bearer {self.token(owner, scope)}"}

    def use(self, owner: str = "ann", scope: str = "write") -> None:
        """Make every call from here on with a new token, unless it brings its own."""
        self.client.headers.update(self.shows(owner, scope))

    async def register(
        self, task_id: str = "1", *, headers: dict[str, str] | None = None, **fields: object
    ) -> dict[str, Any]:
        answer = await self.client.post("/v1/tasks", json={"task_id": task_id, **fields}, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def see(self, task_id: str, status: Status = Status.SUCCEEDED, **fields: object) -> None:
        """Let the upstream have said this about a task."""
        (task,) = self.database.read_now(partial(tasks.find, task_id=task_id, upstream="default", owner=None))
        told = fields.pop("object", {})
        seen = Snapshot(task_id=task_id, status=status, upstream_status=status.upper(), kept=lambda: told)
        look = partial(observe, seen=structs.replace(seen, **fields), now=self.clock(), streak=NO_STREAK, rules=Rules())
        record = partial(changes.record, watcher=None, now=self.clock(), compose=Composer())
        self.database.write_now(partial(record, decisions={task.key: look}))

    def claim(self) -> list[Delivery]:
        """Begin an attempt of everything that is due."""
        now = self.clock()
        keys = [each.key for each in self.database.read_now(partial(due.look, now=now, without=(), limit=100)).due]
        return self.database.write_now(partial(deliveries.claim, keys=keys, now=now, until=now + timedelta(seconds=20)))

    def attempt(self, *, delivered: bool) -> list[Delivery]:
        """Let everything that is due have been sent once."""
        now, claimed = self.clock(), self.claim()
        code = 204 if delivered else 500
        outcome = Outcome(delivered=delivered, duration=timedelta(milliseconds=12), status_code=code, response="hm")
        later = None if delivered else now + timedelta(seconds=5)
        for one in claimed:
            settlement = Settlement(delivery=one, outcome=outcome, now=now, next_attempt_at=later)
            self.database.write_now(partial(outcomes.settle, settlements=[settlement]))
        return claimed


_built: list[FastAPI] = []


def _with_built_routes(app: FastAPI) -> FastAPI:
    """The app with the routes of the first one: all are alike, and building them takes longer than most calls."""
    first = (_built or [app])[0]
    _built[:] = [first]
    app.router.routes = first.router.routes
    return app


@asynccontextmanager
async def serving(database: Database, clock: FakeClock, **settings: object) -> AsyncIterator[Api]:
    """An API with these sections of settings that can be called, at first by nobody in particular."""
    api = Api(database, clock, settings=Settings.model_validate({**dict(SETTINGS), **settings}))
    transport = httpx.ASGITransport(api.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://tracker.test") as client:
        api.client = client
        yield api


def fields(answer: httpx.Response) -> list[str]:
    """The fields at fault in a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return [error["field"] for error in answer.json()["errors"]]
