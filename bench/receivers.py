"""Receivers of messages in a process of their own, so that neither their time nor their memory counts as ours."""

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Self

from bench.hostile import HOSTILE, read_request

_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request of a receiver that behaves, and its answer."""

    message_id: str
    body: str
    """The SHA-256 of what was sent."""
    happened_at: str
    """What the message itself says about when it happened."""
    answered_at: float
    """In seconds since 1970, as the answer is handed to the system."""
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How receivers that behave answer."""

    slowest: float = 0.0
    """They take up to so many seconds."""
    failing: float = 0.0
    """The share of answers that are 503."""


@dataclass(slots=True)
class _Served:
    """What one process of receivers has seen."""

    dice: random.Random
    is_down: bool = False
    """Whether everything is answered 503."""
    arrivals: list[Arrival] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    servers: list[asyncio.Server] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    """The ids that were answered 2xx."""
    another: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by each of those."""

    async def open(self, host: str, kind: str | Manners) -> str:
        """Listen on a free port; returns the base URL."""
        serve = HOSTILE[kind] if isinstance(kind, str) else self._behaving(kind)

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Cancelled at the end of the process: streams would complain of that.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
            writer.close()

        server = await asyncio.start_server(one, host, 0, backlog=256)
        self.servers.append(server)
        scheme = "https" if kind == "not TLS" else "http"
        return f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}"

    def _behaving(self, manners: Manners) -> Any:  # noqa: ANN401 - the callback of a server
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                headers, body = await read_request(reader)
                await self._answer(manners, headers, body, writer)
                await writer.drain()

        return serve

    async def _answer(
        self, manners: Manners, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if manners.slowest:
                await asyncio.sleep(self.dice.uniform(0, manners.slowest))
        finally:
            self.at_once -= 1
        status = _UNAVAILABLE if self.is_down or self.dice.random() < manners.failing else 200
        self.arrivals.append(
            Arrival(
                message_id=headers["webhook-id"],
                body=hashlib.sha256(body).hexdigest(),
                happened_at=json.loads(body)["timestamp"],
                answered_at=time.time(),
                status=status,
            )
        )
        if status != _UNAVAILABLE:
            self.accepted.add(headers["webhook-id"])
            self.another.set()
        writer.write(f"HTTP/1.1 {status} Word\r\nContent-Length: 0\r\n\r\n".encode())

    async def wait_for(self, number: int, within: float) -> bool:
        """Whether so many messages were accepted in time."""
        try:
            async with asyncio.timeout(within):
                while len(self.accepted) < number:
                    self.another.clear()
                    await self.another.wait()
        except TimeoutError:
            return False
        return True


async def _serve(pipe: Connection, seed: int) -> None:
    """Do what the other end of the pipe asks for, until it hangs up."""
    served = _Served(random.Random(seed))  # noqa: S311 - a simulation
    while True:
        try:
            asked, value = await asyncio.to_thread(pipe.recv)
        except EOFError:
            return
        answer: Any = None
        match asked:
            case "open":
                answer = [await served.open(host, kind) for host, kind in value]
            case "down":
                served.is_down = value
            case "wait":
                answer = await served.wait_for(*value)
            case "arrivals":
                answer = served.arrivals
            case "most at once":
                answer = served.most_at_once
        pipe.send(answer)


def _run(pipe: Connection, seed: int, niceness: int) -> None:
    os.nice(niceness)
    asyncio.run(_serve(pipe, seed))


class Receivers:
    """The process, and what can be asked of it."""

    def __init__(self, seed: int = 0, *, niceness: int = 0) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, seed, niceness), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()

    def open(self, kinds: Sequence[str | Manners], network: str = "127.0.1") -> list[str]:
        """Open a receiver for each kind, on an address of its own; returns their base URLs."""
        hosts = (f"{network}.{number}" for number in range(1, 255))
        urls: list[str] = self._ask("open", list(zip(hosts, kinds, strict=False)))
        return urls

    def go_down(self) -> None:
        """Answer 503 to everything."""
        self._ask("down", True)

    def come_up(self) -> None:
        """Answer as before."""
        self._ask("down", False)

    def arrivals(self) -> list[Arrival]:
        """What has arrived at those that behave, in the order of the answers."""
        found: list[Arrival] = self._ask("arrivals", None)
        return found

    def wait_for(self, number: int, within: float) -> bool:
        """Whether so many messages, each counted once, are accepted within these seconds; blocks until then."""
        is_enough: bool = self._ask("wait", (number, within))
        return is_enough

    @property
    def most_at_once(self) -> int:
        """How many requests were in hand at the same moment."""
        most: int = self._ask("most at once", None)
        return most

    def _ask(self, what: str, value: object) -> Any:  # noqa: ANN401 - an answer to what was asked
        self._pipe.send((what, value))
        return self._pipe.recv()
