"""Listing and showing deliveries, and the upstreams."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, fields, serving
from clocks import FakeClock

from tracker.model import Status
from tracker.store import registrations, upstreams
from tracker.store.database import Database
from tracker.store.registrations import Wanted
from tracker.store.upstreams import Health
from tracker.webhooks.composer import Composer


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        made.use()
        yield made


@pytest.fixture
async def three(api: Api) -> Api:
    """Three deliveries: one delivered, two still to be sent."""
    for number in ("1", "2", "3"):
        await api.register(number, callback_url=f"{HOOK}/{number}")
        api.see(number, Status.FAILED if number == "2" else Status.SUCCEEDED)
        if number == "1":
            api.attempt(delivered=True)
    return api


async def test_the_newest_delivery_is_listed_first(three: Api) -> None:
    page = (await three.client.get("/v1/deliveries")).json()

    assert [(made["task_id"], made["type"], made["status"]) for made in page["deliveries"]] == [
        ("3", "task.succeeded", "pending"),
        ("2", "task.failed", "pending"),
        ("1", "task.succeeded", "delivered"),
    ]
    assert page["next_cursor"] is None
    assert not {"attempts", "body", "key"} & page["deliveries"][0].keys()


async def test_a_listed_delivery_tells_its_last_attempt_only(three: Api) -> None:
    three.attempt(delivered=False)
    three.clock.advance(5)
    three.attempt(delivered=True)
    await three.register("4", callback_url=HOOK)
    three.see("4")

    (untried, *tried, at_once) = (await three.client.get("/v1/deliveries")).json()["deliveries"]

    assert (untried["attempt"], untried["last_attempt"]) == (0, None)
    assert at_once["last_attempt"]["attempt"] == 1
    for made in tried:
        whole = (await three.client.get(f"/v1/deliveries/{made['id']}")).json()
        assert made["attempt"] == 2
        assert made["last_attempt"] == whole["attempts"][1]
        assert made["last_attempt"]["outcome"] == "delivered"


async def test_deliveries_are_filtered_by_where_they_stand(three: Api) -> None:
    page = (await three.client.get("/v1/deliveries?status=delivered")).json()

    assert [made["task_id"] for made in page["deliveries"]] == ["1"]


async def test_pages_of_deliveries_are_followed_to_the_end(three: Api) -> None:
    first = (await three.client.get("/v1/deliveries?limit=2")).json()
    second = (await three.client.get(f"/v1/deliveries?limit=2&cursor={first['next_cursor']}")).json()

    assert [made["task_id"] for made in first["deliveries"] + second["deliveries"]] == ["3", "2", "1"]
    assert second["next_cursor"] is None


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=sent", "status"),
        ("status=%00", "status"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("cursor=dDEy", "cursor"),
        ("task=1", "task"),
    ],
)
async def test_a_bad_filter_is_refused_and_named(api: Api, query: str, field: str) -> None:
    answer = await api.client.get(f"/v1/deliveries?{query}")

    assert (answer.status_code, fields(answer)) == (422, [field])


async def test_a_delivery_is_shown_with_its_attempts_and_the_body_that_was_sent(three: Api) -> None:
    (listed,) = (await three.client.get("/v1/deliveries?status=delivered")).json()["deliveries"]

    shown = (await three.client.get(f"/v1/deliveries/{listed['id']}")).json()

    body, attempts = shown.pop("body"), shown.pop("attempts")
    assert shown == listed
    assert json.loads(body)["data"]["task_id"] == "1"
    assert [made["outcome"] for made in attempts] == ["delivered"]


async def test_a_delivery_of_another_owner_does_not_exist(three: Api) -> None:
    (listed,) = (await three.client.get("/v1/deliveries?status=delivered")).json()["deliveries"]
    bob, admin = three.shows("bob"), three.shows("admin", "admin")

    assert (await three.client.get(f"/v1/deliveries/{listed['id']}", headers=bob)).status_code == 404
    assert (await three.client.get("/v1/deliveries", headers=bob)).json()["deliveries"] == []
    assert len((await three.client.get("/v1/deliveries", headers=admin)).json()["deliveries"]) == 3


async def test_owners_of_the_same_task_see_only_their_own_deliveries_of_it(api: Api) -> None:
    bob = api.shows("bob")
    task = await api.register(callback_url=HOOK)
    await api.register(callback_url="https://bob.example/", headers=bob)
    api.see("1")

    for path in ("/v1/deliveries", f"/v1/tasks/{task['id']}/deliveries"):
        mine = (await api.client.get(path)).json()["deliveries"]
        theirs = (await api.client.get(path, headers=bob)).json()["deliveries"]

        assert [made["url"] for made in mine] == [HOOK]
        assert [made["url"] for made in theirs] == ["https://bob.example/"]


async def test_upstreams_are_told_with_their_health_and_without_their_tokens(api: Api) -> None:
    api.use("ann", "read")
    await api.register(headers=api.shows())
    until = api.clock() + timedelta(minutes=1)
    paused = Health(
        name="default", state="paused", reason="throttled", paused_until=until, last_error="HTTP 429", look_size=100
    )
    api.database.write_now(partial(upstreams.write, health=paused))

    answer = await api.client.get("/v1/upstreams")

    told = answer.json()["upstreams"]
    assert "sk-hidden" not in answer.text
    assert [one["name"] for one in told] == ["default", "spare"]
    assert told[0] == {
        "name": "default",
        "base_url": "https://gateway.example/mj",
        "dialect": "midjourney",
        "state": "paused",
        "reason": "throttled",
        "paused_until": "2026-11-22T08:01:00.000Z",
        "last_error": "HTTP 429",
        "last_error_at": None,
        "last_ok_at": None,
        "look_size": 100,
        "live_tasks": 1,
        "poll_interval_seconds": 5.0,
    }
    assert (told[1]["state"], told[1]["live_tasks"], told[1]["poll_interval_seconds"]) == ("unknown", 0, 2.5)


async def test_an_upstream_that_tasks_name_and_nobody_configured_is_told_too(api: Api) -> None:
    wanted = [Wanted(upstream="gone", task_id=number) for number in ("1", "2")]
    register = partial(registrations.register, owner="ann", now=api.clock(), compose=Composer())
    api.database.write_now(partial(register, wanted=wanted, sees_all=False, default_format="standard"))
    paused = Health(name="gone", state="paused", last_error="HTTP 429")
    api.database.write_now(partial(upstreams.write, health=paused))

    told = (await api.client.get("/v1/upstreams")).json()["upstreams"]

    assert [one["name"] for one in told] == ["default", "spare", "gone"]
    assert {name: value for name, value in told[2].items() if value is not None} == {
        "name": "gone",
        "state": "not_configured",
        "live_tasks": 2,
    }
    assert told[2].keys() == told[0].keys()
