"""Listing and showing tasks, refreshing and dropping them."""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, fields, serving
from clocks import FakeClock
from fakes import adopt
from hypothesis import given
from hypothesis import strategies as st

from tracker.desk.queries import next_cursor, read_cursor
from tracker.errors import InputError
from tracker.model import Status
from tracker.store import watching
from tracker.store.database import Database


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        made.use()
        yield made


async def ids(api: Api, query: str = "") -> list[str]:
    """The upstream's ids of the tasks that a list shows."""
    answer = await api.client.get(f"/v1/tasks{query}")
    assert answer.status_code == 200, answer.text
    return [task["task_id"] for task in answer.json()["tasks"]]


@pytest.fixture
async def three(api: Api) -> Api:
    """Three tasks, a minute between them: one queued, one running, one that succeeded."""
    for number in ("1", "2", "3"):
        await api.register(number, callback_url=HOOK, upstream="spare" if number == "1" else None)
        api.clock.advance(60)
    api.see("2", Status.RUNNING, progress=40, object={"prompt": "a red fox at 100 %"})
    api.see("3", Status.SUCCEEDED, progress=100, object={"id": "3", "prompt": "a blue whale"})
    return api


async def test_the_newest_task_is_listed_first(three: Api) -> None:
    assert await ids(three) == ["3", "2", "1"]


FILTERS = {
    "?status=running": ["2"],
    "?status=running&status=queued": ["2", "1"],
    "?status=running,succeeded": ["3", "2"],
    "?status=": ["3", "2", "1"],
    "?upstream=spare": ["1"],
    "?upstream=default&status=queued": [],
    "?task_id=2": ["2"],
    "?task_id=unheard-of": [],
    "?q=fox": ["2"],
    "?q=BLUE": ["3"],
    "?q=%25": ["2"],
    "?since=2026-11-22T08:01:00Z": ["3", "2"],
    "?since=2026-11-22T08:01:00.001Z": ["3"],
    "?since=2026-11-22T09:01:00%2B01:00": ["3", "2"],
    "?since=2026-11-22T09:01:00+01:00": ["3", "2"],
    "?since=2026-11-22 08:01": ["3", "2"],
    "?until=2026-11-22T08:01:00Z": ["1"],
    "?since=2026-11-22&until=2026-11-23": ["3", "2", "1"],
    "?since=0001-01-01T00:00:00": ["3", "2", "1"],
    "?until=9999-12-31T23:59:59Z": ["3", "2", "1"],
}


async def test_a_filter_finds_what_it_names(three: Api) -> None:
    assert {query: await ids(three, query) for query in FILTERS} == FILTERS


async def test_a_task_is_found_by_the_trackers_own_id(three: Api) -> None:
    task = await three.register("9")

    assert await ids(three, f"?q={task['id']}") == ["9"]


async def test_pages_are_followed_to_the_end_without_gap_or_repeat(three: Api) -> None:
    found, cursor = [], ""
    while cursor is not None:
        page = (await three.client.get(f"/v1/tasks?limit=1{cursor and '&cursor='}{cursor}")).json()
        found += [task["task_id"] for task in page["tasks"]]
        cursor = page["next_cursor"]

    assert found == ["3", "2", "1"]


async def test_a_page_that_holds_everything_names_no_next_one(three: Api) -> None:
    assert (await three.client.get("/v1/tasks?limit=3")).json()["next_cursor"] is None


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("status=finished", "status"),
        ("status=running,finished", "status"),
        ("status=%00", "status"),
        ("since=yesterday", "since"),
        ("since=1e400", "since"),
        ("until=0001-01-01T00:00:00%2B14:00", "until"),
        ("until=%00", "until"),
        ("cursor=MTIz", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=ZDEy", "cursor"),
        ("cursor=%21dDEy", "cursor"),
        ("task_id=%00", "task_id"),
        ("task_id=%ED%A0%80", "task_id"),
        ("upstream=a%00", "upstream"),
        ("q=%00", "q"),
        ("q=" + "x" * 201, "q"),
        ("q=a&q=b&colour=red", "colour"),
        ("stauts=running", "stauts"),
    ],
)
async def test_a_bad_filter_is_refused_and_named(api: Api, query: str, field: str) -> None:
    answer = await api.client.get(f"/v1/tasks?{query}")

    assert (answer.status_code, fields(answer)) == (422, [field])


@given(key=st.integers(min_value=1, max_value=10**18 - 1))
def test_a_cursor_leads_back_to_its_key_and_only_in_its_own_list(key: int) -> None:
    cursor = next_cursor("t", [key, key - 1], 1)

    assert read_cursor("t", cursor) == key
    with pytest.raises(InputError):
        read_cursor("d", cursor)


@given(text=st.text())
def test_no_text_breaks_the_reading_of_cursors(text: str) -> None:
    with suppress(InputError):
        assert isinstance(read_cursor("t", text), int)


async def test_a_task_is_shown_with_what_the_upstream_said_last(three: Api) -> None:
    (listed,) = (await three.client.get("/v1/tasks?task_id=3")).json()["tasks"]

    answer = await three.client.get(f"/v1/tasks/{listed['id']}")

    assert answer.status_code == 200
    assert answer.json() == {**listed, "task": {"id": "3", "prompt": "a blue whale"}}
    assert answer.json()["ended_at"] == "2026-11-22T08:03:00.000Z"


async def test_a_task_that_was_never_looked_at_has_no_object(api: Api) -> None:
    task = await api.register()

    assert (await api.client.get(f"/v1/tasks/{task['id']}")).json()["task"] is None


async def test_the_history_tells_every_change_and_what_became_of_the_deliveries(api: Api) -> None:
    task = await api.register(callback_url=HOOK)
    api.see("1", Status.RUNNING)
    api.see("1", Status.SUCCEEDED, progress=100)
    (sent,) = api.attempt(delivered=True)

    events = (await api.client.get(f"/v1/tasks/{task['id']}/history")).json()["events"]

    assert [(line["sequence"], line["event"], line["from_status"], line["to_status"]) for line in events] == [
        (1, "registered", None, "queued"),
        (2, "status", "queued", "running"),
        (3, "status", "running", "succeeded"),
        (4, "delivered", None, None),
    ]
    assert events[2] == {
        "sequence": 3,
        "event": "status",
        "observed_at": "2026-11-22T08:00:00.000Z",
        "from_status": "running",
        "to_status": "succeeded",
        "upstream_status": "SUCCEEDED",
        "progress": 100,
        "note": None,
    }
    assert sent.id in events[3]["note"]


async def test_the_history_keeps_other_owners_receivers_to_itself(api: Api) -> None:
    task = await api.register(callback_url=HOOK)
    bob, admin = api.shows("bob"), api.shows("admin", "admin")
    await api.register(callback_url="https://bob.example/", headers=bob)
    api.see("1")
    api.attempt(delivered=True)

    path = f"/v1/tasks/{task['id']}/history"
    mine, of_bob, of_all = [
        [line["note"] for line in (await api.client.get(path, headers=headers)).json()["events"] if line["note"]]
        for headers in ({}, bob, admin)
    ]

    assert (len(mine), len(of_bob), len(of_all)) == (1, 1, 2)
    assert "receiver.example" in mine[0]
    assert "bob.example" in of_bob[0]


async def test_the_deliveries_of_a_task_are_told_with_every_attempt(api: Api) -> None:
    task = await api.register(callback_url=HOOK)
    api.see("1")
    api.attempt(delivered=False)
    api.clock.advance(5)
    api.attempt(delivered=True)

    (delivery,) = (await api.client.get(f"/v1/tasks/{task['id']}/deliveries")).json()["deliveries"]

    attempts, last_attempt = delivery.pop("attempts"), delivery.pop("last_attempt")
    assert delivery == {
        "id": delivery["id"],
        "task": task["id"],
        "task_id": "1",
        "upstream": "default",
        "type": "task.succeeded",
        "sequence": 2,
        "url": HOOK,
        "endpoint": "https://receiver.example:443",
        "status": "delivered",
        "attempt": 2,
        "next_attempt_at": None,
        "created_at": "2026-11-22T08:00:00.000Z",
        "settled_at": "2026-11-22T08:00:05.000Z",
        "why": "delivered at 2026-11-22T08:00:05.000Z",
    }
    assert [(made["attempt"], made["outcome"], made["status_code"]) for made in attempts] == [
        (1, "failed", 500),
        (2, "delivered", 204),
    ]
    assert last_attempt == attempts[1]
    assert attempts[0]["next_attempt_at"] == "2026-11-22T08:00:05.000Z"
    assert (attempts[0]["duration_ms"], attempts[0]["response"]) == (12, "hm")


async def test_a_refresh_leaves_a_note_and_wakes_the_poller(api: Api) -> None:
    task = await api.register()
    join = partial(watching.join, me="me", host="here", pid=1, version="1", now=api.clock())
    take = partial(adopt, me="me", upstreams=["default"], limit=1, now=api.clock())
    api.database.write_now(join)
    api.database.write_now(take)
    api.woken.clear()

    answer = await api.client.post(f"/v1/tasks/{task['id']}/refresh")

    noted = partial(watching.noted, me="me", upstreams=["default"], limit=10, now=api.clock())
    assert (answer.status_code, answer.json()) == (202, task)
    assert [found.task_id for found in api.database.write_now(noted)] == ["1"]
    assert api.woken == ["poller"]


async def test_dropping_ends_a_task_and_keeps_its_history(api: Api) -> None:
    task = await api.register(callback_url=HOOK)
    api.woken.clear()

    answer = await api.client.delete(f"/v1/tasks/{task['id']}")

    events = (await api.client.get(f"/v1/tasks/{task['id']}/history")).json()["events"]
    assert (answer.status_code, answer.json()["status"]) == (200, "dropped")
    assert answer.json()["stopped"] is True
    assert answer.json()["callbacks"] == task["callbacks"]
    assert [line["to_status"] for line in events] == ["queued", "dropped"]
    assert api.woken == ["poller"]


async def test_dropping_twice_is_dropping_once(api: Api) -> None:
    task = await api.register()

    first = await api.client.delete(f"/v1/tasks/{task['id']}")
    second = await api.client.delete(f"/v1/tasks/{task['id']}")

    assert (second.status_code, second.json()) == (200, {**first.json(), "stopped": False})


async def test_a_task_that_has_ended_stays_as_it_is_when_dropped(three: Api) -> None:
    (task,) = (await three.client.get("/v1/tasks?task_id=3")).json()["tasks"]

    answer = await three.client.delete(f"/v1/tasks/{task['id']}")

    assert (answer.status_code, answer.json()) == (200, {**task, "stopped": False})


async def test_a_task_that_another_owner_registered_too_goes_on_for_them(api: Api) -> None:
    bob = api.shows("bob")
    task = await api.register(callback_url=HOOK)
    await api.register(callback_url=f"{HOOK}/bob", headers=bob)

    dropped = await api.client.delete(f"/v1/tasks/{task['id']}")

    mine = await api.client.get(f"/v1/tasks/{task['id']}")
    theirs = await api.client.get(f"/v1/tasks/{task['id']}", headers=bob)
    assert (dropped.json()["stopped"], dropped.json()["callbacks"]) == (False, [])
    assert mine.status_code == 404
    assert theirs.json()["status"] == "queued"
    assert [told["url"] for told in theirs.json()["callbacks"]] == [f"{HOOK}/bob"]


async def test_what_the_upstream_has_not_said_yet_is_null(api: Api) -> None:
    made = await api.register("unseen")

    assert made["upstream_status"] is None
