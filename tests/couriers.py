"""A courier over a real database, with a sender of the test's choice."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from clocks import START
from fakes import OWNER, FakeSender, World, moment_of, want

from tracker.config import CallbackSettings
from tracker.courier import Courier, Ports, Sender
from tracker.metrics import Metrics
from tracker.model import Delivery, MessageType
from tracker.store.moments import sqlite_time
from tracker.webhooks.signing import new_secret

GOOD = "https://good.example/hook"
GOOD_ENDPOINT = "https://good.example:443"
HOLE = "https://hole.example/hook"
HOLE_ENDPOINT = "https://hole.example:443"
COPIES = """INSERT INTO delivery (id, task_key, callback_key, endpoint_key, sequence, message_type, body,
            next_attempt_at, created_at)
            SELECT 'msg_' || n.i, d.task_key, d.callback_key, d.endpoint_key, 1000 + n.i, d.message_type,
            d.body, '2026-11-22 07:00:00.000Z', d.created_at FROM delivery d JOIN task t ON t.key = d.task_key,
            (WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :number) SELECT i FROM s) n
            WHERE t.task_id = :task"""
"""So many more messages of a task, which have been due for an hour."""


@dataclass
class Post:
    """A courier, with everything it touches at hand."""

    world: World
    settings: dict[str, Any] = field(default_factory=dict)
    dice: float = 0.5
    timer: Callable[[], float] | None = None
    beats: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sender = FakeSender()
        self.metrics = Metrics(version="0")
        self.courier = courier(
            self.world,
            self.sender,
            self.settings,
            metrics=self.metrics,
            timer=self.timer or self.world.clock.timer,
            dice=lambda: self.dice,
            beat=lambda: self.beats.append(None),
        )

    def pending(self, number: int, url: str) -> None:
        names = [f"{url} {each}" for each in range(number)]
        self.world.pending(*(want(name, url=url) for name in names))

    def pending_at_holes(self, *hosts: str) -> list[asyncio.Event]:
        """One message to each of these, which were called before, and answer nothing until their events are set."""
        for host in hosts:
            endpoint = f"https://{host}.example:443"
            self.know(endpoint)
            self.pending(1, f"{endpoint}/")
            self.sender.holes[endpoint] = asyncio.Event()
        return list(self.sender.holes.values())

    def know(self, endpoint: str, *, seconds: float = 0.1, delivered: bool = False) -> None:
        """It was called before, and took so long."""
        slots, took = self.courier._slots, timedelta(seconds=seconds)  # noqa: SLF001 - what a first attempt does
        slots.time(endpoint, took, delivered=delivered)

    def next_attempt_in(self) -> float | None:
        (value,) = self.world.column("SELECT next_attempt_at FROM delivery")
        return None if value is None else (moment_of(value) - self.world.clock()).total_seconds()

    def statuses(self) -> list[str]:
        return self.world.column("SELECT status FROM delivery ORDER BY key")


def courier(
    world: World,
    sender: Sender,
    settings: Mapping[str, object] | None = None,
    **others: Any,  # noqa: ANN401 - fields of Ports
) -> Courier:
    """One that throws 0.5 for every chance, where the `others` of its ports say nothing else."""
    usual = Ports(
        database=world.database,
        sender=sender,
        metrics=Metrics(version="0"),
        new_secret=new_secret,
        clock=world.clock,
        timer=world.clock.timer,
        dice=lambda: 0.5,
        beat=lambda: None,
    )
    ports = replace(usual, **others)
    return Courier(CallbackSettings.model_validate(dict(settings or {})), ports)


def due_now(world: World) -> None:
    """Whatever is pending is due, and no endpoint rests."""
    due = sqlite_time(world.clock())
    world.sql("UPDATE delivery SET next_attempt_at = :due WHERE status = 'pending'", due=due)
    world.sql("UPDATE endpoint SET state = 'active', failures = 0, failing_since = NULL, paused_until = NULL")


def out_to(endpoint: str, key: int) -> Delivery:
    """A message that is claimed."""
    return Delivery(
        key=key,
        id=f"msg_{key}",
        task_key=key,
        callback_key=key,
        owner=OWNER,
        message_type=MessageType.SUCCEEDED,
        url=f"{endpoint}/hook",
        endpoint=endpoint,
        body="{}",
        attempt=1,
        failures=0,
        created_at=START,
    )
