"""Looking names up: how often, for how long, how many answers, and what a change of mind leads to."""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Sequence

import pytest
from clocks import until
from raw_servers import (
    LOOPBACK_OPEN,
    OK,
    SHORT,
    answering,
    ask,
    fault_of,
    recorded_dials,
    server_tls,
    serving,
    to,
)

from tracker.guard import Guard
from tracker.http import Lookup, open_callback_client, open_upstream_client, system_lookup
from tracker.http.dialing import MOST_ADDRESSES, MOST_DIALLED, Resolver, domain_of
from tracker.model import Phase

pytestmark = pytest.mark.anyio

CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
PUBLIC = [f"8.8.{number // 250}.{number % 250}" for number in range(300)]


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


async def test_a_look_up_ends_though_the_deadline_is_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.http.dialing.LONGEST_LOOKUP_SECONDS", 0.1)
    release = threading.Event()

    def hanging(_host: str) -> Sequence[str]:
        release.wait(10)
        return ["127.0.0.1"]

    async with open_callback_client(LOOPBACK_OPEN, lookup=hanging) as client:
        began = time.monotonic()
        fault = await fault_of(client, "http://a.test/")
        took = time.monotonic() - began
        release.set()

    assert (fault.error, fault.phase) == ("timeout", Phase.DNS)
    assert took < 2


async def test_a_name_that_finds_no_lookup_free_is_a_local_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.http.dialing._LONGEST_WAIT_SECONDS", 0.1)
    release = threading.Event()
    hung = threading.Semaphore(0)

    def hanging(host: str) -> Sequence[str]:
        if host != "good.test":
            hung.release()
            release.wait(20)
        return ["127.0.0.1"]

    async with serving(answering(OK)) as server, open_upstream_client(lookup=hanging) as client:
        waits = [asyncio.create_task(fault_of(client, f"http://hangs-{n}.test/", deadline=SHORT)) for n in range(16)]
        for _ in waits:
            await asyncio.to_thread(hung.acquire)
        starved = await fault_of(client, server.url("good.test"))
        faults = await asyncio.gather(*waits)
        release.set()
        after = await ask(client, server.url("good.test"))

    assert (starved.error, starved.phase) == ("local", Phase.DNS)
    assert {(fault.error, fault.phase) for fault in faults} == {("timeout", Phase.DNS)}
    assert after.status == 200


async def test_names_of_one_domain_that_hang_leave_look_ups_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their fault: whoever has such a domain waits for it and is told that it was slow."""
    release = threading.Event()
    begun: list[str] = []

    def hanging(host: str) -> Sequence[str]:
        if host != "good.test":
            begun.append(host)
            release.wait(20)
        return ["127.0.0.1"]

    async with serving(answering(OK, OK)) as server, open_upstream_client(lookup=hanging) as client:
        names = [f"{n}.hooks.hangs.test" for n in range(40)]
        with monkeypatch.context() as patch:
            patch.setattr("tracker.http.dialing._LONGEST_WAIT_SECONDS", 0.1)
            waits = [asyncio.create_task(fault_of(client, f"http://{name}/", deadline=SHORT)) for name in names]
            await until(lambda: len(begun) == 4)
            meanwhile = await ask(client, server.url("good.test"))
            faults = await asyncio.gather(*waits)
        held = len(begun)
        release.set()
        after = await ask(client, server.url("late.hangs.test"))

    assert (meanwhile.status, held, after.status) == (200, 4, 200)
    assert {(fault.error, fault.phase) for fault in faults} == {("timeout", Phase.DNS)}


async def test_names_of_one_domain_take_turns() -> None:
    together = threading.Barrier(4)

    def four_at_a_time(_host: str) -> Sequence[str]:
        together.wait(5)
        return ["127.0.0.1"]

    resolver = Resolver(four_at_a_time, None)
    found = await asyncio.gather(*(resolver.resolve(f"{n}.shop.test") for n in range(12)))

    assert [[result["host"] for result in results] for results in found] == [["127.0.0.1"]] * 12


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("localhost", "localhost"),
        ("shop.example", "shop.example"),
        ("a.b.c.shop.example", "shop.example"),
        ("shop.example.", "shop.example"),
        ("Hooks.Shop.Example", "shop.example"),
        ("hooks.shop.co.uk", "shop.co.uk"),
        ("shop.co.uk", "shop.co.uk"),
        ("co.uk", "co.uk"),
        ("hooks.com.example", "com.example"),
        ("hooks.shop.uk", "shop.uk"),
    ],
)
def test_a_domain_is_what_one_owner_registered(host: str, domain: str) -> None:
    assert domain_of(host) == domain


def test_names_that_cannot_be_encoded_are_unknown_names() -> None:
    with pytest.raises(socket.gaierror):
        system_lookup("a" * 300)


def test_localhost_is_found() -> None:
    assert {"127.0.0.1", "::1"} & set(system_lookup("localhost"))


# How many answers


@pytest.mark.parametrize("number", [MOST_ADDRESSES + 1, 300])
async def test_a_name_with_too_many_addresses_is_not_dialled(number: int) -> None:
    async with open_callback_client(Guard(), lookup=to(*PUBLIC[:number])) as client:
        fault = await fault_of(client, "http://a.test/")

    assert (fault.error, fault.phase) == ("blocked", Phase.DNS)


async def test_a_bad_address_is_found_in_the_last_place_too() -> None:
    addresses = [*PUBLIC[: MOST_ADDRESSES - 1], "127.0.0.1"]
    async with serving(answering(OK)) as server, open_callback_client(Guard(), lookup=to(*addresses)) as client:
        fault = await fault_of(client, server.url("a.test"))

    assert (fault.error, fault.phase, server.connections) == ("blocked", Phase.DNS, 0)


V4 = PUBLIC[:5]
V6 = [f"2606:4700::{number}" for number in range(1, 6)]


@pytest.mark.parametrize(
    ("answers", "dialled"),
    [
        (V4[:1], V4[:1]),
        (V4[:1] * 60 + V4[1:2], V4[:2]),
        (V4 + V6, [V4[0], V4[1], V6[0], V6[1]]),
        (V6 + V4, [V6[0], V6[1], V4[0], V4[1]]),
        (V6 + V4[:1], [V6[0], V6[1], V6[2], V4[0]]),
        (V4, V4[:4]),
        (PUBLIC[:MOST_ADDRESSES], V4[:4]),
    ],
    ids=["one", "doubled", "IPv4 first", "IPv6 first", "one of IPv4", "IPv4 only", "as many as may be"],
)
@pytest.mark.parametrize("guard", [Guard(), None], ids=["callback", "upstream"])
async def test_a_few_of_many_addresses_are_dialled_of_each_kind(
    guard: Guard | None, answers: list[str], dialled: list[str]
) -> None:
    found = await Resolver(to(*answers), guard).resolve("a.test", 443)

    assert [result["host"] for result in found] == dialled
    assert len(dialled) <= MOST_DIALLED


async def test_a_name_does_not_multiply_attempts_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-four addresses of somebody else would otherwise get two thousand connections for one message."""
    many = [f"127.0.1.{number}" for number in range(1, MOST_ADDRESSES + 1)]
    with recorded_dials(monkeypatch) as dials:
        async with serving(answering()) as server:
            pass
        async with open_callback_client(LOOPBACK_OPEN, lookup=to(*many)) as client:
            fault = await fault_of(client, server.url("a.test"))

    assert (fault.error, fault.phase) == ("refused", Phase.CONNECT)
    assert 4 <= len(dials) <= 10
    assert set(dials) == set(many[:MOST_DIALLED])


async def test_a_name_does_not_multiply_handshakes() -> None:
    many = to(*(f"127.0.1.{number}" for number in range(1, MOST_ADDRESSES + 1)))
    async with (
        serving(answering(), host="0.0.0.0", tls=server_tls()) as server,  # noqa: S104 - every address of loopback
        open_callback_client(LOOPBACK_OPEN, lookup=many) as client,
    ):
        fault = await fault_of(client, server.url("a.test", "https"))

    assert fault.error == "tls"
    assert server.connections == MOST_DIALLED


# A change of mind


def changing(*answers: str) -> tuple[Lookup, list[str]]:
    """A look-up with another answer each time, and the names it was asked for."""
    asked: list[str] = []

    def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        return [answers[min(len(asked), len(answers)) - 1]]

    return lookup, asked


ONE_OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.1/32"),))


async def test_a_name_that_changes_to_a_bad_address_is_not_followed() -> None:
    """Rebinding: the first look-up is fine and is the only one of its connection, the second one is not."""
    lookup, asked = changing("127.0.0.1", "127.0.0.2")
    async with (
        serving(answering(CLOSING)) as good,
        serving(answering(OK), host="127.0.0.2", port=good.port) as bad,
        open_callback_client(ONE_OPEN, lookup=lookup) as client,
    ):
        first = await ask(client, good.url("a.test"))
        looked_up = len(asked)
        fault = await fault_of(client, good.url("a.test"))

    assert (first.status, looked_up, fault.error, len(asked)) == (200, 1, "blocked", 2)
    assert (good.connections, bad.connections) == (1, 0)


async def test_a_connection_that_is_kept_stays_where_it_was_made_to() -> None:
    """No look-up, so nothing that a new answer could change; once it is gone the new answer is judged."""
    lookup, asked = changing("127.0.0.1", "127.0.0.2")
    async with (
        serving(answering(OK, OK, CLOSING)) as good,
        serving(answering(OK), host="127.0.0.2", port=good.port) as bad,
        open_callback_client(ONE_OPEN, lookup=lookup) as client,
    ):
        kept = [(await ask(client, good.url("a.test"))).status for _ in range(3)]
        looked_up = len(asked)
        fault = await fault_of(client, good.url("a.test"))

    assert (kept, looked_up, len(asked)) == ([200, 200, 200], 1, 2)
    assert fault.error == "blocked"
    assert (good.connections, len(good.requests), bad.connections) == (1, 3, 0)


async def test_without_reuse_every_request_looks_its_name_up() -> None:
    lookup, asked = changing("127.0.0.1", "127.0.0.2")
    async with (
        serving(answering(OK)) as good,
        serving(answering(OK), host="127.0.0.2", port=good.port) as bad,
        open_callback_client(ONE_OPEN, lookup=lookup, reuse=False) as client,
    ):
        await ask(client, good.url("a.test"))
        fault = await fault_of(client, good.url("a.test"))

    assert (fault.error, asked, bad.connections) == ("blocked", ["a.test", "a.test"], 0)


async def test_two_that_join_one_look_up_are_both_judged() -> None:
    started, release = threading.Event(), threading.Event()

    def slow(_host: str) -> Sequence[str]:
        started.set()
        release.wait(10)
        return ["10.0.0.1"]

    async with open_callback_client(Guard(), lookup=slow) as client:
        waiting = [asyncio.create_task(fault_of(client, "http://a.test/")) for _ in range(2)]
        await asyncio.to_thread(started.wait)
        release.set()
        faults = await asyncio.gather(*waiting)

    assert [fault.error for fault in faults] == ["blocked", "blocked"]


async def test_an_alias_of_localhost_is_not_dialled() -> None:
    """What a CNAME leads to is in the resolver's answer, and the answer is what is judged."""

    def alias(_host: str) -> Sequence[str]:
        return system_lookup("localhost")

    async with serving(answering(OK)) as server, open_callback_client(Guard(), lookup=alias) as client:
        fault = await fault_of(client, server.url("www.shop.example"))

    assert (fault.error, fault.phase, server.connections) == ("blocked", Phase.DNS, 0)
