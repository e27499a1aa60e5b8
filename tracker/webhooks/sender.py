"""One attempt of a delivery: sign, send, tell what came of it."""

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from tracker.clock import Clock
from tracker.http import AS_IT_IS, Answer, Client, ExchangeError, Exchanges, Fixed, Request, parse_retry_after
from tracker.model import Outcome
from tracker.webhooks.signing import sign

_GONE = 410
_MOST_READ = 16_384
_MOST_KEPT = 4096
_BODY_GRACE = timedelta(seconds=2)
"""A receiver that has said 2xx has the message; what its body does afterwards must not cost it a duplicate."""

_log = structlog.get_logger(__name__)


class Message(Protocol):
    """What is sent: a delivery, or a test."""

    @property
    def id(self) -> str:
        """`msg_…`."""
        ...

    @property
    def url(self) -> str:
        """Where to."""
        ...

    @property
    def body(self) -> str:
        """Byte for byte."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt: what came of it, and the answer where there was one."""

    outcome: Outcome
    answer: Answer | None = None


class Sender:
    """Sends messages through the client of their kind of place; `timeout` bounds a whole attempt."""

    def __init__(self, client: Client, *, version: str, timeout: timedelta, clock: Clock) -> None:
        self._exchanges = Exchanges(client, deadline=timeout, max_bytes=_MOST_READ, body_grace=_BODY_GRACE)
        self._headers = Fixed({"content-type": "application/json", "user-agent": f"tracker/{version}", **AS_IT_IS})
        self._clock = clock

    async def send(self, message: Message, secrets: Sequence[str]) -> Outcome:
        """Make one attempt, signed with every secret; whatever the receiver does is an outcome, never an error."""
        return (await self.attempt(message, secrets)).outcome

    async def attempt(self, message: Message, secrets: Sequence[str]) -> Attempt:
        """The same, with the answer itself."""
        started = time.monotonic()
        try:
            answer = await self._exchanges.do(self._request(message, secrets))
        except ExchangeError as fault:
            return Attempt(outcome=_broken(fault, _since(started)))
        except Exception as fault:  # noqa: BLE001 - our own mistake must not stop the other deliveries
            _log_fault(message, fault)
            return Attempt(outcome=_faulted(_since(started)))
        return Attempt(outcome=self._judged(answer, _since(started)), answer=answer)

    def _request(self, message: Message, secrets: Sequence[str]) -> Request:
        body = message.body.encode()
        timestamp = int(self._clock().timestamp())
        own = {
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secrets, message.id, timestamp, body),
        }
        return Request(method="POST", url=message.url, headers=self._headers, own=own, content=body)

    def _judged(self, answer: Answer, duration: timedelta) -> Outcome:
        delivered = 200 <= answer.status < 300  # noqa: PLR2004 - what HTTP calls success
        return Outcome(
            delivered=delivered,
            duration=duration,
            status_code=answer.status,
            error=None if delivered else "status",
            detail=_detail(answer, delivered=delivered),
            response=_excerpt(answer.body),
            retry_after=None if delivered else parse_retry_after(answer.headers.get("retry-after"), self._clock()),
            gone=answer.status == _GONE,
        )


def _broken(fault: ExchangeError, duration: timedelta) -> Outcome:
    return Outcome(
        delivered=False,
        duration=duration,
        phase=fault.phase,
        error=fault.error,
        detail=fault.detail,
        spent=fault.error != "local",
    )


def _faulted(duration: timedelta) -> Outcome:
    return Outcome(
        delivered=False,
        duration=duration,
        error="internal",
        detail="the attempt could not be made; this is the tracker's fault",
        spent=False,
    )


def _since(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)


def _detail(answer: Answer, *, delivered: bool) -> str | None:
    if delivered:
        return f"taken, though its answer's body broke off ({answer.body_error})" if answer.body_error else None
    if 300 <= answer.status < 400:  # noqa: PLR2004 - what HTTP calls redirection
        return f"the receiver answered {answer.status}; redirects are not followed"
    return f"the receiver answered {answer.status}"


def _excerpt(body: bytes) -> str:
    """The beginning of an answer as text that any database can store."""
    if not body:
        return ""
    text = body[:_MOST_KEPT].decode("utf-8", "replace").replace("\0", "\ufffd")
    return text.encode()[:_MOST_KEPT].decode("utf-8", "ignore")


def _log_fault(message: Message, fault: Exception) -> None:
    # Where it happened, without the text and the local variables: those may hold a secret.
    where = "".join(traceback.format_tb(fault.__traceback__))
    _log.error("attempt_faulted", delivery_id=message.id, fault=type(fault).__name__, where=where)
