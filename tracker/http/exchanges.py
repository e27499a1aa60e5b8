"""One request and its answer, bounded in time and in bytes."""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from tracker.http import bodies, phases
from tracker.http.deadlines import Deadline
from tracker.http.faults import FAULTS, ExchangeError, explain
from tracker.http.phases import Mark
from tracker.http.transport import Client, Request, Response
from tracker.model import Phase


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
    """Do one exchange, within `deadline` from the first look-up to the last byte; raises ExchangeError.

    With `body_grace` the answer counts as soon as its headers are there: the body gets that much more time (never
    beyond the deadline), and breaking off in it is only noted (except for a malformed body that comes in one packet
    with its headers: the client's parser gives neither). With `inflate` a body in gzip or deflate, which was
    not asked for, is undone; `max_bytes` bounds the body before and after.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + deadline.total_seconds()
    folded = {name.lower(): value for name, value in headers.items()}
    folded["accept-encoding"] = "identity"
    request = Request(method=method, url=url, headers=folded, content=content)
    while True:
        done = _Exchange(max_bytes, ends_at, body_grace)
        try:
            with Deadline(loop, ends_at) as limit:
                await done.run(client, request, limit)
        except FAULTS as fault:
            if done.met_an_ending(fault):
                continue
            done.broke(fault)
        answer = done.answer()
        return _inflated(answer, max_bytes, is_noted=body_grace is not None) if inflate else answer


class _Exchange:
    """One try: the answer as far as it came, and how far that was."""

    __slots__ = ("_body", "_body_grace", "_ends_at", "_error", "_max_bytes", "_response", "_truncated", "mark")

    def __init__(self, max_bytes: int, ends_at: float, body_grace: timedelta | None) -> None:
        self.mark = phases.begin()
        self._max_bytes = max_bytes
        self._ends_at = ends_at
        self._body_grace = body_grace
        self._response: Response | None = None
        self._body: list[bytes] = []
        self._truncated = False
        self._error: str | None = None

    async def run(self, client: Client, request: Request, limit: Deadline) -> None:
        response = self._response = await client.open(request)
        try:
            self.mark.phase = Phase.BODY
            if self._body_grace is not None and not response.is_there:
                graced = asyncio.get_running_loop().time() + self._body_grace.total_seconds()
                if graced < self._ends_at:
                    limit.move(graced)
            self._truncated = await bodies.read_into(self._body, response, self._max_bytes)
        except BaseException:
            response.close()
            raise
        response.release()

    def met_an_ending(self, fault: BaseException) -> bool:
        """Whether the server closed an idle connection just as it was taken.

        The broken one has left the pool, so that trying again ends with a fresh connection at the latest.
        """
        return self._response is None and self.mark.reused and explain(fault, self.mark).error == "reset"

    def broke(self, fault: BaseException) -> None:
        """Note it, where the answer counts without its body; raises ExchangeError where not."""
        error = explain(fault, self.mark)
        if self._response is None or self._body_grace is None:
            raise error from fault
        self._truncated, self._error = True, error.error

    def answer(self) -> Answer:
        if self._response is None:
            raise AssertionError("it has been sent")
        return Answer(
            status=self._response.status,
            headers=self._response.headers,
            body=b"".join(self._body),
            truncated=self._truncated,
            body_error=self._error,
            certificate_expires_at=_certificate_end(self.mark),
        )


def _certificate_end(mark: Mark) -> datetime | None:
    certificate = mark.handshake.getpeercert() if mark.handshake else None
    end = certificate.get("notAfter") if certificate else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if isinstance(end, str) else None


def _inflated(answer: Answer, max_bytes: int, *, is_noted: bool) -> Answer:
    """The answer without its content encoding; one that cannot be undone leaves no body where that `is_noted`."""
    if "content-encoding" not in answer.headers:
        return answer
    try:
        body, cut = bodies.inflate(answer.body, answer.headers["content-encoding"], max_bytes)
    except ValueError as fault:
        if is_noted:
            return msgspec.structs.replace(answer, body=b"", truncated=True, body_error=answer.body_error or "protocol")
        raise ExchangeError(Phase.BODY, "protocol", "the encoding of the answer's body cannot be undone") from fault
    return msgspec.structs.replace(answer, body=body, truncated=answer.truncated or cut)
