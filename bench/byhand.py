"""Deliveries without a courier: the same rows written and the same requests sent by a loop that knows all keys."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy import select

import tracker
from tracker.clock import utc_now
from tracker.http import AS_IT_IS, Client, Fixed, Request
from tracker.model import Delivery, Outcome
from tracker.store import deliveries, outcomes
from tracker.store.database import Connection, Database
from tracker.store.outcomes import Settlement
from tracker.store.schema import delivery
from tracker.webhooks.signing import sign

_BATCH = 64
_BATCHES_AT_ONCE = 3
"""While one is claimed, another is sent, and the outcomes of a third are written."""
_OURS = timedelta(minutes=1)
HEADERS = Fixed({"content-type": "application/json", "user-agent": f"tracker/{tracker.__version__}", **AS_IT_IS})
"""What all messages have in common."""
Send = Callable[[Delivery], Awaitable[int]]
"""Sends one, and returns the status of its answer."""


async def by_hand(database: Database, send: Send) -> float:
    """Deliver all that is pending, with claims, attempts and histories; returns how many in a second.

    Nothing is chosen or spread here, nothing bounded in time, counted, judged or logged.
    """
    keys = await database.read(_pending)
    batches = iter([keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)])

    async def work() -> None:
        for batch in batches:
            now = utc_now()
            claimed = await database.write(partial(deliveries.claim, keys=batch, now=now, until=now + _OURS))
            sent = await asyncio.gather(*(_settled(send, one) for one in claimed))
            await database.write_beside(partial(outcomes.settle, settlements=sent))

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(_BATCHES_AT_ONCE)))
    return len(keys) / (time.perf_counter() - started)


def _pending(connection: Connection) -> Sequence[int]:
    waiting = select(delivery.c.key).where(delivery.c.status == "pending")
    return connection.scalars(waiting.order_by(delivery.c.key)).all()


async def _settled(send: Send, one: Delivery) -> Settlement:
    now = utc_now()
    outcome = Outcome(delivered=True, duration=timedelta(0), status_code=await send(one))
    return Settlement(delivery=one, outcome=outcome, next_attempt_at=None, now=now)


def signed(client: Client, secret: str) -> Send:
    """Sends what the courier would."""

    async def send(one: Delivery) -> int:
        body, timestamp = one.body.encode(), int(utc_now().timestamp())
        own = {
            "webhook-id": one.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign([secret], one.id, timestamp, body),
        }
        response = await client.open(Request(method="POST", url=one.url, headers=HEADERS, own=own, content=body))
        response.release()
        return response.status

    return send


async def unsent(_one: Delivery) -> int:
    """Sends nothing: what is left are the rows."""
    return 204
