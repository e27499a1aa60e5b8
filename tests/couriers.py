"""A courier over a real database, with a sender of the test's choice."""

from collections.abc import Mapping

from fakes import World

from tracker.config import CallbackSettings
from tracker.courier import Courier, Ports, Sender
from tracker.metrics import Metrics
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
