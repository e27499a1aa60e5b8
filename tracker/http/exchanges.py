"""One request and its answer, bounded in time and in bytes."""

import asyncio
import functools
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx

from tracker.http import bodies, phases
from tracker.http.clients import Client
from tracker.http.faults import FAULTS, ExchangeError, explain
from tracker.http.phases import Mark
from tracker.http.targets import target_of
from tracker.model import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """By name, in any case."""
    body: bytes
    truncated: bool
    """Whether the body had more to it than was read."""
    body_error: str | None = None
    """The word for what broke the body, where a broken body is no failure."""
    certificate_expires_at: datetime | None = None
    """The end of the server's certificate; None without TLS, and on a connection that was there already."""


async def exchange(  # noqa: PLR0913 - a request has as many parts, and each names itself
    client: Client,
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes = b"",
    deadline: timedelta,
    max_bytes: int,
    body_grace: timedelta | None = None,
    inflate: bool = False,
) -> Answer:
    """Do one exchange, within `deadline` from the first look-up to the last byte; raises ExchangeError.

    With `body_grace` the answer counts as soon as its headers are there: the body gets that much more time (never
    beyond the deadline), and breaking off in it is only noted (except for a malformed body that comes in one packet
    with its headers: the client's parser gives neither). With `inflate` a body in gzip or deflate, which was
    not asked for, is undone; `max_bytes` bounds the body before and after.
    """
    ends_at = asyncio.get_running_loop().time() + deadline.total_seconds()
    try:
        request = _request(method, url, headers, content)
    except (httpx.InvalidURL, ValueError) as fault:
        raise explain(fault, Mark(unsent=0)) from fault
    response, mark = await _send(client, request, ends_at)
    try:
        answer = await _read(response, mark, ends_at, max_bytes, body_grace)
    finally:
        with suppress(*FAULTS):
            await response.aclose()
    return _inflated(answer, max_bytes, is_noted=body_grace is not None) if inflate else answer


def _request(method: str, url: str, headers: Mapping[str, str], content: bytes) -> httpx.Request:
    parsed, target = _parsed(url)
    return httpx.Request(
        method,
        parsed,
        headers={**headers, "accept-encoding": "identity"},
        content=content or None,
        extensions={"target": target},
    )


@functools.lru_cache(maxsize=1024)
def _parsed(url: str) -> tuple[httpx.URL, bytes]:
    return httpx.URL(url), target_of(url).encode("ascii")


async def _send(client: Client, request: httpx.Request, ends_at: float) -> tuple[httpx.Response, Mark]:
    """The answer up to its headers, and the mark of the exchange."""
    while True:
        mark = phases.begin(len(request.content))
        try:
            async with asyncio.timeout_at(ends_at):
                response = await client.handle_async_request(request)
        except FAULTS as fault:
            error = explain(fault, mark)
            if mark.reused and error.error == "reset":
                # The server closed an idle connection just as it was taken. The broken one has left the pool,
                # so this ends with a fresh connection at the latest.
                continue
            raise error from fault
        mark.phase = Phase.BODY
        return response, mark


async def _read(
    response: httpx.Response, mark: Mark, ends_at: float, max_bytes: int, body_grace: timedelta | None
) -> Answer:
    body = bytearray()
    error = None
    if body_grace is not None:
        ends_at = min(ends_at, asyncio.get_running_loop().time() + body_grace.total_seconds())
    try:
        async with asyncio.timeout_at(ends_at):
            truncated = await bodies.read_into(body, response, max_bytes)
    except FAULTS as fault:
        broken = explain(fault, mark)
        if body_grace is None:
            raise broken from fault
        truncated, error = True, broken.error
    return Answer(
        status=response.status_code,
        headers=response.headers,
        body=bytes(body),
        truncated=truncated,
        body_error=error,
        certificate_expires_at=_certificate_end(mark),
    )


def _certificate_end(mark: Mark) -> datetime | None:
    certificate = mark.handshake.getpeercert() if mark.handshake else None
    end = certificate.get("notAfter") if certificate else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if isinstance(end, str) else None


def _inflated(answer: Answer, max_bytes: int, *, is_noted: bool) -> Answer:
    """The answer without its content encoding; one that cannot be undone leaves no body where that `is_noted`."""
    try:
        body, cut = bodies.inflate(answer.body, answer.headers.get("content-encoding", ""), max_bytes)
    except ValueError as fault:
        if is_noted:
            return replace(answer, body=b"", truncated=True, body_error=answer.body_error or "protocol")
        raise ExchangeError(Phase.BODY, "protocol", "the encoding of the answer's body cannot be undone") from fault
    return replace(answer, body=body, truncated=answer.truncated or cut)
