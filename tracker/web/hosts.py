"""Which names a browser may call the pages by.

A page elsewhere can have its own name resolve to this machine, and would then be of one origin with us. It cannot make
a browser send an address in place of that name, nor `localhost`.
"""

from collections.abc import Collection
from ipaddress import ip_address

_OF_THIS_MACHINE = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def is_ours(header: str, hosts: Collection[str]) -> bool:
    """Whether a Host header names this machine, an address, or one of the hosts that the configuration names."""
    name = _name(header)
    if name is None:
        return False
    folded = name.lower().rstrip(".")
    return folded in _OF_THIS_MACHINE or folded.endswith(".localhost") or folded in hosts or _is_address(folded)


def _name(header: str) -> str | None:
    """The host without its port; None for what is no host."""
    if header.startswith("["):
        name, bracket, port = header[1:].partition("]")
        good = bool(bracket) and (port == "" or (_is_port(port[1:]) and port[0] == ":")) and ":" in name
        return name if good else None
    name, colon, port = header.partition(":")
    return name if name and (not colon or _is_port(port)) else None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
