"""Ids that a list leaves out: unknown to the upstream, or only to its list."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from midjourney_fakes import HTML, Upstream, always, ids, kinds, knows, knows_not, lists, reply, shown

from tracker.model import Miss
from tracker.providers.midjourney import Reply
from tracker.providers.midjourney.batching import GAPS_BEFORE_SINGLES, SMALL_LIST
from tracker.providers.midjourney.provider import MOST_REQUESTS

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def newest(most: int) -> Callable[[list[str]], Reply]:
    """A list call that brings no more than so many of the tasks it is asked for."""
    return lambda asked: lists(sorted(asked)[-most:])


def without(*unknown: str) -> Upstream:
    """An upstream that does not know some ids, in either call."""
    return Upstream(
        lambda task_id: (knows_not if task_id in unknown else knows)(task_id),
        lambda asked: lists([task_id for task_id in asked if task_id not in unknown]),
    )


class TestUnknownIds:
    @pytest.mark.parametrize("mode", ["auto", "on"])
    async def test_what_a_list_leaves_out_is_unknown_when_a_single_fetch_agrees(self, mode: str) -> None:
        upstream = without("1", "2")
        provider = upstream.provider(mode)

        look = await provider.look(["0", "1", "2", "3"])

        assert [shown(look.seen[one]) for one in "0123"] == ["running 31", "unknown", "unknown", "running 31"]
        assert (upstream.asked, look.requests, look.trouble) == ([4, "1"], 2, None)
        assert provider.look_size == 100

    async def test_one_check_will_do_for_all_lists_of_a_look(self) -> None:
        upstream = without(*ids(3), ids(60)[55])

        look = await upstream.provider("on", 40).look(ids(100))

        assert upstream.asked == [40, ids(1)[0], 40, 20]
        assert [shown(seen) for seen in look.seen.values()].count("unknown") == 4

    async def test_looks_take_turns_in_what_they_check(self) -> None:
        upstream = without("1", "2", "3")
        provider = upstream.provider()

        for _ in range(4):
            await provider.look(["0", "1", "2", "3"])

        assert upstream.asked == [4, "1", 4, "2", 4, "3", 4, "1"]

    async def test_a_list_without_gaps_is_not_checked(self) -> None:
        upstream = Upstream(knows, lists)

        look = await upstream.provider().look(ids(9))

        assert (upstream.asked, look.requests) == ([9], 1)


class TestIncompleteLists:
    async def test_a_list_that_is_cut_is_asked_again_for_the_rest_and_halved(self) -> None:
        upstream = Upstream(knows, newest(50))
        provider = upstream.provider()

        look = await provider.look(ids(100))
        again = await provider.look(ids(provider.look_size))

        assert upstream.asked == [100, ids(1)[0], 49, 50]
        assert (kinds(look), kinds(again), len(look.seen)) == ({"running"}, {"running"}, 100)
        assert (look.trouble, look.requests, provider.look_size) == (None, 3, 50)

    async def test_no_live_task_of_a_demanded_list_that_is_cut_is_unknown(self) -> None:
        upstream = Upstream(knows, newest(50))
        provider = upstream.provider("on")

        look = await provider.look(ids(100))

        assert (kinds(look), look.trouble, provider.look_size) == ({"running"}, None, 100)

    @pytest.mark.parametrize("mode", ["auto", "on"])
    async def test_a_list_that_never_has_them_leaves_them_to_single_fetches(self, mode: str) -> None:
        upstream = Upstream(knows, lambda asked: lists([one for one in asked if one > ids(51)[50]]))
        provider = upstream.provider(mode)

        look = await provider.look(ids(100))

        assert look.requests == len(upstream.asked) == MOST_REQUESTS
        assert kinds(look) == {"running", "transient"}
        assert {seen.detail for seen in look.seen.values() if isinstance(seen, Miss)} == {
            "the upstream leaves this id out of its list; no single fetch has settled yet whether it knows it"
        }
        assert look.trouble is None

    async def test_a_list_that_stays_incomplete_however_small_is_given_up(self) -> None:
        upstream = Upstream(knows, lambda asked: lists([one for one in asked if int(one) % 2]))
        provider = upstream.provider()

        sizes = [provider.look_size]
        while provider.look_size > 1 and len(sizes) < 20:
            look = await provider.look(ids(provider.look_size))
            assert kinds(look) <= {"running", "transient"}
            sizes.append(provider.look_size)

        assert sizes[-1] == 1
        assert min(sizes[:-1]) == SMALL_LIST

    async def test_a_task_that_only_just_got_saved_costs_nobody_the_lists(self) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider()
        upstream.many = lambda asked: lists(asked[1:])

        for _ in range(GAPS_BEFORE_SINGLES - 1):
            await provider.look(ids(4))
        upstream.many = lists
        await provider.look(ids(4))
        upstream.many = lambda asked: lists(asked[1:])
        look = await provider.look(ids(4))

        assert (kinds(look), provider.look_size) == ({"running"}, 100)


class TestChecksThatTellNothing:
    @pytest.mark.parametrize(
        "answer", [reply({"detail": "Not Found"}, 404), reply(HTML), reply(b"", 403), reply({"error": "x"}, 422)]
    )
    async def test_then_ids_are_neither_unknown_nor_is_the_upstream_in_trouble(self, answer: Reply) -> None:
        upstream = Upstream(always(answer), lambda asked: lists(asked[2:]))
        provider = upstream.provider()

        look = await provider.look(ids(9))

        assert upstream.asked == [9, ids(1)[0]]
        assert [shown(seen) for seen in look.seen.values()].count("transient") == 2
        assert (look.trouble, provider.look_size) == (None, 100)

    async def test_a_throttled_check_is_trouble_and_keeps_what_the_list_brought(self) -> None:
        throttled = reply(b"", 429, retry_after=timedelta(seconds=3))
        upstream = Upstream(always(throttled), lambda asked: lists(asked[2:]))

        look = await upstream.provider().look(ids(9))

        assert look.trouble is not None
        assert look.trouble.retry_after == timedelta(seconds=3)
        assert [shown(seen) for seen in look.seen.values()].count("running 31") == 7
        assert [shown(seen) for seen in look.seen.values()].count("throttled") == 2
