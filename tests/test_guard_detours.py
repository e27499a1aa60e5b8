"""Ways round the guard: sockets that are no network, proxies, our own addresses."""

import asyncio
import ipaddress
import socket
from pathlib import Path

import pytest
from raw_servers import LOOPBACK_OPEN, OK, Requests, answering, ask, fault_of, replace_sockets, serving, to
from test_guard_dialling import GUARDS

from tracker.guard import Guard
from tracker.http import open_callback_client, open_upstream_client
from tracker.http.dialing import BlockedError, guarded_socket, is_this_machine, rule_against

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "shape", ["http+unix://{}/", "unix://{}", "unix:{}", "file://{}", "http://unix:{}:/", "http://[{}]/"]
)
@GUARDS
async def test_no_url_leads_to_a_unix_socket(guard: Guard, shape: str, tmp_path: Path) -> None:
    connections = 0

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    path = tmp_path / "s"
    async with await asyncio.start_unix_server(serve, path), open_callback_client(guard) as client:
        faults = [await fault_of(client, shape.format(where)) for where in (str(path), str(path).replace("/", "%2F"))]

    assert {fault.error for fault in faults} <= {"blocked", "dns"}
    assert connections == 0


PROXIES = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "WS_PROXY", "FTP_PROXY"]


async def no_tls(_reader: Requests, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxies_of_the_environment_are_not_used(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = answering(OK) if scheme == "http" else no_tls
    async with serving(answering(OK, OK)) as proxy, serving(script) as server:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with open_upstream_client() as upstreams, open_callback_client(LOOPBACK_OPEN) as callbacks:
            for client in (upstreams, callbacks):
                if scheme == "http":
                    await ask(client, server.url())
                else:
                    assert (await fault_of(client, server.url(scheme="https"))).error == "tls"

    assert proxy.connections == 0
    assert server.connections == 2


async def test_passwords_of_the_environment_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("default login joe password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with serving(answering(OK)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        await ask(client, server.url())

    assert b"authorization" not in server.requests[0].lower()


# Our own addresses


def test_a_socket_is_made_only_for_a_good_address() -> None:
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")

    guarded_socket(Guard(), (socket.AF_INET, *kind, ("192.0.3.1", 80))).close()
    with pytest.raises(BlockedError):
        guarded_socket(Guard(), (socket.AF_INET, *kind, ("10.0.0.1", 80)))
    with pytest.raises(BlockedError):
        guarded_socket(Guard(), (socket.AF_INET6, *kind, ("::1", 80, 0, 0)))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:127.0.0.1"]
)
def test_this_machine_knows_its_own_addresses_however_they_are_written(address: str) -> None:
    assert is_this_machine(address)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
def test_this_machine_knows_what_is_not_its_own(address: str) -> None:
    assert not is_this_machine(address)


def test_a_public_address_of_our_own_is_called_only_where_it_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would lead to whatever listens here behind the firewall, our own API first of all."""
    monkeypatch.setattr("tracker.http.dialing.is_this_machine", lambda address: address == "192.0.3.1")
    target = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.3.1", 80))

    assert rule_against(Guard(), "192.0.3.1") == "this machine"
    assert rule_against(Guard(), "192.0.3.2") is None
    with pytest.raises(BlockedError):
        guarded_socket(Guard(), target)
    guarded_socket(Guard(allow_networks=(ipaddress.ip_network("192.0.3.1/32"),)), target).close()


@pytest.mark.parametrize("host", ["192.0.3.1", "[::ffff:192.0.3.1]", "[::ffff:c000:301]", "a.test"])
async def test_our_own_service_is_not_called_by_a_public_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test machine has a public address, so the kernel's answer is made up: it talks to 192.0.3.1 from there."""

    class Local(socket.socket):
        def connect(self, _address: object) -> None:
            pass

        def getsockname(self) -> tuple[str, int]:
            return ("192.0.3.1" if self.family == socket.AF_INET else "::ffff:192.0.3.1", 1)

    replace_sockets(monkeypatch, Local)
    async with open_callback_client(Guard(), lookup=to("192.0.3.1")) as client:
        fault = await fault_of(client, f"http://{host}:8640/v1/tasks")

    assert fault.error == "blocked"
    assert "192" not in str(fault)
