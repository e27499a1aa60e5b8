"""TLS: a name is proven before a byte of a message is sent."""

import asyncio
import ssl
import warnings
from contextlib import suppress
from datetime import timedelta

import pytest
from clocks import until
from raw_servers import (
    LOOPBACK_OPEN,
    OK,
    SHORT,
    Requests,
    Script,
    answering,
    ask,
    fault_of,
    server_tls,
    serving,
    to,
    trusting,
)

from tracker.http import ExchangeError, open_callback_client, open_upstream_client, tls_context
from tracker.model import Phase

pytestmark = pytest.mark.anyio


async def test_a_trusted_certificate_for_the_right_name_is_accepted() -> None:
    async with (
        serving(answering(OK), tls=server_tls()) as server,
        open_upstream_client(tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        answer = await ask(client, server.url("a.test", "https"))

    assert answer.body == b"ok"


@pytest.mark.parametrize(
    ("host", "shown", "trusted", "word"),
    [
        ("b.test", "certificate", "certificate", "not valid for 'b.test'"),
        ("x.a.test", "certificate", "certificate", "not valid for 'x.a.test'"),
        ("a.test.evil.test", "certificate", "certificate", "not valid for 'a.test.evil.test'"),
        ("127.0.0.1", "certificate", "certificate", "IP address mismatch"),
        ("a.test", "certificate", None, "self-signed"),
        ("a.test", "expired", "expired", "expired"),
        ("a.test", "early", "early", "not yet valid"),
    ],
    ids=["wrong name", "subdomain", "prefix", "address", "self-signed", "expired", "not yet valid"],
)
@pytest.mark.parametrize("kind", ["callback", "upstream"])
async def test_a_certificate_that_proves_nothing_ends_the_attempt_before_anything_is_sent(
    kind: str, host: str, shown: str, trusted: str | None, word: str
) -> None:
    tls = trusting(trusted) if trusted else None
    async with serving(answering(OK), tls=server_tls(shown)) as server:
        client = (
            open_callback_client(LOOPBACK_OPEN, tls=tls, lookup=to("127.0.0.1"))
            if kind == "callback"
            else open_upstream_client(tls=tls, lookup=to("127.0.0.1"))
        )
        async with client:
            fault = await fault_of(client, server.url(host, "https"))

    assert (fault.error, fault.phase) == ("tls", Phase.TLS)
    assert word in fault.detail.replace("self signed", "self-signed")
    assert host == "127.0.0.1" or "127" not in fault.detail
    assert server.requests == []


@pytest.mark.parametrize(("host", "told"), [("a.test", "a.test"), ("A.Test.", "a.test"), ("127.0.0.1", None)])
async def test_the_server_is_told_the_name_of_the_url_and_never_the_address(host: str, told: str | None) -> None:
    names: list[str | None] = []
    tls = server_tls()
    tls.sni_callback = lambda _session, name, _context: names.append(name)
    async with (
        serving(answering(OK), tls=tls) as server,
        open_callback_client(LOOPBACK_OPEN, tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        with suppress(ExchangeError):
            await ask(client, server.url(host, "https"))

    assert names == [told]


async def test_a_server_that_does_not_know_the_name_is_a_tls_fault() -> None:
    tls = server_tls()
    tls.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    async with (
        serving(answering(OK), tls=tls) as server,
        open_callback_client(LOOPBACK_OPEN, tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        fault = await fault_of(client, server.url("a.test", "https"))

    # Whether the server's last word is heard before it closes is up to it.
    assert (fault.error in {"tls", "reset"}, fault.phase, server.requests) == (True, Phase.TLS, [])


async def test_a_server_that_speaks_only_old_tls_is_not_spoken_to() -> None:
    old = old_tls()
    try:
        handshake(old, trusting_anything_old())
    except ssl.SSLError:
        pytest.skip("the TLS library of this machine has forgotten the old versions")

    async with (
        serving(answering(OK), tls=old) as server,
        open_callback_client(LOOPBACK_OPEN, tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        fault = await fault_of(client, server.url("a.test", "https"))

    # Whether the server's last word is heard before it closes is up to it.
    assert (fault.error in {"tls", "reset"}, fault.phase, server.requests) == (True, Phase.TLS, [])


def old_tls() -> ssl.SSLContext:
    return aged(server_tls())


def trusting_anything_old() -> ssl.SSLContext:
    context = aged(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def aged(context: ssl.SSLContext) -> ssl.SSLContext:
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Both sides in memory; raises SSLError if they find no common language."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [server.wrap_bio(there, back, server_side=True), client.wrap_bio(back, there)]
    for _ in range(10):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()


async def test_an_endless_handshake_ends_at_once() -> None:
    record = b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + b"\0" * 16_380
    async with serving(unasked_flood(record)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        fault = await fault_of(client, server.url(scheme="https"), deadline=timedelta(seconds=30))

    assert (fault.error, fault.phase) == ("tls", Phase.TLS)


async def test_a_handshake_that_drips_is_a_timeout_in_tls() -> None:
    async def drip(_reader: Requests, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
        while True:
            writer.write(b"\0")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip) as server, open_callback_client(LOOPBACK_OPEN) as client:
        fault = await fault_of(client, server.url(scheme="https"), deadline=SHORT)

    assert (fault.error, fault.phase) == ("timeout", Phase.TLS)


def unasked_flood(flood: bytes) -> Script:
    async def script(_reader: Requests, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(flood)
            await writer.drain()

    return script


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


async def test_a_connection_with_something_left_to_send_is_not_used_again_over_tls() -> None:
    """Its server answered early; the rest of the body would be read as the next request."""

    are_answered = asyncio.Event()

    async def answer_early(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.more()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await are_answered.wait()
        while await reader.more():
            pass

    async with (
        serving(answer_early, tls=server_tls()) as server,
        open_upstream_client(tls=trusting(), lookup=to("127.0.0.1")) as client,
    ):
        for _ in range(2):
            answer = await ask(client, server.url("a.test", "https"), method="POST", content=b"x" * 20_000_000)
            assert answer.status == 200
        are_answered.set()
        await until(lambda: server.open == 0)

    assert server.connections == 2
