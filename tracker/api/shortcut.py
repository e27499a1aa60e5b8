"""The calls that come by the thousand, without the framework's detours: registering one task, or many.

Only what is usual is answered here. Everything else goes the long way, as if nobody had looked: a caller without a
good token, a body that is not right, a path that is another one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.api.answer import Answer
from tracker.api.bodies import LARGEST_BODY
from tracker.api.ports import Ports
from tracker.api.problems import APOLOGY, tell
from tracker.api.registering import told_batch
from tracker.desk import Desk
from tracker.desk.fence import Fence
from tracker.errors import InputError, TrackerError
from tracker.intake import Caller, read_many, read_one
from tracker.store.registrations import Wanted
from tracker.telling import TaskAnswer

_AUTHORIZATION = b"authorization"
_SCHEME = b"Bearer "
_MOMENT_SECONDS = 0.05
_JSON = (b"content-type", b"application/json")


class _Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


class Shortcut:
    """Answers what is usual, and hands on what is not."""

    def __init__(self, ports: Ports, desk: Desk, *, long_way: ASGIApp) -> None:
        self._long_way = long_way
        self._fenced = Fence(self._serve, apology=APOLOGY)
        self._ports = ports
        self._tokens = desk.tokens
        self._registrar = desk.registrar
        self._bell: asyncio.TimerHandle | None = None
        self._calls: dict[str, Callable[[bytes, Caller], Awaitable[_Reply | None]]] = {
            "/v1/tasks": self._one,
            "/v1/tasks/batch": self._many,
        }

    def leads_to(self, scope: Scope) -> bool:
        """Whether this is one of the calls that are answered here."""
        return scope["type"] == "http" and scope["path"] in self._calls and scope["method"] == "POST"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._fenced(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._writer(scope)
        if caller is None:
            await self._long_way(scope, receive, send)
            return
        messages, body = await _read(receive)
        try:
            reply = None if body is None else await self._calls[scope["path"]](body, caller)
        except TrackerError as error:
            await (await tell(Request(scope), error))(scope, receive, send)
            return
        if reply is None:
            await self._long_way(scope, _again(messages, receive), send)
            return
        headers = [_JSON, (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _writer(self, scope: Scope) -> Caller | None:
        """Who calls, if a good token says that it may write."""
        shown = next((value for name, value in scope["headers"] if name == _AUTHORIZATION), b"")
        if not shown.startswith(_SCHEME):
            return None
        presented = shown[len(_SCHEME) :].decode("latin-1")
        caller = self._tokens.at_hand(presented) or await self._asked(presented)
        return caller if caller is not None and caller.may("write") else None

    async def _asked(self, presented: str) -> Caller | None:
        try:
            return await self._tokens.caller(presented)
        except TrackerError:
            return None

    async def _one(self, body: bytes, caller: Caller) -> _Reply | None:
        request = read_one(body)
        if request is None:
            return None
        try:
            wanted = self._ports.intake.check(request)
        except InputError:
            return None
        is_new, told, _ = await self._registrar.register(wanted, caller)
        self._wake(told)
        self._ports.metrics.events.labels("registered").inc(is_new)
        location = (b"location", b"/v1/tasks/" + told["id"].encode())
        return _Reply(201 if is_new else 200, _encoded(told), [location])

    def _wake(self, told: TaskAnswer) -> None:
        """The poller takes many at once as easily as one: where they come fast it is woken for all of a moment."""
        if not self._registrar.is_busy or told["status"].is_end:
            self._ports.wake_for([told])
        elif self._bell is None:
            self._bell = asyncio.get_running_loop().call_later(_MOMENT_SECONDS, self._ring)

    def _ring(self) -> None:
        self._bell = None
        self._ports.wake()

    async def _many(self, body: bytes, caller: Caller) -> _Reply | None:
        requests = read_many(body)
        if requests is None:
            return None
        try:
            wanted: list[Wanted] = [self._ports.intake.check(request) for request in requests]
        except InputError:
            return None
        written = await self._registrar.register_all(wanted, caller)
        return _Reply(200, _encoded(told_batch(self._ports, written)))


async def _read(receive: Receive) -> tuple[list[Message], bytes | None]:
    """Everything that was received, and the body that it makes; None where that is none, or not done in time."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            return messages, None
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            return messages, None
        if not message.get("more_body", False):
            return messages, b"".join(part.get("body", b"") for part in messages)


def _again(messages: Sequence[Message], receive: Receive) -> Receive:
    """Receives what was received already, then what comes."""
    left = iter(messages)

    async def received() -> Message:
        for message in left:
            return message
        return await receive()

    return received


def _encoded(content: object) -> bytes:
    try:
        return msgspec.json.encode(content)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        # What people have written into the database may be beyond what is usual.
        return cast("bytes", Answer(content).body)
