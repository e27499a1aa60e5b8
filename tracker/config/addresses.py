"""Addresses in the configuration: of gateways, of the operator's receiver, of the database, and the one to listen on.

A gateway's address, a receiver's and a database URL may hide a password, so no refusal quotes them.
"""

import posixpath
import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit

from pydantic import BeforeValidator

from tracker.config.fields import quote as shape
from tracker.config.fields import refusal
from tracker.errors import InputError
from tracker.origins import origin_of

MASK = "********"
_GATEWAY = 'write an address like "https://gateway.example/mj"'
_RECEIVER = 'write an address like "https://ops.example/tracker"'
_DATABASE = "write sqlite:///path/to/tracker.db or postgresql://user:password@host/name"
_LISTEN = 'write an address and a port, like "127.0.0.1:8640" or "[::1]:8640"'
_LAST_PORT = 65535


def _plain(value: object, fix: str) -> str:
    """The text without blanks around it; refused where blanks or control characters are inside."""
    if not isinstance(value, str):
        raise refusal(f"{shape(value)} is not an address", fix)
    text = value.strip()
    if not text:
        raise refusal("is empty", fix)
    if not text.isprintable() or " " in text:
        raise refusal("has blanks or control characters inside", fix)
    return text


def _read_base_url(value: object) -> str:
    text = _plain(value, _GATEWAY)
    if not text.lower().startswith(("http://", "https://")):
        raise refusal("does not begin with http:// or https://", _GATEWAY)
    if "?" in text or "#" in text:
        raise refusal("has a query or a fragment", "write it without ? and #")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refusal("is not an address", _GATEWAY) from None
    if "@" in parts.netloc:
        raise refusal("carries a user name or password", "write it without, and set the token beside it")
    if not host or "\\" in text or port == 0:
        raise refusal("names no host that can be called", _GATEWAY)
    return text


def _read_receiver(value: object) -> str | None:
    """A URL of the form that callbacks have. Which address it leads to is the operator's own business."""
    if value is None:
        return None
    text = _plain(value, _RECEIVER)
    try:
        origin_of(text)
    except InputError as error:
        raise refusal(error.problem, error.fix) from None
    return text


_SCHEME = re.compile(r"([a-z0-9+.-]{1,30})://", re.IGNORECASE)
_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)(?:\?.*)?")
_POSTGRES = re.compile(
    r"postgres(?:ql)?(?P<driver>\+psycopg)?://"
    r"(?P<rest>(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?\]]+\]|[^/:?@]*)(?::(?P<port>\d{0,5}))?(?:/[^?]*)?(?:\?.*)?)",
    re.ASCII,
)


def _read_database_url(value: object) -> str:
    text = _plain(value, _DATABASE)
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise refusal("is not a database URL", _DATABASE)
    kind = scheme[1].lower()
    text = kind + text[len(kind) :]
    if kind.startswith("sqlite"):
        return _sqlite(text)
    if kind in ("postgres", "postgresql", "postgres+psycopg", "postgresql+psycopg"):
        return _postgres(text)
    raise refusal(f"{shape(kind)} is not a kind of database that tracker speaks", _DATABASE)


def _sqlite(text: str) -> str:
    if (match := _SQLITE.fullmatch(text)) is None:
        raise refusal("is not the URL of an SQLite file", "write sqlite:///path/to/tracker.db, three slashes first")
    path = unquote(match["path"])
    if path.startswith((":memory:", "file:")) or path.endswith("/"):
        raise refusal("is not an SQLite file", "write sqlite:///path/to/tracker.db; memory forgets")
    return text


def _postgres(text: str) -> str:
    match = _POSTGRES.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 1) <= _LAST_PORT:
        fix = f"write / : @ ? # in a password as %2F %3A %40 %3F %23, and a port up to {_LAST_PORT}"
        raise refusal("is not laid out as postgresql://user:password@host:port/name", fix)
    return f"postgresql{match['driver'] or ''}://{match['rest']}"


def sqlite_url(path: Path) -> str:
    """The database URL of a file, with the characters escaped that mean something in a URL."""
    return f"sqlite:///{_escape(path)}"


def _escape(path: Path) -> str:
    return quote(str(path), errors="surrogatepass")


def absolute_database_url(url: str, cwd: Path) -> str:
    """The same database, wherever the process goes: a relative SQLite path is taken from `cwd`."""
    match = _SQLITE.fullmatch(url)
    if match is None or match["path"].startswith("/"):
        return url
    path = posixpath.normpath(posixpath.join(_escape(cwd), match["path"]))
    return url[: match.start("path")] + path + url[match.end("path") :]


def mask_password(url: str) -> str:
    """The same URL with what may be a password hidden; hides too much rather than too little."""
    hidden = re.sub(r"(://[^:@]*):.*@", rf"\1:{MASK}@", url, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*passw(?:or)?d[^=&]*=)[^&]*", rf"\1{MASK}", hidden, flags=re.IGNORECASE)


def shown_database(url: str) -> str:
    """Which database it is, for the log and for people: a path, or a server without its password."""
    match = _SQLITE.fullmatch(url)
    return f"sqlite:///{match['path']}" if match else mask_password(url.partition("?")[0])


def mask_path(url: str) -> str:
    """The same URL as far as its host and port: what follows may be a secret."""
    return re.sub(r"(://[^/?#]*)[/?#].+", rf"\1/{MASK}", url, flags=re.DOTALL)


_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[\w:.%]+)\]|[\w.-]+):(?P<port>\d{1,5})", re.ASCII)


def _read_listen(value: object) -> str:
    text = _plain(value, _LISTEN)
    match = _ADDRESS.fullmatch(text)
    if match is None or not _is_address(match["ipv6"] or "::"):
        raise refusal(f"{shape(text)} is not an address with a port", _LISTEN)
    if int(match["port"]) > _LAST_PORT:
        raise refusal(f"{match['port']} is not a port", f"write one up to {_LAST_PORT}; 0 takes any that is free")
    return text


def _is_address(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


BaseUrl = Annotated[str, BeforeValidator(_read_base_url)]
Receiver = Annotated[str | None, BeforeValidator(_read_receiver)]
DatabaseUrl = Annotated[str, BeforeValidator(_read_database_url)]
Listen = Annotated[str, BeforeValidator(_read_listen)]
