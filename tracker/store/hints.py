"""Telling the other daemons that there is something to find: a hint, which may be late, doubled or lost.

Everybody looks by itself all the time; a hint only saves the rest of a second. One says it in a transaction of its own,
since a NOTIFY holds up every other commit that has one. Hearing it needs a connection of our own for good, which a
pooler does not give.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from psycopg.pq.abc import PGconn
from sqlalchemy import Connection, make_url, text

from tracker.store.engines import CONNECTING, is_pooled, psycopg_url

log = structlog.get_logger()

_CHANNEL = "tracker"
_AGAIN_AFTER = (1.0, 30.0)
"""Seconds from the loss of a connection to the next, at first and at most."""


def say(connection: Connection, *, me: str) -> None:
    """Hint to the others."""
    connection.execute(text("SELECT pg_notify(:channel, :me)"), {"channel": _CHANNEL, "me": me})


def can_be_heard(url: str) -> bool:
    """Whether this database has others, and lets us hear them."""
    return make_url(url).get_backend_name() != "sqlite" and not is_pooled(url)


class Listener:
    """Hears the hints of others until stopped; where the connection breaks, it makes another by and by."""

    def __init__(self, url: str, *, me: Callable[[], str], heard: Callable[[], None]) -> None:
        self._url = psycopg_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._me = me
        self._heard = heard
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Listen until stopped."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen_on())
            await self._stopping.wait()
            listening.cancel()

    async def _listen_on(self) -> None:
        wait, longest = _AGAIN_AFTER
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                log.info("hints_not_heard", reason=str(error).splitlines()[0] if str(error) else "")
            await asyncio.sleep(wait)
            wait = min(2 * wait, longest)

    async def _listen(self) -> None:
        options: dict[str, Any] = dict(CONNECTING)
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True, **options) as connection:
            await connection.execute(f"LISTEN {_CHANNEL}")
            # What was said before is not heard any more.
            self._heard()
            while True:
                await _readable(connection.fileno())
                if any(said != self._me() for said in _said(connection.pgconn)):
                    self._heard()


async def _readable(descriptor: int) -> None:
    """Wait until something has come. The driver itself would look ten times a second: more than all else costs."""
    loop = asyncio.get_running_loop()
    has_come = asyncio.Event()
    loop.add_reader(descriptor, has_come.set)
    try:
        await has_come.wait()
    finally:
        loop.remove_reader(descriptor)


def _said(connection: PGconn) -> list[str]:
    """Who has said something since; raises psycopg.Error where nobody will any more."""
    connection.consume_input()
    said = []
    while (hint := connection.notifies()) is not None:
        said.append(hint.extra.decode())
    return said
