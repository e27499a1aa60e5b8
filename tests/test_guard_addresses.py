"""Which addresses may be dialled: every network that may not, first to last, and what lies beside it."""

import ipaddress
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.guard import Guard

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

GUARD = Guard()
LOOPBACK_OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

NETWORKS = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::1/128",
    "::/128",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::/96",
    "::ffff:0:0:0/96",
]

# What lies just outside a forbidden network and is public. Neighbours that another rule forbids are left out.
NEIGHBOURS = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.1.255",
    "192.0.3.0",
    "192.31.195.255",
    "192.31.197.0",
    "192.52.192.255",
    "192.52.194.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.47.255",
    "192.175.49.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::",
    "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2003::",
    "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
    "2620:4f:8001::",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
    "2606:4700::5efd:a00:1",
    "2606:4700::5eff:a00:1",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("network", NETWORKS)
def test_first_middle_and_last_of_every_forbidden_network_are_blocked(network: str) -> None:
    inside = ipaddress.ip_network(network)
    middle = inside[inside.num_addresses // 2]

    assert all(GUARD.judge(str(address)) for address in (inside[0], middle, inside[-1]))


@pytest.mark.parametrize("address", NEIGHBOURS)
def test_neighbours_of_forbidden_networks_may_be_dialled(address: str) -> None:
    assert GUARD.judge(address) is None


@pytest.mark.parametrize("network", NETWORKS)
def test_just_outside_a_network_only_another_rule_can_forbid(network: str) -> None:
    """Nothing is forbidden by a boundary that is off by one, and no neighbour is missing from the list above."""
    for neighbour in just_outside(ipaddress.ip_network(network)):
        elsewhere = any(neighbour in ipaddress.ip_network(other) for other in NETWORKS)
        beyond = isinstance(neighbour, ipaddress.IPv6Address) and neighbour not in GLOBAL_UNICAST

        assert bool(GUARD.judge(str(neighbour))) == (elsewhere or beyond)
        assert elsewhere or beyond or str(neighbour) in NEIGHBOURS


def just_outside(network: Network) -> Iterator[Address]:
    first, last = int(network[0]), int(network[-1])
    for number in (first - 1, last + 1):
        if 0 <= number < 2**network.max_prefixlen:
            yield type(network[0])(number)


@pytest.mark.parametrize(
    "address", ["::2:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "4000::1", "64:ff9c::1", "e000::1"]
)
def test_ipv6_outside_of_global_unicast_is_blocked_though_no_network_names_it(address: str) -> None:
    assert not any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in NETWORKS)
    assert GUARD.judge(address) == "not global unicast"


@pytest.mark.parametrize(
    "address",
    [
        "224.0.0.1",
        "239.255.255.255",
        "ff02::1",
        "192.88.99.1",
        "168.63.129.16",
        "::127.0.0.1",
        "::a9fe:a9fe",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "100:0:0:1::1",
        "3fff::1",
        "5f00::1",
        "fec0::1",
        "2606:4700::5efe:a00:1",
        "4000::1",
        "2002:7f00:1::1",
        "64:ff9b:1::a00:1",
        "192.0.0.8",
        "192.0.0.192",
        "100.64.0.1",
    ],
)
def test_what_the_standard_library_calls_global_in_some_version_is_blocked(address: str) -> None:
    assert GUARD.judge(address)


@given(st.ip_addresses())
def test_what_the_standard_library_does_not_call_global_is_blocked(address: Address) -> None:
    assert address.is_global or GUARD.judge(str(address))


TRANSITIONS = {
    "6to4": lambda v4: (0x2002 << 112) | (v4 << 80) | 1,
    "Teredo, as its client": lambda v4: (0x20010000 << 96) | (0x08080808 << 64) | (v4 ^ 0xFFFFFFFF),
    "Teredo, as its server": lambda v4: (0x20010000 << 96) | (v4 << 64) | 0xF7F7F7F7,
    "NAT64": lambda v4: (0x0064FF9B << 96) | v4,
    "local NAT64, /96": lambda v4: (0x0064FF9B0001 << 80) | v4,
    # RFC 6052: two bytes, a byte that is zero, two bytes.
    "local NAT64, /48": lambda v4: (0x0064FF9B0001 << 80) | (v4 >> 16 << 64) | ((v4 & 0xFFFF) << 40),
    "ISATAP": lambda v4: (0x26064700 << 96) | (0x00005EFE << 32) | v4,
    "ISATAP, universal": lambda v4: (0x26064700 << 96) | (0x02005EFE << 32) | v4,
    "IPv4-compatible": lambda v4: v4,
    "IPv4-translated": lambda v4: (0xFFFF << 48) | v4,
    "IPv4-mapped": lambda v4: (0xFFFF << 32) | v4,
}
PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "224.0.0.1"]


@pytest.mark.parametrize("form", TRANSITIONS)
@pytest.mark.parametrize("inside", PRIVATE)
def test_a_private_address_inside_an_ipv6_address_is_blocked(form: str, inside: str) -> None:
    assert GUARD.judge(carried(form, inside))


@pytest.mark.parametrize("form", TRANSITIONS)
def test_of_all_that_carry_a_public_address_only_mapped_ones_may_be_dialled(form: str) -> None:
    assert bool(GUARD.judge(carried(form, "8.8.8.8"))) == (form != "IPv4-mapped")


@pytest.mark.parametrize("form", [form for form in TRANSITIONS if form != "IPv4-mapped"])
def test_opening_a_network_does_not_open_what_carries_its_addresses(form: str) -> None:
    """Where such an address leads is for a relay to decide, and not written in it."""
    assert Guard(allow_networks=(ipaddress.ip_network("10.0.0.0/8"),)).judge(carried(form, "10.0.0.1"))


def carried(form: str, inside: str) -> str:
    return str(ipaddress.IPv6Address(TRANSITIONS[form](int(ipaddress.IPv4Address(inside)))))


def test_interface_ids_that_only_look_like_isatap_may_be_dialled() -> None:
    assert GUARD.judge("2606:4700::5efd:a00:1") is None
    assert GUARD.judge("2606:4700::100:5efe:a00:1") is None
    assert GUARD.judge("2606:4700:0:5efe::a00:1") is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    ],
)
def test_the_metadata_services_of_clouds_are_blocked(address: str) -> None:
    assert GUARD.judge(address)


@pytest.mark.parametrize(
    "address",
    [
        "fe80::1%eth0",
        "2606:4700::1%1",
        "::1%1",
        "localhost",
        "127.1",
        "2130706433",
        "127.0.0.01",
        "[::1]",
        "8.8.8.8 ",
        "",
    ],
)
def test_what_is_no_plain_address_is_blocked(address: str) -> None:
    assert GUARD.judge(address)


def test_an_opened_network_lets_exactly_its_addresses_through() -> None:
    guard = Guard(allow_networks=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")))

    verdicts = {address: guard.judge(address) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1")}

    assert verdicts == dict.fromkeys(verdicts)
    assert guard.judge("10.2.0.0") == guard.judge("::ffff:10.2.0.0") == "private"
    assert guard.judge("fe80::1") == "link-local"


def test_opening_one_loopback_opens_its_twin_and_no_more() -> None:
    guard = Guard(allow_networks=(ipaddress.ip_network("::1/128"),))

    assert guard.judge("127.0.0.1") is None
    assert LOOPBACK_OPEN.judge("::1") is None
    assert guard.judge("127.0.0.2") == "loopback"
    assert LOOPBACK_OPEN.judge("::2") == "embedded IPv4"
