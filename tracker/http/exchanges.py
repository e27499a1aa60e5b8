"""One request and its answer, bounded in time and in bytes."""

import ssl
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tracker.http import bodies, phases
from tracker.http.deadlines import Deadline, Deadlines
from tracker.http.faults import FAULTS, ExchangeError, explain
from tracker.http.phases import Mark
from tracker.http.transport import Client, Request, Response
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
        self.client = client
        self.max_bytes = max_bytes
        self.body_grace = None if body_grace is None else body_grace.total_seconds()
        self.deadlines = Deadlines(deadline.total_seconds())
        self.inflate = inflate

    def do(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """Do one, of which the headers are in lower case and say `AS_IT_IS`; raises ExchangeError."""
        return _Exchange(self, phases.begin()).run(request)


class _Exchange(msgspec.Struct, eq=False):
    """One of them: the answer as far as it came, and how far that was."""

    _with: Exchanges
    _mark: Mark
    _response: Response | None = None
    _body: list[bytes] = []
    _truncated: bool = False
    _error: str | None = None

    async def run(self, request: Request) -> Answer:
        try:
            with self._with.deadlines.begin() as limit:
                while self._response is None:
                    try:
                        self._response = await self._with.client.open(request)
                    except FAULTS as fault:
                        if not self._met_an_ending(fault):
                            raise
                        self._mark = phases.begin()
                self._mark.phase = Phase.BODY
                if not self._has_all(self._response):
                    await self._read(self._response, limit)
        except FAULTS as fault:
            self._broke(fault)
        answer = self._answer()
        if self._with.inflate and "content-encoding" in answer.headers:
            return _inflated(answer, self._with.max_bytes, is_noted=self._with.body_grace is not None)
        return answer

    def _has_all(self, response: Response) -> bool:
        """Whether all of it came with its headers, as most answers do: then it is read, without waiting for anybody."""
        try:
            rest = response.rest()
        except BaseException:
            response.close()
            raise
        if rest is None:
            return False
        if len(rest) > self._with.max_bytes:
            rest, self._truncated = rest[: self._with.max_bytes], True
        self._body = [rest]
        response.release()
        return True

    async def _read(self, response: Response, limit: Deadline) -> None:
        try:
            grace = self._with.body_grace
            if grace is not None and (graced := limit.loop.time() + grace) < limit.ends_at:
                limit.move(graced)
            self._truncated = await bodies.read_into(self._body, response, self._with.max_bytes)
        except BaseException:
            response.close()
            raise
        response.release()

    def _met_an_ending(self, fault: BaseException) -> bool:
        """Whether the server closed an idle connection just as it was taken.

        The broken one has left the pool, so that trying again ends with a fresh connection at the latest.
        """
        return self._mark.reused and explain(fault, self._mark).error == "reset"

    def _broke(self, fault: BaseException) -> None:
        """Note it, where the answer counts without its body; raises ExchangeError where not."""
        error = explain(fault, self._mark)
        if self._response is None or self._with.body_grace is None:
            raise error from fault
        self._truncated, self._error = True, error.error

    def _answer(self) -> Answer:
        response = self._response
        if response is None:
            raise AssertionError("it has been sent")
        return Answer(
            status=response.status,
            headers=response.headers,
            body=b"".join(self._body),
            truncated=self._truncated,
            body_error=self._error,
            certificate_expires_at=_certificate_end(self._mark) if self._mark.handshake else None,
        )


def _certificate_end(mark: Mark) -> datetime | None:
    certificate = mark.handshake.getpeercert() if mark.handshake else None
    end = certificate.get("notAfter") if certificate else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if isinstance(end, str) else None


def _inflated(answer: Answer, max_bytes: int, *, is_noted: bool) -> Answer:
    """The answer without its content encoding; one that cannot be undone leaves no body where that `is_noted`."""
    try:
        body, cut = bodies.inflate(answer.body, answer.headers["content-encoding"], max_bytes)
    except ValueError as fault:
        if is_noted:
            return msgspec.structs.replace(answer, body=b"", truncated=True, body_error=answer.body_error or "protocol")
        raise ExchangeError(Phase.BODY, "protocol", "the encoding of the answer's body cannot be undone") from fault
    return msgspec.structs.replace(answer, body=body, truncated=answer.truncated or cut)
