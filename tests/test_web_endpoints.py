"""The pages of endpoints and upstreams: what they show, what their forms do, and to whom."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, serving
from clocks import FakeClock
from test_web_deliveries import NASTY, dead, sent, statuses
from web_harness import Pages, pages_of

from tracker.model import EndpointHealth
from tracker.store import endpoints, receivers, registrations, upstreams
from tracker.store.database import Database
from tracker.store.receivers import EndpointLine
from tracker.store.registrations import Wanted
from tracker.store.upstreams import Health
from tracker.webhooks.composer import Composer

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        api.use()
        yield pages


def receiver(api: Api, url: str = HOOK) -> EndpointLine:
    """The endpoint of a URL."""
    return api.database.read_now(partial(receivers.get, given=url, owner=None))


def fail(api: Api, failures: int) -> None:
    """Let so many attempts in a row have failed there."""
    line, health = receiver(api), EndpointHealth(failures=failures, failing_since=api.clock())
    write = partial(endpoints.change, key=line.key, before=EndpointHealth(), after=health, now=api.clock())
    api.database.write_now(write)


def disable(api: Api, reason: str) -> None:
    """Let somebody have closed the receiver."""
    close = partial(endpoints.disable, key=receiver(api).key, reason=reason, now=api.clock())
    api.database.write_now(close)


class TestList:
    async def test_nothing_yet_teaches_the_one_command(self, pages: Pages) -> None:
        await pages.sign_in()

        assert "tracker add TASK_ID --callback" in (await pages.get("/endpoints")).text

    async def test_a_receiver_is_listed_with_how_it_is_doing(self, pages: Pages) -> None:
        await sent(pages.api, "1", status_code=500)
        fail(pages.api, 1)
        disable(pages.api, "disabled by root")
        await pages.sign_in()

        text = (await pages.get("/endpoints")).text

        assert f'href="/endpoints/{receiver(pages.api).id}"' in text
        assert "https://receiver.example:443" in text
        assert "disabled by root" in text
        assert "1 failure in a row" in text
        assert re.search(r'href="/deliveries\?status=pending&amp;endpoint=end_\w+">1<', text)

    async def test_pages_go_on_below_the_last_row_and_end(self, pages: Pages) -> None:
        for number in range(51):
            await pages.api.register(f"{number}", callback_url=f"https://r-{number}.example/hook")
            pages.api.see(f"{number}")
        await pages.sign_in()

        first = await pages.get("/endpoints")
        older = first.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        second = await pages.get(older)

        assert "r-50.example" in first.text
        assert "r-0.example" not in first.text
        assert "r-0.example" in second.text
        assert 'rel="next"' not in second.text


class TestOne:
    async def test_it_tells_how_it_is_doing_and_what_was_sent_last(self, pages: Pages) -> None:
        one = await dead(pages.api, "1")
        other = await sent(pages.api, "2", url="https://other.example/hook", delivered=True, status_code=204)
        await sent(pages.api, "3", status_code=500)
        fail(pages.api, 2)
        await pages.sign_in()

        text = (await pages.get(f"/endpoints/{receiver(pages.api).id}")).text

        assert one.id in text
        assert other.id not in text
        assert re.search(r"<strong>1</strong>\s*<span>dead", text)
        assert re.search(r"<strong>1</strong>\s*<span>waiting", text)
        assert "Failing since" in text

    async def test_an_admin_closes_and_opens_it(self, pages: Pages) -> None:
        await sent(pages.api, "1", status_code=500)
        await pages.sign_in("root", "admin")
        path = f"/endpoints/{receiver(pages.api).id}"

        answer = await pages.act(f"{path}/disable")
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert "Nothing is sent to https://receiver.example:443" in (await pages.get(path)).text
        closed = receiver(pages.api)
        assert (closed.state, closed.reason) == ("disabled", "disabled by root")

        pages.api.woken.clear()
        await pages.act(f"{path}/enable")
        assert receiver(pages.api).state == "active"
        assert pages.api.woken == ["courier"]
        assert [one.url for one in pages.api.claim()] == [HOOK], "what waited is due now"

    async def test_what_it_missed_since_then_goes_again(self, pages: Pages) -> None:
        old = await dead(pages.api, "old")
        pages.api.clock.advance(7200)
        new, elsewhere = await dead(pages.api, "new"), await dead(pages.api, "else", "https://other.example/hook")
        await pages.sign_in("ann", "write")
        path = f"/endpoints/{receiver(pages.api).id}"

        answer = await pages.act(f"{path}/redeliver", {"since": "2026-11-22 09:00"})

        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert statuses(pages.api) == {old.id: "dead", new.id: "pending", elsewhere.id: "dead"}
        assert "1 message will be sent again." in (await pages.get(path)).text
        await pages.act(f"{path}/redeliver")
        assert statuses(pages.api) == {old.id: "pending", new.id: "pending", elsewhere.id: "dead"}

    async def test_a_moment_that_is_none_is_said_where_it_was_typed(self, pages: Pages) -> None:
        one = await dead(pages.api, "1")
        await pages.sign_in()

        answer = await pages.act(f"/endpoints/{receiver(pages.api).id}/redeliver", {"since": NASTY})

        assert answer.status_code == 422
        assert 'aria-describedby="since-wrong since-hint"' in answer.text
        assert 'value="&lt;script&gt;' in answer.text
        assert NASTY not in answer.text
        assert statuses(pages.api) == {one.id: "dead"}

    async def test_reasons_are_text(self, pages: Pages) -> None:
        await dead(pages.api, "1")
        disable(pages.api, f"disabled by {NASTY}")
        await pages.sign_in()

        for path in ("/endpoints", f"/endpoints/{receiver(pages.api).id}"):
            assert NASTY not in (await pages.get(path)).text


class TestRights:
    @pytest.mark.parametrize("scope", ["read", "write"])
    async def test_only_admins_open_and_close(self, pages: Pages, scope: str) -> None:
        await dead(pages.api, "1")
        await pages.sign_in("ann", scope)
        before = receiver(pages.api)
        path = f"/endpoints/{before.id}"

        for shown in ("/endpoints", path):
            text = (await pages.get(shown)).text
            assert "receiver.example" in text
            assert "/disable" not in text
            assert "/enable" not in text
        for way in ("enable", "disable"):
            assert (await pages.act(f"{path}/{way}")).status_code == 403

        assert receiver(pages.api) == before

    async def test_a_reader_sends_nothing_again(self, pages: Pages) -> None:
        one = await dead(pages.api, "1")
        await pages.sign_in("ann", "read")
        path = f"/endpoints/{receiver(pages.api).id}"

        assert "/redeliver" not in (await pages.get(path)).text
        assert (await pages.act(f"{path}/redeliver")).status_code == 403
        assert statuses(pages.api) == {one.id: "dead"}

    async def test_a_receiver_of_others_is_not_there(self, pages: Pages) -> None:
        one = await dead(pages.api, "1")
        await pages.sign_in("bob", "write")
        path = f"/endpoints/{receiver(pages.api).id}"

        assert "receiver.example" not in (await pages.get("/endpoints")).text
        assert (await pages.get(path)).status_code == 404
        assert (await pages.act(f"{path}/redeliver")).status_code == 404
        assert statuses(pages.api) == {one.id: "dead"}

    async def test_owners_who_share_a_receiver_see_and_send_only_their_own(self, pages: Pages) -> None:
        hers = await dead(pages.api, "1")
        pages.api.use("bob")
        his = await dead(pages.api, "2")
        await pages.sign_in("bob", "write")
        path = f"/endpoints/{receiver(pages.api).id}"

        text = (await pages.get(path)).text
        assert his.id in text
        assert hers.id not in text
        await pages.act(f"{path}/redeliver")

        assert statuses(pages.api) == {hers.id: "dead", his.id: "pending"}


class TestUpstreams:
    async def test_each_is_told_with_its_pause_and_reason(self, pages: Pages) -> None:
        now = pages.api.clock()
        paused = Health(
            name="default",
            state="paused",
            reason="throttled: HTTP 429",
            paused_until=now + timedelta(seconds=30),
            last_error=f"HTTP 429: {NASTY}",
            last_error_at=now,
            look_size=100,
        )
        pages.api.database.write_now(partial(upstreams.write, health=paused))
        await pages.api.register("1")
        await pages.sign_in()

        text = (await pages.get("/upstreams")).text

        assert "s-paused" in text
        assert "throttled: HTTP 429" in text
        assert "https://gateway.example/mj" in text
        assert "100 tasks in a request" in text
        assert 'href="/tasks?upstream=default">1<' in text
        assert "s-unknown" in text, "nobody has asked the other one"
        assert NASTY not in text
        assert "sk-hidden" not in text

    async def test_one_that_only_tasks_name_is_told_too(self, pages: Pages) -> None:
        wanted = [Wanted(upstream="left over", task_id="1")]
        register = partial(
            registrations.register,
            wanted=wanted,
            owner="ann",
            sees_all=False,
            default_format="standard",
            now=pages.api.clock(),
            compose=Composer(),
        )
        pages.api.database.write_now(register)
        await pages.sign_in()

        text = (await pages.get("/upstreams")).text

        assert "left over" in text
        assert "s-not-configured" in text
        assert 'href="/tasks?upstream=left+over"' in text or 'href="/tasks?upstream=left%20over"' in text

    async def test_tasks_of_others_are_not_counted(self, pages: Pages) -> None:
        await pages.api.register("1")
        await pages.sign_in("bob", "read")

        assert 'href="/tasks?upstream=default">0<' in (await pages.get("/upstreams")).text

    async def test_where_none_is_configured_the_page_says_how(self, database: Database, clock: FakeClock) -> None:
        async with serving(database, clock, upstreams={}) as api, pages_of(api) as pages:
            await pages.sign_in()

            assert "TRACKER_UPSTREAMS__DEFAULT__BASE_URL" in (await pages.get("/upstreams")).text
