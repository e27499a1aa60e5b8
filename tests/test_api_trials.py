"""Testing a URL through the API: what is sent, what is told, and what is not."""

import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, fields
from clocks import FakeClock
from raw_servers import CERTIFICATES, OK, answering, server_tls, serving, trusting
from sqlalchemy import text
from test_sender import answer, receiving

from tracker.guard import Guard
from tracker.http import open_callback_client
from tracker.simulate.receiver import find_problem
from tracker.store import access
from tracker.store.database import Database
from tracker.webhooks import Sender

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]
OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))


@asynccontextmanager
async def sending(
    database: Database,
    clock: FakeClock,
    *,
    guard: Guard = OPEN,
    addresses: Sequence[str] = ("127.0.0.1",),
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Api]:
    """An API that sends its tests for real; every name stands for these addresses."""

    def lookup(_host: str) -> Sequence[str]:
        return addresses

    async with open_callback_client(guard, reuse=False, lookup=lookup, tls=tls) as client:
        sender = Sender(client, version="1", timeout=timedelta(seconds=5), clock=clock)
        api = Api(database, clock, sender=sender, guard=guard)
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tracker.test") as api.client:
            api.use("ann")
            yield api


async def tried(api: Api, url: str) -> dict[str, Any]:
    told = await api.client.post("/v1/callbacks/test", json={"callback_url": url})
    assert told.status_code == 200, told.text
    return dict(told.json())


def stored(database: Database, table: str) -> list[Any]:
    return database.read_now(lambda connection: list(connection.execute(text(f"SELECT * FROM {table}"))))


async def test_a_test_is_signed_with_the_owners_secret_and_kept_nowhere(database: Database, clock: FakeClock) -> None:
    async with sending(database, clock) as api, receiving(answer(202, body=b"thanks")) as receiver:
        told = await tried(api, receiver.url)

    ((headers, body),) = receiver.requests
    secret = database.write_now(partial(access.current_secret, owner="ann", now=clock(), fresh="none"))
    assert find_problem(headers, body, secrets=[secret], now=clock()) is None
    assert json.loads(body)["type"] == "callback.test"
    assert told.pop("duration_ms") >= 0
    assert told == {
        "delivered": True,
        "status_code": 202,
        "phase": None,
        "error": None,
        "detail": None,
        "blocked_by": None,
        "response": "thanks",
        "message_id": headers["webhook-id"],
        "clock_skew_seconds": None,
        "tls_days_left": None,
    }
    assert stored(database, "delivery") == stored(database, "attempt") == []


async def test_both_secrets_sign_while_one_is_rotated(database: Database, clock: FakeClock) -> None:
    async with sending(database, clock) as api, receiving(answer(204), answer(204)) as receiver:
        await tried(api, receiver.url)
        fresh = f"whsec_{'a' * 32}"
        database.write_now(partial(access.rotate_secret, owner="ann", now=clock(), fresh=fresh))
        await tried(api, receiver.url)

    assert [len(headers["webhook-signature"].split()) for headers, _ in receiver.requests] == [1, 2]


async def test_a_test_that_fails_is_told_and_not_tried_again(database: Database, clock: FakeClock) -> None:
    async with sending(database, clock) as api, receiving(answer(500, body=b"no"), answer(204)) as receiver:
        told = await tried(api, receiver.url)

    assert (told["delivered"], told["status_code"], told["error"], told["response"]) == (False, 500, "status", "no")
    assert receiver.connections == 1


async def test_a_connection_that_is_refused_is_told_by_its_phase(database: Database, clock: FakeClock) -> None:
    async with receiving() as receiver:
        url = receiver.url
    async with sending(database, clock) as api:
        told = await tried(api, url)

    assert (told["delivered"], told["phase"], told["error"]) == (False, "connect", "refused")
    assert told["status_code"] is told["response"] is None


@pytest.mark.parametrize(
    ("date", "skew"),
    [
        ("Sun, 22 Nov 2026 08:00:00 GMT", 0),
        ("Sun, 22 Nov 2026 08:07:00 GMT", 420),
        ("Sun, 22 Nov 2026 07:59:00 GMT", -59),
        ("yesterday", None),
    ],
)
async def test_the_receivers_clock_is_compared_with_ours(
    database: Database, clock: FakeClock, date: str, skew: int | None
) -> None:
    async with sending(database, clock) as api, receiving(answer(204, f"Date: {date}\r\n")) as receiver:
        told = await tried(api, receiver.url)

    assert told["clock_skew_seconds"] == skew


@pytest.mark.parametrize("address", ["10.1.2.3", "169.254.169.254", "::1"])
async def test_nobody_learns_what_a_name_stands_for(database: Database, clock: FakeClock, address: str) -> None:
    async with sending(database, clock, guard=Guard(), addresses=[address]) as api:
        answered = await api.client.post("/v1/callbacks/test", json={"callback_url": "http://inside.example/"})

    told = answered.json()
    assert (told["delivered"], told["error"]) == (False, "blocked")
    assert "no public address" in told["blocked_by"]
    for word in (address, "link-local", "loopback"):
        assert word not in answered.text


@pytest.mark.parametrize("body", [{}, {"callback_url": 1}, {"callback_url": "ftp://a.example"}, {"callback_url": ""}])
async def test_what_could_not_be_registered_is_not_tested(
    database: Database, clock: FakeClock, body: dict[str, object]
) -> None:
    async with sending(database, clock, guard=Guard()) as api:
        told = await api.client.post("/v1/callbacks/test", json=body)

    assert told.status_code == 422
    assert fields(told) == ["callback_url"]


async def test_a_reader_may_not_send(database: Database, clock: FakeClock) -> None:
    async with sending(database, clock) as api:
        api.use("ann", "read")
        told = await api.client.post("/v1/callbacks/test", json={"callback_url": HOOK})

    assert told.status_code == 403


async def test_an_owner_may_make_ten_tests_and_one_more_every_six_seconds(database: Database, clock: FakeClock) -> None:
    async with sending(database, clock) as api, receiving(*[answer(204)] * 12) as receiver:
        ask = partial(api.client.post, "/v1/callbacks/test", json={"callback_url": receiver.url})
        for _ in range(10):
            await tried(api, receiver.url)
        refused = await ask()
        of_another = await ask(headers=api.shows("bob"))
        clock.advance(6)
        afterwards = await ask()
        again = await ask()

    assert refused.status_code == again.status_code == 429
    assert refused.headers["retry-after"] == "6"
    assert "at most 10 tests a minute" in refused.json()["detail"]
    assert fields(refused) == []
    assert of_another.status_code == afterwards.status_code == 200
    assert receiver.connections == 12


async def test_the_days_that_a_certificate_has_left_are_told_each_time(database: Database, clock: FakeClock) -> None:
    decoded = ssl._ssl._test_decode_cert(str(CERTIFICATES / "certificate.pem"))  # noqa: SLF001 - how else?
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(decoded["notAfter"]), UTC)
    async with (
        serving(answering(OK, OK), tls=server_tls()) as server,
        sending(database, clock, tls=trusting()) as api,
    ):
        told = [await tried(api, server.url("a.test", "https")) for _ in range(2)]

    assert [one["delivered"] for one in told] == [True, True]
    assert [one["tls_days_left"] for one in told] == [(end - clock()).days] * 2
