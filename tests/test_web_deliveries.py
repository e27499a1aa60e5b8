"""The pages of deliveries: what they show, what their forms do, and to whom."""

import html
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, serving
from clocks import FakeClock
from web_harness import Pages, pages_of

from tracker.model import Delivery, Outcome, Phase, Status
from tracker.store import access, endpoints, outcomes, receivers
from tracker.store.database import Database
from tracker.store.outcomes import Settlement
from tracker.webhooks import sign

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]
NASTY = "<script>alert(1)</script>"
SECRET = "whsec_bm90LXRvLWJlLXRvbGQtdG8tYW55Ym9keQ=="


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        api.use()
        yield pages


def tell(api: Api, *, is_last: bool = False, **fields: object) -> Delivery:
    """Let the one message that is due have been sent, with this outcome."""
    (claimed,) = api.claim()
    fields = {"delivered": False, "duration": timedelta(milliseconds=1420), **fields}
    later = None if is_last or fields["delivered"] else api.clock() + timedelta(hours=1)
    settlement = Settlement(
        delivery=claimed,
        outcome=Outcome(**fields),  # type: ignore[arg-type]
        now=api.clock(),
        next_attempt_at=later,
    )
    api.database.write_now(partial(outcomes.settle, settlements=[settlement]))
    return claimed


async def sent(api: Api, name: str, *, url: str = HOOK, is_last: bool = False, **fields: object) -> Delivery:
    """A message about a task that has ended, after one attempt."""
    await api.register(name, callback_url=url)
    api.see(name)
    return tell(api, is_last=is_last, **fields)


async def dead(api: Api, name: str, url: str = HOOK) -> Delivery:
    """A message that was given up."""
    return await sent(api, name, url=url, is_last=True, status_code=500, error="status")


def statuses(api: Api) -> dict[str, str]:
    """Where each message stands."""
    rows = api.database.read_now(lambda c: c.exec_driver_sql("SELECT id, status FROM delivery").all())
    return {row[0]: row[1] for row in rows}


def copied(text: str) -> list[str]:
    """What the buttons of a page copy."""
    return [html.unescape(found) for found in re.findall(r'data-copy="([^"]*)"', text)]


def run(command: str, folder: Path) -> str:
    """What a shell prints for it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = ["/bin/sh", "-c", command]
    done = subprocess.run(shell, env={"PATH": path}, cwd=folder, capture_output=True, timeout=30, check=True)
    return done.stdout.decode().strip()


class TestList:
    async def test_nothing_yet_teaches_the_one_command(self, pages: Pages) -> None:
        await pages.sign_in()

        assert "tracker add TASK_ID --callback" in (await pages.get("/deliveries")).text

    async def test_a_message_is_listed_with_why_it_has_not_arrived(self, pages: Pages) -> None:
        one = await sent(pages.api, "1", status_code=503, error="status")
        await pages.sign_in()

        text = (await pages.get("/deliveries")).text

        assert f'href="/deliveries/{one.id}"' in text
        assert "waiting for attempt 2 at 2026-11-22 09:00:00 UTC after HTTP 503" in text
        assert HOOK in text

    async def test_the_address_says_which(self, pages: Pages) -> None:
        await pages.sign_in()
        first = await dead(pages.api, "first")
        pages.api.clock.advance(7200)
        other = await sent(pages.api, "other", url="https://other.example/hook", delivered=True, status_code=204)
        task = (await pages.api.client.get("/v1/tasks?task_id=first")).json()["tasks"][0]["id"]

        for where in (
            *("status=dead", "endpoint=https://receiver.example", f"task={task}", "task=first"),
            *("until=2026-11-22 09:00", "status=dead&type=task.succeeded&since=2026-11-22"),
        ):
            text = (await pages.get(f"/deliveries?{where}")).text
            assert first.id in text, where
            assert other.id not in text, where

    async def test_conditions_that_cannot_be_used_are_named_where_they_were_typed(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.get(f"/deliveries?since=yesterday&endpoint={NASTY}&status=lost")

        assert answer.status_code == 422
        assert re.search(
            r'name="since" value="yesterday"[^>]* aria-invalid="true" aria-describedby="since-wrong"', answer.text
        )
        assert 'id="since-wrong"' in answer.text
        assert 'id="status-wrong"' in answer.text
        assert NASTY not in answer.text

    @pytest.mark.parametrize("where", ["task=nobody", "endpoint=end_0", "task=tsk_0"])
    async def test_a_name_that_nobody_has_is_said_at_its_field(self, pages: Pages, where: str) -> None:
        await pages.sign_in()
        field = where.partition("=")[0]

        answer = await pages.get(f"/deliveries?{where}")

        assert answer.status_code == 422
        assert f'id="{field}-wrong" role="alert">there is no {field}' in answer.text

    async def test_an_id_that_several_upstreams_know_asks_which(self, pages: Pages) -> None:
        made = [await pages.api.register("twin", upstream=name, callback_url=HOOK) for name in ("default", "spare")]
        await pages.sign_in()

        answer = await pages.get("/deliveries?task=twin")

        assert answer.status_code == 422
        assert all(one["id"] in answer.text for one in made)

    async def test_pages_go_on_below_the_last_row_and_end(self, pages: Pages) -> None:
        for number in range(51):
            await pages.api.register(f"number-{number}", callback_url=HOOK)
            pages.api.see(f"number-{number}")
        await pages.sign_in()

        first = await pages.get("/deliveries?status=pending")
        older = first.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        second = await pages.get(older)

        assert "status=pending" in older
        assert "number-50<" in first.text
        assert "number-0<" not in first.text
        assert "number-0<" in second.text
        assert "number-1<" not in second.text
        assert 'rel="next"' not in second.text

    async def test_the_script_gets_only_what_lives(self, pages: Pages) -> None:
        await pages.sign_in()
        one = await dead(pages.api, "1")

        answer = await pages.get("/deliveries", **{"hx-request": "true"})

        assert answer.text.strip().startswith('<section id="live"')
        assert one.id in answer.text
        assert "<html" not in answer.text


class TestSendingAgain:
    async def test_those_that_were_ticked_go_again_and_no_others(self, pages: Pages) -> None:
        await pages.sign_in()
        first, second, third = [await dead(pages.api, name) for name in ("1", "2", "3")]
        pages.api.woken.clear()

        answer = await pages.act("/deliveries/redeliver", {"id": [first.id, third.id], "status": "dead"})

        assert (answer.status_code, answer.headers["location"]) == (303, "/deliveries?status=dead")
        assert statuses(pages.api) == {first.id: "pending", second.id: "dead", third.id: "pending"}
        assert "2 messages will be sent again." in (await pages.get("/deliveries")).text
        assert pages.api.woken == ["courier"]

    async def test_one_that_cannot_go_does_not_keep_the_others(self, pages: Pages) -> None:
        await pages.sign_in()
        first = await dead(pages.api, "1")
        await pages.api.register("2", callback_url=HOOK)
        pages.api.see("2")
        (out,) = pages.api.claim()

        await pages.act("/deliveries/redeliver", {"id": [out.id, "msg_nobodys", first.id]})

        assert statuses(pages.api)[first.id] == "pending"
        told = (await pages.get("/deliveries")).text
        assert (
            "1 message will be sent again. 2 messages are not sent again; the first one: attempt 1 of it is under way"
            in told
        )

    async def test_nothing_ticked_is_said(self, pages: Pages) -> None:
        await pages.sign_in()
        one = await dead(pages.api, "1")

        await pages.act("/deliveries/redeliver", {"status": "dead"})

        assert statuses(pages.api) == {one.id: "dead"}
        assert "No message was ticked." in (await pages.get("/deliveries")).text

    async def test_all_that_match_go_again(self, pages: Pages) -> None:
        await pages.sign_in()
        old = await dead(pages.api, "old")
        pages.api.clock.advance(7200)
        new = await dead(pages.api, "new")
        elsewhere = await dead(pages.api, "elsewhere", "https://other.example/hook")
        where = {"status": "dead", "endpoint": "https://receiver.example", "since": "2026-11-22 09:00"}

        page = await pages.get("/deliveries")
        assert 'name="all"' not in page.text, "nobody has said which"
        page = await pages.client.get("/deliveries", params=where)
        assert 'name="all"' in page.text
        await pages.act("/deliveries/redeliver", {**where, "all": "1"})

        assert statuses(pages.api) == {old.id: "dead", new.id: "pending", elsewhere.id: "dead"}

    @pytest.mark.parametrize("where", [{"task": "1"}, {"type": "task.failed"}])
    async def test_each_condition_counts(self, pages: Pages, where: dict[str, str]) -> None:
        await pages.sign_in()
        await pages.api.register("1", callback_url=HOOK)
        pages.api.see("1", Status.FAILED)
        wanted = tell(pages.api, is_last=True, status_code=500)
        other = await dead(pages.api, "2")

        await pages.act("/deliveries/redeliver", {"status": "dead", "all": "1", **where})

        assert statuses(pages.api) == {wanted.id: "pending", other.id: "dead"}

    @pytest.mark.parametrize("where", [{}, {"status": "pending"}, {"status": "dead", "since": "x"}, {"task": "none"}])
    async def test_all_of_what_nobody_named_go_nowhere(self, pages: Pages, where: dict[str, str]) -> None:
        await pages.sign_in()
        one = await dead(pages.api, "1")

        answer = await pages.act("/deliveries/redeliver", {"all": "1", **where})

        assert statuses(pages.api) == {one.id: "dead"}
        assert 'class="notice problem"' in (await pages.get(answer.headers["location"])).text


class TestOne:
    async def test_every_attempt_is_told_in_full(self, pages: Pages) -> None:
        await pages.sign_in()
        one = await sent(pages.api, "1", error="timeout", phase=Phase.HEADERS, detail="no answer came in time")
        pages.api.clock.advance(3600)
        tell(pages.api, status_code=503, error="status", detail="the receiver answered 503", response="try later")

        text = (await pages.get(f"/deliveries/{one.id}")).text

        assert "waiting for attempt 3 at 2026-11-22 10:00:00 UTC after HTTP 503" in text
        assert 'id="attempt-1"' in text
        assert 'id="attempt-2"' in text
        assert "no answer came in time" in text
        assert ">headers<" in text
        assert "HTTP 503" in text
        assert "1.42 sec" in text
        assert "try later" in text
        assert "2026-11-22 08:00:00 UTC" in text

    async def test_the_request_is_told_as_it_is_sent(self, pages: Pages) -> None:
        await pages.sign_in()
        one = await sent(pages.api, "1", delivered=True, status_code=204)

        text = html.unescape((await pages.get(f"/deliveries/{one.id}")).text)

        assert f"POST {HOOK}" in text
        assert one.id in text
        assert str(int(pages.api.clock().timestamp())) in text
        assert '  "type": "task.succeeded",\n' in text
        assert "tracker/" in text

    async def test_its_commands_send_the_same_body_and_make_the_same_signature(
        self, pages: Pages, tmp_path: Path
    ) -> None:
        """Whatever stands in them, a shell takes it for text."""
        quotes = 'it\'s "$(touch hacked)" `touch hacked` \\ 猪 %s'
        await pages.sign_in("ann", "write")
        await pages.api.register("1", callback_url=f"{HOOK}?a=1&b='2'", metadata=quotes)
        pages.api.see("1")
        one = tell(pages.api, delivered=True, status_code=204)

        (signing, posting) = [text for text in copied((await pages.get(f"/deliveries/{one.id}")).text) if "{" in text]

        assert shlex.split(posting)[-1] == one.body
        assert one.url in shlex.split(posting)
        empty = tmp_path / "empty"
        empty.mkdir()
        printed = run(signing.replace("'whsec_…'", SECRET), empty)
        expected = sign([SECRET], one.id, int(pages.api.clock().timestamp()), one.body.encode())
        assert printed == expected
        assert list(empty.iterdir()) == []

    async def test_an_admin_is_told_whose_secret_signs_and_never_the_secret(self, pages: Pages) -> None:
        make = partial(access.rotate_secret, owner="ann", now=pages.api.clock(), fresh=SECRET)
        pages.api.database.write_now(make)
        one = await dead(pages.api, "1")
        await pages.sign_in("root", "admin")

        text = html.unescape((await pages.get(f"/deliveries/{one.id}")).text)

        assert 'WEBHOOK_SECRET="$(tracker secret show --owner ann)"' in text
        assert SECRET not in text

    async def test_what_people_and_receivers_wrote_is_text(self, pages: Pages) -> None:
        await pages.sign_in()
        await pages.api.register(f"{NASTY}1", callback_url=f"{HOOK}/{NASTY}", metadata={"note": NASTY})
        pages.api.see(f"{NASTY}1")
        one = tell(pages.api, response=NASTY, detail=NASTY, error=NASTY, status_code=500)

        for path in ("/deliveries", f"/deliveries/{one.id}", f"/deliveries?task={NASTY}1"):
            answer = await pages.get(path)
            assert answer.status_code == 200, path
            assert NASTY not in answer.text
            assert html.escape(NASTY) in answer.text

    async def test_what_can_be_typed_is_told_from_what_is_said_around_it(self, pages: Pages) -> None:
        """Also where somebody's words stand in the same sentence."""
        await pages.sign_in()
        gone = await dead(pages.api, "1")
        held = await sent(pages.api, "2", url="https://other.example/hook", status_code=500)
        look = partial(receivers.get, given="https://other.example", owner=None)
        line = pages.api.database.read_now(look)
        close = partial(endpoints.disable, key=line.key, reason=f"disabled by {NASTY}", now=pages.api.clock())
        pages.api.database.write_now(close)

        assert f"<code>tracker redeliver {gone.id}</code>" in (await pages.get(f"/deliveries/{gone.id}")).text
        text = (await pages.get(f"/deliveries/{held.id}")).text
        assert f"<code>tracker endpoints enable {line.id}</code>" in text
        assert f"disabled by {html.escape(NASTY)}" in text
        assert NASTY not in text

    async def test_it_is_sent_again(self, pages: Pages) -> None:
        await pages.sign_in("ann", "write")
        one = await dead(pages.api, "1")
        assert "/redeliver" in (await pages.get(f"/deliveries/{one.id}")).text

        answer = await pages.act(f"/deliveries/{one.id}/redeliver")

        assert (answer.status_code, answer.headers["location"]) == (303, f"/deliveries/{one.id}")
        assert statuses(pages.api) == {one.id: "pending"}
        assert "It is sent now" in (await pages.get(f"/deliveries/{one.id}")).text

    async def test_one_under_way_says_why_it_is_not(self, pages: Pages) -> None:
        await pages.sign_in()
        await pages.api.register("1", callback_url=HOOK)
        pages.api.see("1")
        (one,) = pages.api.claim()

        answer = await pages.act(f"/deliveries/{one.id}/redeliver")

        assert "under way" in (await pages.get(answer.headers["location"])).text

    async def test_one_whose_body_was_tidied_away_is_not_offered_again(self, pages: Pages) -> None:
        await pages.sign_in()
        one = await sent(pages.api, "1", delivered=True, status_code=204)
        pages.api.database.write_now(lambda c: c.exec_driver_sql("UPDATE delivery SET body = NULL").rowcount)

        text = (await pages.get(f"/deliveries/{one.id}")).text

        assert "retention.bodies" in text
        assert f'action="/deliveries/{one.id}/redeliver"' not in text
        assert "curl" not in text

    async def test_attempts_that_were_tidied_away_are_counted(self, pages: Pages) -> None:
        await pages.sign_in()
        one = await sent(pages.api, "1", delivered=True, status_code=204)
        pages.api.database.write_now(lambda c: c.exec_driver_sql("DELETE FROM attempt").rowcount)

        assert "1 older attempt was tidied away" in (await pages.get(f"/deliveries/{one.id}")).text


class TestRights:
    async def test_a_reader_sees_no_form_and_changes_nothing(self, pages: Pages) -> None:
        one = await dead(pages.api, "1")
        await pages.sign_in("ann", "read")

        for path in ("/deliveries?status=dead", f"/deliveries/{one.id}"):
            text = (await pages.get(path)).text
            assert one.id in text
            assert "redeliver" not in re.sub(r"tracker redeliver", "", text)
        for path, fields in (
            (f"/deliveries/{one.id}/redeliver", {}),
            ("/deliveries/redeliver", {"id": one.id}),
            ("/deliveries/redeliver", {"all": "1", "status": "dead"}),
        ):
            assert (await pages.act(path, fields)).status_code == 403

        assert statuses(pages.api) == {one.id: "dead"}

    async def test_another_owner_sees_nothing_and_changes_nothing(self, pages: Pages) -> None:
        one = await dead(pages.api, "secret-picture")
        await pages.sign_in("bob", "write")

        for path in (
            "/deliveries",
            "/deliveries?status=dead",
            "/deliveries?task=secret-picture",
            "/deliveries?endpoint=" + HOOK,
        ):
            text = (await pages.get(path)).text
            assert one.id not in text
            assert "receiver.example" not in text or "endpoint=" in path
        assert (await pages.get(f"/deliveries/{one.id}")).status_code == 404
        assert (await pages.act(f"/deliveries/{one.id}/redeliver")).status_code == 404
        await pages.act("/deliveries/redeliver", {"id": one.id})
        await pages.act("/deliveries/redeliver", {"all": "1", "status": "dead"})

        assert statuses(pages.api) == {one.id: "dead"}

    async def test_nothing_happens_without_the_forms_own_mark(self, pages: Pages) -> None:
        one = await dead(pages.api, "1")
        await pages.sign_in()

        answer = await pages.client.post(f"/deliveries/{one.id}/redeliver", data={"csrf": "0" * 64})

        assert answer.status_code == 403
        assert statuses(pages.api) == {one.id: "dead"}
