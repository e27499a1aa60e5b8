"""Who can reach us, and whom others can make us reach. Pure."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracker.doctor.findings import Finding, doubtful, fine, wrong
from tracker.guard import Network

GUARD, LISTEN = "guard", "listen"
_METADATA = ("169.254.169.254", "168.63.129.16", "fd00:ec2::254")
_WIDEST = {4: 8, 6: 7}
"""The shortest prefixes of private networks: 10.0.0.0/8 and fc00::/7."""


def judge_guard(networks: Sequence[Network], *, change: str) -> Iterator[Finding]:
    """Openings that are wider than private receivers need; `change` is what changes the setting."""
    is_well = True
    for network in networks:
        if said := _opens(network):
            is_well = False
            judged = wrong if network.prefixlen == 0 else doubtful
            yield judged(GUARD, f"callbacks.allow_networks has {network}, which {said}", change)
    if is_well:
        opened = ", ".join(map(str, networks))
        yield fine(GUARD, f"receivers may also be in {opened}" if opened else "receivers have to be public")


def _opens(network: Network) -> str | None:
    if network.prefixlen == 0:
        return "lets callbacks reach every address: the guard is off"
    for address in map(ipaddress.ip_address, _METADATA):
        if address in network:
            return f"opens {address}, where clouds hand out a machine's keys"
    if network.prefixlen < _WIDEST[network.version]:
        return "is wider than any private network"
    if network.is_loopback:
        return "lets callbacks reach the services of this machine"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenFacts:
    """What answers at the address that we listen on."""

    address: str
    port: int
    bind_error: str | None = None
    """Why nobody can listen there."""
    is_taken: bool = False
    """Whether somebody does."""
    is_ours: bool = False
    """Whether a tracker answers."""
    holder: str | None = None
    """Who else listens there, as far as we can see."""
    metrics_need_token: bool = False
    is_held_by_systemd: bool = False
    change: str = "tracker config show"
    """What changes the address."""


def judge_listen(facts: ListenFacts) -> Finding:
    """Ours or free, and not open to everybody by oversight."""
    place = f"[{facts.address}]:{facts.port}" if ":" in facts.address else f"{facts.address}:{facts.port}"
    if facts.bind_error is not None:
        cause = f"{place} cannot be listened on: {facts.bind_error}"
        return wrong(LISTEN, cause, f"ip -brief address; {facts.change}")
    if facts.is_taken and not (facts.is_ours or facts.is_held_by_systemd):
        cause = f"{place} is taken by {facts.holder or 'another program'}"
        return wrong(LISTEN, cause, f"ss -ltnp 'sport = :{facts.port}'")
    return _judge_openness(facts, place)


def _judge_openness(facts: ListenFacts, place: str) -> Finding:
    told = f"{place} is ours" if facts.is_ours else f"{place} is kept by systemd for us"
    told = told if facts.is_ours or facts.is_held_by_systemd else f"{place} is free"
    if _is_private(facts.address):
        return fine(LISTEN, told)
    if not facts.metrics_need_token:
        cause = (
            f"{told}, but it is no private address and /metrics needs no token: whoever reaches it reads them; "
            'listen on 127.0.0.1 behind a proxy, or set metrics.scope to "read"'
        )
        return wrong(LISTEN, cause, facts.change)
    cause = f"{told}; it is no private address, and tokens come in plain text where no proxy with TLS stands before it"
    return doubtful(LISTEN, cause, f"ss -ltn 'sport = :{facts.port}'")


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_private and not address.is_unspecified
