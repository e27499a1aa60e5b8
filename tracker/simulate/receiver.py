"""A receiver of callbacks that checks every signature, remembers what arrived and can be told to fail."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tracker.clock import Clock, utc_now

TOLERANCE = timedelta(minutes=5)
"""How far the time of an attempt may be from ours."""
MOST_REMEMBERED = 10_000
_LARGEST_BODY = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request that arrived, and what was made of it."""

    arrived_at: datetime
    path: str
    message_id: str
    headers: Mapping[str, str]
    body: bytes
    problem: str | None
    """Why it is no genuine message; None for a verified one."""
    is_repeat: bool
    """Whether a message of this id was accepted before."""
    answered: int
    """The status it was answered with."""

    @property
    def content(self) -> dict[str, object]:
        """The body as JSON; empty where it is no object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Receiver:
    """An ASGI app that takes a POST on any path, 204 for a genuine message, 401 for any other.

    `secrets` is called for each request, so it may follow a rotation. State is in memory; the oldest is forgotten.
    """

    def __init__(
        self,
        *,
        secrets: Callable[[], Sequence[str]],
        clock: Clock = utc_now,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        self.arrivals: deque[Arrival] = deque(maxlen=most_remembered)
        """Every request, repeats and forgeries too, oldest first."""
        self.messages: dict[str, Arrival] = {}
        """The accepted messages by `webhook-id`: what a receiver acts on, once each."""
        self._secrets = secrets
        self._clock = clock
        self._most = most_remembered
        self._script: deque[int] = deque()
        self._arrived = asyncio.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        request = Request(scope, receive)
        if request.method != "POST":
            await PlainTextResponse("post messages here\n", status_code=405)(scope, receive, send)
            return
        try:
            arrival = self._judge(request, await read_body(request))
        except ClientDisconnect:
            return
        await self._remember(arrival)
        await PlainTextResponse(arrival.problem or "", status_code=arrival.answered)(scope, receive, send)

    def answer_next(self, *statuses: int) -> None:
        """Answer the next genuine messages with these, one each; afterwards 204 again."""
        self._script.extend(statuses)

    async def wait_for(self, enough: Callable[["Receiver"], bool]) -> None:
        """Return as soon as what has arrived is enough."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: enough(self))

    def _judge(self, request: Request, body: bytes) -> Arrival:
        now = self._clock()
        message_id = request.headers.get("webhook-id", "")
        problem = find_problem(request.headers, body, secrets=self._secrets(), now=now)
        answered = 401 if problem else self._script.popleft() if self._script else 204
        return Arrival(
            arrived_at=now,
            path=request.url.path,
            message_id=message_id,
            headers=dict(request.headers),
            body=body,
            problem=problem,
            is_repeat=message_id in self.messages,
            answered=answered,
        )

    async def _remember(self, arrival: Arrival) -> None:
        async with self._arrived:
            self.arrivals.append(arrival)
            if 200 <= arrival.answered < 300:  # noqa: PLR2004, HTTP
                self.messages.setdefault(arrival.message_id, arrival)
            if len(self.messages) > self._most:
                del self.messages[next(iter(self.messages))]
            self._arrived.notify_all()


def find_problem(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str], now: datetime) -> str | None:
    """Why a message is not genuine by the Standard Webhooks specification; None if it is.

    Written from the specification and not from our own signing, so that one can prove the other.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not timestamp:
        return "webhook-id or webhook-timestamp is missing"
    if not re.fullmatch("[0-9]{1,12}", timestamp):
        return "webhook-timestamp is no whole number"
    ahead = int(timestamp) - now.timestamp()
    if abs(ahead) > TOLERANCE.total_seconds():
        where = "in the future" if ahead > 0 else "old"
        return f"webhook-timestamp is too far from now: {abs(ahead):.0f} s {where}"
    signed = f"{message_id}.{timestamp}.".encode() + body
    given = [entry.removeprefix("v1,") for entry in headers.get("webhook-signature", "").split() if entry[:3] == "v1,"]
    if any(hmac.compare_digest(_sign(secret, signed), one.encode()) for secret in secrets for one in given):
        return None
    if not given:
        return "webhook-signature is missing, or none of it is v1"
    return "webhook-signature fits none of the secrets: another secret, or the body or a header was changed"


def _sign(secret: str, signed: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret is whsec_ and base64") from error
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


async def read_body(request: Request) -> bytes:
    """The body, cut where no message of ours can be so long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: _LARGEST_BODY - len(body)]
    return bytes(body)
