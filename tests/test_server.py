"""The server: what clients send is bounded, and an answer leaves as one."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from tracker.daemon.server import LARGEST_HEAD, bind, make_server

HEAD = b"POST /size HTTP/1.1\r\nHost: here\r\n"


def sized() -> FastAPI:
    """Tells how large a body was."""
    app = FastAPI()

    @app.post("/size")
    async def size(request: Request) -> Response:
        with suppress(ClientDisconnect):
            return Response(str(len(await request.body())))
        return Response()

    return app


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server."""
    listening = bind("127.0.0.1", 0)
    server = make_server(sized())
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.stop()
        await serving


async def send_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Raises ConnectionError as soon as the other side has had enough."""
    while not reader.at_eof():
        writer.write(b"x" * LARGEST_HEAD)
        await writer.drain()
    raise ConnectionError


async def test_an_answer_leaves_as_one() -> None:
    async with connected() as (reader, writer):
        writer.write(HEAD + b"Content-Length: 3\r\n\r\nabc")

        # What was sent by one call arrives on loopback as one piece.
        assert (await reader.read(10_000)).endswith(b"\r\n\r\n3")


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with connected() as (reader, writer):
        for size in (1, 100_000, 0):
            writer.write(HEAD + b"Content-Length: %d\r\n\r\n%s" % (size, b"x" * size))
            head = await reader.readuntil(b"\r\n\r\n")

            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(str(size))) == str(size).encode()


async def test_a_body_in_the_smallest_of_parts_is_taken() -> None:
    async with connected() as (reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")

        assert (await reader.read(10_000)).endswith(b"\r\n\r\n50000")


@pytest.mark.parametrize(
    "begin",
    [
        HEAD + b"X-Long: ",
        b"POST /",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;note=",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Long: ",
    ],
    ids=["header", "path", "frame", "trailer"],
)
async def test_what_goes_on_beside_a_body_for_ever_is_cut_off(begin: bytes) -> None:
    """The parser keeps it all, whatever its size."""
    async with connected() as (reader, writer):
        writer.write(begin)

        async with asyncio.timeout(10):
            with pytest.raises(ConnectionError):
                await send_without_end(reader, writer)


async def test_headers_without_end_are_refused() -> None:
    async with connected() as (reader, writer):
        writer.write(HEAD + b"X-Short: 1\r\n" * 10_000)

        async with asyncio.timeout(10):
            assert b"400 Bad Request" in await reader.read()


@pytest.mark.parametrize("turns", range(8))
async def test_who_connects_as_it_stops_is_answered_by_it_or_by_the_next_one(turns: int) -> None:
    held = bind("127.0.0.1", 0)
    server = make_server(sized())
    serving = asyncio.create_task(server.serve(sockets=[held.dup()]))
    await server.is_serving.wait()

    # So that it is accepted so many turns of the event loop before the end.
    with socket.create_connection(held.getsockname()) as client:
        client.sendall(HEAD + b"Content-Length: 3\r\n\r\nabc")
        for _ in range(turns):
            await asyncio.sleep(0)
        server.stop()
        await serving
        successor = make_server(sized())
        serving = asyncio.create_task(successor.serve(sockets=[held]))
        answer = await asyncio.to_thread(client.recv, 10_000)
        successor.stop()
        await serving

    assert answer.endswith(b"\r\n\r\n3")
