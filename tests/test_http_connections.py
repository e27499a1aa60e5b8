"""Connections: kept for the next request, few of them, and none takes what nobody asked for."""

import asyncio
import ssl
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from clocks import until
from raw_servers import (
    LOOPBACK_OPEN,
    OK,
    Requests,
    answering,
    ask,
    fault_of,
    server_tls,
    serving,
    to,
    trusting,
)

from tracker.http import open_callback_client
from tracker.model import Phase

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=30)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


async def test_no_more_idle_connections_are_kept_than_four_for_each_that_may_be_in_use() -> None:
    async with AsyncExitStack() as stack, open_callback_client(LOOPBACK_OPEN, max_connections=1) as client:
        servers = [await stack.enter_async_context(serving(answering(OK, OK))) for _ in range(10)]
        for server in servers:
            await ask(client, server.url())

        await until(lambda: sum(server.open for server in servers) <= 4)
        for server in servers[:4]:
            await ask(client, server.url())
        assert [server.connections for server in servers[:4]] == [1, 1, 1, 1], "those that are kept are used"


async def test_an_endpoint_has_no_more_connections_than_its_share() -> None:
    async def slowly(reader: Requests, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.request()
            await asyncio.sleep(0.005)
            writer.write(OK)

    async with serving(slowly) as server, open_callback_client(LOOPBACK_OPEN, max_per_endpoint=2) as client:
        await asyncio.gather(*(ask(client, server.url()) for _ in range(12)))

    assert (server.connections, len(server.requests)) == (2, 12)


async def unasked(flood: bytes, reader: Requests, writer: asyncio.StreamWriter) -> None:
    """Answer one request, and say more while the connection is idle."""
    await reader.request()
    writer.write(OK)
    await writer.drain()
    await asyncio.sleep(0.02)
    while True:
        writer.write(flood)
        await writer.drain()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "flood",
    [EMPTY * 2000, EARLY * 2000, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 60_000, b"\r\n" * 30_000, b"rubbish " * 8000],
    ids=["answers", "early hints", "endless body", "empty lines", "rubbish"],
)
async def test_a_server_that_goes_on_talking_is_hung_up_on(flood: bytes) -> None:
    def script(reader: Requests, writer: asyncio.StreamWriter) -> Awaitable[None]:
        return unasked(flood, reader, writer)

    async with serving(script) as server, open_callback_client(LOOPBACK_OPEN) as client:
        await ask(client, server.url())
        tracemalloc.start()
        try:
            await until(lambda: server.ended == 1, within=2)
            held = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert held < 1_500_000


async def test_an_answer_that_came_before_its_question_is_not_taken() -> None:
    async def hasty(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(OK)
        if server.connections == 1:
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(b"HTTP/1.1 204 Taken Unread\r\n\r\n")
            await reader.request()

    async with serving(hasty) as server, open_callback_client(LOOPBACK_OPEN) as client:
        await ask(client, server.url())
        await until(lambda: server.ended == 1, within=2)
        second = await ask(client, server.url())

    assert (second.status, server.connections, len(server.requests)) == (200, 2, 2)


async def test_of_two_answers_in_one_packet_the_first_counts_and_the_connection_is_not_used_again() -> None:
    async with serving(answering(OK + EMPTY, OK)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        answers = [await ask(client, server.url()) for _ in range(2)]

    assert [answer.body for answer in answers] == [b"ok", b"ok"]
    assert server.connections == 2


@pytest.mark.parametrize("number", [1, 16])
async def test_a_few_early_words_may_come_before_an_answer(number: int) -> None:
    async with serving(answering(EARLY * number + OK, OK)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        answers = [await ask(client, server.url()) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert server.connections == 1


@pytest.mark.parametrize("word", [EARLY, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"])
async def test_a_flood_of_early_words_is_no_answer(word: bytes) -> None:
    async with serving(answering(word * 17 + OK)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        fault = await fault_of(client, server.url(), deadline=LONG)

    assert (fault.error, fault.phase) == ("protocol", Phase.HEADERS)


async def test_a_server_that_never_says_goodbye_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS ends with a word from both sides; without ours being answered a connection would stay for half a minute."""
    monkeypatch.setattr("tracker.http.connections.GOODBYE_SECONDS", 0.05)
    async with (
        serving(rude) as server,
        open_callback_client(LOOPBACK_OPEN, tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        answer = await ask(client, server.url("a.test", "https"))
        await until(lambda: server.ended == 1, within=2)

    assert answer.status == 200


async def rude(reader: Requests, writer: asyncio.StreamWriter) -> None:
    """TLS by hand: one answer, and then not a word, not even to a goodbye; returns when it is hung up on."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = server_tls().wrap_bio(incoming, outgoing, server_side=True)
    for step in (session.do_handshake, session.read):
        await stepped(step, reader, writer, incoming, outgoing)
    session.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.write(outgoing.read())
    while await reader.more():
        pass


async def stepped(
    step: Callable[[], object],
    reader: Requests,
    writer: asyncio.StreamWriter,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
) -> None:
    while True:
        try:
            step()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.more())
        else:
            writer.write(outgoing.read())
            return
