"""What a receiver can do to whoever calls it: each thing is one attempt, ends in time, and is not held in memory.

Everything is done to a real attempt, signed and sent through the guarded client, by a real server.
"""

import asyncio
import base64
import gc
import gzip
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from clocks import until
from raw_servers import (
    LOOPBACK_OPEN,
    OK,
    SHORT,
    Requests,
    Script,
    Server,
    answering,
    dripping,
    flooding,
    recorded_dials,
    resetting,
    serving,
    silent,
)
from test_sender import SECRET, delivery, sender

from tracker.http import open_callback_client
from tracker.model import Outcome, Phase

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=30)
MOST_AT_ONCE = 8_000_000
"""What 256 kB, the most that is read from a socket at a time, can grow to while it is parsed."""
MOST_KEPT = 64_000


async def attempt(server: Server, within: timedelta = SHORT) -> Outcome:
    async with open_callback_client(LOOPBACK_OPEN) as client:
        return await sender(client, within).send(delivery(server.url()), [SECRET])


async def outcome_of(script: Script, within: timedelta = SHORT) -> Outcome:
    async with serving(script) as server:
        outcome = await attempt(server, within)
    assert server.connections == 1
    return outcome


@contextmanager
def flat_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < MOST_AT_ONCE
    assert after - before < MOST_KEPT


# Never an answer


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
SLOW: dict[str, Script] = {
    "silence": silent,
    "status line dripped": dripping(b"HTTP/1.1 200 ", b"O"),
    "headers dripped": dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "one header dripped": dripping(b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "early hints dripped": dripping(b"", EARLY, every=0.05),
    "empty lines dripped": dripping(b"", b"\r\n"),
    "empty lines in a flood": flooding(b"", b"\r\n" * 30_000),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
async def test_an_answer_that_does_not_come_is_a_timeout_at_the_deadline(script: Script) -> None:
    with flat_memory():
        began = time.monotonic()
        outcome = await outcome_of(script)
        took = time.monotonic() - began

    assert (outcome.delivered, outcome.error, outcome.phase) == (False, "timeout", Phase.HEADERS)
    assert (outcome.status_code, outcome.response, outcome.spent) == (None, None, True)
    assert timedelta(seconds=0.25) < outcome.duration < timedelta(seconds=2)
    assert took < 2


# No answer


BROKEN: dict[str, tuple[Script, str]] = {
    "HTTP/0.9": (answering(b"<html>hello</html>\r\n"), "protocol"),
    "another protocol": (answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "protocol"),
    "garbage": (answering(b"\0\xff\xfe garbage" * 100), "protocol"),
    "endless garbage": (flooding(b"", b"\0\xff\xfe" * 20_000), "protocol"),
    "no number": (answering(b"HTTP/1.1 abc OK\r\n\r\n"), "protocol"),
    "endless status line": (flooding(b"HTTP/1.1 200 ", b"a" * 60_000), "protocol"),
    "200 kB in one header": (answering(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"), "protocol"),
    "an endless header": (flooding(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 60_000), "protocol"),
    "100,000 headers": (answering(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100_000 + b"\r\n"), "protocol"),
    "endless headers": (flooding(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n" * 10_000), "protocol"),
    "headers folded without end": (flooding(b"HTTP/1.1 200 OK\r\nX: a\r\n", b" a\r\n" * 10_000), "protocol"),
    "two lengths": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "protocol"),
    "a length below zero": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "protocol"),
    "a bad chunk": (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "protocol"),
    "early hints in a flood": (flooding(b"", EARLY * 1500), "protocol"),
    "100 Continue in a flood": (flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2500), "protocol"),
    "early close": (answering(b""), "reset"),
    "close in the status line": (answering(b"HTTP/1.1 20"), "reset"),
    "close in the headers": (answering(b"HTTP/1.1 200 OK\r\nX: a\r\n"), "reset"),
    "RST": (resetting, "reset"),
}


@pytest.mark.parametrize(("script", "error"), BROKEN.values(), ids=BROKEN)
async def test_what_is_no_answer_is_named_and_ends_at_once(script: Script, error: str) -> None:
    with flat_memory():
        outcome = await outcome_of(script, LONG)

    assert (outcome.delivered, outcome.error, outcome.phase) == (False, error, Phase.HEADERS)
    assert (outcome.status_code, outcome.response, outcome.spent) == (None, None, True)
    assert outcome.duration < timedelta(seconds=5)


async def test_an_upgrade_that_nobody_asked_for_is_a_failure_and_its_connection_is_left() -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    async with serving(flooding(upgrade, b"x" * 60_000)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        with flat_memory():
            outcomes = [await sender(client, LONG).send(delivery(server.url()), [SECRET]) for _ in range(2)]
            await until(lambda: server.open == 0)

    assert [(outcome.delivered, outcome.status_code, outcome.error) for outcome in outcomes] == [
        (False, 101, "status")
    ] * 2
    assert server.connections == 2


# An answer whose body is a weapon


def headed(*headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode()


CHUNKED = headed("Transfer-Encoding: chunked")
BOMB = b"\0" * 20_000_000
BODIES: dict[str, Script] = {
    "endless": flooding(headed(), b"x" * 60_000),
    "endless in chunks": flooding(CHUNKED, b"ea60\r\n" + b"x" * 60_000 + b"\r\n"),
    "endless in tiny chunks": flooding(CHUNKED, b"1\r\nx\r\n" * 5000),
    "a gigabyte, promised": flooding(headed("Content-Length: 1000000000"), b"x" * 60_000),
    "gzip bomb": answering(headed("Content-Encoding: gzip", "Connection: close") + gzip.compress(BOMB)),
    "deflate bomb": answering(headed("Content-Encoding: deflate", "Connection: close") + zlib.compress(BOMB)),
    "br bomb": answering(
        headed("Content-Encoding: br", "Connection: close")
        + base64.b64decode("y///P/gnAOKxQCD3/o///3/wTwDEYRGA7v1f/rPE4J8AiMMCAF2SGA==")
    ),
    "an answer after the answer": flooding(OK, OK * 1500),
}


@pytest.mark.parametrize("script", BODIES.values(), ids=BODIES)
async def test_a_2xx_is_delivered_at_once_whatever_its_body_grows_to(script: Script) -> None:
    with flat_memory():
        outcome = await outcome_of(script, LONG)

    assert (outcome.delivered, outcome.status_code, outcome.error, outcome.phase) == (True, 200, None, None)
    assert outcome.response is not None
    assert len(outcome.response.encode()) <= 4096
    assert outcome.duration < timedelta(seconds=2)


DRIPPED: dict[str, tuple[Script, str]] = {
    "dripped": (dripping(headed("Content-Length: 900"), b"x"), "timeout"),
    "dripped in chunks": (dripping(CHUNKED, b"1\r\nx\r\n"), "timeout"),
    "never": (dripping(headed("Content-Length: 900"), b""), "timeout"),
    "a chunk's size without end": (flooding(CHUNKED, b"0" * 60_000), "timeout"),
    "a chunk's extension without end": (flooding(CHUNKED + b"1;", b"a" * 60_000), "timeout"),
    "cut off": (answering(headed("Content-Length: 900") + b"half"), "reset"),
}


@pytest.mark.parametrize(("script", "word"), DRIPPED.values(), ids=DRIPPED)
async def test_a_2xx_whose_body_drips_or_breaks_is_delivered_within_the_deadline(script: Script, word: str) -> None:
    with flat_memory():
        outcome = await outcome_of(script)

    assert (outcome.delivered, outcome.status_code, outcome.error) == (True, 200, None)
    assert outcome.detail == f"taken, though its answer's body broke off ({word})"
    assert outcome.duration < timedelta(seconds=2)


async def test_a_body_that_drips_is_given_two_seconds_of_a_long_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.webhooks.sender._BODY_GRACE", timedelta(milliseconds=100))

    outcome = await outcome_of(dripping(headed("Content-Length: 900"), b"x"), LONG)

    assert outcome.delivered
    assert outcome.duration < timedelta(seconds=2)


@pytest.mark.parametrize("status", [b"500 No", b"302 Found", b"410 Gone"])
async def test_a_refusal_whose_body_drips_is_that_refusal(status: bytes) -> None:
    outcome = await outcome_of(dripping(b"HTTP/1.1 %s\r\nContent-Length: 900\r\n\r\n" % status, b"x"))

    assert (outcome.delivered, outcome.error, outcome.phase) == (False, "status", None)
    assert (outcome.status_code, outcome.gone) == (int(status[:3]), status[:3] == b"410")


@pytest.mark.parametrize("number", [10, 100])
async def test_cookies_are_not_sent_with_the_next_message(number: int) -> None:
    cookies = b"".join(b"Set-Cookie: c%d=v; Path=/\r\n" % each for each in range(number))
    answer = b"HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n" % cookies
    async with serving(answering(answer, answer)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        for _ in range(2):
            assert (await sender(client).send(delivery(server.url()), [SECRET])).delivered

    assert (server.connections, len(server.requests)) == (1, 2)
    assert not any(b"cookie" in request.lower() for request in server.requests)


# Somewhere else


TARGETS = [
    "http://127.0.0.1:{elsewhere}/",
    "//127.0.0.1:{elsewhere}/",
    "http://[::ffff:127.0.0.1]:{elsewhere}/",
    "https://127.0.0.1:{elsewhere}/",
    "http://169.254.169.254/latest/meta-data",
    "http://localhost:{elsewhere}/",
    "ftp://127.0.0.1:{elsewhere}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{elsewhere}/_x",
    "javascript:alert(1)",
    "/relative",
    "relative",
    "?a=1",
    "",
    "http://127.0.0.1:{here}/hook",
    "http://[::1",
    "http://\x01/",
    "http://a:99999999/",
]


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
@pytest.mark.parametrize("target", TARGETS, ids=ascii)
async def test_a_redirect_is_one_failed_attempt_and_leads_nowhere(status: int, target: str) -> None:
    async def redirecting(reader: Requests, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.request()
            location = target.format(elsewhere=elsewhere.port, here=server.port)
            writer.write(f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serving(answering(OK)) as elsewhere, serving(redirecting) as server:
        outcome = await attempt(server, LONG)

    assert (outcome.delivered, outcome.spent, outcome.gone) == (False, True, False)
    assert (outcome.status_code, outcome.error) == (status, "status")
    assert (server.connections, len(server.requests), elsewhere.connections) == (1, 1, 0)


async def test_the_rest_is_not_called_either_when_a_redirect_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one address that is dialled is the receiver's own."""
    redirect = b"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    with recorded_dials(monkeypatch) as dials:
        async with serving(answering(redirect)) as server:
            outcome = await attempt(server)

    assert (outcome.status_code, outcome.detail) == (307, "the receiver answered 307; redirects are not followed")
    assert dials == ["127.0.0.1"]
