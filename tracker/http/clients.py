"""The two kinds of client: for upstreams, which an operator named, and for callbacks, which anybody may name."""

import functools
import ssl
from collections.abc import Coroutine
from typing import Any

import certifi
import httpx

from tracker.errors import InputError
from tracker.guard import Guard
from tracker.http import phases
from tracker.http.connections import Connector
from tracker.http.dialing import Lookup, Resolver, blocked, guarded_socket, system_lookup
from tracker.http.transport import Client, PooledClient, Request, Response

_UPSTREAM_KEEPALIVE_SECONDS = 75.0
# Common servers close after 5 s of idleness; a request that meets the closing would have to be sent again.
_CALLBACK_KEEPALIVE_SECONDS = 4.0


def open_upstream_client(
    *,
    max_connections: int = 64,
    max_per_endpoint: int = 32,
    tls: ssl.SSLContext | None = None,
    lookup: Lookup = system_lookup,
) -> Client:
    """A client for addresses that the operator configured; call it in a running loop."""
    connector = Connector(
        limit=max_connections,
        limit_per_host=max_per_endpoint,
        keepalive_timeout=_UPSTREAM_KEEPALIVE_SECONDS,
        use_dns_cache=False,
        resolver=Resolver(lookup, None),
        ssl=tls or tls_context(),
    )
    return PooledClient(connector)


def open_callback_client(
    guard: Guard,
    *,
    max_connections: int = 64,
    max_per_endpoint: int = 4,
    reuse: bool = True,
    tls: ssl.SSLContext | None = None,
    lookup: Lookup = system_lookup,
) -> Client:
    """A client that reaches only what the guard lets it reach; call it in a running loop.

    Without `reuse` every request makes a connection of its own, and so finds out all that there is to find out.
    """
    connector = Connector(
        limit=max_connections,
        limit_per_host=max_per_endpoint,
        keepalive_timeout=_CALLBACK_KEEPALIVE_SECONDS if reuse else None,
        force_close=not reuse,
        use_dns_cache=False,
        resolver=Resolver(lookup, guard),
        socket_factory=functools.partial(guarded_socket, guard),
        ssl=tls or tls_context(),
    )
    return _GuardedClient(guard, connector)


@functools.cache
def tls_context(extra_authority: str | None = None) -> ssl.SSLContext:
    """The TLS settings, made once in a process: they cost 20 ms. Trusts the system's authorities and certifi's.

    `extra_authority` is the path of one more certificate to trust.
    """
    context = _MarkingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    # A minimal system comes without any.
    context.load_verify_locations(certifi.where())
    if extra_authority:
        context.load_verify_locations(extra_authority)
    return context


class _MarkingContext(ssl.SSLContext):
    """Notes the beginning of a handshake, which no trace of the client tells."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature of the base
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        begun = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        phases.note_handshake(begun)
        return begun


class _GuardedClient(PooledClient):
    """Checks every URL again: a callback may have been stored before the rules changed, or past the API."""

    def __init__(self, guard: Guard, connector: Connector) -> None:
        super().__init__(connector)
        self._check = functools.lru_cache(maxsize=1024)(functools.partial(_check, guard))
        """Remembers what passed: the rules for a URL's text never change, what it resolves to is judged elsewhere."""

    def open(self, request: Request) -> Coroutine[Any, Any, Response]:
        try:
            self._check(request.url)
        except InputError as fault:
            raise blocked(httpx.URL(request.url).host, fault.problem) from None
        return super().open(request)


def _check(guard: Guard, url: str) -> None:
    guard.check_url(str(httpx.URL(url)))
