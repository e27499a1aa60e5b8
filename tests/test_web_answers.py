"""What pages answer where something is odd: a part that is not there, a form that went wrong, a cookie of others."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest
from api_harness import HOOK, ON_ONE_DATABASE, serving
from clocks import FakeClock
from web_harness import Pages, pages_of

from tracker.desk import Desk, listening
from tracker.errors import UnavailableError
from tracker.store import sessions
from tracker.store.database import Database
from tracker.web import create_pages

pytestmark = pytest.mark.anyio
PART = {"hx-request": "true"}


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        yield pages


@ON_ONE_DATABASE
class TestPart:
    async def test_of_what_is_gone_is_told_as_that(self, pages: Pages) -> None:
        await pages.sign_in()

        assert (await pages.get("/tasks/tsk_gone", **PART)).status_code == 404

    async def test_while_the_database_is_away_is_told_as_that(
        self, pages: Pages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await pages.sign_in()

        def away(*_: object, **__: object) -> None:
            raise UnavailableError("the database is out of reach: at a place that is nobody's business")

        monkeypatch.setattr(sessions, "find", away)

        for headers in ({}, PART):
            answer = await pages.get("/tasks", **headers)
            assert answer.status_code == 503
            assert "nobody's business" not in answer.text

    @pytest.mark.parametrize("path", ["/register", "/sign-in?next=/"])
    async def test_of_a_page_that_has_none_is_the_page(self, pages: Pages, path: str) -> None:
        if path == "/register":
            await pages.sign_in()

        answer = await pages.get(path, **PART)

        assert answer.status_code == 200
        assert "<form" in answer.text


@ON_ONE_DATABASE
class TestFormThatWentWrong:
    async def test_the_page_around_it_goes_on_where_the_page_is(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1", callback_url=HOOK)
        pages.api.see("1")
        pages.api.attempt(delivered=False)
        (endpoint,) = (await pages.api.client.get("/v1/endpoints")).json()["endpoints"]
        await pages.sign_in()
        page = f"/tasks/{task['id']}"

        answer = await pages.act(f"{page}/callbacks", {"callback_url": "ftp://receiver.example"})
        other = await pages.act(f"/endpoints/{endpoint['id']}/redeliver", {"since": "some day"})
        nothing = await pages.act("/tasks/act", {"do": "burn"})

        assert (answer.status_code, other.status_code, nothing.status_code) == (422, 422, 422)
        assert f'hx-get="{page}"' in answer.text
        assert f'name="next" value="{page}"' in answer.text
        assert f'name="next" value="/endpoints/{endpoint["id"]}"' in other.text
        assert 'name="next" value="/tasks"' in nothing.text

    async def test_a_page_and_a_form_of_one_address_stay_there(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.act("/register", {"task_id": ""})

        assert 'name="next" value="/register"' in answer.text

    async def test_what_is_wrong_is_told_where_the_form_has_no_field_for_it(
        self, database: Database, clock: FakeClock
    ) -> None:
        async with serving(database, clock) as before, pages_of(before) as pages:
            pages.api.use()
            task = await before.register("1", upstream="spare")
        only_one = {"default": {"base_url": "https://a.example"}}
        async with serving(database, clock, upstreams=only_one) as api, pages_of(api) as pages:
            await pages.sign_in()
            answer = await pages.act(f"/tasks/{task['id']}/callbacks", {"callback_url": HOOK})

        assert answer.status_code == 422
        assert "is not configured" in answer.text

    @pytest.mark.parametrize("origin", ["http://[", "http://[localhost", "http://a]"])
    async def test_an_origin_that_is_none_is_another_one(self, pages: Pages, origin: str) -> None:
        answer = await pages.client.post("/sign-in", data={"token": pages.api.token()}, headers={"origin": origin})

        assert answer.status_code == 403


@ON_ONE_DATABASE
class TestNotice:
    async def test_a_long_one_fits_into_what_browsers_keep(self, pages: Pages) -> None:
        await pages.sign_in()

        for character in "a中😀":
            answer = await pages.act("/deliveries/redeliver", {"endpoint": character * 1_500, "all": "1"})
            assert answer.status_code == 303
            assert len(answer.headers["set-cookie"].partition(";")[0]) < 4_000
            assert character * 100 in (await pages.get("/deliveries")).text

    async def test_behind_a_proxy_that_speaks_tls_it_never_leaves_that(self, pages: Pages) -> None:
        await pages.sign_in()
        csrf, headers = await pages.csrf(), {"x-forwarded-proto": "https"}

        answer = await pages.client.post("/tasks/act", data={"csrf": csrf, "do": "drop"}, headers=headers)

        assert "secure" in answer.headers["set-cookie"].lower()

    @pytest.mark.parametrize("told", [b"1", b"null", b"done", b"done:", b"done:\xff", b'["done", "\\ud800"]', b"x:<b>"])
    async def test_one_that_others_made_breaks_no_page(self, pages: Pages, told: bytes) -> None:
        value = urlsafe_b64encode(told).decode()

        answer = await pages.get("/sign-in", cookie=f"tracker_notice={value}")

        assert answer.status_code == 200
        assert "<b>" not in answer.text


class TestAddress:
    async def test_one_that_no_page_gave_out_is_of_no_page(self, pages: Pages) -> None:
        await pages.sign_in()

        for path in ("/tasks/tsk_%00", "/deliveries/%00", "/endpoints/end_%00x", "/tasks/%ff%0a"):
            assert (await pages.get(path)).status_code == 404, path

    async def test_a_text_that_no_database_can_store_is_refused(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.act("/tasks/act", {"do": "refresh", "id": "tsk_\x00"})

        assert answer.status_code == 422

    async def test_the_command_to_copy_sends_no_token_around_the_proxys_tls(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1")
        await pages.sign_in()

        answer = await pages.get(f"/tasks/{task['id']}", **{"x-forwarded-proto": "https"})

        assert f"curl -s https://localhost/v1/tasks/{task['id']}" in answer.text


@ON_ONE_DATABASE
class TestSessionBefore:
    async def test_who_signs_in_again_leaves_no_session_behind(self, pages: Pages) -> None:
        await pages.sign_in()
        first = pages.client.cookies["tracker_session"]

        await pages.sign_in("bob")

        assert pages.api.database.read_now(partial(sessions.find, presented=first, now=pages.api.clock())) is None

    async def test_who_comes_by_a_link_leaves_none_either(self, pages: Pages) -> None:
        await pages.sign_in()
        first = pages.client.cookies["tracker_session"]
        link = _made_link(pages)

        assert (await pages.client.head(f"/sign-in?link={link}")).status_code == 303, "a look uses nothing up"
        assert (await pages.get(f"/sign-in?link={link}")).status_code == 200

        assert pages.client.cookies["tracker_session"] != first
        assert pages.api.database.read_now(partial(sessions.find, presented=first, now=pages.api.clock())) is None


@ON_ONE_DATABASE
class TestLinkFromElsewhere:
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_nobody_is_signed_in_as_another_by_a_page_elsewhere(self, pages: Pages, site: str) -> None:
        link = _made_link(pages)

        answer = await pages.get(f"/sign-in?link={link}&next=/tasks", **{"sec-fetch-site": site})

        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert f'name="link" value="{link}"' in answer.text

    async def test_who_says_that_it_is_theirs_is_signed_in_by_it(self, pages: Pages) -> None:
        link = _made_link(pages)

        answer = await pages.client.post("/sign-in", data={"link": link, "next": "/tasks"})

        assert (answer.status_code, answer.headers["location"]) == (303, "/tasks")
        assert (await pages.get("/tasks")).status_code == 200
        again = await pages.client.post("/sign-in", data={"link": link})
        assert (again.status_code, "was used already" in again.text) == (403, True)

    async def test_who_comes_from_a_terminal_is_asked_nothing(self, pages: Pages) -> None:
        answer = await pages.get(f"/sign-in?link={_made_link(pages)}", **{"sec-fetch-site": "none"})

        assert "tracker_session" in answer.headers["set-cookie"]


def _made_link(pages: Pages) -> str:
    link = sessions.new_link()
    by = sessions.SignIn(owner="ann", scope="admin", token_id=None)
    pages.api.database.write_now(partial(sessions.add_link, made=link, by=by, now=pages.api.clock()))
    return link


@ON_ONE_DATABASE
class TestStream:
    async def test_who_takes_nothing_of_it_holds_no_place(self, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
        await pages.sign_in()
        monkeypatch.setattr(listening, "TAKEN_WITHIN_SECONDS", 0.05)
        ports = pages.api.app.state.ports
        desk = Desk.of(ports)
        cookie = f"tracker_session={pages.client.cookies['tracker_session']}"
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/live",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())],
            "server": ("localhost", 80),
            "scheme": "http",
        }
        held: list[int] = []

        async def receive() -> Any:  # noqa: ANN401 - ASGI's own
            return await asyncio.Event().wait()

        async def take_nothing(message: Any) -> None:  # noqa: ANN401 - ASGI's own
            if message["type"] == "http.response.body":
                held.append(desk.news.streams)
                await asyncio.Event().wait()

        async with asyncio.timeout(5):
            await create_pages(ports, desk)(scope, receive, take_nothing)

        assert held == [1]
        assert desk.news.streams == 0

    async def test_a_mere_look_at_it_ends(self, pages: Pages) -> None:
        await pages.sign_in()

        async with asyncio.timeout(5):
            answer = await pages.client.head("/live")

        assert answer.headers["content-type"].startswith("text/event-stream")

    async def test_beyond_so_many_a_page_is_told_to_ask_now_and_then(self, pages: Pages) -> None:
        await pages.sign_in()
        ports = pages.api.app.state.ports
        desk = Desk.of(ports)
        desk.news.streams = listening.MOST_STREAMS
        session = {"tracker_session": pages.client.cookies["tracker_session"]}
        transport = httpx.ASGITransport(create_pages(ports, desk))

        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", cookies=session) as client:
            answer = await client.get("/live")

        assert answer.status_code == 503
        assert desk.news.streams == listening.MOST_STREAMS
