"""A receiver for the person who writes one: verifies each message, tells what it was, and answers or hands it on."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from tracker.clock import Clock, utc_now
from tracker.simulate.receiver import Arrival, find_problem, read_body

_REFUSED = 401
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a genuine message is answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


Answering = Callable[[Arrival], Awaitable[Reply]]


class Listener:
    """An ASGI app that takes a POST on any path; a forged message is answered 401, with what is wrong with it.

    `secrets` is called for each request, on a thread. `told` gets every arrival, with the status it was answered with.
    """

    def __init__(
        self,
        *,
        secrets: Callable[[], Sequence[str]],
        answer: Answering,
        told: Callable[[Arrival], None],
        clock: Clock = utc_now,
    ) -> None:
        self._secrets = secrets
        self._answer = answer
        self._told = told
        self._clock = clock
        # A dictionary, because it forgets its oldest first.
        self._taken: dict[str, None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        request = Request(scope, receive)
        if request.method != "POST":
            await PlainTextResponse("post messages here\n", status_code=405)(scope, receive, send)
            return
        try:
            arrival = await self._judged(request, await read_body(request))
        except ClientDisconnect:
            return
        reply = await self._replied(arrival)
        self._told(replace(arrival, answered=reply.status))
        await _response(reply)(scope, receive, send)

    async def _judged(self, request: Request, body: bytes) -> Arrival:
        secrets = await asyncio.to_thread(self._secrets)
        now = self._clock()
        message_id = request.headers.get("webhook-id", "")
        return Arrival(
            arrived_at=now,
            path=request.url.path,
            message_id=message_id,
            headers=dict(request.headers),
            body=body,
            problem=find_problem(request.headers, body, secrets=secrets, now=now),
            is_repeat=message_id in self._taken,
            answered=_REFUSED,
        )

    async def _replied(self, arrival: Arrival) -> Reply:
        if arrival.problem is not None:
            return Reply(status=_REFUSED, headers={"content-type": "text/plain"}, body=f"{arrival.problem}\n".encode())
        reply = await self._answer(arrival)
        if 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP
            self._taken[arrival.message_id] = None
            if len(self._taken) > _MOST_REMEMBERED:
                del self._taken[next(iter(self._taken))]
        return reply


def always(status: int) -> Answering:
    """The same answer to every genuine message."""

    async def answer(_arrival: Arrival) -> Reply:
        return Reply(status=status, headers={})

    return answer


def _response(reply: Reply) -> Response:
    response = Response(reply.body, status_code=reply.status)
    for name, value in reply.headers.items():
        response.headers[name] = value
    return response
