"""The pages over a real database, called in the same process."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx
from api_harness import Api

from tracker.desk import Desk
from tracker.store import access
from tracker.web import create_pages

ORIGIN = "http://localhost"
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass
class Pages:
    """A browser without script, at the pages of one tracker."""

    api: Api
    """The same tracker through its other door."""
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        ports = self.api.app.state.ports
        app = create_pages(ports, Desk.of(ports))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url=ORIGIN,
            headers={"accept": "text/html", "accept-language": "en"},
        )

    async def sign_in(self, owner: str = "ann", scope: str = "admin") -> str:
        """Sign in with a new token, and tell it."""
        token = self.api.token(owner, scope)
        answer = await self.client.post("/sign-in", data={"token": token})
        assert answer.status_code == 303, answer.text
        return token

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def csrf(self) -> str:
        """What the forms of this session carry."""
        answer = await self.client.get("/nowhere")
        found = _CSRF.search(answer.text)
        assert found, answer.text
        return found[1]

    async def act(self, path: str, fields: Mapping[str, object] | None = None) -> httpx.Response:
        """Send a form of a page."""
        return await self.client.post(path, data={"csrf": await self.csrf(), **(fields or {})})

    def revoke(self, token: str) -> None:
        line = self.api.database.read_now(partial(access.check_token, presented=token))
        assert line
        self.api.database.write_now(partial(access.revoke_token, id_=line.id, now=self.api.clock()))


@asynccontextmanager
async def pages_of(api: Api) -> AsyncIterator[Pages]:
    """Pages that stay open for a test."""
    pages = Pages(api)
    async with pages.client:
        yield pages
