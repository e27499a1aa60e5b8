"""What a provider learns about lists: when to fall back, when to halve, when to try again."""

from collections.abc import Coroutine
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from midjourney_fakes import (
    HTML,
    NO_SUCH_TASK,
    NOW,
    SAMPLE,
    Upstream,
    always,
    ids,
    kinds,
    knows,
    lists,
    reply,
    task,
)

from tracker.model import Miss, MissKind
from tracker.providers.midjourney import Batching, BatchMode, Reply
from tracker.providers.midjourney.batching import GROW_AFTER, RETRY_LISTS_AFTER, Verdict
from tracker.providers.midjourney.provider import MOST_REQUESTS
from tracker.providers.protocol import Look

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


MISSING = [reply(b"", 404), reply(b"", 405), reply(b"", 501), reply(HTML), reply(b""), reply({"error": "x"})]


class TestFallingBack:
    @pytest.mark.parametrize("answer", MISSING)
    async def test_without_a_list_call_ids_are_asked_for_one_by_one(self, answer: Reply) -> None:
        upstream = Upstream(knows, always(answer))
        provider = upstream.provider()

        look = await provider.look(ids(5))

        assert upstream.asked == [5, *ids(5)]
        assert (kinds(look), look.trouble, look.requests, provider.look_size) == ({"running"}, None, 6, 1)

    async def test_the_list_call_is_tried_again_after_a_while(self) -> None:
        upstream = Upstream(knows, always(reply(b"", 404)))
        provider = upstream.provider()
        await provider.look(ids(2))

        upstream.many, upstream.asked = lists, []
        upstream.now += RETRY_LISTS_AFTER - timedelta(seconds=1)
        await provider.look(ids(2))
        upstream.now += timedelta(seconds=1)
        await provider.look(ids(2))

        assert upstream.asked == [*ids(2), 2]
        assert provider.look_size == 100

    @pytest.mark.parametrize(
        "answer", [reply(b"", 400), reply(b"", 413), reply(b"", 422), reply(b"[]", truncated=True)]
    )
    async def test_a_list_that_is_too_large_is_halved(self, answer: Reply) -> None:
        upstream = Upstream(knows, lambda asked: answer if len(asked) > 30 else lists(asked))
        provider = upstream.provider()

        look = await provider.look(ids(100))

        assert upstream.asked == [100, 50, 25, 25, 25, 25]
        assert (kinds(look), len(look.seen), provider.look_size) == ({"running"}, 100, 25)

    async def test_a_list_that_is_always_refused_ends_in_single_fetches(self) -> None:
        upstream = Upstream(knows, always(reply(b"", 400)))
        provider = upstream.provider(batch_size=8)

        look = await provider.look(ids(8))

        assert upstream.asked == [8, 4, 2, *ids(7)]
        assert (len(look.seen), kinds(look), provider.look_size) == (8, {"running", "transient"}, 1)

    async def test_a_smaller_list_grows_back_slowly(self) -> None:
        upstream = Upstream(knows, lambda asked: reply(b"", 400) if len(asked) > 50 else lists(asked))
        provider = upstream.provider()
        await provider.look(ids(100))
        sizes = [provider.look_size]

        for _ in range(GROW_AFTER):
            await provider.look(ids(3))
            await provider.look(ids(provider.look_size))
            sizes.append(provider.look_size)

        # The first look already brought two full lists; the ones for three ids count for nothing.
        assert sizes[: GROW_AFTER - 1] == [50] * (GROW_AFTER - 2) + [100]
        assert sizes[-1] == 50

    @pytest.mark.parametrize("verdict", Verdict)
    def test_only_auto_learns(self, verdict: Verdict) -> None:
        for mode in (BatchMode.ON, BatchMode.OFF):
            state = Batching.of(mode, 100)
            assert state.after(verdict, NOW, asked=100) == state
        automatic = Batching.of(BatchMode.AUTO, 100)
        assert (automatic.after(verdict, NOW, asked=100) == automatic) is (verdict is Verdict.NOTHING)

    def test_lists_that_fail_side_by_side_count_once(self) -> None:
        state = Batching.of(BatchMode.AUTO, 100)

        after_one = state.after(Verdict.TOO_LARGE, NOW, asked=100)

        assert after_one.size == after_one.after(Verdict.TOO_LARGE, NOW, asked=100).size == 50

    @pytest.mark.parametrize("status", [500, 502, 504])
    async def test_a_broken_row_spoils_only_its_own_list(self, status: int) -> None:
        broken = ids(8)[7]

        def many(asked: list[str]) -> Reply:
            return reply(b"", status) if broken in asked else lists(asked)

        upstream = Upstream(knows, many)

        look = await upstream.provider().look(ids(8))

        assert (kinds(look), look.trouble) == ({"running"}, None)
        assert upstream.asked[:3] == [8, ids(1)[0], 4]

    @pytest.mark.parametrize("status", [500, 503])
    async def test_an_upstream_that_is_down_is_trouble_and_teaches_nothing(self, status: int) -> None:
        upstream = Upstream(always(reply(b"", status)), always(reply(b"", status)))
        provider = upstream.provider()

        look = await provider.look(ids(9))

        assert look.trouble is not None
        assert kinds(look) == {"transient"}
        assert look.requests <= 2
        assert provider.look_size == 100

    async def test_a_list_call_that_alone_is_refused_is_given_up(self) -> None:
        upstream = Upstream(knows, always(reply(b"", 403)))
        provider = upstream.provider()

        look = await provider.look(ids(3))

        assert (kinds(look), look.trouble, provider.look_size) == ({"running"}, None, 1)

    async def test_a_refused_credential_is_trouble_and_teaches_nothing(self) -> None:
        upstream = Upstream(always(reply(b"", 401)), always(reply(b"", 401)))
        provider = upstream.provider()

        look = await provider.look(ids(3))

        assert look.trouble is not None
        assert (kinds(look), provider.look_size) == ({"refused"}, 100)

    async def test_an_account_without_quota_is_trouble_and_teaches_nothing(self) -> None:
        upstream = Upstream(knows, always(reply({"description": "quota_not_enough", "code": 4}, 400)))
        provider = upstream.provider()

        look = await provider.look(ids(3))

        assert (upstream.asked, kinds(look), provider.look_size) == ([3], {"unusable"}, 100)
        assert look.trouble is not None

    async def test_a_throttled_list_is_trouble(self) -> None:
        upstream = Upstream(knows, always(reply(b"", 429, retry_after=timedelta(seconds=3))))

        look = await upstream.provider().look(ids(3))

        assert look.trouble is not None
        assert look.trouble.retry_after == timedelta(seconds=3)
        assert upstream.asked == [3]

    async def test_lists_that_get_no_answer_while_single_fetches_do_are_halved(self) -> None:
        silence = Miss(kind=MissKind.TRANSIENT, detail="no answer came in time")
        upstream = Upstream(knows, always(silence))
        provider = upstream.provider()

        looks = [await provider.look(ids(100)) for _ in range(2)]
        upstream.many = lambda asked: lists(asked) if len(asked) <= 50 else silence
        last = await provider.look(ids(100))

        assert [look.trouble for look in looks] == [silence, silence]
        assert (kinds(last), last.trouble, provider.look_size) == ({"running"}, None, 50)

    async def test_an_upstream_out_of_reach_teaches_nothing(self) -> None:
        silence = Miss(kind=MissKind.TRANSIENT, detail="the connection was refused")
        provider = Upstream(always(silence), always(silence)).provider()

        looks = [await provider.look(ids(9)) for _ in range(20)]

        assert all(look.trouble == silence and kinds(look) == {"transient"} for look in looks)
        assert provider.look_size == 100

    @pytest.mark.parametrize(
        ("answer", "kind", "is_trouble"),
        [
            (reply(b"", 404), "unusable", True),
            (reply(HTML), "unusable", True),
            (reply(b"", 400), "unusable", False),
            (reply(b"", 500), "transient", True),
            (reply(b"", 401), "refused", True),
            (Miss(kind=MissKind.TRANSIENT, detail="x"), "transient", True),
        ],
    )
    async def test_demanded_lists_that_fail_are_misses(self, answer: Reply | Miss, kind: str, is_trouble: bool) -> None:  # noqa: FBT001, a column
        upstream = Upstream(knows, always(answer))
        provider = upstream.provider("on")

        look = await provider.look(ids(3))

        assert (upstream.asked, kinds(look), provider.look_size) == ([3], {kind}, 100)
        assert (look.trouble is not None) is is_trouble

    async def test_a_batch_of_one_is_none(self) -> None:
        upstream = Upstream(knows, lists)

        await upstream.provider("auto", 1).look(ids(2))

        assert upstream.asked == ids(2)

    @given(st.data())
    def test_every_id_has_an_entry_whatever_the_upstream_does(self, data: st.DataObject) -> None:
        answers = [
            *MISSING,
            reply(b"", 400),
            reply(b"", 401),
            reply(b"", 429),
            reply(b"", 500),
            reply([]),
            reply(NO_SUCH_TASK, 400),
            reply([task("173000"), task("foreign")]),
            reply(SAMPLE),
            Miss(kind=MissKind.TRANSIENT, detail="refused"),
        ]
        draw = lambda _: data.draw(st.sampled_from(answers))  # noqa: E731
        provider = Upstream(draw, draw).provider(data.draw(st.sampled_from(["auto", "on", "off"])), 4)
        asked = data.draw(st.lists(st.sampled_from(ids(20)), max_size=20))

        for _ in range(3):
            look = run(provider.look(asked))
            assert set(look.seen) == set(asked)
            assert look.requests <= MOST_REQUESTS + 1
            assert 1 <= provider.look_size <= 4


def run(look: Coroutine[object, object, Look]) -> Look:
    """Drive a coroutine that never waits."""
    try:
        look.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")
