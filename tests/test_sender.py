"""Attempts: what is sent, and what each thing that a receiver can do comes to."""

import asyncio
import gzip
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from tracker.clock import utc_now
from tracker.guard import Guard
from tracker.http import Client, open_callback_client
from tracker.model import Delivery, MessageType, Outcome, Phase
from tracker.webhooks import Sender, new_secret

pytestmark = pytest.mark.anyio

OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
SECRET = new_secret()
TIMEOUT = timedelta(seconds=5)
BODY = '{"type":"task.succeeded","data":{"text":"猪"}}'


@dataclass
class Receiver:
    """Answers every connection's one request with the next answer, then hangs up or stays."""

    answers: list[bytes]
    stays: bool = False
    port: int = 0
    connections: int = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            self.requests.append((headers, await reader.readexactly(int(headers["content-length"]))))
            writer.write(self.answers.pop(0))
            await writer.drain()
            while self.stays and await reader.read(1000):
                pass
        writer.close()


@asynccontextmanager
async def receiving(*answers: bytes, stays: bool = False) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=list(answers), stays=stays)
    listener = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield receiver


def answer(status: int, headers: str = "", body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} Word\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def delivery(url: str, body: str = BODY) -> Delivery:
    return Delivery(
        key=1,
        id="msg_1",
        task_key=1,
        callback_key=1,
        owner="admin",
        message_type=MessageType.SUCCEEDED,
        url=url,
        endpoint=url,
        body=body,
        attempt=1,
        failures=0,
        created_at=utc_now(),
    )


def sender(client: Client, timeout: timedelta = TIMEOUT, clock: Callable[[], datetime] = utc_now) -> Sender:
    return Sender(client, version="1.2.3", timeout=timeout, clock=clock)


async def outcome_of(*answers: bytes, stays: bool = False, within: timedelta = TIMEOUT) -> Outcome:
    async with receiving(*answers, stays=stays) as receiver, open_callback_client(OPEN) as client:
        return await sender(client, within).send(delivery(receiver.url), [SECRET])


async def test_an_attempt_is_signed_and_sent_byte_for_byte() -> None:
    old = new_secret()
    async with receiving(answer(200, body=b"thanks")) as receiver, open_callback_client(OPEN) as client:
        outcome = await sender(client).send(delivery(receiver.url), [SECRET, old])

    ((headers, body),) = receiver.requests
    assert body == BODY.encode()
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "tracker/1.2.3"
    assert headers["webhook-id"] == "msg_1"
    assert (
        Webhook(SECRET).verify(body, headers)
        == Webhook(old).verify(body, headers)
        == {
            "type": "task.succeeded",
            "data": {"text": "猪"},
        }
    )
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)
    assert structs.replace(outcome, duration=timedelta(0)) == Outcome(
        delivered=True, duration=timedelta(0), status_code=200, response="thanks"
    )
    assert timedelta(0) < outcome.duration < TIMEOUT


async def test_a_bare_object_is_signed_all_the_same() -> None:
    body = '{"id":"1730621826053455","status":"SUCCESS"}'
    async with receiving(answer(200)) as receiver, open_callback_client(OPEN) as client:
        await sender(client).send(delivery(receiver.url, body), [SECRET])

    ((headers, sent),) = receiver.requests
    assert (sent, headers["content-type"]) == (body.encode(), "application/json")
    assert Webhook(SECRET).verify(sent, headers) == {"id": "1730621826053455", "status": "SUCCESS"}


async def test_every_attempt_has_its_own_timestamp_and_the_same_id() -> None:
    moments = [datetime(2026, 11, 22, 8, 0, second, 999_000, tzinfo=UTC) for second in (1, 1, 2, 2)]
    async with receiving(answer(500), answer(500)) as receiver, open_callback_client(OPEN) as client:
        for _ in range(2):
            await sender(client, clock=lambda: moments.pop(0)).send(delivery(receiver.url), [SECRET])

    first, second = (headers for headers, _ in receiver.requests)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 1
    assert int(first["webhook-timestamp"]) == int(datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC).timestamp())
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(status: int) -> None:
    outcome = await outcome_of(answer(status))

    assert (outcome.delivered, outcome.status_code, outcome.error, outcome.gone) == (True, status, None, False)


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308, 400, 401, 404, 409, 429, 500, 503, 599])
async def test_every_other_status_is_a_failure(status: int) -> None:
    outcome = await outcome_of(answer(status, "Location: http://127.0.0.1:1/\r\n"))

    assert (outcome.delivered, outcome.status_code, outcome.error, outcome.phase) == (False, status, "status", None)
    assert (outcome.gone, outcome.spent) == (False, True)
    assert str(status) in (outcome.detail or "")


async def test_410_ends_the_callback() -> None:
    assert (await outcome_of(answer(410))).gone


@pytest.mark.parametrize(
    ("status", "value", "expected"),
    [(503, "120", 120), (429, "1.5", 1.5), (500, "999999999", 86400), (503, "soon", None), (200, "120", None)],
)
async def test_a_failure_may_say_when_to_come_again(status: int, value: str, expected: float | None) -> None:
    outcome = await outcome_of(answer(status, f"Retry-After: {value}\r\n"))

    assert outcome.retry_after == (None if expected is None else timedelta(seconds=expected))


async def test_a_date_to_come_again_counts_from_the_clock() -> None:
    def clock() -> datetime:
        return datetime(2026, 11, 22, 8, tzinfo=UTC)

    late = answer(503, "Retry-After: Sun, 22 Nov 2026 08:02:00 GMT\r\n")
    async with receiving(late) as receiver, open_callback_client(OPEN) as client:
        outcome = await sender(client, clock=clock).send(delivery(receiver.url), [SECRET])

    assert outcome.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        (b"", ""),
        (b"a\0b\xffc", "a\ufffdb\ufffdc"),
        ("猪".encode() * 2000, "猪" * 1365),
        (b"x" * 100_000, "x" * 4096),
        (b"\xff" * 5000, "\ufffd" * 1365),
        (gzip.compress(b"packed", mtime=0), None),
    ],
    ids=["empty", "nul and rubbish", "wide", "long", "rubbish", "gzip"],
)
async def test_the_kept_response_is_storable_text_of_4_kilobytes(body: bytes, excerpt: str | None) -> None:
    response = (await outcome_of(answer(400, body=body))).response

    assert response is not None
    assert len(response.encode()) <= 4096
    assert "\0" not in response
    assert excerpt is None or response == excerpt


async def test_a_2xx_whose_body_breaks_off_is_delivered() -> None:
    outcome = await outcome_of(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    assert (outcome.delivered, outcome.error, outcome.response) == (True, None, "half")
    assert "reset" in (outcome.detail or "")


async def test_a_2xx_whose_body_never_ends_is_delivered_within_the_deadline() -> None:
    hanging = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"

    outcome = await outcome_of(hanging, stays=True, within=timedelta(milliseconds=300))

    assert outcome.delivered
    assert outcome.duration < timedelta(seconds=1)


async def test_an_answer_is_not_read_beyond_what_could_be_kept() -> None:
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000

    outcome = await outcome_of(huge, stays=True)

    assert (outcome.delivered, outcome.detail) == (True, None)
    assert outcome.duration < timedelta(seconds=1)


async def test_a_receiver_that_does_not_answer_is_a_timeout() -> None:
    outcome = await outcome_of(b"", stays=True, within=timedelta(milliseconds=300))

    assert (outcome.delivered, outcome.error, outcome.phase) == (False, "timeout", Phase.HEADERS)
    assert (outcome.status_code, outcome.response, outcome.spent) == (None, None, True)
    assert timedelta(milliseconds=250) < outcome.duration < timedelta(seconds=2)


async def test_a_receiver_that_is_not_there_is_refused() -> None:
    async with receiving() as receiver:
        pass
    async with open_callback_client(OPEN) as client:
        outcome = await sender(client).send(delivery(receiver.url), [SECRET])

    assert (outcome.error, outcome.phase, outcome.spent) == ("refused", Phase.CONNECT, True)


@pytest.mark.parametrize("guard", [Guard(), Guard(allow_networks=OPEN.allow_networks, require_https=True)])
async def test_a_forbidden_address_is_a_failure_that_tells_nothing(guard: Guard) -> None:
    async with receiving(answer(200)) as receiver, open_callback_client(guard) as client:
        outcome = await sender(client).send(delivery(receiver.url), [SECRET])

    assert (outcome.delivered, outcome.error, outcome.response, outcome.status_code) == (False, "blocked", None, None)
    assert outcome.spent
    assert "127" not in (outcome.detail or "")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    ("secrets", "body"),
    [([], BODY), (["whsec_short"], BODY), ([SECRET, "whsec_verysecretbutfartooshort"], BODY), ([SECRET], "\ud83d")],
    ids=["no secret", "bad secret", "one bad secret", "unsendable body"],
)
async def test_our_own_fault_costs_the_receiver_no_attempt_and_names_no_secret(secrets: list[str], body: str) -> None:
    async with receiving(answer(200)) as receiver, open_callback_client(OPEN) as client:
        with capture_logs() as logs:
            outcome = await sender(client).send(delivery(receiver.url, body), secrets)

    assert (outcome.delivered, outcome.error, outcome.spent) == (False, "internal", False)
    assert receiver.connections == 0
    (line,) = logs
    assert (line["event"], line["delivery_id"]) == ("attempt_faulted", "msg_1")
    assert not any(secret in str(line) for secret in secrets)


async def test_a_closed_client_is_our_own_fault() -> None:
    async with open_callback_client(OPEN) as client:
        pass

    outcome = await sender(client).send(delivery("http://127.0.0.1:1024/"), [SECRET])

    assert (outcome.error, outcome.spent) == ("internal", False)


async def test_a_cancelled_attempt_is_no_outcome() -> None:
    async with receiving(b"", stays=True) as receiver, open_callback_client(OPEN) as client:
        attempt = asyncio.create_task(sender(client).send(delivery(receiver.url), [SECRET]))
        await _until(lambda: bool(receiver.requests))
        attempt.cancel()

        with pytest.raises(asyncio.CancelledError):
            await attempt


async def _until(true: Callable[[], bool], turn: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)) -> None:
    async with asyncio.timeout(5):
        while not true():
            await turn()
