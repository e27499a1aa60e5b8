"""The pages of tasks: what they show, what their forms do, and to whom."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, serving
from clocks import FakeClock
from web_harness import Pages, pages_of

from tracker.model import Status
from tracker.store import upstreams
from tracker.store.database import Database

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        yield pages


class TestList:
    async def test_nothing_yet_teaches_the_one_command(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.get("/tasks")

        assert answer.status_code == 200
        assert "tracker add TASK_ID --callback" in answer.text

    async def test_tasks_are_listed_with_their_status_and_progress(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1730621826053455")
        pages.api.see("1730621826053455", Status.RUNNING, progress=40)
        await pages.sign_in()

        text = (await pages.get("/tasks")).text

        assert f'href="/tasks/{task["id"]}"' in text
        assert "running" in text
        assert 'value="40"' in text

    @pytest.mark.parametrize("where", ["?status=running", "?q=first", "?upstream=default&q=first", "?since=2026-11-01"])
    async def test_the_address_says_which(self, pages: Pages, where: str) -> None:
        pages.api.use()
        first, other = await pages.api.register("first"), await pages.api.register("other", upstream="spare")
        pages.api.see("first", Status.RUNNING)
        await pages.sign_in()

        text = (await pages.get(f"/tasks{where}")).text

        assert first["id"] in text
        assert other["id"] not in text or where.startswith("?since")

    async def test_a_condition_that_cannot_be_used_is_named(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.get("/tasks?since=yesterday")

        assert answer.status_code == 422
        assert "since" in answer.text

    async def test_pages_go_on_below_the_last_row_and_end(self, pages: Pages) -> None:
        pages.api.use()
        for number in range(51):
            await pages.api.register(f"number-{number}")
        await pages.sign_in()

        first = await pages.get("/tasks")
        older = first.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        second = await pages.get(older)

        assert "number-50<" in first.text
        assert "number-0<" not in first.text
        assert "number-0<" in second.text
        assert "number-1<" not in second.text
        assert 'rel="next"' not in second.text

    async def test_the_script_gets_only_what_lives(self, pages: Pages) -> None:
        await pages.sign_in()

        text = (await pages.get("/tasks", **{"hx-request": "true"})).text

        assert text.strip().startswith('<section id="live"')
        assert text.strip().endswith("</section>")

    async def test_a_part_that_loads_no_picture_may_load_none(self, pages: Pages) -> None:
        pages.api.use()
        await pages.api.register("1")
        pages.api.see("1", Status.SUCCEEDED, image_url="https://cdn.example/1.png")
        await pages.sign_in()

        plain, asked = await pages.get("/tasks"), await pages.get("/tasks?images=on")

        assert "<img" not in plain.text
        assert "https:" not in plain.headers["content-security-policy"]
        assert 'src="https://cdn.example/1.png"' in asked.text
        assert "https:" in asked.headers["content-security-policy"]

    async def test_where_the_configuration_forbids_pictures_nobody_can_ask_for_them(
        self, database: Database, clock: FakeClock
    ) -> None:
        async with serving(database, clock, web={"images": "never"}) as api, pages_of(api) as pages:
            api.use()
            await api.register("1")
            api.see("1", Status.SUCCEEDED, image_url="https://cdn.example/1.png")
            await pages.sign_in()

            assert "<img" not in (await pages.get("/tasks?images=on")).text


class TestTicked:
    async def test_those_that_were_ticked_are_looked_at_now(self, pages: Pages) -> None:
        pages.api.use()
        tasks = [await pages.api.register(str(number)) for number in range(3)]
        await pages.sign_in()
        pages.api.woken.clear()

        answer = await pages.act("/tasks/act", {"do": "refresh", "id": [tasks[0]["id"], tasks[2]["id"]]})

        assert (answer.status_code, answer.headers["location"]) == (303, "/tasks")
        assert "poller" in pages.api.woken
        assert "2 tasks will be looked at now." in (await pages.get("/tasks")).text

    async def test_those_that_were_ticked_are_dropped_and_gone_ones_passed_over(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1")
        await pages.sign_in()

        await pages.act("/tasks/act", {"do": "drop", "id": [task["id"], "tsk_gone"], "next": "/tasks?q=1"})

        text = (await pages.get("/tasks?q=1")).text
        assert "1 task is not watched any more." in text
        assert "dropped" in text

    async def test_messages_of_those_that_were_ticked_are_sent_again(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1", callback_url=HOOK)
        pages.api.see("1")
        pages.api.attempt(delivered=True)
        await pages.sign_in()

        await pages.act("/tasks/act", {"do": "redeliver", "id": task["id"]})

        assert len(pages.api.claim()) == 1

    @pytest.mark.parametrize("deed", ["refresh", "redeliver", "drop"])
    async def test_each_is_written_by_itself_so_that_nobody_is_locked_out(self, pages: Pages, deed: str) -> None:
        pages.api.use()
        tasks = [await pages.api.register(str(number), callback_url=HOOK) for number in range(3)]
        if deed == "redeliver":
            for number in range(3):
                pages.api.see(str(number))
                pages.api.attempt(delivered=True)
        await pages.sign_in()
        commits: list[bool] = []
        pages.api.database.listen(lambda: commits.append(True))

        await pages.act("/tasks/act", {"do": deed, "id": [task["id"] for task in tasks]})

        assert len(commits) == 3

    async def test_nothing_ticked_and_nothing_known_do_nothing(self, pages: Pages) -> None:
        await pages.sign_in()

        assert (await pages.act("/tasks/act", {"do": "drop"})).status_code == 303
        assert (await pages.act("/tasks/act", {"do": "burn", "id": "tsk_x"})).status_code == 422

    async def test_it_leads_back_to_no_page_of_others(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.act("/tasks/act", {"do": "drop", "id": "tsk_x", "next": "https://evil.example"})

        assert answer.headers["location"] == "/tasks"


class TestTask:
    async def test_it_tells_the_whole_story(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1", callback_url=HOOK, metadata={"order": 17})
        pages.api.see("1", Status.RUNNING, progress=40)
        pages.api.see("1", Status.FAILED, fail_reason="banned <b>word</b>")
        pages.api.attempt(delivered=False)
        await pages.sign_in()

        text = (await pages.get(f"/tasks/{task['id']}")).text

        assert "banned &lt;b&gt;word&lt;/b&gt;" in text
        assert "<b>word</b>" not in text
        assert HOOK in text
        assert "&#34;order&#34;: 17" in text
        assert "HTTP 500" in text
        assert "waiting for attempt 2" in text

    async def test_a_task_that_is_not_there_is_a_page_that_says_so(self, pages: Pages) -> None:
        await pages.sign_in()

        answer = await pages.get("/tasks/tsk_x")

        assert answer.status_code == 404
        assert "<h1>" in answer.text

    async def test_another_url_can_be_told(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1")
        await pages.sign_in()

        answer = await pages.act(
            f"/tasks/{task['id']}/callbacks", {"callback_url": HOOK, "events": ["ended", "progress"], "metadata": "[1]"}
        )

        assert answer.status_code == 303
        text = (await pages.get(answer.headers["location"])).text
        assert "This URL will be told." in text
        assert HOOK in text

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"callback_url": ""}, "callback_url"),
            ({"callback_url": "ftp://x.example"}, "callback_url"),
            ({"callback_url": HOOK, "metadata": "{"}, "metadata"),
            ({"callback_url": HOOK, "events": "never"}, "events"),
        ],
    )
    async def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(
        self, pages: Pages, fields: dict[str, str], wrong: str
    ) -> None:
        pages.api.use()
        task = await pages.api.register("1")
        await pages.sign_in()

        answer = await pages.act(f"/tasks/{task['id']}/callbacks", fields)

        assert answer.status_code == 422
        assert f'id="wrong-{wrong}"' in answer.text
        assert fields["callback_url"] in answer.text

    async def test_it_can_be_looked_at_and_dropped(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1")
        await pages.sign_in()

        assert (await pages.act(f"/tasks/{task['id']}/refresh")).status_code == 303
        assert (await pages.act(f"/tasks/{task['id']}/drop")).status_code == 303
        assert "dropped" in (await pages.get(f"/tasks/{task['id']}")).text


class TestRegister:
    async def test_what_was_filled_in_is_registered_and_shown(self, pages: Pages) -> None:
        await pages.sign_in()

        fields = {"task_id": " 1730621826053455 ", "callback_url": HOOK, "metadata": '{"order": 17}'}
        answer = await pages.act("/register", fields)

        assert answer.status_code == 303
        assert "1730621826053455" in (await pages.get(answer.headers["location"])).text
        assert "poller" in pages.api.woken

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"task_id": ""}, "task_id"),
            ({"task_id": "1", "callback_url": "http://127.0.0.1/"}, "callback_url"),
            ({"task_id": "1", "metadata": "1"}, "metadata"),
            ({"task_id": "1", "upstream": "other"}, "upstream"),
            ({"task_id": "1", "format": "xml", "callback_url": HOOK}, "format"),
        ],
    )
    async def test_what_is_wrong_is_said_at_its_field(self, pages: Pages, fields: dict[str, str], wrong: str) -> None:
        await pages.sign_in()

        answer = await pages.act("/register", fields)

        assert answer.status_code == 422
        assert f'aria-describedby="wrong-{wrong}"' in answer.text
        assert "poller" not in pages.api.woken

    async def test_the_limits_of_an_owner_hold_for_pages_too(self, database: Database, clock: FakeClock) -> None:
        async with serving(database, clock, limits={"live_tasks_per_owner": 1}) as api, pages_of(api) as pages:
            await pages.sign_in()
            await pages.act("/register", {"task_id": "1"})

            answer = await pages.act("/register", {"task_id": "2"})

            assert answer.status_code == 429
            assert "1" in answer.text


class TestRights:
    async def test_who_may_only_read_sees_no_button_and_is_refused(self, pages: Pages) -> None:
        pages.api.use(owner="ann")
        task = await pages.api.register("1", callback_url=HOOK)
        await pages.sign_in(owner="ann", scope="read")

        page = (await pages.get(f"/tasks/{task['id']}")).text
        assert "/drop" not in page
        assert "/callbacks" not in page
        assert "/register" not in page
        assert 'name="do"' not in (await pages.get("/tasks")).text
        for path in (f"/tasks/{task['id']}/drop", f"/tasks/{task['id']}/refresh", f"/tasks/{task['id']}/callbacks"):
            assert (await pages.act(path, {"callback_url": HOOK})).status_code == 403
        assert (await pages.act("/tasks/act", {"do": "drop", "id": task["id"]})).status_code == 403
        assert (await pages.act("/register", {"task_id": "2"})).status_code == 403
        assert (await pages.get("/register")).status_code == 403

    async def test_another_owners_task_is_not_there(self, pages: Pages) -> None:
        pages.api.use(owner="ann")
        task = await pages.api.register("a-task-of-ann", callback_url=HOOK)
        await pages.sign_in(owner="bob", scope="write")

        for where in ("/tasks", "/tasks?q=a-task-of-ann", f"/tasks?q={task['id']}"):
            text = (await pages.get(where)).text
            assert "No task" in text
            assert f"/tasks/{task['id']}" not in text
        assert (await pages.get(f"/tasks/{task['id']}")).status_code == 404
        for deed in ("drop", "refresh", "redeliver", "callbacks"):
            answer = await pages.act(f"/tasks/{task['id']}/{deed}", {"callback_url": HOOK})
            assert answer.status_code == 404, deed
        await pages.act("/tasks/act", {"do": "drop", "id": task["id"]})
        shown = await pages.api.client.get(f"/v1/tasks/{task['id']}")
        assert shown.json()["status"] == "queued"
        assert len(shown.json()["callbacks"]) == 1


async def test_an_answer_to_a_form_keeps_itself_fresh_as_the_page_that_has_the_form(pages: Pages) -> None:
    pages.api.use()
    task = await pages.api.register("1")
    await pages.sign_in()

    answer = await pages.act(f"/tasks/{task['id']}/callbacks", {"callback_url": "ftp://x.example"})

    assert f'hx-get="/tasks/{task["id"]}"' in answer.text
    assert f'name="next" value="/tasks/{task["id"]}"' in answer.text


class TestHindrance:
    async def test_a_task_of_which_nothing_was_said_for_a_minute_asks_whether_its_id_is_right(
        self, pages: Pages
    ) -> None:
        pages.api.use()
        task = await pages.api.register("a-typo")
        await pages.sign_in()
        assert "Is the id right?" not in (await pages.get(f"/tasks/{task['id']}")).text

        pages.api.clock.advance(61)

        assert "Is the id right?" in (await pages.get(f"/tasks/{task['id']}")).text
        pages.api.see("a-typo", Status.RUNNING)
        assert "Is the id right?" not in (await pages.get(f"/tasks/{task['id']}")).text

    async def test_a_pause_of_its_upstream_is_said_on_the_task_while_it_goes_on(self, pages: Pages) -> None:
        pages.api.use()
        task = await pages.api.register("1")
        health = upstreams.Health(name="default", state="paused", reason="refused: HTTP 401", paused_until=None)
        pages.api.database.write_now(partial(upstreams.write, health=health))
        await pages.sign_in()

        text = (await pages.get(f"/tasks/{task['id']}")).text
        assert "while its upstream is paused" in text
        assert "HTTP 401" in text

        pages.api.see("1")
        assert "while its upstream is paused" not in (await pages.get(f"/tasks/{task['id']}")).text

    async def test_a_task_whose_upstream_is_gone_from_the_configuration_says_so(
        self, database: Database, clock: FakeClock
    ) -> None:
        async with serving(database, clock) as before:
            before.use()
            task = await before.register("1", upstream="spare")
        default = {"default": {"base_url": "https://gateway.example/mj"}}
        async with serving(database, clock, upstreams=default) as api, pages_of(api) as pages:
            await pages.sign_in()

            assert "its upstream is not configured" in (await pages.get(f"/tasks/{task['id']}")).text


async def test_the_form_keeps_a_condition_of_several_statuses(pages: Pages) -> None:
    await pages.sign_in()

    text = (await pages.get("/tasks?status=failed,lost,expired")).text

    assert '<option value="failed,lost,expired" selected>failed, lost, expired</option>' in text
