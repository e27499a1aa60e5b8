"""How far an exchange has come, as its connection tells it: never read from the text of an error."""

from asyncio import WriteTransport
from contextvars import ContextVar
from ssl import SSLObject

import msgspec

from tracker.model import Phase


def unsent(transport: WriteTransport) -> int:
    """Bytes that wait to be taken from us. Over TLS they wait, encrypted, in the transport below, which has no name."""
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return transport.get_write_buffer_size() + (below.get_write_buffer_size() if below is not None else 0)


class Mark(msgspec.Struct, kw_only=True):
    """Where one exchange stands. The one value here that changes: what it passes writes it."""

    phase: Phase = Phase.CONNECT
    reused: bool = False
    """Whether it went out on a connection that had been idle, which the server may have been closing."""
    blocked: bool = False
    """Whether the guard refused the URL, the name or an address."""
    handshake: SSLObject | None = None
    """The TLS session that this exchange began; None on a connection that was there already."""
    transport: WriteTransport | None = None
    """What the request is written to."""

    @property
    def reached(self) -> Phase:
        """The phase; what waits to be taken from us is not sent, though the client has let go of it."""
        is_waiting = self.transport is not None and unsent(self.transport) > 0
        return Phase.SEND if self.phase is Phase.HEADERS and is_waiting else self.phase


_mark: ContextVar[Mark | None] = ContextVar("mark", default=None)
"""A context and not an argument, because the layers between `exchange` and the connection pass no argument through.

Tasks and callbacks that the client starts for a request inherit it, and share the one mark.
"""


def begin() -> Mark:
    """A fresh mark for the exchange that the running task is about to do."""
    mark = Mark()
    _mark.set(mark)
    return mark


def reach(phase: Phase) -> None:
    """Note that the exchange in hand has come to a phase."""
    if mark := _mark.get():
        mark.phase = phase


def note_reuse() -> None:
    """Note that the exchange in hand goes out on a connection that was idle."""
    if mark := _mark.get():
        mark.reused = True
        mark.phase = Phase.SEND


def note_handshake(session: SSLObject) -> None:
    """Note that a TLS handshake begins in the exchange in hand."""
    if mark := _mark.get():
        mark.phase = Phase.TLS
        mark.handshake = session


def note_request(transport: WriteTransport) -> None:
    """Note that the request of the exchange in hand is written, and to what."""
    if mark := _mark.get():
        mark.transport = transport
        mark.phase = Phase.HEADERS


def note_blocked() -> None:
    """Note that the guard stopped the exchange in hand."""
    if mark := _mark.get():
        mark.blocked = True
