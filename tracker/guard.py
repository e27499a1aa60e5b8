"""Which URLs may be registered as callbacks, and which addresses may be dialled for them.

Pure: nothing here resolves a name. A URL is checked early, so that a person gets a clear answer; an address is
judged at the moment of dialling, because only then is it known which one it is.
"""

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tracker.errors import InputError
from tracker.origins import DEFAULT_PORTS, Origin, UnfitError, read_origin

Network = IPv4Network | IPv6Network

_FOREIGN_PORTS = frozenset({22, 25, 53, 110, 143, 389, 3306, 5432, 6379, 9200, 11211, 27017})
"""Services that speak no HTTP but can be made to act on the text of a request."""
_FIRST_FREE_PORT = 1024
"""Below it live the services of the system; receivers there are on the two ports of the web."""

_MAY_NOT = "this address may not be called"
_OPEN_IT = "use a public address, or have its network opened in callbacks.allow_networks"

# The IANA special-purpose registries of 2025-10-09, the metadata address of Azure and the deprecated embeddings of
# IPv4. `ipaddress.is_global` is no substitute: it lets multicast, NAT64 and others through and differs by version.
_RULES: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), rule)
    for network, rule in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("::/96", "embedded IPv4"),
        ("::ffff:0:0:0/96", "embedded IPv4"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""The upper half of interface ids that carry an IPv4 address; the prefix before them can be any."""
_LOOPBACKS = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The operator's choice: which networks are open although they are not public, and whether http will do."""

    allow_networks: tuple[Network, ...] = ()
    require_https: bool = False

    def check_url(self, url: str, field: str = "callback_url") -> str:
        """The endpoint (scheme, host, port) of a URL that may be called; raises InputError naming `field`."""
        try:
            origin = read_origin(url)
            self._check_origin(origin)
        except UnfitError as unfit:
            problem, fix = unfit.args
            raise InputError(field, problem, fix) from None
        return str(origin)

    def judge(self, address: str) -> str | None:
        """None for an address that may be dialled, else the name of the rule against it."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return "not an address"
        if isinstance(parsed, IPv6Address) and parsed.scope_id:
            return "zone"
        plain = unwrapped(parsed)
        return None if self._is_opened(plain) else _rule_against(plain)

    def allows(self, address: str) -> bool:
        """Whether the operator has opened a network with this address by name."""
        return self._is_opened(unwrapped(ipaddress.ip_address(address)))

    def opening(self, address: str) -> str | None:
        """The entry of callbacks.allow_networks that opens this address and no other; None where none can."""
        try:
            return str(ipaddress.ip_network(unwrapped(ipaddress.ip_address(address))))
        except ValueError:
            return None

    def _is_opened(self, address: IPv4Address | IPv6Address) -> bool:
        # Both loopbacks are the same machine, and `localhost` resolves to both: who opens one means the other too.
        same = _LOOPBACKS if address in _LOOPBACKS else (address,)
        return any(one in network for network in self.allow_networks for one in same)

    def _check_origin(self, origin: Origin) -> None:
        if self.require_https and origin.scheme != "https":
            raise UnfitError("the scheme is not https", "callbacks.require_https is set: use an https:// URL")
        if origin.port in _FOREIGN_PORTS:
            raise UnfitError(f"port {origin.port} belongs to a service that is not HTTP", "use another port")
        if origin.port < _FIRST_FREE_PORT and origin.port not in DEFAULT_PORTS.values():
            raise UnfitError(f"port {origin.port} is neither 80, 443 nor above 1023", "use another port")
        if origin.address is None:
            name = origin.host.rpartition(".")[2]
            rule = self.judge("127.0.0.1") if name == "localhost" else None
        else:
            rule = self.judge(origin.host)
        if rule:
            raise UnfitError(f"{_MAY_NOT} ({rule})", _OPEN_IT)


def unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An address as it is dialled: IPv4 that is written as IPv6 (`::ffff:…`) is IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _rule_against(address: IPv4Address | IPv6Address) -> str | None:
    for network, rule in _RULES:
        if address in network:
            return rule
    if isinstance(address, IPv4Address):
        return None
    if address not in _GLOBAL_UNICAST:
        return "not global unicast"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "ISATAP"
    return None
