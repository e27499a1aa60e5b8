"""From a name to a socket: what is looked up, how often, and that nothing forbidden is ever dialled."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence

import pytest
from raw_servers import LOOPBACK_OPEN, OK, SHORT, answering, ask, fault_of, serving, to

from tracker.guard import Guard
from tracker.http import Lookup, open_callback_client, open_upstream_client, system_lookup
from tracker.http.dialing import BlockedError, guarded_socket, is_this_machine
from tracker.model import Phase

pytestmark = pytest.mark.anyio

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
