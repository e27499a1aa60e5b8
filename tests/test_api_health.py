"""Whether the daemon lives, whether it is ready, and its numbers."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from api_harness import ON_ONE_DATABASE, Api, serving
from clocks import FakeClock
from prometheus_client.parser import text_string_to_metric_families

from tracker.intake import SCOPES
from tracker.store.database import Database


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        yield made


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_all_is_well_while_the_loops_come_round(api: Api, path: str) -> None:
    api.pulse.expect("courier", within=timedelta(seconds=30))
    api.clock.advance(20)
    api.pulse.beat("courier")
    api.clock.advance(20)

    answer = await api.client.get(path)

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@ON_ONE_DATABASE
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_loop_that_is_silent_is_named(api: Api, path: str) -> None:
    api.pulse.expect("courier", within=timedelta(seconds=30))
    api.pulse.expect("poller", within=timedelta(seconds=60))
    api.clock.advance(40)

    answer = await api.client.get(path)

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "late: courier (silent for 40 s)"


@ON_ONE_DATABASE
async def test_the_metrics_are_in_prometheus_format(api: Api) -> None:
    answer = await api.client.get("/metrics")

    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "tracker_tasks" in names


@ON_ONE_DATABASE
@pytest.mark.parametrize("scope", ["read", "write", "admin"])
async def test_the_metrics_can_be_told_to_need_a_token(database: Database, clock: FakeClock, scope: str) -> None:
    async with serving(database, clock, metrics={"scope": scope}) as api:
        without = await api.client.get("/metrics")
        wrong = await api.client.get("/metrics", headers={"authorization": "Bearer trk_unheard-of"})
        shown = {
            given: (await api.client.get("/metrics", headers=api.shows("prometheus", given))).status_code
            for given in SCOPES
        }

    for refused in (without, wrong):
        assert (refused.status_code, refused.headers.get("www-authenticate")) == (401, "Bearer")
        assert "tracker_" not in refused.text
    enough = SCOPES.index(scope)
    assert shown == {given: 200 if SCOPES.index(given) >= enough else 403 for given in SCOPES}


@ON_ONE_DATABASE
async def test_health_needs_no_token_whatever_the_metrics_need(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock, metrics={"scope": "admin"}) as api:
        answers = [await api.client.get(path) for path in ("/healthz", "/readyz")]

    assert [answer.status_code for answer in answers] == [200, 200]
