"""Sending messages again, whichever door somebody asks through: one, some, or all that match."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from tracker.desk.ports import Ports
from tracker.errors import ConflictError, NotFoundError
from tracker.intake import Caller
from tracker.store.redelivery import Matching, redeliver, redeliver_matching


@dataclass(slots=True, kw_only=True)
class Again:
    """What became of messages that somebody ticked."""

    sent: int = 0
    refused: list[str] = field(default_factory=list)
    """Why each of the others is not sent, in words."""


async def redeliver_all(ports: Ports, matching: Matching, caller: Caller) -> int:
    """Have all of the caller's messages sent again that match, so many at a time; returns how many."""
    count = 0
    after: int | None = 0
    while after is not None:
        work = partial(redeliver_matching, matching=matching, owner=caller.only_owner, now=ports.clock(), after=after)
        step = await ports.database.write(work)
        count, after = count + step.redelivered, step.after
        ports.wake_courier()
    return count


async def redeliver_some(ports: Ports, ids: Iterable[str], caller: Caller) -> Again:
    """Have each of these sent again that can be; those that cannot do not keep the others from it."""
    again = Again()
    for id_ in dict.fromkeys(ids):
        # Each by itself: whoever holds an endpoint waits for no second message.
        work = partial(redeliver, id_=id_, owner=caller.only_owner, now=ports.clock())
        try:
            await ports.database.write(work)
        except (ConflictError, NotFoundError) as error:
            again.refused.append(str(error))
        else:
            again.sent += 1
    ports.wake_courier()
    return again
