"""The feed of everything that changed: page by page, and live."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, fields, serving
from clocks import FakeClock
from streams import WITHIN, Stream, listening

from tracker.api import streams
from tracker.desk.listening import KEEP_ALIVE_SECONDS, MOST_STREAMS
from tracker.desk.news import LOOK_EVERY_SECONDS
from tracker.desk.tokens import REMEMBERED_SECONDS
from tracker.model import Status
from tracker.store import access
from tracker.store.database import Database


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        made.use()
        yield made
    # Whoever left may have had a question out: it is answered before the database goes.
    for threads in (database._askers, database._readers):  # noqa: SLF001
        threads.shutdown()


async def feed(api: Api, **query: object) -> dict[str, Any]:
    answer = await api.client.get("/v1/events", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def told(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(line["task_id"], line["event"]) for line in page["events"]]


class TestPages:
    async def test_an_event_names_its_task_and_tells_what_its_history_tells(self, api: Api) -> None:
        task = await api.register(callback_url=HOOK)
        api.see("1", progress=100)
        api.attempt(delivered=True)

        page = await feed(api)

        history = (await api.client.get(f"/v1/tasks/{task['id']}/history")).json()["events"]
        named = {"id": task["id"], "task_id": "1", "upstream": "default"}
        assert [line["event"] for line in history] == ["registered", "status", "delivered"]
        assert page["events"] == [
            {**named, **line, "cursor": page["events"][place]["cursor"]} for place, line in enumerate(history)
        ]
        assert page["next_cursor"] == page["events"][-1]["cursor"]

    async def test_whoever_keeps_calling_is_told_everything_once(self, api: Api) -> None:
        for number in range(5):
            await api.register(str(number))
        found: list[tuple[str, str]] = []
        page = await feed(api, limit=2)
        while page["events"]:
            found += told(page)
            page = await feed(api, limit=2, cursor=page["next_cursor"])

        api.see("3")
        news = await feed(api, limit=2, cursor=page["next_cursor"])

        assert found == [(str(number), "registered") for number in range(5)]
        assert told(news) == [("3", "status")]

    async def test_the_cursor_of_any_event_goes_on_after_it(self, api: Api) -> None:
        for number in range(3):
            await api.register(str(number))
        whole = await feed(api)

        rest = await feed(api, cursor=whole["events"][0]["cursor"])

        assert rest["events"] == whole["events"][1:]

    async def test_where_nothing_is_new_the_cursor_is_the_same(self, api: Api) -> None:
        empty = await feed(api)
        await api.register()
        full = await feed(api, cursor=empty["next_cursor"])

        assert empty["events"] == []
        assert told(full) == [("1", "registered")]
        assert await feed(api, cursor=full["next_cursor"]) == {"events": [], "next_cursor": full["next_cursor"]}

    async def test_now_is_the_end(self, api: Api) -> None:
        await api.register("old")
        page = await feed(api, cursor="now")
        await api.register("new")

        assert page["events"] == []
        assert told(await feed(api, cursor=page["next_cursor"])) == [("new", "registered")]

    async def test_a_cursor_may_not_be_made_up(self, api: Api) -> None:
        await api.register()
        of_a_list = (await feed(api))["next_cursor"]
        for wrong in ("", "x", "NOW", "ZTE", "ZTAwLjA", "ZTEuMQ==", f"{of_a_list}A", "é", "dDE"):
            answer = await api.client.get("/v1/events", params={"cursor": wrong})

            assert answer.status_code == 422, wrong
            assert fields(answer) == ["cursor"]

    async def test_a_cursor_of_another_database_is_refused(self, api: Api) -> None:
        """Going on from there would skip whatever this one tells next."""
        answer = await api.client.get("/v1/events", params={"cursor": "ZTk5OTk5OTk5OTk5OTk5OS4x"})

        assert answer.status_code == 422
        assert "another database" in answer.json()["detail"]

    @ON_ONE_DATABASE
    @pytest.mark.parametrize("limit", ["0", "1001", "many"])
    async def test_a_page_has_1_to_1000_events(self, api: Api, limit: str) -> None:
        assert fields(await api.client.get("/v1/events", params={"limit": limit})) == ["limit"]
        assert (await api.client.get("/v1/events?limit=1000")).status_code == 200

    async def test_an_owner_is_told_of_its_own_tasks_and_receivers(self, api: Api) -> None:
        bob = api.shows("bob")
        await api.register("1", callback_url=f"{HOOK}/ann")
        await api.register("1", callback_url=f"{HOOK}/bob", headers=bob)
        await api.register("2", headers=bob)
        api.see("1")
        api.attempt(delivered=True)

        mine = await feed(api)
        whole = (await api.client.get("/v1/events", headers=api.shows("root", "admin"))).json()

        assert told(mine) == [("1", "registered"), ("1", "status"), ("1", "delivered")]
        assert len(whole["events"]) == 5


Listen = Callable[..., AbstractAsyncContextManager[Stream]]


class TestStreams:
    @pytest.fixture
    def token(self, api: Api) -> str:
        return api.token("ann", "read")

    @pytest.fixture
    def listen(self, api: Api, token: str) -> Listen:
        return partial(listening, api.app, authorization=f"Bearer {token}")

    async def test_it_says_at_once_from_where_it_listens(self, api: Api, listen: Listen) -> None:
        """Whoever is cut off before the first event goes on from there."""
        await api.register("old")
        end = (await feed(api, cursor="now"))["next_cursor"]

        async with listen() as stream:
            first = await stream.next()

        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert first is not None
        assert first["id"] == end

    async def test_what_happens_is_told_as_it_happens(self, api: Api, listen: Listen) -> None:
        await api.register("old")
        async with listen() as stream:
            await stream.next()
            await api.register("new")
            registered = await stream.next()
            api.see("new", Status.RUNNING, progress=30)
            running = await stream.next()

        page = await feed(api)
        for block, line in zip((registered, running), page["events"][1:], strict=True):
            assert block is not None
            assert (block["id"], block["event"]) == (line["cursor"], line["event"])
            assert json.loads(block["data"]) == line

    @pytest.mark.parametrize("way", ["header", "query"])
    async def test_it_goes_on_after_the_last_event_that_was_read(self, api: Api, listen: Listen, way: str) -> None:
        for number in range(3):
            await api.register(str(number))
        first, second, _ = (line["cursor"] for line in (await feed(api))["events"])
        given = (
            {"query": f"cursor={first}"} if way == "query" else {"Last_Event_ID": first, "query": f"cursor={second}"}
        )

        async with listen(**given) as stream:
            await stream.next()
            blocks = [await stream.next(), await stream.next()]

        assert [json.loads(block["data"])["task_id"] for block in blocks if block] == ["1", "2"]

    @ON_ONE_DATABASE
    async def test_more_than_a_page_is_told_in_one_go(self, api: Api, listen: Listen) -> None:
        rows = [{"task_id": f"{number:03}"} for number in range(streams.PAGE * 2 + 1)]
        assert (await api.client.post("/v1/tasks/batch", json=rows)).is_success
        start = (await feed(api, limit=1))["events"][0]["cursor"]

        async with listen(f"cursor={start}") as stream:
            await stream.next()
            blocks = [await stream.next() for _ in range(streams.PAGE * 2)]

        assert [json.loads(block["data"])["task_id"] for block in blocks if block] == [
            row["task_id"] for row in rows[1:]
        ]

    @ON_ONE_DATABASE
    async def test_a_place_that_cannot_be_is_a_problem(self, listen: Listen) -> None:
        async with listen(Last_Event_ID="nonsense") as stream:
            assert await stream.next() is None

        assert stream.status == 422
        assert json.loads(stream.body)["errors"][0]["field"] == "Last-Event-ID"

    @ON_ONE_DATABASE
    async def test_it_needs_a_token(self, api: Api) -> None:
        async with listening(api.app) as stream:
            assert await stream.next() is None

        assert stream.status == 401

    @ON_ONE_DATABASE
    async def test_others_are_not_heard(self, api: Api, listen: Listen) -> None:
        async with listen() as stream:
            await stream.next()
            await api.register("theirs", headers=api.shows("bob"))
            await api.register("ours")
            block = await stream.next()

        assert block is not None
        assert json.loads(block["data"])["task_id"] == "ours"

    @ON_ONE_DATABASE
    async def test_silence_is_broken_by_a_comment(self, api: Api, listen: Listen) -> None:
        async with listen() as stream:
            opening = await stream.next()
            api.clock.advance(KEEP_ALIVE_SECONDS)
            alive = await stream.next()

        assert opening is not None
        assert alive == {"": "still here", "id": opening["id"]}

    @ON_ONE_DATABASE
    async def test_it_ends_when_the_daemon_stops(self, api: Api, listen: Listen) -> None:
        async with listen() as stream:
            await stream.next()
            api.app.state.ports.stopping.set()

            assert await stream.next() is None

    async def test_it_ends_when_its_token_is_revoked(self, api: Api, listen: Listen, token: str) -> None:
        """Of what happens from then on, nothing is told."""
        async with listen() as stream:
            await stream.next()
            line = api.database.read_now(partial(access.check_token, presented=token))
            assert line is not None
            api.database.write_now(partial(access.revoke_token, id_=line.id, now=api.clock()))
            api.clock.advance(1)
            await api.register("after")

            assert await stream.next() is None

    @ON_ONE_DATABASE
    async def test_it_ends_within_a_second_or_so_where_nothing_happens_either(
        self, api: Api, listen: Listen, token: str
    ) -> None:
        """Nobody rings: the token was revoked by another process, as `tracker token revoke` is one."""
        async with listen() as stream:
            await stream.next()
            line = api.database.read_now(partial(access.check_token, presented=token))
            assert line is not None
            api.database.write_now(partial(access.revoke_token, id_=line.id, now=api.clock()))
            api.clock.advance(REMEMBERED_SECONDS)

            async with asyncio.timeout(2 * LOOK_EVERY_SECONDS):
                assert await stream.next() is None

        assert LOOK_EVERY_SECONDS + REMEMBERED_SECONDS < 1.5

    @ON_ONE_DATABASE
    async def test_so_many_streams_and_no_more(self, listen: Listen) -> None:
        async with AsyncExitStack() as open_ones:
            for _ in range(MOST_STREAMS):
                await open_ones.enter_async_context(listen())
            async with listen() as refused:
                assert await refused.next() is None
        async with listen() as welcome:
            pass

        assert refused.status == 503
        assert refused.headers["retry-after"] == "5"
        assert refused.headers["content-type"] == "application/problem+json"
        assert welcome.status == 200

    @ON_ONE_DATABASE
    async def test_who_leaves_is_forgotten(self, api: Api, listen: Listen) -> None:
        async with listen():
            assert api.app.state.desk.news.streams == 1

        assert api.app.state.desk.news.streams == 0

    @ON_ONE_DATABASE
    async def test_many_listeners_are_one_question(self, api: Api, listen: Listen) -> None:
        asked: asyncio.Queue[object] = asyncio.Queue()
        ask = api.database.ask

        async def counted(work: Any) -> Any:  # noqa: ANN401 - as the real one
            asked.put_nowait(work)
            return await ask(work)

        async with AsyncExitStack() as open_ones:
            opened = [await open_ones.enter_async_context(listen()) for _ in range(20)]
            for stream in opened:
                await stream.next()
            api.database.ask = counted  # type: ignore[method-assign]
            async with asyncio.timeout(WITHIN):
                for _ in range(3):
                    await asked.get()

            assert all(stream.blocks.empty() for stream in opened)
            assert asked.qsize() <= 1
