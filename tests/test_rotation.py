"""Secrets from the database to the wire: two signatures for a day after a rotation, and the same bytes every time."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from couriers import courier, due_now
from fakes import OWNER, World, snap, want
from standardwebhooks import Webhook
from test_sender import OPEN, Receiver, answer, receiving

from tracker.courier import Courier
from tracker.http import open_callback_client
from tracker.model import Status
from tracker.store import access
from tracker.webhooks import Sender

pytestmark = pytest.mark.anyio

OLD, NEW, NEWEST = (f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2, 3))
SETTINGS = {"retry_schedule": ["0s"] + ["1s"] * 20}
DAY = timedelta(hours=24)
PROMPT = 'pig 猪 🐖 é "quoted" \u2028 </script>'


@dataclass
class Line:
    """A database, a courier, a real sender, a receiver that refuses everything."""

    world: World
    courier: Courier
    receiver: Receiver

    def rotate(self, fresh: str) -> None:
        self.world.write(partial(access.rotate_secret, owner=OWNER, now=self.world.clock(), fresh=fresh))

    async def attempt_at(self, moment: datetime) -> tuple[dict[str, str], bytes]:
        """Send what is due at a moment; returns headers and body as they arrived."""
        self.world.clock.now = moment
        due_now(self.world)
        assert await self.courier.run_once() == 1
        return self.receiver.requests[-1]


@asynccontextmanager
async def line(world: World) -> AsyncIterator[Line]:
    world.write(partial(access.current_secret, owner=OWNER, now=world.clock(), fresh=OLD))
    async with receiving(*[answer(500)] * 20) as receiver, open_callback_client(OPEN) as client:
        world.watched(want("1", url=receiver.url, metadata={"note": PROMPT}))
        world.record({world.key(): snap(Status.SUCCEEDED, fail_reason=PROMPT)})
        sender = Sender(client, version="1", timeout=timedelta(seconds=5), clock=world.clock)
        yield Line(world, courier(world, sender, SETTINGS), receiver)


def signatures(moment: datetime, headers: dict[str, str], body: bytes, *secrets: str) -> str:
    """What the official library would sign."""
    return " ".join(Webhook(secret).sign(headers["webhook-id"], moment, body.decode()) for secret in secrets)


async def test_a_rotation_signs_twice_for_a_day_and_then_once(world: World) -> None:
    """The secrets are those of the moment of sending: the message was queued before any of this."""
    began = world.clock()
    rotated = began + timedelta(hours=1)
    second = timedelta(seconds=1)
    table = [
        (began, None, [OLD]),
        (rotated - second, None, [OLD]),
        (rotated, NEW, [NEW, OLD]),
        (rotated + second, None, [NEW, OLD]),
        (rotated + DAY - second, None, [NEW, OLD]),
        (rotated + DAY, None, [NEW]),
        (rotated + DAY + second, None, [NEW]),
        (rotated + 2 * DAY, NEWEST, [NEWEST, NEW]),
        (rotated + 3 * DAY, None, [NEWEST]),
    ]
    async with line(world) as tested:
        for moment, fresh, secrets in table:
            world.clock.now = moment
            if fresh:
                tested.rotate(fresh)
            headers, body = await tested.attempt_at(moment)

            assert headers["webhook-signature"] == signatures(moment, headers, body, *secrets)
            assert headers["webhook-timestamp"] == str(int(moment.timestamp()))

    assert len(tested.receiver.requests) == len(table)
    assert len({headers["webhook-id"] for headers, _ in tested.receiver.requests}) == 1
    assert len({body for _, body in tested.receiver.requests}) == 1


async def test_two_rotations_in_a_day_leave_three_that_sign(world: World) -> None:
    began = world.clock()
    async with line(world) as tested:
        for hours, fresh in ((1, NEW), (2, NEWEST)):
            world.clock.now = began + timedelta(hours=hours)
            tested.rotate(fresh)
        all_three = await tested.attempt_at(began + timedelta(hours=3))
        two = await tested.attempt_at(began + timedelta(hours=25))
        one = await tested.attempt_at(began + timedelta(hours=26))

    told = [len(headers["webhook-signature"].split()) for headers, _ in (all_three, two, one)]
    assert told == [3, 2, 1]


async def test_text_beyond_ascii_arrives_as_it_was_stored_in_every_attempt(world: World) -> None:
    async with line(world) as tested:
        arrived = [await tested.attempt_at(world.clock() + timedelta(seconds=number)) for number in range(3)]

    (stored,) = world.column("SELECT body FROM delivery")
    assert [body for _, body in arrived] == [stored.encode()] * 3
    assert PROMPT.split('"', maxsplit=1)[0].encode() in stored.encode()
    assert [headers["content-length"] for headers, _ in arrived] == [str(len(stored.encode()))] * 3


async def test_no_secret_and_no_signature_is_stored_beside_the_message(world: World) -> None:
    async with line(world) as tested:
        tested.rotate(NEW)
        headers, _ = await tested.attempt_at(world.clock())

    kept = everything(world)
    assert any("猪" in str(value) for value in kept["delivery"]), "this looks where the message is"
    told = [OLD, NEW, *(part.removeprefix("v1,") for part in headers["webhook-signature"].split())]
    told += [secret.removeprefix("whsec_") for secret in (OLD, NEW)]
    for table, values in kept.items():
        for value in values:
            assert table == "secret" or not any(secret in str(value) for secret in told), table
    assert sorted(value for value in kept["secret"] if str(value).startswith("whsec_")) == [OLD, NEW]


def everything(world: World) -> dict[str, list[Any]]:
    """Every value of every table and view."""
    query = (
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        if world.database.is_sqlite
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    )
    return {
        name: [value for row in world.rows(f"SELECT * FROM {name}") for value in row.values()]
        for name in world.column(query)
    }
