"""Receivers that misbehave, each in a way of its own. They read the request first, as far as it is one."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable

_DRIP_SECONDS = 0.1
_CHUNK = 65_536

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """The headers, by lower-case name, and the body of one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    return headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def _black_hole(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(_CHUNK):
        pass


async def _drip_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _drip(writer, b"x: y\r\n")


async def _drip_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await _drip(writer, b"y")


async def _drip(writer: asyncio.StreamWriter, drop: bytes) -> None:
    while True:
        writer.write(drop)
        await writer.drain()
        await asyncio.sleep(_DRIP_SECONDS)


async def _endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await _flood(writer, b"10000\r\n" + bytes(_CHUNK) + b"\r\n")


async def _gzip_bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(_BOMB), _BOMB))
    await writer.drain()
    await _black_hole(reader, writer)


async def _flood_of_1xx(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await _flood(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 100)


async def _many_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        writer.write(b"".join(b"x-%d: y\r\n" % (1000 * number + each) for each in range(1000)))
        await writer.drain()
    writer.write(b"Content-Length: 0\r\n\r\n")
    await writer.drain()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    # Lingering for no time at all makes closing a reset.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(_CHUNK)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def _cookies_and_500(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    cookies = b"".join(b"Set-Cookie: c%d=%s\r\n" % (number, b"v" * 4000) for number in range(100))
    while True:
        await read_request(reader)
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n%s\r\n" % cookies)
        await writer.drain()


async def _flood_after_its_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    await writer.drain()
    # By now the connection lies idle at the other end.
    await asyncio.sleep(_DRIP_SECONDS)
    await _flood(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 100)


async def _flood(writer: asyncio.StreamWriter, water: bytes) -> None:
    while True:
        writer.write(water)
        await writer.drain()


_BOMB = gzip.compress(bytes(1_000_000)) * 200
"""200 kB that inflate to 200 MB: a stream may have as many members as it likes."""
HOSTILE: dict[str, Serve] = {
    "black hole": _black_hole,
    "drips headers": _drip_headers,
    "drips its body": _drip_body,
    "endless body": _endless_body,
    "gzip bomb": _gzip_bomb,
    "flood of 1xx": _flood_of_1xx,
    "many headers": _many_headers,
    "reset": _reset,
    "not TLS": _no_tls,
    "cookies and 500": _cookies_and_500,
    "flood after its answer": _flood_after_its_answer,
}
"""What each is called, and what it does with a connection."""
