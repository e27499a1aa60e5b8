"""A courier over a real database, with a sender of the test's choice."""

from collections.abc import Mapping

from conftest import START
from fakes import OWNER, World

from tracker.config import CallbackSettings
from tracker.courier import Courier, Ports, Sender
from tracker.metrics import Metrics
from tracker.model import Delivery, MessageType
from tracker.store.moments import sqlite_time
from tracker.webhooks.signing import new_secret


def courier(world: World, sender: Sender, settings: Mapping[str, object] | None = None) -> Courier:
    """One that throws 0.5 for every chance."""
    ports = Ports(
        database=world.database,
        sender=sender,
        metrics=Metrics(version="0"),
        new_secret=new_secret,
        clock=world.clock,
        timer=world.clock.timer,
        dice=lambda: 0.5,
        beat=lambda: None,
    )
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
