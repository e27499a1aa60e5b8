"""One request and its answer, bounded in time and in bytes."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from tracker.http import bodies, phases
from tracker.http.deadlines import Deadline, Deadlines
from tracker.http.faults import FAULTS, ExchangeError, explain
from tracker.http.phases import Mark
from tracker.http.transport import Client, Request
from tracker.model import Phase

AS_IT_IS = {"accept-encoding": "identity"}
"""The header that asks for a body without any encoding; no other is undone."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered; made thousands of times a second, ten times as fast as a dataclass."""

    status: int
    headers: Mapping[str, str]
    """By name, in lower case."""
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
    """Do one exchange; see `Exchanges`, which are for many that are alike."""
    exchanges = Exchanges(client, deadline=deadline, max_bytes=max_bytes, body_grace=body_grace, inflate=inflate)
    folded = {name.lower(): value for name, value in headers.items()} | AS_IT_IS
    return await exchanges.do(Request(method=method, url=url, headers=folded, content=content))


class Exchanges:
    """Exchanges with the same bounds: each within `deadline`, from the first look-up to the last byte.

    With `body_grace` an answer counts as soon as its headers are there: the body gets that much more time (never
    beyond the deadline), and breaking off in it is only noted (except for a malformed body that comes in one packet
    with its headers: the client's parser gives neither). With `inflate` a body in gzip or deflate, which was
    not asked for, is undone; `max_bytes` bounds the body before and after.
    """

    def __init__(
        self,
        client: Client,
        *,
        deadline: timedelta,
        max_bytes: int,
        body_grace: timedelta | None = None,
        inflate: bool = False,
    ) -> None:
        self._client = client
        self._max_bytes = max_bytes
        self._body_grace = None if body_grace is None else body_grace.total_seconds()
        self._deadlines = Deadlines(deadline.total_seconds())
        self._inflates = inflate

    async def do(self, request: Request) -> Answer:
        """Do one, of which the headers are in lower case and say `AS_IT_IS`; raises ExchangeError."""
        # All in one function, with what most exchanges need in line: many thousands are done in a second.
        mark, response = phases.begin(), None
        body: list[bytes] = []
        truncated, body_error = False, None
        try:
            with self._deadlines.begin() as limit:
                while response is None:
                    try:
                        response = await self._client.open(request)
                    except FAULTS as fault:
                        if not _met_an_ending(fault, mark):
                            raise
                        mark = phases.begin()
                mark.phase = Phase.BODY
                try:
                    if (rest := response.rest()) is None:
                        self._begin_grace(limit)
                        truncated = await bodies.read_into(body, response, self._max_bytes)
                    else:
                        truncated = len(rest) > self._max_bytes
                        body.append(rest[: self._max_bytes] if truncated else rest)
                except BaseException:
                    response.close()
                    raise
                response.release()
        except FAULTS as fault:
            failure = explain(fault, mark)
            if response is None or self._body_grace is None:
                raise failure from fault
            # The answer counts without its body.
            truncated, body_error = True, failure.error
        answer = Answer(
            status=response.status,
            headers=response.headers,
            body=b"".join(body),
            truncated=truncated,
            body_error=body_error,
            certificate_expires_at=_certificate_end(mark) if mark.handshake else None,
        )
        return self._inflated(answer) if self._inflates and "content-encoding" in answer.headers else answer

    def _begin_grace(self, limit: Deadline) -> None:
        """Give the body its time, where that is less than what is left."""
        grace = self._body_grace
        if grace is not None and (graced := limit.loop.time() + grace) < limit.ends_at:
            limit.move(graced)

    def _inflated(self, answer: Answer) -> Answer:
        """The answer without its content encoding; what cannot be undone leaves no body where that is only noted."""
        try:
            body, cut = bodies.inflate(answer.body, answer.headers["content-encoding"], self._max_bytes)
        except ValueError as fault:
            if self._body_grace is None:
                raise ExchangeError(
                    Phase.BODY, "protocol", "the encoding of the answer's body cannot be undone"
                ) from fault
            return msgspec.structs.replace(answer, body=b"", truncated=True, body_error=answer.body_error or "protocol")
        return msgspec.structs.replace(answer, body=body, truncated=answer.truncated or cut)


def _met_an_ending(fault: BaseException, mark: Mark) -> bool:
    """Whether the server closed an idle connection just as it was taken.

    The broken one has left the pool, so that trying again ends with a fresh connection at the latest.
    """
    return mark.reused and explain(fault, mark).error == "reset"


def _certificate_end(mark: Mark) -> datetime | None:
    certificate = mark.handshake.getpeercert() if mark.handshake else None
    end = certificate.get("notAfter") if certificate else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if isinstance(end, str) else None
