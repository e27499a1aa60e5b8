"""Choosing what to send next, and making it ours: what is due, and probes of endpoints that are paused."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.courier.slots import Slots
from tracker.model import Delivery
from tracker.store import access, deliveries, endpoints
from tracker.store.database import Connection
from tracker.store.deliveries import Due
from tracker.store.endpoints import Resting


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that is ours for one attempt, and the secrets that sign for its owner just now."""

    delivery: Delivery
    secrets: Sequence[str]
    is_probe: bool
    """Whether its endpoint is paused, so that this attempt costs the delivery nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What could be sent."""

    due: Sequence[Due]
    resting: Sequence[Resting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be sent: deliveries by key, and endpoints to probe by key."""

    deliveries: Sequence[int]
    probes: Sequence[int]

    def __bool__(self) -> bool:
        return bool(self.deliveries or self.probes)


def look(connection: Connection, *, now: datetime, without: Collection[str], limit: int) -> Waiting:
    """What is due at endpoints with room, and the endpoints that rest."""
    return Waiting(
        due=deliveries.due(connection, now=now, without=without, limit=limit), resting=endpoints.resting(connection)
    )


def choose(waiting: Waiting, slots: Slots, now: datetime) -> Chosen:
    """As many as there is room for; probes first, since they are few."""
    free = slots.free
    ready = (one for one in waiting.resting if one.probe_at is not None and one.probe_at <= now)
    probes = [one.key for one in ready if slots.room(one.origin)][:free]
    taken: Counter[str] = Counter()
    keys: list[int] = []
    for due in waiting.due:
        if len(keys) + len(probes) >= free:
            break
        if not slots.has(due.key) and taken[due.endpoint] < slots.room(due.endpoint):
            taken[due.endpoint] += 1
            keys.append(due.key)
    return Chosen(deliveries=keys, probes=probes)


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
