"""Exchanges against real servers on loopback, most of them hostile."""

import asyncio
import errno
import gzip
import ipaddress
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tracker.guard import Guard
from tracker.http import (
    Answer,
    Client,
    ExchangeError,
    Lookup,
    exchange,
    inflate,
    open_callback_client,
    open_upstream_client,
    parse_retry_after,
    system_lookup,
    tls_context,
)
from tracker.http.dialing import BlockedError, guarded_socket, is_this_machine
from tracker.http.faults import word_for
from tracker.model import Phase

pytestmark = pytest.mark.anyio

CERTIFICATES = Path(__file__).parent / "data" / "tls"
LOOPBACK_OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """A raw server: what it does is a script, what it was sent is kept."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/hook"


class Requests:
    """What the client sends on one connection."""

    def __init__(self, reader: asyncio.StreamReader, server: Server) -> None:
        self._reader = reader
        self._server = server

    async def request(self) -> bytes:
        """One whole request: headers and as much body as they promise."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        whole = head + await self._reader.readexactly(length)
        self._server.requests.append(whole)
        return whole


Script = Callable[[Requests, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    script: Script, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        server.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if tls:
                await writer.start_tls(tls)
            await script(Requests(reader, server), writer)
        writer.close()

    listener = await asyncio.start_server(serve, host, port)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


def answering(*answers: bytes) -> Script:
    """Each request of a connection gets the next answer; after the last one the connection is closed."""

    async def script(reader: Requests, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.request()
            writer.write(answer)
            await writer.drain()

    return script


def dripping(start: bytes, drop: bytes) -> Script:
    async def script(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(start)
        while True:
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(drop)

    return script


def flooding(start: bytes, flood: bytes) -> Script:
    async def script(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(start)
        while True:
            writer.write(flood)
            await writer.drain()

    return script


async def silent(reader: Requests, _writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.request()


async def resetting(reader: Requests, writer: asyncio.StreamWriter) -> None:
    await reader.request()
    linger_zero = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "certificate.pem", CERTIFICATES / "key.pem")
    return context


def trusting() -> ssl.SSLContext:
    return tls_context(str(CERTIFICATES / "certificate.pem"))


def to(*addresses: str) -> Lookup:
    return lambda _host: addresses


async def ask(client: Client, url: str, **changes: object) -> Answer:
    arguments: dict[str, Any] = {
        "method": "POST",
        "headers": {},
        "content": b"{}",
        "deadline": timedelta(seconds=5),
        "max_bytes": 1000,
    }
    return await exchange(client, url=url, **(arguments | changes))


async def fault_of(client: Client, url: str, **changes: object) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        await ask(client, url, **changes)
    return caught.value


SHORT = timedelta(milliseconds=300)


async def test_an_answer_has_status_headers_and_body() -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nX-Thing: a\r\nContent-Length: 4\r\n\r\nnope"
    async with serving(answering(answer)) as server, open_upstream_client() as client:
        got = await ask(client, server.url(), headers={"X-Own": "1", "Accept-Encoding": "gzip"})

    assert (got.status, got.headers["x-thing"], got.body, got.truncated) == (404, "a", b"nope", False)
    (request,) = server.requests
    assert request.startswith(b"POST /hook HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n{}")
    assert b"x-own: 1" in request.lower()
    assert request.lower().count(b"accept-encoding: identity\r\n") == request.lower().count(b"accept-encoding") == 1


async def test_a_connection_is_kept_for_the_next_request_to_the_same_host() -> None:
    async with serving(answering(OK, OK)) as server, open_upstream_client() as client:
        await ask(client, server.url())
        await ask(client, server.url(), method="GET", content=b"")

    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (silent, Phase.HEADERS),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), Phase.HEADERS),
        (dripping(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), Phase.HEADERS),
        (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"), Phase.BODY),
    ],
    ids=["silent", "headers dripped", "103 flood", "body dripped"],
)
async def test_one_deadline_bounds_everything(script: Script, phase: Phase) -> None:
    async with serving(script) as server, open_upstream_client() as client:
        started = time.monotonic()
        fault = await fault_of(client, server.url(), deadline=SHORT)
        took = time.monotonic() - started

    assert (fault.error, fault.phase) == ("timeout", phase)
    assert 0.25 < took < 2


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"), "timeout"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nxx"), "reset"),
        (dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n"), "timeout"),
    ],
    ids=["dripped", "cut off", "malformed"],
)
async def test_with_grace_a_broken_body_is_only_noted(script: Script, error: str) -> None:
    async with serving(script) as server, open_upstream_client() as client:
        started = time.monotonic()
        answer = await ask(client, server.url(), body_grace=SHORT)
        took = time.monotonic() - started

    assert (answer.status, answer.body_error, answer.truncated) == (200, error, True)
    assert answer.body.strip(b"x") == b""
    assert took < 2


async def test_grace_does_not_outlast_the_deadline() -> None:
    script = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x")
    async with serving(script) as server, open_upstream_client() as client:
        started = time.monotonic()
        answer = await ask(client, server.url(), deadline=SHORT, body_grace=timedelta(seconds=60))

    assert answer.body_error == "timeout"
    assert time.monotonic() - started < 2


async def test_without_grace_a_broken_body_is_a_failure() -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nxx")
    async with serving(script) as server, open_upstream_client() as client:
        fault = await fault_of(client, server.url())

    assert (fault.error, fault.phase) == ("reset", Phase.BODY)


async def test_an_endless_body_is_cut_and_its_connection_is_not_used_again() -> None:
    endless = flooding(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    async with serving(endless) as server, open_upstream_client() as client:
        answers = [await ask(client, server.url(), max_bytes=5000) for _ in range(2)]

    assert [(len(answer.body), answer.truncated) for answer in answers] == [(5000, True)] * 2
    assert server.connections == 2


async def test_a_body_of_exactly_the_cap_is_whole() -> None:
    async with serving(answering(OK)) as server, open_upstream_client() as client:
        answer = await ask(client, server.url(), max_bytes=2)

    assert (answer.body, answer.truncated) == (b"ok", False)


def gzipped(body: bytes) -> bytes:
    packed = gzip.compress(body, mtime=0)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


async def test_a_gzip_bomb_stays_as_it_came_or_is_inflated_up_to_the_cap() -> None:
    bomb = gzipped(b"\0" * 10_000_000)
    async with serving(answering(bomb, bomb)) as server, open_upstream_client() as client:
        raw = await ask(client, server.url(), max_bytes=20_000)
        inflated = await ask(client, server.url(), max_bytes=20_000, inflate=True)

    assert raw.body == gzip.compress(b"\0" * 10_000_000, mtime=0)
    assert (inflated.body, inflated.truncated) == (b"\0" * 20_000, True)


async def test_a_gzip_answer_that_was_not_asked_for_is_read() -> None:
    async with serving(answering(gzipped(b'{"a": 1}'), OK)) as server, open_upstream_client() as client:
        packed = await ask(client, server.url(), inflate=True)
        plain = await ask(client, server.url(), inflate=True)

    assert (packed.body, packed.truncated, plain.body) == (b'{"a": 1}', False, b"ok")


async def test_a_content_encoding_that_cannot_be_undone_is_a_failure_unless_bodies_are_only_noted() -> None:
    answer = b"HTTP/1.1 429 Slow\r\nContent-Encoding: br\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nok"
    async with serving(answering(answer, answer)) as server, open_upstream_client() as client:
        fault = await fault_of(client, server.url(), inflate=True)
        noted = await ask(client, server.url(), inflate=True, body_grace=SHORT)

    assert (fault.error, fault.phase) == ("protocol", Phase.BODY)
    assert (noted.status, noted.headers["retry-after"], noted.body_error) == (429, "7", "protocol")
    assert (noted.body, noted.truncated) == (b"", True)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"), "protocol"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100_000 + b"\r\n"), "protocol"),
        (flooding(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n" * 1000), "protocol"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "protocol"),
        (answering(b"\0\xff\xfe garbage"), "protocol"),
        (answering(b"HTTP/1.1 abc OK\r\n\r\n"), "protocol"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "protocol"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "protocol"),
        (answering(b""), "reset"),
        (resetting, "reset"),
    ],
    ids=[
        "long header",
        "many headers",
        "endless headers",
        "ssh",
        "garbage",
        "bad status",
        "bad length",
        "bad chunk",
        "eof",
        "rst",
    ],
)
async def test_what_is_no_answer_is_named_and_ends_at_once(script: Script, error: str) -> None:
    async with serving(script) as server, open_upstream_client() as client:
        fault = await fault_of(client, server.url(), deadline=timedelta(seconds=30))

    assert (fault.error, fault.phase) == (error, Phase.HEADERS)


async def test_an_upgrade_that_nobody_asked_for_ends_with_its_status() -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    async with serving(answering(upgrade, OK)) as server, open_upstream_client() as client:
        answer = await ask(client, server.url(), body_grace=SHORT)

    assert answer.status == 101


async def test_a_closed_port_is_refused_while_connecting() -> None:
    async with serving(silent) as server:
        pass
    async with open_upstream_client() as client:
        fault = await fault_of(client, server.url())

    assert (fault.error, fault.phase) == ("refused", Phase.CONNECT)


async def test_a_large_request_that_is_not_read_does_not_outlast_its_answer() -> None:
    async def deaf(_reader: Requests, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(deaf) as server, open_upstream_client() as client:
        async with asyncio.timeout(4):
            answer = await ask(client, server.url(), content=b"x" * 900_000)

    assert answer.status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_answers_and_lead_nowhere(status: int) -> None:
    async with serving(answering(OK)) as elsewhere:
        redirect = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        script = answering(redirect % (status, elsewhere.url().encode()))
        async with serving(script) as server, open_upstream_client() as client:
            answer = await ask(client, server.url())

    assert answer.status == status
    assert (elsewhere.connections, len(server.requests)) == (0, 1)


async def test_cookies_are_neither_kept_nor_sent_back() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(cookie, cookie)) as server, open_upstream_client() as client:
        await ask(client, server.url("localhost"))
        await ask(client, server.url("localhost"))

    assert len(server.requests) == 2
    assert not any(b"cookie" in request.lower() for request in server.requests)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering(OK)) as proxy, serving(answering(OK, OK)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with open_upstream_client() as upstreams, open_callback_client(LOOPBACK_OPEN) as callbacks:
            await ask(upstreams, server.url())
            await ask(callbacks, server.url())

    assert (proxy.connections, server.connections) == (0, 2)


async def test_a_request_that_meets_the_end_of_an_idle_connection_is_sent_again() -> None:
    async def hanging_up(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(OK)
        await reader.request()

    async with serving(hanging_up) as server, open_upstream_client() as client:
        answers = [await ask(client, server.url()) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert (server.connections, len(server.requests)) == (2, 3)


async def test_a_header_that_would_break_the_request_is_a_local_fault() -> None:
    async with serving(answering(OK)) as server, open_upstream_client() as client:
        faults = [await fault_of(client, server.url(), headers={"x": value}) for value in ("a\r\nb: c", "ü")]

    assert [fault.error for fault in faults] == ["local", "local"]
    assert server.requests == []


async def test_a_url_that_cannot_be_called_is_blocked() -> None:
    async with open_upstream_client() as client:
        faults = [
            await fault_of(client, url) for url in ("http://a\x00b/", "ftp://127.0.0.1/", "http:///x", "http://xn--a/")
        ]

    assert [fault.error for fault in faults] == ["blocked"] * 4


# TLS


async def test_a_trusted_certificate_for_the_right_name_is_accepted() -> None:
    async with (
        serving(answering(OK), tls=server_tls()) as server,
        open_upstream_client(tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        answer = await ask(client, server.url("a.test", "https"))

    assert answer.body == b"ok"


@pytest.mark.parametrize(
    ("host", "tls", "word"),
    [("b.test", "trusting", "not valid for 'b.test'"), ("a.test", "shared", "self-signed")],
    ids=["wrong name", "unknown authority"],
)
async def test_a_certificate_that_proves_nothing_ends_the_attempt(host: str, tls: str, word: str) -> None:
    async with (
        serving(answering(OK), tls=server_tls()) as server,
        open_upstream_client(tls=trusting() if tls == "trusting" else None, lookup=to("127.0.0.1")) as client,
    ):
        fault = await fault_of(client, server.url(host, "https"))

    assert (fault.error, fault.phase) == ("tls", Phase.TLS)
    assert word in fault.detail.replace("self signed", "self-signed")
    assert server.requests == []


async def test_a_server_without_tls_is_a_tls_fault() -> None:
    async def plain(_reader: Requests, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(plain) as server, open_upstream_client(lookup=to("127.0.0.1")) as client:
        fault = await fault_of(client, server.url("a.test", "https"))

    assert (fault.error, fault.phase) == ("tls", Phase.TLS)


async def test_a_handshake_that_never_ends_is_a_timeout_in_tls() -> None:
    async def mute(_reader: Requests, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(mute) as server, open_upstream_client() as client:
        fault = await fault_of(client, server.url(scheme="https"), deadline=SHORT)

    assert (fault.error, fault.phase) == ("timeout", Phase.TLS)


def test_the_tls_context_is_made_once() -> None:
    assert tls_context() is tls_context()


async def test_hosts_at_one_address_share_no_connection() -> None:
    async with serving(answering(OK, OK)) as server, open_upstream_client(lookup=to("127.0.0.1")) as client:
        for host in ("a.test", "b.test", "a.test"):
            await ask(client, server.url(host))

    assert server.connections == 2


async def test_a_tls_connection_for_one_name_is_not_taken_for_another() -> None:
    async with (
        serving(answering(OK, OK), tls=server_tls()) as server,
        open_callback_client(LOOPBACK_OPEN, tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        await ask(client, server.url("a.test", "https"))
        fault = await fault_of(client, server.url("b.test", "https"))

    assert fault.error == "tls"
    assert len(server.requests) == 1


# Names


def failing(fault: Exception) -> Lookup:
    def lookup(_host: str) -> Sequence[str]:
        raise fault

    return lookup


@pytest.mark.parametrize("lookup", [failing(socket.gaierror(-2, "no such name")), to()], ids=["unknown", "empty"])
async def test_a_name_without_an_address_is_a_dns_fault(lookup: Lookup) -> None:
    async with open_callback_client(LOOPBACK_OPEN, lookup=lookup) as client:
        fault = await fault_of(client, "http://a.test/")

    assert (fault.error, fault.phase) == ("dns", Phase.DNS)


async def test_attempts_that_wait_for_a_hanging_name_take_one_thread_and_end_in_time() -> None:
    release = threading.Event()
    calls: list[str] = []

    def hanging(host: str) -> Sequence[str]:
        calls.append(host)
        release.wait(10)
        return ["127.0.0.1"]

    async with open_upstream_client(lookup=hanging) as client:
        faults = await asyncio.gather(*(fault_of(client, "http://a.test/", deadline=SHORT) for _ in range(5)))
        release.set()

    assert {(fault.error, fault.phase) for fault in faults} == {("timeout", Phase.DNS)}
    assert calls == ["a.test"]


async def test_a_name_that_finds_no_lookup_free_is_a_local_fault() -> None:
    release = threading.Event()

    def hanging(host: str) -> Sequence[str]:
        if host != "good.test":
            release.wait(20)
        return ["127.0.0.1"]

    async with serving(answering(OK)) as server, open_upstream_client(lookup=hanging) as client:
        hung = [asyncio.create_task(fault_of(client, f"http://hangs-{n}.test/", deadline=SHORT)) for n in range(16)]
        await asyncio.sleep(0.05)
        waiting = await fault_of(client, server.url("good.test"))
        faults = await asyncio.gather(*hung)
        release.set()
        after = await ask(client, server.url("good.test"))

    assert (waiting.error, waiting.phase) == ("local", Phase.DNS)
    assert {(fault.error, fault.phase) for fault in faults} == {("timeout", Phase.DNS)}
    assert after.status == 200


def test_names_that_cannot_be_encoded_are_unknown_names() -> None:
    with pytest.raises(socket.gaierror):
        system_lookup("a" * 300)


def test_localhost_is_found() -> None:
    assert {"127.0.0.1", "::1"} & set(system_lookup("localhost"))


# The guard at the moment of dialling


class Lenient(Guard):
    """Lets every URL through, so that only the dialling is left to stop it."""

    def check_url(self, url: str, field: str = "callback_url") -> str:
        return f"{field}: {url}"


FORMS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.1",
    "127.0.0.01",
    "0x7f.0.0.0x1",
    "0",
    "localhost",
    "127.0.0.1.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("guard", [Guard(), Lenient()], ids=["url and address", "address alone"])
async def test_no_spelling_of_loopback_is_dialled(guard: Guard, form: str) -> None:
    async with serving(answering(OK)) as server, open_callback_client(guard) as client:
        fault = await fault_of(client, server.url(form))

    assert fault.error in {"blocked", "dns"}
    assert "127" not in fault.detail
    assert server.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("93.184.215.14", "127.0.0.1"), ("93.184.215.14", "::1"), ("::ffff:127.0.0.1", "93.184.215.14")],
)
async def test_a_name_with_one_bad_address_is_not_dialled_at_all(addresses: tuple[str, ...]) -> None:
    async with serving(answering(OK)) as server, open_callback_client(Guard(), lookup=to(*addresses)) as client:
        fault = await fault_of(client, server.url("a.test"))

    assert (fault.error, fault.phase) == ("blocked", Phase.DNS)
    assert not any(address in str(fault) for address in addresses)
    assert server.connections == 0


async def test_a_name_with_hundreds_of_addresses_is_not_dialled() -> None:
    many = to(*(f"8.8.{number // 250}.{number % 250}" for number in range(300)))
    async with open_callback_client(Guard(), lookup=many) as client:
        fault = await fault_of(client, "http://a.test/")

    assert (fault.error, fault.phase) == ("blocked", Phase.DNS)


async def test_a_name_that_changes_to_a_bad_address_is_not_followed() -> None:
    """Rebinding: the first look-up is fine and is the only one of its connection, the second one is not."""
    guard = Guard(allow_networks=(ipaddress.ip_network("127.0.0.1/32"),))
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with (
        serving(answering(closing)) as good,
        serving(answering(OK), host="127.0.0.2", port=good.port) as bad,
        open_callback_client(guard, lookup=lambda _host: answers.pop(0)) as client,
    ):
        first = await ask(client, good.url("a.test"))
        left = len(answers)
        fault = await fault_of(client, good.url("a.test"))

    assert (first.status, left, fault.error) == (200, 1, "blocked")
    assert (good.connections, bad.connections) == (1, 0)


async def test_what_resolver_and_url_let_slip_is_stopped_at_the_socket() -> None:
    class Fickle(Lenient):
        verdicts: list[str | None] = [None]  # noqa: RUF012 - the first judgement is good, every later one is not

        def judge(self, address: str) -> str | None:
            return self.verdicts.pop() if self.verdicts else super().judge(address)

    async with serving(answering(OK)) as server, open_callback_client(Fickle(), lookup=to("127.0.0.1")) as client:
        fault = await fault_of(client, server.url("a.test"))

    assert (fault.error, fault.phase) == ("blocked", Phase.CONNECT)
    assert server.connections == 0


async def test_an_opened_network_is_reached() -> None:
    async with serving(answering(OK, OK)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        statuses = [(await ask(client, server.url(host))).status for host in ("127.0.0.1", "[::ffff:127.0.0.1]")]

    assert statuses == [200, 200]


async def test_urls_are_checked_again_when_they_are_called() -> None:
    guard = Guard(allow_networks=LOOPBACK_OPEN.allow_networks, require_https=True)
    async with serving(answering(OK)) as server, open_callback_client(guard) as client:
        faults = [
            await fault_of(client, server.url()),
            await fault_of(client, "https://user@127.0.0.1/"),
            await fault_of(client, "https://127.0.0.1:6379/"),
        ]

    assert [fault.error for fault in faults] == ["blocked"] * 3
    assert server.connections == 0


def test_a_socket_is_made_only_for_a_good_address() -> None:
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")

    guarded_socket(Guard(), (socket.AF_INET, *kind, ("192.0.3.1", 80))).close()
    with pytest.raises(BlockedError):
        guarded_socket(Guard(), (socket.AF_INET, *kind, ("10.0.0.1", 80)))
    with pytest.raises(BlockedError):
        guarded_socket(Guard(), (socket.AF_INET6, *kind, ("::1", 80, 0, 0)))


def test_this_machine_knows_its_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address of our own would lead to whatever listens here behind the firewall."""
    assert is_this_machine("127.0.0.1")
    assert not is_this_machine("192.0.2.1")

    monkeypatch.setattr("tracker.http.dialing.is_this_machine", lambda address: address == "192.0.3.1")
    target = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.3.1", 80))
    with pytest.raises(BlockedError):
        guarded_socket(Guard(), target)
    guarded_socket(Guard(allow_networks=(ipaddress.ip_network("192.0.3.1/32"),)), target).close()


# Pure parts


@pytest.mark.parametrize(
    ("fault", "phase", "word"),
    [
        (OSError(errno.EMFILE, "too many open files"), Phase.CONNECT, "local"),
        (OSError(errno.EADDRNOTAVAIL, "IPv6 without any"), Phase.CONNECT, "unreachable"),
        (OSError(errno.EPERM, "a firewall of ours"), Phase.CONNECT, "blocked"),
        (OSError(errno.ENETUNREACH, "no route"), Phase.CONNECT, "unreachable"),
        (OSError(errno.EHOSTUNREACH, "no route"), Phase.CONNECT, "unreachable"),
        (OSError("Multiple exceptions: …"), Phase.CONNECT, "unreachable"),
        (OSError(errno.ETIMEDOUT, "given up by the kernel"), Phase.CONNECT, "timeout"),
        (BrokenPipeError(errno.EPIPE, "closed"), Phase.SEND, "reset"),
        (ValueError("we made it wrong"), Phase.SEND, "local"),
        (ValueError("it was sent wrong"), Phase.BODY, "protocol"),
    ],
)
def test_a_fault_is_named_by_what_caused_it(fault: Exception, phase: Phase, word: str) -> None:
    wrapped = RuntimeError("as a client may wrap it")
    wrapped.__cause__ = fault

    assert word_for(fault, phase) == word_for(wrapped, phase) == word


NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("99999999999999999999", 86400),
        ("Sun, 22 Nov 2026 08:01:00 GMT", 60),
        ("Sunday, 22-Nov-26 08:01:00 GMT", 60),
        ("Sun Nov 22 08:01:00 2026", 60),
        ("Sun, 22 Nov 2026 10:01:00 +0200", 60),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        ("Sun, 22 Nov 2026 07:59:59 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +1400", None),
        (None, None),
        ("", None),
        ("-5", None),
        ("nan", None),
        ("1e3", None),
        ("١٢", None),
        ("soon", None),
        ("9" * 1000, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)

    assert parse_retry_after(value, NOW) == expected


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (b"plain", "", (b"plain", False)),
        (b"plain too long", "identity", (b"plain too ", True)),
        (gzip.compress(b"0123456789"), "gzip", (b"0123456789", False)),
        (gzip.compress(b"0123456789a"), " X-GZIP ", (b"0123456789", True)),
        (gzip.compress(b"01234") + gzip.compress(b"56789"), "gzip", (b"0123456789", False)),
        (gzip.compress(b"0123456789") + gzip.compress(b"a"), "gzip", (b"0123456789", True)),
        (gzip.compress(b"01")[:-4], "gzip", (b"01", True)),
        (zlib.compress(b"01"), "deflate", (b"01", False)),
        (raw_deflate(b"01"), "deflate", (b"01", False)),
        (b"", "gzip", (b"", False)),
    ],
)
def test_inflating_stops_at_the_cap(body: bytes, encoding: str, expected: tuple[bytes, bool]) -> None:
    assert inflate(body, encoding, 10) == expected


@pytest.mark.parametrize(("body", "encoding"), [(b"plain", "gzip"), (b"x", "br"), (b"x", "gzip, gzip")])
def test_what_cannot_be_inflated_is_a_value_error(body: bytes, encoding: str) -> None:
    with pytest.raises(ValueError, match=r"encoding|data"):
        inflate(body, encoding, 10)
