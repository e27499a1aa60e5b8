"""How an upstream of the Midjourney-proxy dialect is asked: where, one by one, and by lists."""

from datetime import timedelta
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from midjourney_fakes import (
    ASKED,
    HTML,
    NO_SUCH_TASK,
    SECRET,
    Upstream,
    always,
    ids,
    kinds,
    knows,
    knows_not,
    lists,
    reply,
    shown,
)

from tracker.model import Miss, MissKind
from tracker.providers.midjourney import Addresses, Reply, credentials
from tracker.providers.midjourney.provider import MOST_REQUESTS
from tracker.providers.protocol import Look

pytestmark = pytest.mark.anyio

PER_TASK = [
    reply({"success": False}),
    reply({"error": {"message": "parameter error"}}, 400),
    reply({"detail": [{"loc": ["path", "id"], "msg": "bad"}]}, 422),
    reply({"message": "try later"}, 404),
]
"""Complaints about the task that was asked for."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestAddresses:
    @pytest.mark.parametrize(
        ("base_url", "root"),
        [
            ("https://host", "https://host/mj"),
            ("https://host/", "https://host/mj"),
            ("https://host/mj", "https://host/mj"),
            (" https://host/mj/// ", "https://host/mj"),
            ("https://host/mj-fast/mj", "https://host/mj-fast/mj"),
            ("https://host/mj-turbo/mj/", "https://host/mj-turbo/mj"),
            ("https://host/mj-relax", "https://host/mj-relax/mj"),
            ("http://host:8080/api/v2/mj", "http://host:8080/api/v2/mj"),
            ("http://[::1]:8080/gate?x=1#y", "http://[::1]:8080/gate/mj"),
        ],
    )
    def test_a_base_url_may_end_anywhere(self, base_url: str, root: str) -> None:
        addresses = Addresses.of(base_url)

        assert addresses.fetch("17") == f"{root}/task/17/fetch"
        assert addresses.list == f"{root}/task/list-by-condition"

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    def test_any_id_is_one_segment_of_the_path(self, task_id: str) -> None:
        url = Addresses.of("https://host").fetch(task_id)
        segment = url.removeprefix("https://host/mj/task/").removesuffix("/fetch")

        assert unquote(segment) == task_id
        assert url.isascii()
        assert not {"/", "?", "#", " "} & set(segment)
        assert segment not in (".", "..")

    @pytest.mark.parametrize(("dots", "segment"), [(".", "%2E"), ("..", "%2E%2E"), ("...", "...")])
    def test_an_id_of_dots_is_not_resolved_away(self, dots: str, segment: str) -> None:
        assert Addresses.of("https://host").fetch(dots) == f"https://host/mj/task/{segment}/fetch"

    def test_half_a_surrogate_pair_in_an_id_does_no_harm(self) -> None:
        assert Addresses.of("https://host").fetch("a\ud800") == "https://host/mj/task/a%3F/fetch"

    @pytest.mark.parametrize(
        ("style", "token", "headers"),
        [
            ("bearer", "T", {"authorization": "Bearer T"}),
            ("bearer", "Bearer T", {"authorization": "Bearer T"}),
            ("raw", "T", {"authorization": "T"}),
            ("mj-api-secret", "T", {"mj-api-secret": "T"}),
            ("bearer", None, {}),
            ("raw", "", {}),
            ("mj-api-secret", None, {}),
        ],
    )
    def test_the_token_travels_in_one_header(self, style: str, token: str | None, headers: dict[str, str]) -> None:
        assert credentials(style, token) == headers


class TestOneByOne:
    async def test_a_single_mode_asks_for_one(self) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider("off")

        look = await provider.look([ASKED])

        assert provider.look_size == 1
        assert upstream.requests == [
            (
                "GET",
                f"https://host/mj/task/{ASKED}/fetch",
                {"accept": "application/json", "authorization": f"Bearer {SECRET}"},
            )
        ]
        assert (shown(look.seen[ASKED]), look.trouble, look.requests) == ("running 31", None, 1)

    async def test_no_ids_cost_no_request(self) -> None:
        assert await Upstream(knows, lists).provider().look([]) == Look(seen={}, requests=0)

    @pytest.mark.parametrize(
        "answer",
        [
            Miss(kind=MissKind.TRANSIENT, detail="the connection was refused"),
            reply(b"", 401),
            reply(b"", 429, retry_after=timedelta(seconds=9)),
            reply(b"", 502),
            reply(HTML),
            reply(b"", 301),
            reply(b"", 405),
            reply(b"404 page not found", 404),
            reply({"detail": "Not Found"}, 404),
            reply({"description": "quota_not_enough", "code": 4}, 400),
        ],
    )
    async def test_what_concerns_the_whole_upstream_is_trouble_and_stops_the_look(self, answer: Reply | Miss) -> None:
        upstream = Upstream(always(answer), lists)

        look = await upstream.provider("off").look(ids(5))

        assert look.trouble is not None
        assert set(look.seen.values()) == {look.trouble}
        assert look.requests == len(upstream.asked) == 1

    @pytest.mark.parametrize("answer", [*PER_TASK, knows(ASKED), reply(b""), reply(NO_SUCH_TASK, 400)])
    async def test_what_concerns_one_task_is_no_trouble(self, answer: Reply) -> None:
        look = await Upstream(always(answer), lists).provider("off").look(["1", "2"])

        assert look.trouble is None
        assert look.requests == 2

    @pytest.mark.parametrize("answer", PER_TASK)
    async def test_a_complaint_about_the_only_id_asked_is_no_trouble(self, answer: Reply) -> None:
        look = await Upstream(always(answer), lists).provider("off").look(["1"])

        assert (look.trouble, kinds(look)) == (None, {"unusable"})

    @pytest.mark.parametrize("answer", [reply({"detail": "Not Found"}, 404), reply(HTML), reply(b"", 403)])
    async def test_who_has_answered_for_a_neighbour_is_not_in_trouble(self, answer: Reply) -> None:
        upstream = Upstream(lambda task_id: answer if task_id == "2" else knows(task_id), lists)

        look = await upstream.provider("off").look(["1", "2", "3"])

        assert look.trouble is None
        assert [shown(look.seen[task_id]) for task_id in "13"] == ["running 31", "running 31"]

    async def test_an_upstream_that_stops_answering_amid_a_look_is_in_trouble(self) -> None:
        upstream = Upstream(lambda task_id: reply(b"", 502) if task_id == "2" else knows(task_id), lists)

        look = await upstream.provider("off").look(["1", "2", "3"])

        assert look.trouble is not None
        assert [shown(seen) for seen in look.seen.values()] == ["running 31", "transient", "transient"]

    @pytest.mark.parametrize("odd", ["a/b", "../x", "' or 1=1", "任务", "x" * 200])
    async def test_an_odd_id_that_leads_astray_stops_nobody_else(self, odd: str) -> None:
        upstream = Upstream(lambda task_id: knows(task_id) if task_id == "1" else reply(HTML, 403), lists)

        look = await upstream.provider("off").look([odd, "1"])

        assert look.trouble is None
        assert [shown(seen) for seen in look.seen.values()] == ["refused", "running 31"]

    async def test_the_token_is_never_repeated(self) -> None:
        says = {"error": {"message": f"invalid token {SECRET} or {SECRET[3:]}"}}

        look = await Upstream(always(reply(says, 401)), lists).provider("off").look(["1"])

        assert look.trouble is not None
        assert look.trouble.detail == "HTTP 401: invalid token … or …"

    async def test_more_ids_than_one_look_may_ask_wait_for_the_next(self) -> None:
        upstream = Upstream(knows, lists)

        look = await upstream.provider("off").look(ids(50))

        assert look.requests == len(upstream.asked) == MOST_REQUESTS
        assert len(look.seen) == 50
        assert [shown(seen) for seen in look.seen.values()].count("transient") == 50 - MOST_REQUESTS
        assert look.trouble is None

    async def test_no_request_begins_after_the_timeout_of_one(self) -> None:
        def slow(task_id: str) -> Reply:
            upstream.now += timedelta(seconds=6)
            return knows(task_id)

        upstream = Upstream(slow, lists)

        look = await upstream.provider("off").look(ids(9))

        assert look.requests == 3
        assert len(look.seen) == 9


class TestLooksByList:
    @pytest.mark.parametrize("mode", ["auto", "on"])
    async def test_a_list_answers_for_all(self, mode: str) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider(mode)

        look = await provider.look([*ids(100), *ids(3)])

        assert provider.look_size == 100
        assert upstream.asked == [100]
        assert upstream.requests[0][:2] == ("POST", "https://host/mj/task/list-by-condition")
        assert upstream.requests[0][2]["content-type"] == "application/json"
        assert (kinds(look), sorted(look.seen), look.requests) == ({"running"}, ids(100), 1)

    async def test_one_id_is_asked_for_alone_unless_lists_are_demanded(self) -> None:
        automatic, demanded = Upstream(knows, lists), Upstream(knows, lists)

        await automatic.provider("auto").look(["1"])
        await demanded.provider("on").look(["1"])

        assert (automatic.asked, demanded.asked) == (["1"], [1])

    async def test_more_ids_than_a_list_takes_are_split(self) -> None:
        upstream = Upstream(knows, lists)

        look = await upstream.provider("on", 40).look(ids(100))

        assert upstream.asked == [40, 40, 20]
        assert (kinds(look), len(look.seen)) == ({"running"}, 100)

    async def test_a_list_that_knows_nothing_is_believed_when_a_single_fetch_agrees(self) -> None:
        upstream = Upstream(knows_not, always(reply([])))
        provider = upstream.provider()

        look = await provider.look(ids(9))

        assert upstream.asked == [9, ids(1)[0]]
        assert (kinds(look), look.trouble, provider.look_size) == ({"unknown"}, None, 100)

    async def test_a_stub_that_answers_nothing_is_found_out(self) -> None:
        upstream = Upstream(knows, always(reply([])))
        provider = upstream.provider()

        look = await provider.look(ids(5))

        assert upstream.asked == [5, *ids(5)]
        assert (kinds(look), provider.look_size) == ({"running"}, 1)

    async def test_a_list_that_has_worked_is_not_given_up_for_one_race(self) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider()
        await provider.look(ids(5))
        upstream.many = always(reply([]))

        await provider.look(["8", "9"])

        assert provider.look_size == 100

    async def test_trouble_while_a_list_is_checked_is_trouble(self) -> None:
        look = await Upstream(always(reply(b"", 500)), always(reply([]))).provider().look(ids(5))

        assert kinds(look) == {"transient"}
        assert look.trouble is not None
