"""Signing in to the pages, and what attacks on a session come to."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from api_harness import ON_ONE_DATABASE, serving
from clocks import FakeClock
from web_harness import Pages, pages_of

from tracker.store import sessions
from tracker.store.database import Database
from tracker.store.sessions import SignIn
from tracker.web.forms import csrf_of

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        yield pages


class TestSession:
    async def test_who_is_not_signed_in_is_led_there_and_back(self, pages: Pages) -> None:
        answer = await pages.get("/live?a=b")

        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Flive%3Fa%3Db"

    async def test_a_token_begins_a_session_that_no_script_and_no_other_site_can_use(self, pages: Pages) -> None:
        answer = await pages.client.post("/sign-in", data={"token": pages.api.token(scope="read"), "next": "/tasks"})

        assert (answer.status_code, answer.headers["location"]) == (303, "/tasks")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie
        assert "secure" not in cookie

    async def test_behind_a_proxy_that_speaks_tls_the_cookie_never_leaves_it(self, pages: Pages) -> None:
        headers = {"x-forwarded-proto": "https"}
        answer = await pages.client.post("/sign-in", data={"token": pages.api.token()}, headers=headers)

        assert "secure" in answer.headers["set-cookie"].lower()

    async def test_the_token_itself_is_never_in_the_cookie_and_only_a_hash_is_kept(self, pages: Pages) -> None:
        token = await pages.sign_in()

        session = pages.client.cookies["tracker_session"]
        assert token not in session
        assert pages.api.database.read_now(partial(sessions.find, presented=session, now=pages.api.clock()))
        kept = pages.api.database.read_now(lambda c: c.exec_driver_sql("SELECT * FROM session").all())
        assert session not in str(kept)

    @pytest.mark.parametrize("token", ["", "trk_unknown", "ses_x", "trk_" + "x" * 500, "trk_é"])
    async def test_what_is_no_token_begins_nothing(self, pages: Pages, token: str) -> None:
        answer = await pages.client.post("/sign-in", data={"token": token})

        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    async def test_a_revoked_token_ends_its_sessions_at_once(self, pages: Pages) -> None:
        token = await pages.sign_in()
        assert (await pages.get("/nowhere")).status_code == 404

        pages.revoke(token)

        assert (await pages.get("/live")).status_code == 303

    async def test_a_session_ends_after_its_time(self, pages: Pages) -> None:
        await pages.sign_in()
        pages.api.clock.advance((sessions.LASTS + timedelta(seconds=1)).total_seconds())

        assert (await pages.get("/live")).status_code == 303

    async def test_signing_out_ends_the_session_for_whoever_kept_its_cookie(self, pages: Pages) -> None:
        await pages.sign_in()
        kept = pages.client.cookies["tracker_session"]

        answer = await pages.act("/sign-out")

        assert answer.status_code == 303
        pages.client.cookies.clear()
        assert (await pages.get("/live", cookie=f"tracker_session={kept}")).status_code == 303

    @pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/\tx"])
    async def test_it_leads_to_no_page_of_others(self, pages: Pages, wanted: str) -> None:
        answer = await pages.client.post("/sign-in", data={"token": pages.api.token(), "next": wanted})

        assert answer.headers["location"] == "/"

    async def test_a_page_that_keeps_itself_fresh_leaves_as_a_whole_when_its_session_is_over(
        self, pages: Pages
    ) -> None:
        answer = await pages.get("/live", **{"hx-request": "true"})

        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


class TestLink:
    async def test_a_link_signs_in_once(self, pages: Pages) -> None:
        link = sessions.new_link()
        by = SignIn(owner="ann", scope="admin", token_id=None)
        pages.api.database.write_now(partial(sessions.add_link, made=link, by=by, now=pages.api.clock()))

        first = await pages.get(f"/sign-in?link={link}")
        assert first.status_code == 200
        assert "tracker_session" in pages.client.cookies

        pages.client.cookies.clear()
        assert (await pages.get(f"/sign-in?link={link}")).status_code == 403
        assert "tracker_session" not in pages.client.cookies

    async def test_a_link_is_good_for_minutes_only(self, pages: Pages) -> None:
        link = sessions.new_link()
        by = SignIn(owner="ann", scope="admin", token_id=None)
        pages.api.database.write_now(partial(sessions.add_link, made=link, by=by, now=pages.api.clock()))
        pages.api.clock.advance(sessions.LINK_LASTS.total_seconds() + 1)

        assert (await pages.get(f"/sign-in?link={link}")).status_code == 403

    async def test_a_link_is_no_session_and_a_session_no_link(self, pages: Pages) -> None:
        link = sessions.new_link()
        by = SignIn(owner="ann", scope="admin", token_id=None)
        pages.api.database.write_now(partial(sessions.add_link, made=link, by=by, now=pages.api.clock()))
        assert pages.api.database.read_now(partial(sessions.find, presented=link, now=pages.api.clock())) is None

        await pages.sign_in()
        session = pages.client.cookies["tracker_session"]
        assert (await pages.get(f"/sign-in?link={session}")).status_code == 403


class TestForgery:
    @pytest.mark.parametrize("csrf", [None, "", "0" * 64, csrf_of("ses_of_somebody_else")])
    async def test_a_form_without_the_sessions_own_mark_does_nothing(self, pages: Pages, csrf: str | None) -> None:
        await pages.sign_in()

        answer = await pages.client.post("/sign-out", data={"other": "1"} if csrf is None else {"csrf": csrf})

        assert answer.status_code == 403
        assert (await pages.get("/nowhere")).status_code == 404

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://localhost:9999"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ],
    )
    async def test_a_form_from_another_origin_does_nothing_even_with_the_mark(
        self, pages: Pages, headers: dict[str, str]
    ) -> None:
        await pages.sign_in()
        csrf = await pages.csrf()

        answer = await pages.client.post("/sign-out", data={"csrf": csrf}, headers=headers)

        assert answer.status_code == 403
        signing_in = await pages.client.post("/sign-in", data={"token": pages.api.token()}, headers=headers)
        assert signing_in.status_code == 403

    async def test_json_and_uploads_are_no_forms(self, pages: Pages) -> None:
        await pages.sign_in()
        csrf = await pages.csrf()

        assert (await pages.client.post("/sign-out", json={"csrf": csrf})).status_code == 422
        assert (await pages.client.post("/sign-out", files={"csrf": csrf})).status_code == 422

    async def test_a_form_that_never_ends_is_cut_off(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.client.post("/sign-out", data={"csrf": "x" * 300_000})

        assert answer.status_code == 422

    async def test_actions_answer_to_no_other_method(self, pages: Pages) -> None:
        await pages.sign_in()

        assert (await pages.get("/sign-out")).status_code == 405


class TestHost:
    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:8640", "localhost.evil.example", "", "127.0.0.1.nip.io", "[::1", "::1", "a b"],
    )
    async def test_a_page_elsewhere_cannot_reach_us_by_a_name_of_its_own(self, pages: Pages, host: str) -> None:
        answer = await pages.get("/sign-in", host=host)

        assert answer.status_code == 421
        assert "trk_" not in answer.text

    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:8640", "127.0.0.1:8640", "[::1]:8640", "192.168.1.7", "tracker.localhost:1"]
    )
    async def test_this_machine_and_addresses_are_ours(self, pages: Pages, host: str) -> None:
        assert (await pages.get("/sign-in", host=host)).status_code == 200

    async def test_names_that_the_configuration_gives_are_ours(self, database: Database, clock: FakeClock) -> None:
        async with serving(database, clock, web={"hosts": ["tracker.example"]}) as api, pages_of(api) as pages:
            assert (await pages.get("/sign-in", host="tracker.example")).status_code == 200
            assert (await pages.get("/sign-in", host="Tracker.Example.:443")).status_code == 200
            assert (await pages.get("/sign-in", host="a.tracker.example")).status_code == 421


class TestEveryAnswer:
    @pytest.mark.parametrize("path", ["/sign-in", "/nowhere", "/live", "/static/icon.svg"])
    async def test_it_tells_the_browser_to_be_careful(self, pages: Pages, path: str) -> None:
        answer = await pages.get(path)

        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"

    async def test_pages_are_kept_by_nobody_and_files_for_ever(self, pages: Pages) -> None:
        assert (await pages.get("/sign-in")).headers["cache-control"] == "no-store"
        assert "immutable" in (await pages.get("/static/page.css")).headers["cache-control"]

    async def test_a_program_that_lost_its_way_gets_a_problem_it_can_read(self, pages: Pages) -> None:
        answer = await pages.get("/v2/tasks", accept="application/json")

        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


class TestPreferences:
    async def test_a_language_that_was_chosen_stays(self, pages: Pages) -> None:
        await pages.client.post("/preferences", data={"language": "zh-Hans", "next": "/sign-in"})

        assert 'lang="zh-Hans"' in (await pages.get("/sign-in")).text

    async def test_colours_that_were_chosen_stay(self, pages: Pages) -> None:
        await pages.client.post("/preferences", data={"theme": "dark"})

        assert 'data-theme="dark"' in (await pages.get("/sign-in")).text

    async def test_what_is_no_language_is_refused(self, pages: Pages) -> None:
        assert (await pages.client.post("/preferences", data={"language": "xx"})).status_code == 422


class TestFault:
    async def test_a_fault_of_ours_is_logged_and_told_without_its_details(
        self, pages: Pages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await pages.sign_in()

        def broken(*_: object, **__: object) -> None:
            raise AssertionError("a secret of ours")

        monkeypatch.setattr(sessions, "find", broken)
        answer = await pages.get("/tasks")

        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.headers["content-security-policy"]
