"""What broke an exchange, as one word for programs and one line for people.

The line is shown to whoever registered the URL, so it never holds an address or the client's own text.
"""

import errno
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import httpx
import idna
from aiohttp.http_exceptions import HttpProcessingError

from tracker.http.dialing import BlockedError
from tracker.http.phases import Mark
from tracker.model import Phase

FAULTS = (
    *(httpx.HTTPError, httpx.InvalidURL, httpx.StreamError),
    *(aiohttp.ClientError, HttpProcessingError, OSError, ValueError),
)
"""Everything that an exchange can raise which is not a mistake in this program."""


class ExchangeError(Exception):
    """No usable answer: how far it came, a word for the cause, a line for people."""

    def __init__(self, phase: Phase, error: str, detail: str) -> None:
        super().__init__(f"{phase}: {error}: {detail}")
        self.phase = phase
        self.error = error
        self.detail = detail


# Sorted by what is said more exactly; the httpx class of a fault is no guide, a refused connection is a
# ConnectTimeout there.
_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((BlockedError, httpx.InvalidURL, httpx.UnsupportedProtocol, aiohttp.InvalidURL, idna.IDNAError), "blocked"),
    ((socket.gaierror,), "dns"),
    ((ssl.SSLError,), "tls"),
    ((TimeoutError,), "timeout"),
    ((ConnectionRefusedError,), "refused"),
    ((ConnectionError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError), "reset"),
    ((aiohttp.ClientResponseError, HttpProcessingError), "protocol"),
)
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_FORBIDDEN = frozenset({errno.EPERM, errno.EACCES})
"""What a firewall on this machine answers, such as systemd's IPAddressDeny."""

_LINES = {
    "blocked": "this URL may not be called: its address is no public one, or its port is closed to callbacks",
    "dns": "the host name could not be resolved",
    "tls": "no secure connection could be made",
    "refused": "the connection was refused",
    "unreachable": "the host could not be reached",
    "reset": "the connection was closed before the answer was complete",
    "protocol": "the answer was not valid HTTP",
    "local": "the request could not be made",
}
_TIMEOUT_LINES = {
    Phase.DNS: "the host name was not resolved in time",
    Phase.CONNECT: "the connection was not accepted in time",
    Phase.TLS: "the TLS handshake did not end in time",
    Phase.SEND: "the request was not taken in time",
    Phase.HEADERS: "no answer came in time",
    Phase.BODY: "the answer did not end in time",
}


def explain(fault: BaseException, mark: Mark) -> ExchangeError:
    """Name what broke the exchange that `mark` belongs to."""
    word = "blocked" if mark.blocked else word_for(fault, mark.phase)
    if word == "timeout":
        return ExchangeError(mark.reached, word, _TIMEOUT_LINES[mark.reached])
    reason = _certificate_problem(fault) if word == "tls" else None
    return ExchangeError(mark.phase, word, f"{_LINES[word]}: {reason}" if reason else _LINES[word])


def word_for(fault: BaseException, phase: Phase) -> str:
    """The class of a fault, by everything that caused it."""
    causes = tuple(_causes(fault))
    for kinds, word in _WORDS:
        if any(isinstance(cause, kinds) for cause in causes):
            return word
    numbers = {cause.errno for cause in causes if isinstance(cause, OSError)}
    if numbers & _OURS:
        return "local"
    if numbers & _FORBIDDEN:
        return "blocked"
    if numbers:
        return "unreachable"
    # Before anything was sent only we can be at fault, afterwards only what came back.
    return "protocol" if phase in (Phase.HEADERS, Phase.BODY) else "local"


def _causes(fault: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = fault
    while link is not None:
        yield link
        link = link.__cause__


def _certificate_problem(fault: BaseException) -> str | None:
    """OpenSSL's own words about a certificate: they name at most the host that was asked for."""
    for cause in _causes(fault):
        # The client's own error is of this class too, but lacks the message.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            return str(cause.verify_message)
    return None
