"""Sending messages again, and opening and closing endpoints, through the API."""

from collections.abc import AsyncIterator

import pytest
from api_harness import HOOK, Api, fields, serving
from clocks import FakeClock

from tracker.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        made.use()
        yield made


async def delivered(api: Api, *names: str) -> list[str]:
    """Messages that have arrived."""
    for name in names:
        await api.register(name, callback_url=HOOK)
        api.see(name)
    return [claimed.id for claimed in api.attempt(delivered=True)]


async def test_a_message_that_was_delivered_goes_again(api: Api) -> None:
    (id_,) = await delivered(api, "1")
    api.woken.clear()

    answer = await api.client.post(f"/v1/deliveries/{id_}/redeliver")

    assert answer.status_code == 202, answer.text
    assert (answer.json()["status"], answer.json()["attempt"]) == ("pending", 1)
    assert answer.json()["why"].endswith(", as attempt 2: it was delivered before")
    assert api.woken == ["courier"]
    (again,) = api.attempt(delivered=True)
    assert again.id == id_


async def test_one_that_waits_goes_now(api: Api) -> None:
    await api.register("1", callback_url=HOOK)
    api.see("1")
    (claimed,) = api.attempt(delivered=False)
    assert api.attempt(delivered=True) == [], "it waits for its next attempt"

    answer = await api.client.post(f"/v1/deliveries/{claimed.id}/redeliver")

    assert answer.status_code == 202, answer.text
    assert [one.id for one in api.attempt(delivered=True)] == [claimed.id]


async def test_one_under_way_or_without_a_body_is_a_conflict(api: Api) -> None:
    (id_,) = await delivered(api, "1")
    await api.client.post(f"/v1/deliveries/{id_}/redeliver")
    (claimed,) = api.claim()
    answer = await api.client.post(f"/v1/deliveries/{id_}/redeliver")
    assert (answer.status_code, claimed.id) == (409, id_)
    assert "under way" in answer.json()["detail"]
    api.database.write_now(lambda connection: connection.exec_driver_sql("UPDATE delivery SET body = NULL").close())

    answer = await api.client.post(f"/v1/deliveries/{id_}/redeliver")

    assert answer.status_code == 409
    assert id_ in answer.json()["detail"]


async def test_owners_send_only_their_own_again_and_readers_none(api: Api) -> None:
    (id_,) = await delivered(api, "1")
    bob, reader = api.shows("bob"), api.shows("ann", "read")

    assert (await api.client.post(f"/v1/deliveries/{id_}/redeliver", headers=bob)).status_code == 404
    assert (await api.client.post(f"/v1/deliveries/{id_}/redeliver", headers=reader)).status_code == 403
    every = {"status": "delivered"}
    assert (await api.client.post("/v1/deliveries/redeliver", json=every, headers=reader)).status_code == 403
    theirs = await api.client.post("/v1/deliveries/redeliver", json=every, headers=bob)
    assert theirs.json() == {"redelivered": 0}


async def test_all_that_match_go_again(api: Api) -> None:
    await delivered(api, "1", "2")

    none = await api.client.post("/v1/deliveries/redeliver", json={"since": "2026-11-22T00:00:00Z"})
    all_of_them = await api.client.post("/v1/deliveries/redeliver", json={})
    elsewhere = await api.client.post("/v1/deliveries/redeliver", json={"endpoint": "https://nowhere.example"})
    wrong = await api.client.post("/v1/deliveries/redeliver", json={"status": "pending"})
    both = {"endpoint": "https://receiver.example", "status": "delivered", "since": "2026-11-22T00:00:00Z"}
    answer = await api.client.post("/v1/deliveries/redeliver", json=both)

    assert none.json() == {"redelivered": 0}, "dead ones, unless it says otherwise"
    assert (all_of_them.status_code, fields(all_of_them)) == (422, ["body"])
    assert elsewhere.status_code == 404
    assert (wrong.status_code, fields(wrong)) == (422, ["status"])
    assert answer.json() == {"redelivered": 2}
    assert len(api.attempt(delivered=True)) == 2


async def test_endpoints_are_listed_closed_and_opened(api: Api) -> None:
    await api.register(callback_url=HOOK)
    api.see("1")
    admin = api.shows("root", "admin")
    (told,) = (await api.client.get("/v1/endpoints")).json()["endpoints"]
    place = f"/v1/endpoints/{told['id']}"

    assert (told["endpoint"], told["state"], told["waiting"]) == ("https://receiver.example:443", "active", 1)
    assert (await api.client.get("/v1/endpoints", headers=api.shows("bob"))).json()["endpoints"] == []
    assert (await api.client.post(f"{place}/disable")).status_code == 403
    closed = (await api.client.post(f"{place}/disable", headers=admin)).json()
    await api.client.post(f"{place}/disable", headers=admin)
    said = (await api.client.get("/metrics")).text.splitlines()
    assert 'tracker_endpoint_turns_total{state="disabled"} 1.0' in said
    assert (closed["state"], closed["reason"], closed["waiting"]) == ("disabled", "disabled by root", 1)
    assert api.attempt(delivered=True) == []
    (waiting,) = (await api.client.get("/v1/deliveries")).json()["deliveries"]
    assert waiting["why"].startswith("held: https://receiver.example:443 is disabled: disabled by root; ")
    opened = (await api.client.post(f"{place}/enable", headers=admin)).json()
    assert (opened["state"], opened["reason"]) == ("active", None)
    assert 'tracker_endpoint_turns_total{state="active"} 1.0' in (await api.client.get("/metrics")).text.splitlines()
    assert len(api.attempt(delivered=True)) == 1


async def test_an_unknown_endpoint_is_not_found(api: Api) -> None:
    admin = api.shows("root", "admin")

    assert (await api.client.post("/v1/endpoints/end_1/enable", headers=admin)).status_code == 404
