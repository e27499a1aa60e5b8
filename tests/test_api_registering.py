"""POST /v1/tasks and /v1/tasks/batch."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, fields, serving
from clocks import FakeClock

from tracker.model import Status
from tracker.store import tasks
from tracker.store.database import Database


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        made.use()
        yield made


async def test_a_new_registration_is_answered_with_the_task_and_its_callback(api: Api) -> None:
    wanted = {"task_id": "1730621826053455", "callback_url": HOOK, "events": ["progress"], "metadata": {"order": 17}}

    answer = await api.client.post("/v1/tasks", json=wanted)

    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/tasks/{task['id']}"
    assert task == {
        "id": task["id"],
        "task_id": "1730621826053455",
        "upstream": "default",
        "status": "queued",
        "upstream_status": None,
        "action": None,
        "progress": None,
        "sequence": 1,
        "registered_at": "2026-11-22T08:00:00.000Z",
        "submitted_at": None,
        "started_at": None,
        "finished_at": None,
        "ended_at": None,
        "image_url": None,
        "fail_reason": None,
        "callbacks": [
            {"url": HOOK, "events": ["progress"], "format": "standard", "metadata": {"order": 17}, "gone_at": None}
        ],
    }


async def test_an_answered_registration_is_in_the_database(api: Api) -> None:
    task = await api.register()

    stored = api.database.read_now(partial(tasks.get, id_=task["id"], owner="ann"))

    assert stored is not None
    assert stored.task_id == "1"


async def test_the_same_registration_twice_is_the_same_one(api: Api) -> None:
    first = await api.client.post("/v1/tasks", json={"task_id": "1", "callback_url": HOOK})
    second = await api.client.post("/v1/tasks", json={"task_id": "1", "callback_url": HOOK})

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]


async def test_a_repeat_replaces_what_it_gives_anew_and_leaves_the_rest(api: Api) -> None:
    await api.register(callback_url=HOOK, metadata=1)

    repeated = await api.register(callback_url=HOOK, events=["failed"])

    assert repeated["callbacks"] == [
        {"url": HOOK, "events": ["failed"], "format": "standard", "metadata": 1, "gone_at": None}
    ]


async def test_the_same_task_id_at_two_upstreams_is_two_tasks(api: Api) -> None:
    here, there = await api.register(), await api.register(upstream="spare")

    assert here["id"] != there["id"]


async def test_a_callback_for_a_task_that_has_ended_makes_its_delivery_at_once(api: Api) -> None:
    await api.register()
    api.see("1", Status.FAILED, fail_reason="banned prompt")
    api.woken.clear()

    late = await api.register(callback_url=HOOK)

    deliveries = (await api.client.get(f"/v1/tasks/{late['id']}/deliveries")).json()["deliveries"]
    assert late["status"] == "failed"
    assert [(made["type"], made["url"], made["status"]) for made in deliveries] == [("task.failed", HOOK, "pending")]
    assert api.woken == ["poller", "courier"]


async def test_the_poller_is_woken_by_a_registration_and_the_courier_is_not(api: Api) -> None:
    await api.register(callback_url=HOOK)

    assert api.woken == ["poller"]


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "task_id"),
        ({"task_id": 1730621826053455}, "task_id"),
        ({"task_id": ""}, "task_id"),
        ({"task_id": " 1"}, "task_id"),
        ({"task_id": "x" * 513}, "task_id"),
        ({"task_id": "a\x00b"}, "task_id"),
        ({"task_id": "1", "callback_url": "receiver.example"}, "callback_url"),
        ({"task_id": "1", "callback_url": "ftp://receiver.example"}, "callback_url"),
        ({"task_id": "1", "callback_url": "http://169.254.169.254/latest"}, "callback_url"),
        ({"task_id": "1", "callback_url": "http://localhost/"}, "callback_url"),
        ({"task_id": "1", "upstream": "unheard-of"}, "upstream"),
        ({"task_id": "1", "upstream": "a\x00b"}, "upstream"),
        ({"task_id": "1", "events": ["ended", "finished"]}, "events"),
        ({"task_id": "1", "events": []}, "events"),
        ({"task_id": "1", "events": "ended"}, "events"),
        ({"task_id": "1", "format": "xml"}, "format"),
        ({"task_id": "1", "metadata": "x" * 5000}, "metadata"),
        ({"task_id": "1", "metadata": {"a": "\x00"}}, "metadata"),
        ({"task_id": "1", "callbackUrl": HOOK}, "callbackUrl"),
        ([], "body"),
        ("1", "body"),
        (None, "body"),
    ],
)
async def test_a_bad_registration_is_refused_and_the_field_named(api: Api, document: Any, field: str) -> None:  # noqa: ANN401
    answer = await api.client.post("/v1/tasks", json=document)

    assert (answer.status_code, fields(answer)) == (422, [field])
    assert (await api.client.get("/v1/tasks")).json()["tasks"] == []


@ON_ONE_DATABASE
async def test_everything_that_is_wrong_with_a_registration_is_told_at_once(api: Api) -> None:
    answer = await api.client.post("/v1/tasks", json={"task_id": 1, "format": "xml", "colour": "red"})

    assert sorted(fields(answer)) == ["colour", "format", "task_id"]


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"task_id": "1"} {}',
        b'{"task_id": "\xff"}',
        b'{"task_id": "\\ud800"}',
        b'{"task_id": "1", "metadata": {"\\udfff": 1}}',
        '{"task_id": "1"}'.encode("utf-16"),
    ],
)
async def test_a_body_that_is_no_json_is_refused(api: Api, body: bytes) -> None:
    for path in ("/v1/tasks", "/v1/tasks/batch"):
        answer = await api.client.post(path, content=body)

        assert (answer.status_code, fields(answer)) == (422, ["body"])
        assert "is not JSON" in answer.json()["detail"]


@ON_ONE_DATABASE
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"1" * 5000])
async def test_metadata_with_numbers_that_json_cannot_carry_is_refused(api: Api, number: bytes) -> None:
    answer = await api.client.post("/v1/tasks", content=b'{"task_id": "1", "metadata": %s}' % number)

    assert answer.status_code == 422
    assert fields(answer) in (["metadata"], ["body"])


@ON_ONE_DATABASE
async def test_the_content_type_does_not_matter(api: Api) -> None:
    answer = await api.client.post("/v1/tasks", content=b'{"task_id": "1"}', headers={"content-type": "text/plain"})

    assert answer.status_code == 201


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"tasks": rows}])
async def test_a_batch_is_answered_row_by_row_in_its_order(api: Api, wrap: Any) -> None:  # noqa: ANN401
    await api.register("2")
    rows = [{"task_id": "3"}, {"task_id": "2", "callback_url": HOOK}, {"task_id": "1"}, {"task_id": "3"}]

    answer = await api.client.post("/v1/tasks/batch", json=wrap(rows))

    told = answer.json()
    assert answer.status_code == 200
    assert told["created"] == 2
    assert [(row["task_id"], row["created"]) for row in told["tasks"]] == [
        ("3", True),
        ("2", False),
        ("1", True),
        ("3", False),
    ]
    assert [callback["url"] for callback in told["tasks"][1]["callbacks"]] == [HOOK]


async def test_one_bad_row_keeps_a_whole_batch_out_and_every_bad_field_is_named(api: Api) -> None:
    rows: list[Any] = [
        {"task_id": "1"},
        {"task_id": 2},
        {"task_id": "3", "callback_url": "http://10.0.0.1/", "upstream": "default"},
        {"task_id": "4", "upstream": "unheard-of"},
        5,
    ]

    answer = await api.client.post("/v1/tasks/batch", json=rows)

    assert answer.status_code == 422
    assert fields(answer) == ["[1].task_id", "[2].callback_url", "[3].upstream", "[4]"]
    assert "(and 3 more)" in answer.json()["detail"]
    assert (await api.client.get("/v1/tasks")).json()["tasks"] == []
    assert api.woken == []


@ON_ONE_DATABASE
async def test_no_more_than_a_hundred_errors_of_a_batch_are_told(api: Api) -> None:
    answer = await api.client.post("/v1/tasks/batch", json=[{}] * 300)

    assert len(fields(answer)) == 100


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "body"),
        ({}, "body"),
        ({"tasks": []}, "body"),
        ({"tasks": {}}, "body"),
        ("tasks", "body"),
        ([{"task_id": "1"}] * 1001, "body"),
        ({"tasks": [{"task_id": "1"}], "upstream": "default"}, "upstream"),
    ],
)
async def test_a_batch_of_the_wrong_shape_is_refused(api: Api, document: Any, field: str) -> None:  # noqa: ANN401
    answer = await api.client.post("/v1/tasks/batch", json=document)

    assert (answer.status_code, fields(answer)) == (422, [field])


async def test_a_batch_may_have_a_thousand_rows(api: Api) -> None:
    rows = [{"task_id": str(number), "callback_url": HOOK} for number in range(1000)]

    answer = await api.client.post("/v1/tasks/batch", json=rows)

    told = answer.json()
    assert told["created"] == 1000
    assert [row["task_id"] for row in told["tasks"]] == [row["task_id"] for row in rows]
    assert all(len(row["callbacks"]) == 1 for row in told["tasks"])


async def test_two_owners_of_a_task_each_see_their_own_callbacks(api: Api) -> None:
    bob, admin = api.shows("bob"), api.shows("admin", "admin")
    await api.register(callback_url=HOOK)

    answer = await api.client.post("/v1/tasks", json={"task_id": "1", "callback_url": f"{HOOK}/bob"}, headers=bob)
    seen_by_admin = (await api.client.get(f"/v1/tasks/{answer.json()['id']}", headers=admin)).json()

    assert answer.status_code == 201
    assert [callback["url"] for callback in answer.json()["callbacks"]] == [f"{HOOK}/bob"]
    assert [callback["url"] for callback in seen_by_admin["callbacks"]] == [HOOK, f"{HOOK}/bob"]
