"""Tokens, scopes and owners."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TypeVar

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, serving
from clocks import FakeClock

from tracker.desk.tokens import LARGEST_BOOK, TokenBook
from tracker.errors import UnavailableError
from tracker.intake import Caller
from tracker.store import access
from tracker.store.database import Database, Work

T = TypeVar("T")
READS = ["/v1/tasks", "/v1/tasks/tsk_1", "/v1/tasks/tsk_1/history", "/v1/tasks/tsk_1/deliveries", "/v1/deliveries"]
READS += ["/v1/deliveries/msg_1", "/v1/events", "/v1/upstreams", "/openapi.json"]
WRITES = [
    ("POST", "/v1/tasks"),
    ("POST", "/v1/tasks/batch"),
    ("POST", "/v1/tasks/tsk_1/refresh"),
    ("DELETE", "/v1/tasks/tsk_1"),
]
CALLS = [("GET", path) for path in READS] + WRITES


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        yield made


@ON_ONE_DATABASE
@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_nothing_is_done_without_a_token(api: Api, method: str, path: str) -> None:
    answer = await api.client.request(method, path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    "shown", ["Bearer trk_unheard-of", "Bearer", "Bearer sk-1", "Basic dHJrOg==", "trk_1", "Bearer trk_" + "x" * 9000]
)
async def test_a_token_that_nobody_made_is_refused(api: Api, shown: str) -> None:
    answer = await api.client.get("/v1/tasks", headers={"authorization": shown})

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@ON_ONE_DATABASE
@pytest.mark.parametrize("shown", [b"Bearer trk_\xff", b"Bearer trk_\xc3\xbc"])
async def test_a_token_of_strange_bytes_is_refused(api: Api, shown: bytes) -> None:
    answer = await api.client.get("/v1/tasks", headers=[(b"authorization", shown)])

    assert answer.status_code == 401


@ON_ONE_DATABASE
@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_token_for_reading_may_not_write(api: Api, method: str, path: str) -> None:
    answer = await api.client.request(method, path, headers=api.shows(scope="read"))

    assert answer.status_code == 403
    assert "scope write" in answer.json()["detail"]


@ON_ONE_DATABASE
@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("scope", ["read", "write", "admin"])
async def test_every_scope_may_read(api: Api, path: str, scope: str) -> None:
    answer = await api.client.get(path, headers=api.shows(scope=scope))

    assert answer.status_code in (200, 404)


async def test_another_owner_sees_nothing_and_can_do_nothing(api: Api) -> None:
    api.use("ann")
    task = await api.register(callback_url=HOOK)
    api.see("1")
    api.use("bob")
    path = f"/v1/tasks/{task['id']}"

    assert (await api.client.get("/v1/tasks")).json()["tasks"] == []
    assert (await api.client.get("/v1/deliveries")).json()["deliveries"] == []
    for method, place in [
        ("GET", path),
        ("GET", f"{path}/history"),
        ("GET", f"{path}/deliveries"),
        ("POST", f"{path}/refresh"),
        ("DELETE", path),
    ]:
        answer = await api.client.request(method, place)
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"there is no task {task['id']!r}"


async def test_who_else_registered_or_dropped_a_task_is_not_told(api: Api) -> None:
    """Owners may be each other's competitors: their names are as little known as their receivers."""
    ann, bob, root = api.shows("ann"), api.shows("bob"), api.shows("root", "admin")
    task = await api.register(headers=ann)
    await api.register(headers=bob)
    path = f"/v1/tasks/{task['id']}"
    for headers in (root, bob):
        await api.client.delete(path, headers=root)
        await api.register(headers=headers)

    notes = {
        name: [line["note"] for line in (await api.client.get(f"{path}/history", headers=who)).json()["events"]]
        for name, who in (("ann", ann), ("bob", bob), ("root", root))
    }
    feed = (await api.client.get("/v1/events", headers=ann)).json()["events"]

    gone, back = "dropped by another owner", "registered again by another owner"
    assert notes == {
        "ann": [None, gone, back, gone, back],
        "bob": [None, gone, back, gone, "registered again by bob"],
        "root": [None, *["dropped by root", "registered again by root", "dropped by root", "registered again by bob"]],
    }
    assert [line["note"] for line in feed] == notes["ann"]


async def test_how_much_others_have_at_an_upstream_is_not_told(api: Api) -> None:
    for owner, task_ids in (("ann", "12"), ("bob", "234")):
        for task_id in task_ids:
            await api.register(task_id, headers=api.shows(owner))
    await api.register("5", upstream="spare", headers=api.shows("bob"))
    api.database.write_now(lambda connection: connection.exec_driver_sql(_AT_AN_OLD_UPSTREAM).close())
    api.see("2")

    async def live(owner: str, scope: str) -> dict[str, int]:
        answer = await api.client.get("/v1/upstreams", headers=api.shows(owner, scope))
        return {told["name"]: told["live_tasks"] for told in answer.json()["upstreams"]}

    assert await live("ann", "read") == {"default": 1, "spare": 0}
    assert await live("bob", "write") == {"default": 1, "spare": 1, "old": 1}
    assert await live("carl", "read") == {"default": 0, "spare": 0}
    assert await live("root", "admin") == {"default": 2, "spare": 1, "old": 1}


_AT_AN_OLD_UPSTREAM = "UPDATE task SET upstream = 'old' WHERE task_id = '4'"


async def test_an_admin_sees_what_everybody_registered(api: Api) -> None:
    api.use("ann")
    task = await api.register(callback_url=HOOK)
    api.use("admin", "admin")

    assert (await api.client.get("/v1/tasks")).json()["tasks"] == [task]


async def test_a_revoked_token_is_refused_within_a_second(api: Api) -> None:
    token = api.token()
    headers = {"authorization": f"Bearer {token}"}
    assert (await api.client.get("/v1/tasks", headers=headers)).status_code == 200
    (line,) = api.database.read_now(access.list_tokens)
    api.database.write_now(partial(access.revoke_token, id_=line.id, now=api.clock()))

    api.clock.advance(1)

    assert (await api.client.get("/v1/tasks", headers=headers)).status_code == 401


class Counting(Database):
    """Counts what it is asked, and can be cut off."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []
        self.is_away = False

    async def read(self, work: Work[T]) -> T:
        self.asked.append("read")
        return await super().read(work)

    async def write(self, work: Work[T]) -> T:
        self.asked.append("write")
        if self.is_away:
            raise UnavailableError("cut off")
        return await super().write(work)


class TestTokenBook:
    @pytest.fixture
    def counting(self, database_url: str) -> Iterator[Counting]:
        opened = Counting(database_url)
        yield opened
        opened.close()

    @pytest.fixture
    def token(self, counting: Counting, clock: FakeClock) -> str:
        made = access.new_token()
        add = partial(access.add_token, made=made, owner="ann", scope="read", name="", now=clock())
        counting.write_now(add)
        return made

    @pytest.fixture
    def book(self, counting: Counting, clock: FakeClock) -> TokenBook:
        return TokenBook(counting, clock, clock.timer)

    async def test_a_burst_with_one_token_is_one_question(
        self, book: TokenBook, counting: Counting, token: str
    ) -> None:
        callers = await asyncio.gather(*(book.caller(token) for _ in range(50)))

        assert callers == [Caller(owner="ann", scope="read")] * 50
        assert counting.asked == ["read", "write"]

    async def test_an_unknown_token_is_remembered_for_half_a_second_too(
        self, book: TokenBook, counting: Counting, clock: FakeClock
    ) -> None:
        for seconds in (0, 0.4, 0.1):
            clock.advance(seconds)
            assert await book.caller("trk_unheard-of") is None

        assert counting.asked == ["read", "read"]

    async def test_what_cannot_be_a_token_is_not_looked_up(self, book: TokenBook, counting: Counting) -> None:
        for shown in ("", "sk-1", "trk_ü", "trk_" + "x" * 200):
            assert await book.caller(shown) is None

        assert counting.asked == []

    async def test_the_book_does_not_grow_with_what_strangers_send(self, book: TokenBook, counting: Counting) -> None:
        for number in range(LARGEST_BOOK + 1):
            await book.caller(f"trk_{number}")
        counting.asked.clear()

        await book.caller(f"trk_{LARGEST_BOOK}")
        await book.caller("trk_0")

        assert counting.asked == ["read"]

    async def test_a_use_is_noted_at_most_once_a_minute(
        self, book: TokenBook, counting: Counting, token: str, clock: FakeClock
    ) -> None:
        await book.caller(token)
        clock.advance(59)
        await book.caller(token)
        clock.advance(1)
        await book.caller(token)

        (line,) = counting.read_now(access.list_tokens)
        assert counting.asked.count("write") == 2
        assert line.last_used_at == clock()

    async def test_a_note_that_cannot_be_taken_keeps_nobody_out(
        self, book: TokenBook, counting: Counting, token: str
    ) -> None:
        counting.is_away = True

        assert await book.caller(token) == Caller(owner="ann", scope="read")
