"""The pages of tokens and secrets: each is shown in the answer that makes it, and never again."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from api_harness import ON_ONE_DATABASE, Api, serving
from clocks import FakeClock
from test_web_deliveries import NASTY
from web_harness import Pages, pages_of

from tracker.store import access
from tracker.store.database import Database

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]
TOKEN = re.compile(r"trk_[A-Za-z0-9_-]{40,}")
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{40,}")


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        yield pages


def lines(api: Api) -> dict[str, access.TokenLine]:
    """Every token, by its owner."""
    return {line.owner: line for line in api.database.read_now(access.list_tokens)}


def stored(api: Api) -> str:
    """All that is kept of tokens, secrets and sessions."""
    tables = ("token", "session")
    return str(
        [api.database.read_now(lambda c, t=table: c.exec_driver_sql(f"SELECT * FROM {t}").all()) for table in tables]
    )


def signing(api: Api, owner: str) -> list[str]:
    """The secrets of an owner that sign just now, newest first."""
    look = partial(access.signing_secrets, owners=[owner], now=api.clock())
    return api.database.read_now(look).get(owner, [])


class TestTokens:
    async def test_a_token_is_shown_once_and_lets_its_owner_in(self, pages: Pages) -> None:
        await pages.sign_in("root", "admin")

        answer = await pages.act("/tokens", {"owner": "shop", "scope": "write", "name": "till 3"})

        assert answer.status_code == 200
        (made,) = set(TOKEN.findall(answer.text))
        assert "set-cookie" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        called = await pages.api.client.get("/v1/tasks", headers={"authorization": f"Bearer {made}"})
        assert called.status_code == 200
        assert (lines(pages.api)["shop"].scope, lines(pages.api)["shop"].name) == ("write", "till 3")
        assert made not in stored(pages.api)
        again = (await pages.get("/tokens")).text
        assert made not in again
        assert "till 3" in again
        assert made[:8] in again

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"owner": "", "scope": "read"}, "owner"),
            ({"owner": "x" * 129, "scope": "read"}, "owner"),
            ({"owner": "a\tb", "scope": "read"}, "owner"),
            ({"owner": "shop", "scope": "god"}, "scope"),
            ({"owner": "shop"}, "scope"),
            ({"owner": "shop", "scope": "read", "name": "x" * 201}, "name"),
        ],
    )
    async def test_what_cannot_be_used_is_said_at_its_field_and_the_rest_is_kept(
        self, pages: Pages, given: dict[str, str], field: str
    ) -> None:
        await pages.sign_in("root", "admin")

        answer = await pages.act("/tokens", given)

        assert answer.status_code == 422
        assert re.search(rf'name="{field}"[^>]* aria-invalid="true" aria-describedby="{field}-wrong', answer.text)
        assert f'id="{field}-wrong"' in answer.text
        assert TOKEN.search(answer.text) is None
        assert set(lines(pages.api)) == {"root"}
        assert field == "owner" or 'name="owner" value="shop"' in answer.text

    async def test_a_revoked_token_lets_nobody_in_and_its_sessions_are_over(self, pages: Pages) -> None:
        await pages.sign_in("root", "admin")
        theirs = pages.api.token("shop")

        answer = await pages.act(f"/tokens/{lines(pages.api)['shop'].id}/revoke")

        assert (answer.status_code, answer.headers["location"]) == (303, "/tokens")
        assert "Revoked tok_" in (await pages.get("/tokens")).text
        called = await pages.api.client.get("/v1/tasks", headers={"authorization": f"Bearer {theirs}"})
        assert called.status_code == 401
        await pages.act(f"/tokens/{lines(pages.api)['root'].id}/revoke")
        assert (await pages.get("/tokens")).status_code == 303, "their own"

    async def test_a_token_that_is_not_there_cannot_be_revoked(self, pages: Pages) -> None:
        await pages.sign_in("root", "admin")

        assert (await pages.act("/tokens/tok_0/revoke")).status_code == 404

    async def test_names_are_text(self, pages: Pages) -> None:
        await pages.sign_in("root", "admin")

        answer = await pages.act("/tokens", {"owner": NASTY, "scope": "read", "name": NASTY})

        assert answer.status_code == 200
        assert NASTY not in answer.text
        assert NASTY not in (await pages.get("/tokens")).text
        assert lines(pages.api)[NASTY].name == NASTY

    @pytest.mark.parametrize("scope", ["read", "write"])
    async def test_only_admins_see_make_and_revoke_them(self, pages: Pages, scope: str) -> None:
        other = pages.api.token("shop")
        await pages.sign_in("ann", scope)
        before = lines(pages.api)

        assert (await pages.get("/tokens")).status_code == 403
        assert (await pages.act("/tokens", {"owner": "ann", "scope": "admin"})).status_code == 403
        assert (await pages.act(f"/tokens/{before['shop'].id}/revoke")).status_code == 403

        assert lines(pages.api).keys() == before.keys()
        assert lines(pages.api)["shop"].revoked_at is None
        assert 'href="/tokens"' not in (await pages.get("/deliveries")).text
        assert other

    async def test_nothing_is_made_without_the_forms_own_mark(self, pages: Pages) -> None:
        await pages.sign_in("root", "admin")

        answer = await pages.client.post("/tokens", data={"owner": "evil", "scope": "admin"})

        assert answer.status_code == 403
        assert set(lines(pages.api)) == {"root"}


class TestSecrets:
    async def test_nothing_yet_teaches_the_one_command(self, pages: Pages) -> None:
        await pages.sign_in("ann", "write")

        assert "tracker secret" in (await pages.get("/secrets")).text

    async def test_a_secret_is_shown_once_and_the_one_before_signs_for_a_day(self, pages: Pages) -> None:
        await pages.sign_in("ann", "write")

        first = (await pages.act("/secrets")).text
        (old,) = set(SECRET.findall(first))
        answer = await pages.act("/secrets")

        (new,) = set(SECRET.findall(answer.text))
        assert "set-cookie" not in answer.headers
        assert signing(pages.api, "ann") == [new, old]
        later = (await pages.get("/secrets")).text
        assert SECRET.search(later) is None
        assert "current" in later
        assert "2026-11-23 08:00:00 UTC" in later, "until when the one before signs"
        pages.api.clock.advance(timedelta(hours=24, seconds=1).total_seconds())
        assert signing(pages.api, "ann") == [new]

    async def test_an_admin_may_choose_the_owner(self, pages: Pages) -> None:
        pages.api.token("shop")
        await pages.sign_in("root", "admin")

        answer = await pages.act("/secrets", {"owner": "shop"})

        assert signing(pages.api, "shop") == [*set(SECRET.findall(answer.text))]
        assert signing(pages.api, "root") == []

    async def test_an_owner_whom_nobody_knows_is_a_slip(self, pages: Pages) -> None:
        await pages.sign_in("root", "admin")

        answer = await pages.act("/secrets", {"owner": NASTY})

        assert answer.status_code == 422
        assert 'id="owner-wrong"' in answer.text
        assert NASTY not in answer.text
        assert signing(pages.api, NASTY) == []

    async def test_others_see_and_change_only_their_own(self, pages: Pages) -> None:
        made = "whsec_bm90LXRvLWJlLXRvbGQtdG8tYW55Ym9keQ=="
        pages.api.token("a-competitor")
        rotate = partial(access.rotate_secret, owner="a-competitor", now=pages.api.clock(), fresh=made)
        pages.api.database.write_now(rotate)
        await pages.sign_in("ann", "write")

        assert "a-competitor" not in (await pages.get("/secrets")).text
        assert (await pages.act("/secrets", {"owner": "a-competitor"})).status_code == 403

        assert signing(pages.api, "a-competitor") == [made]

    async def test_a_reader_sees_and_makes_none(self, pages: Pages) -> None:
        await pages.sign_in("ann", "read")

        assert (await pages.get("/secrets")).status_code == 403
        assert (await pages.act("/secrets")).status_code == 403
        assert signing(pages.api, "ann") == []
