"""URLs read strictly: scheme, host and port, and what is wrong with one that has none.

Pure: nothing here resolves a name or knows which addresses may be called.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import idna

from tracker.errors import InputError

LONGEST_URL = 2048
_LONGEST_HOST = 253
DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# An underscore is no letter of a host name, but names of containers have it and resolvers answer to it.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# What a parser of addresses takes for a number or stumbles over; no top-level domain looks like it.
_NUMBER = re.compile(r"[0-9]+|0x.*")


class UnfitError(Exception):
    """What is wrong with a URL, and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What receivers are told apart by; `str()` is how it is written everywhere."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host, where it is a literal address."""
        return _address(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@lru_cache(maxsize=1024)
def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, lower-case and with the port named; raises InputError for what is no URL."""
    try:
        return str(read_origin(url))
    except UnfitError as unfit:
        problem, fix = unfit.args
        raise InputError("url", problem, fix) from None


def host_of(url: str) -> str:
    """The host of a URL as it is looked up, an address without brackets; raises InputError for what is no URL."""
    authority = origin_of(url).partition("://")[2]
    return authority.rpartition(":")[0].strip("[]")


def read_origin(url: str) -> Origin:
    """The origin of a URL; raises UnfitError.

    Stricter than any client's parser, so that no two of them can read two hosts in one URL.
    """
    if len(url) > LONGEST_URL:
        raise UnfitError(f"the URL is longer than {LONGEST_URL} characters", "shorten it")
    if not url.isprintable() or " " in url or "\\" in url:
        raise UnfitError("there is a space, a backslash or a control character in the URL", "percent-encode it")
    parts = _URL.match(url)
    if parts is None:
        raise UnfitError("this is no http or https URL", "write it as https://host/path")
    return _read(parts["scheme"].lower(), parts["authority"])


# URLs come by the thousand, with few hosts among them.
@lru_cache(maxsize=1024)
def _read(scheme: str, between: str) -> Origin:
    if scheme not in DEFAULT_PORTS:
        raise UnfitError("this is no http or https URL", "write it as https://host/path")
    if "@" in between:
        raise UnfitError("there is a user or a password in the URL", "put a secret into the path or the query")
    authority = _AUTHORITY.fullmatch(between)
    if authority is None:
        raise UnfitError("the host cannot be read", "write it as https://host:port/path")
    return Origin(scheme=scheme, host=_host(authority["host"]), port=_port(authority["port"], scheme))


def _port(text: str | None, scheme: str) -> int:
    if text is None:
        return DEFAULT_PORTS[scheme]
    if not _PORT.fullmatch(text) or int(text) > 65535:  # noqa: PLR2004 - the largest port there is
        raise UnfitError("the port is no number from 1 to 65535", "correct it or leave it out")
    return int(text)


def _host(text: str) -> str:
    if not text:
        raise UnfitError("the URL has no host", "write it as https://host/path")
    if text.startswith("["):
        return _ipv6(text[1:-1])
    host = _ascii(text.lower()).removesuffix(".")
    labels = host.split(".")
    if len(host) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise UnfitError("the host is neither a name nor an address", "use letters, digits, hyphens and dots")
    if not _NUMBER.fullmatch(labels[-1]):
        return host
    # 127.1, 0x7f.1 and 2130706433 all mean 127.0.0.1 to a resolver; only one spelling is let in.
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise UnfitError("the host ends in a number but is no plain IPv4 address", "write it as 203.0.113.7") from None


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise UnfitError("the host is no IPv6 address", "write it as [2001:db8::7]") from None
    if address.scope_id:
        raise UnfitError("the address has a zone", "leave out what follows the percent sign")
    return str(address)


def _ascii(host: str) -> str:
    if host.isascii() and "xn--" not in host:
        return host
    try:
        for label in host.split("."):
            # A client decodes such a label at the latest when it is about to call, and fails on a false one.
            if label.startswith("xn--"):
                idna.decode(label)
        return host if host.isascii() else idna.encode(host).decode("ascii")
    except idna.IDNAError:
        raise UnfitError("the host is no international domain name", "use its xn-- form") from None
