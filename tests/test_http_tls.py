"""TLS: a name is proven before a byte of a message is sent."""

import asyncio

import pytest
from raw_servers import LOOPBACK_OPEN, OK, SHORT, Requests, answering, ask, fault_of, server_tls, serving, to, trusting

from tracker.http import open_callback_client, open_upstream_client, tls_context
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
