"""Seeing what is due, and making it ours: messages, and probes of endpoints that are paused."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import msgspec

from tracker.courier.backlog import Chosen, Waiting
from tracker.model import Delivery
from tracker.store import access, deliveries, due, endpoints
from tracker.store.database import Connection


class Claimed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A delivery that is ours for one attempt, and the secrets that sign for its owner just now."""

    delivery: Delivery
    secrets: Sequence[str]
    is_probe: bool
    """Whether its endpoint is paused, so that this attempt costs the delivery nothing."""


def look(
    connection: Connection,
    *,
    now: datetime,
    without: Collection[str],
    limit: int,
    known: Collection[str] = (),
    since: datetime | None = None,
) -> Waiting:
    """What is due at endpoints with room, and endpoints that rest: to be probed now or next, or among those known."""
    return Waiting(
        seen=due.look(connection, now=now, without=without, limit=limit, since=since),
        resting=endpoints.resting(connection, now=now, among=known),
    )


def claim(
    connection: Connection, chosen: Chosen, *, now: datetime, until: datetime, new_secret: Callable[[], str]
) -> list[Claimed]:
    """Make them ours for one attempt each; those that somebody else was faster with are missing."""
    won = [endpoints.take_probe(connection, key, now=now, until=until) for key in chosen.probes]
    probes = {key for key in won if key is not None}
    claimed = deliveries.claim(connection, [*chosen.deliveries, *probes], now=now, until=until)
    owners = {delivery.owner for delivery in claimed}
    secrets = access.signing_secrets(connection, owners, now=now)
    for owner in owners - secrets.keys():
        secrets[owner] = [access.current_secret(connection, owner, now=now, fresh=new_secret())]
    return [
        Claimed(delivery=delivery, secrets=secrets[delivery.owner], is_probe=delivery.key in probes)
        for delivery in claimed
    ]
