"""Links to the pages that sign somebody in."""

from datetime import timedelta
from functools import partial

import pytest
from api_harness import ON_ONE_DATABASE, Api, serving
from clocks import FakeClock

from tracker.moments import rfc3339
from tracker.store import access, sessions
from tracker.store.database import Database
from tracker.store.sessions import LINK_LASTS, SignIn

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]


def use(api: Api, path: str) -> SignIn | None:
    """Who is signed in by whoever opens this."""
    link = path.removeprefix("/sign-in?link=")
    work = partial(sessions.use_link, presented=link, made=sessions.new_session(), now=api.clock())
    return api.database.write_now(work)


@pytest.mark.parametrize(("owner", "scope"), [("ann", "read"), ("ann", "write"), ("root", "admin")])
async def test_a_link_signs_in_with_the_owner_and_the_scope_of_the_token_that_made_it(
    database: Database, clock: FakeClock, owner: str, scope: str
) -> None:
    async with serving(database, clock) as api:
        answer = await api.client.post("/v1/links", headers=api.shows(owner, scope))

        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["expires_at"] == rfc3339(clock() + LINK_LASTS)
        signed_in = use(api, answer.json()["path"])
        assert signed_in is not None
        assert (signed_in.owner, signed_in.scope) == (owner, scope)


async def test_a_link_works_once_and_not_for_long(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock) as api:
        api.use()
        first, second = [(await api.client.post("/v1/links")).json()["path"] for _ in range(2)]

        assert use(api, first) is not None
        assert use(api, first) is None
        clock.now += LINK_LASTS + timedelta(seconds=1)
        assert use(api, second) is None


async def test_a_link_of_a_token_that_was_revoked_signs_nobody_in(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock) as api:
        shows = api.shows()
        path = (await api.client.post("/v1/links", headers=shows)).json()["path"]
        (token,) = database.read_now(access.list_tokens)
        database.write_now(partial(access.revoke_token, id_=token.id, now=clock()))

        assert use(api, path) is None
        clock.advance(60)
        assert (await api.client.post("/v1/links", headers=shows)).status_code == 401


async def test_nobody_without_a_token_gets_a_link(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock) as api:
        assert (await api.client.post("/v1/links")).status_code == 401


async def test_an_owner_makes_so_many_links_and_no_more(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock) as api:
        api.use()
        made = [(await api.client.post("/v1/links")).status_code for _ in range(31)]

        assert made == [201] * 30 + [429]
        assert (await api.client.post("/v1/links", headers=api.shows("bob"))).status_code == 201
