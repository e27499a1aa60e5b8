"""Tests of a URL: one signed `callback.test`, sent now and kept nowhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from tracker.clock import Clock
from tracker.http import parse_http_date
from tracker.model import MessageType, Trial
from tracker.moments import rfc3339
from tracker.webhooks.messages import new_message_id
from tracker.webhooks.sender import Attempt, Message

_SECOND = timedelta(seconds=1)
_TEXT = "This is a test: your URL was reached, and nothing has happened to any task."


class Attempting(Protocol):
    """Makes one attempt; never raises for anything a receiver does."""

    async def attempt(self, message: Message, secrets: Sequence[str]) -> Attempt:
        """POST the message, signed with these secrets."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialMessage:
    """A `callback.test` for one URL."""

    id: str
    url: str
    body: str


async def try_url(sender: Attempting, url: str, secrets: Sequence[str], clock: Clock) -> Trial:
    """Sign a `callback.test`, send it to the URL, and tell what came of it."""
    began_at = clock()
    message = TrialMessage(id=new_message_id(), url=url, body=_body(began_at))
    attempt = await sender.attempt(message, secrets)
    now = clock()
    headers: Mapping[str, str] = attempt.answer.headers if attempt.answer else {}
    expires_at = attempt.answer.certificate_expires_at if attempt.answer else None
    return Trial(
        message_id=message.id,
        outcome=attempt.outcome,
        clock_skew=_skew(parse_http_date(headers.get("date")), began_at, now),
        certificate_left=expires_at - now if expires_at else None,
    )


def _body(now: datetime) -> str:
    told = {"type": str(MessageType.TEST), "timestamp": rfc3339(now), "data": {"text": _TEXT}}
    return json.dumps(told, separators=(",", ":"))


def _skew(told: datetime | None, began_at: datetime, ended_at: datetime) -> timedelta | None:
    """Nothing for a date between question and answer, else how far it is from them."""
    if told is None:
        return None
    if told > ended_at:
        return told - ended_at
    # A date is cut to its second.
    return min(told + _SECOND - began_at, timedelta(0))
