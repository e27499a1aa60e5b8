"""The overview: what it shows, to whom, and how much of it."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from xml.etree import ElementTree as ET

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, serving
from clocks import FakeClock
from sqlalchemy import select
from web_harness import Pages, pages_of

from tracker.model import Status
from tracker.store import endpoints, watching
from tracker.store.database import Database
from tracker.store.overview import RANGES
from tracker.store.schema import endpoint

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        yield pages


def counters(text: str) -> dict[str, str]:
    """The number that leads to each address."""
    return {
        address.replace("&amp;", "&"): number
        for address, number in re.findall(r'<li><a href="([^"]+)"><strong>([^<]+)</strong>', text)
    }


def join(pages: Pages) -> None:
    """Have somebody watch."""
    entry = {"me": "dmn_me", "host": "here", "pid": 1, "version": "1", "now": pages.api.clock()}
    pages.api.database.write_now(partial(watching.join, **entry))


async def lived(pages: Pages) -> None:
    """Three tasks that ended, two of them well, one that runs, and messages that wait."""
    pages.api.use()
    for number in range(4):
        await pages.api.register(f"number-{number}", callback_url=HOOK)
    for number, status in enumerate((Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.RUNNING)):
        pages.api.see(f"number-{number}", status)


async def test_nothing_yet_teaches_the_one_command(pages: Pages) -> None:
    await pages.sign_in()

    answer = await pages.get("/")

    assert answer.status_code == 200
    assert "tracker add TASK_ID --callback" in answer.text


async def test_counters_are_links_to_what_they_count(pages: Pages) -> None:
    await lived(pages)
    await pages.sign_in()

    found = counters((await pages.get("/")).text)

    assert found == {
        "/tasks?status=queued": "0",
        "/tasks?status=running": "1",
        "/tasks?status=needs_input": "0",
        "/tasks?status=succeeded": "2",
        "/tasks?status=failed,lost,expired": "1",
        "/deliveries?status=pending": "3",
        "/deliveries?status=dead": "0",
    }
    for address in found:
        if address.startswith("/tasks"):
            assert (await pages.get(address)).status_code == 200


@pytest.mark.parametrize("name", RANGES)
async def test_every_range_is_a_link_and_shows_charts_with_their_tables(pages: Pages, name: str) -> None:
    await lived(pages)
    await pages.sign_in()

    text = (await pages.get(f"/?range={name}")).text

    assert f'href="/?range={name}" aria-current="true"' in text
    assert "3 tasks ended · 66.7% succeeded" in text
    assert text.count('<svg class="chart') >= 1
    drawn = re.search(r'<svg class="chart.*?</svg>', text, re.DOTALL)
    assert drawn
    chart = ET.fromstring(drawn[0])  # noqa: S314 - our own
    assert chart.attrib["aria-label"]
    assert [path.attrib["class"] for path in chart.iter("path")] == ["axis", "ok", "bad"]
    says = [title.text or "" for title in chart.iter("title")]
    assert len(says) == RANGES[name].span // RANGES[name].step
    assert says[-1].endswith(": 2 succeeded, 1 failed, lost or expired")
    assert "style=" not in text
    assert len(text) < 60_000


async def test_an_unknown_range_is_the_usual_one(pages: Pages) -> None:
    await pages.sign_in()

    assert 'href="/?range=24h" aria-current="true"' in (await pages.get("/?range=for ever")).text


async def test_it_says_whether_somebody_watches_and_is_on_time(pages: Pages) -> None:
    await pages.sign_in()
    assert "No daemon watches" in (await pages.get("/")).text

    join(pages)
    text = (await pages.get("/")).text
    assert "last sign of life" in text
    assert "Every loop is on time" in text
    assert "No message is overdue" in text

    pages.api.pulse.expect("poll", timedelta(seconds=20))
    pages.api.clock.advance(30)
    assert "Late: poll" in (await pages.get("/")).text


async def test_receivers_in_trouble_and_what_goes_on_for_longest_are_named(pages: Pages) -> None:
    await lived(pages)
    await pages.sign_in()
    key = pages.api.database.read_now(lambda connection: connection.scalar(select(endpoint.c.key)))
    assert "Every receiver takes what it is sent" in (await pages.get("/")).text
    pages.api.database.write_now(partial(endpoints.disable, key=key, reason="by hand", now=pages.api.clock()))

    text = (await pages.get("/")).text

    assert "by hand" in text
    assert "3 wait" in text
    assert "number-3" in text
    assert "number-0" not in text


async def test_an_owner_sees_nothing_of_others(pages: Pages) -> None:
    await lived(pages)
    join(pages)
    await pages.sign_in("other", "read")

    text = (await pages.get("/")).text

    assert set(counters(text).values()) == {"0"}
    assert "0 tasks ended" in text
    assert "number-" not in text
    assert HOOK.split("/")[2] not in text
    assert "process" not in text
    assert "tracker add TASK_ID --callback" in text


async def test_an_owner_sees_its_own(pages: Pages) -> None:
    await lived(pages)
    await pages.sign_in("ann", "read")

    found = counters((await pages.get("/")).text)

    assert found["/tasks?status=succeeded"] == "2"
    assert found["/deliveries?status=pending"] == "3"


async def test_it_speaks_chinese(pages: Pages) -> None:
    await lived(pages)
    await pages.sign_in()

    assert (await pages.get("/", **{"accept-language": "zh-CN"})).status_code == 200
