"""Asking gateways: about a task that does not exist, which tells whether they are there and take our token."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import NamedTuple, Self

from tracker.clock import utc_now
from tracker.config import UpstreamSettings
from tracker.doctor.gateways import GatewayFacts
from tracker.http import Client, Request, Response, open_upstream_client, parse_http_date
from tracker.model import Miss
from tracker.providers.registry import build

LONGEST = timedelta(seconds=4)
_NO_TASK = "1000000000000000"
"""An id as gateways make them, of a moment before there were any."""
_HALF_A_SECOND = timedelta(seconds=0.5)


class Heard(NamedTuple):
    """What a gateway said, and by how much its clock is ahead of ours, where it told the time."""

    facts: GatewayFacts
    ahead: timedelta | None


def ask_gateway(facts: GatewayFacts, settings: UpstreamSettings) -> Heard:
    """Ask once, by a single fetch, and add what came of it; no gateway changes anything for that."""
    return asyncio.run(_ask(facts, settings))


async def _ask(facts: GatewayFacts, settings: UpstreamSettings) -> Heard:
    brief = settings.model_copy(update={"timeout": min(settings.timeout, LONGEST), "batch": "off"})
    async with _Dated(open_upstream_client(max_connections=1)) as client:
        look = await build(facts.name, brief, client, utc_now).look([_NO_TASK])
    said = look.trouble or look.seen[_NO_TASK]
    if isinstance(said, Miss):
        facts = replace(facts, miss=said.kind, detail=said.detail)
    return Heard(facts, client.ahead)


class _Dated:
    """A client that notes what time its answers tell."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.ahead: timedelta | None = None

    async def open(self, request: Request) -> Response:
        """Ask, and compare the clocks as of the middle of the exchange."""
        before = utc_now()
        response = await self._client.open(request)
        if theirs := parse_http_date(response.headers.get("date")):
            self.ahead = _compared(theirs, before, utc_now())
        return response

    async def aclose(self) -> None:
        """Close it."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _compared(theirs: datetime, before: datetime, after: datetime) -> timedelta:
    """A date has whole seconds, so that it is half a second behind on average."""
    return theirs + _HALF_A_SECOND - (before + (after - before) / 2)
