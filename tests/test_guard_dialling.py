"""The guard at the moment of dialling: whatever a URL says and a name stands for, nothing forbidden is ever called.

Listeners wait where an attack would lead to; each counts its connections, and each has to count none.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack

import pytest
from raw_servers import (
    LOOPBACK_OPEN,
    OK,
    Server,
    answering,
    ask,
    fault_of,
    recorded_dials,
    replace_sockets,
    serving,
    to,
)
from structlog.testing import capture_logs

from tracker.guard import Guard
from tracker.http import open_callback_client
from tracker.model import Phase

pytestmark = pytest.mark.anyio


class Lenient(Guard):
    """Lets every URL through, so that only the dialling is left to stop it."""

    def check_url(self, url: str, field: str = "callback_url") -> str:
        return f"{field}: {url}"


GUARDS = pytest.mark.parametrize("guard", [Guard(), Lenient()], ids=["url and address", "address alone"])


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    with recorded_dials(monkeypatch) as made:
        yield made


@pytest.fixture
async def loopback() -> AsyncIterator[tuple[Server, Server]]:
    """A listener on each loopback address, at the same port."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(answering(OK)))
        twin = await stack.enter_async_context(serving(answering(OK), host="::1", port=server.port))
        yield server, twin


FORMS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0X7F.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.1",
    "00000177.0.0.1",
    "127.0.0.01",
    "0x7f.0.0.0x1",
    "①②⑦.⓪.⓪.①",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127\u30020\u30020\u30021",
    "127\uff0e0\uff0e0\uff0e1",
    "127.0.0.1\x00.example.com",
    "127.0.0.1%00.example.com",
    "127.0.0.1.",
    "127.2.3.4",
    "0",
    "0.0.0.0",  # noqa: S104 - not bound to, but called
    "localhost",
    "LOCALHOST.",
    "x.localhost",
    "[::1]",
    "[::1%1]",
    "[::1%25lo]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::1]",
    "169.254.169.254",
    "169.254.43518",
    "0xa9fea9fe",
    "2852039166",
    "[fd00:ec2::254]",
    "192.168.1.1",
    "3232235777",
    "192.168.257",
]


@pytest.mark.parametrize("form", FORMS, ids=ascii)
@pytest.mark.parametrize("scheme", ["http", "https"])
@GUARDS
async def test_no_spelling_of_a_forbidden_address_is_dialled(
    guard: Guard, scheme: str, form: str, loopback: tuple[Server, Server], dials: list[str]
) -> None:
    async with open_callback_client(guard) as client:
        fault = await fault_of(client, loopback[0].url(form, scheme))

    assert fault.error in {"blocked", "dns"}
    assert not any(part in fault.detail for part in ("127", "169", "192", "::", "loopback", "link-local"))
    assert dials == []
    assert [server.connections for server in loopback] == [0, 0]


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("93.184.215.14", "127.0.0.1"),
        ("127.0.0.1", "93.184.215.14"),
        ("93.184.215.14", "::1"),
        ("2606:4700::1", "93.184.215.14", "10.0.0.1"),
        ("::ffff:127.0.0.1", "93.184.215.14"),
        ("::ffff:7f00:1",),
        ("64:ff9b::7f00:1", "93.184.215.14"),
        ("93.184.215.14", "fe80::1%lo"),
        ("93.184.215.14", "not an address"),
    ],
    ids=" ".join,
)
async def test_a_name_with_one_bad_address_is_not_dialled_at_all(
    addresses: Sequence[str], loopback: tuple[Server, Server], dials: list[str]
) -> None:
    async with open_callback_client(Guard(), lookup=to(*addresses)) as client:
        fault = await fault_of(client, loopback[0].url("a.test"))

    assert (fault.error, fault.phase) == ("blocked", Phase.DNS)
    assert not any(address in str(fault) for address in addresses)
    assert dials == []
    assert [server.connections for server in loopback] == [0, 0]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("metadata.google.internal", "169.254.169.254"),
        ("metadata.google.internal", "fd20:ce::254"),
        ("instance-data.ec2.internal", "fd00:ec2::254"),
        ("metadata.tencentyun.com", "169.254.0.23"),
        ("metadata.azure.internal", "168.63.129.16"),
        ("metadata.alibaba.example", "100.100.100.200"),
        ("metadata.oracle.example", "192.0.0.192"),
        ("tasks.ecs.example", "169.254.170.2"),
    ],
)
async def test_the_metadata_services_of_clouds_are_not_dialled_by_name(
    name: str, address: str, dials: list[str]
) -> None:
    async with open_callback_client(Guard(), lookup=to(address)) as client:
        fault = await fault_of(client, f"http://{name}/latest/meta-data")

    assert (fault.error, dials) == ("blocked", [])


async def test_an_ordinary_receiver_is_let_through_to_its_socket(
    dials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wrong with it until the network is asked; here, where nothing leaves this machine, that is the end."""

    class Offline(socket.socket):
        def connect(self, _address: object) -> None:
            raise ConnectionRefusedError

    monkeypatch.setattr("tracker.http.dialing.is_this_machine", lambda _address: False)
    replace_sockets(monkeypatch, Offline)
    async with open_callback_client(Guard(), lookup=to("93.184.215.14", "2606:4700::1")) as client:
        faults = [await fault_of(client, f"{scheme}://shop.example/hook") for scheme in ("http", "https")]
        faults += [
            await fault_of(client, "https://93.184.215.14:8443/"),
            await fault_of(client, "http://[2606:4700::1]/"),
        ]

    assert [fault.error for fault in faults] == ["refused"] * 4
    assert set(dials) == {"93.184.215.14", "2606:4700::1"}


async def test_what_resolver_and_url_let_slip_is_stopped_at_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.http.dialing.is_this_machine", lambda _address: False)

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


async def test_opening_a_network_opens_no_other(dials: list[str]) -> None:
    guard = Guard(allow_networks=(ipaddress.ip_network("127.0.0.1/32"),))
    async with (
        serving(answering(OK)) as good,
        serving(answering(OK), host="127.0.0.2", port=good.port) as bad,
        open_callback_client(guard, lookup=to("127.0.0.1", "127.0.0.2")) as client,
    ):
        faults = [await fault_of(client, good.url(host)) for host in ("127.0.0.2", "a.test", "[::ffff:127.0.0.2]")]
        answer = await ask(client, good.url())

    assert [fault.error for fault in faults] == ["blocked"] * 3
    assert (answer.status, good.connections, bad.connections, dials) == (200, 1, 0, ["127.0.0.1"])


async def test_urls_are_checked_again_when_they_are_called() -> None:
    guard = Guard(allow_networks=LOOPBACK_OPEN.allow_networks, require_https=True)
    async with serving(answering(OK)) as server, open_callback_client(guard) as client:
        faults = [
            await fault_of(client, server.url()),
            await fault_of(client, "https://user@127.0.0.1/"),
            await fault_of(client, "https://127.0.0.1:6379/"),
            await fault_of(client, "https://127.0.0.1:81/"),
        ]

    assert [fault.error for fault in faults] == ["blocked"] * 4
    assert server.connections == 0


async def test_the_log_tells_the_operator_which_rule_it_was_and_the_caller_only_that_there_was_one() -> None:
    async with open_callback_client(Guard(), lookup=to("10.1.2.3")) as client:
        with capture_logs() as logs:
            fault = await fault_of(client, "http://a.test/")

    assert [(line["event"], line["host"], line["rule"]) for line in logs] == [("call_blocked", "a.test", "private")]
    assert "no public one" in fault.detail
    assert "port" in fault.detail, "which is closed for some, whatever the address"
    assert "10.1.2.3" not in str(fault)
