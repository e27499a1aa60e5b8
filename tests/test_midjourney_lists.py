"""Lists that are read no further than they have news; what that tells is what reading all of them tells."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from midjourney_fakes import ASKED, NOW, SAMPLE, SECRET, Upstream, always, ids, knows, lists, reply, shown, task

from tracker.model import NO_STREAK, Miss, MissKind, Rules, Snapshot, Task
from tracker.observe import observe
from tracker.providers.midjourney.answers import tasks_in
from tracker.providers.midjourney.entries import seen_in
from tracker.providers.midjourney.lists import Listed, listed
from tracker.providers.protocol import Look

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def read(body: object, asked: list[str], known: Mapping[int, str] | None = None) -> Listed:
    found = listed(reply(body), asked, known or {})
    assert isinstance(found, Listed), found
    return found


def as_known(found: Listed | Look) -> dict[int, str]:
    return {digest: task_id for task_id, digest in found.digests.items()}


WRAPPINGS = [lambda it: it, lambda it: {"data": it}, lambda it: {"code": 1, "msg": "", "data": it}]


class TestDigests:
    @pytest.mark.parametrize("wrap", WRAPPINGS)
    def test_an_entry_that_comes_again_is_unchanged_and_nothing_is_made_of_it(self, wrap: Any) -> None:  # noqa: ANN401
        first = read(wrap([task("1"), task("2")]), ["1", "2"])
        again = read(wrap([task("2"), task("1", progress="32%"), task("foreign")]), ["1", "2"], as_known(first))

        assert sorted(first.digests) == ["1", "2"]
        assert (again.unchanged, {task_id: shown(seen) for task_id, seen in again.seen.items()}) == (
            {"2"},
            {"1": "running 32"},
        )
        assert sorted(again.digests) == ["1"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": "SUCCESS"},
            {"status": "FAILURE", "failReason": "banned"},
            {"progress": "100%", "failReason": "banned"},
        ],
    )
    def test_what_has_to_be_counted_or_ends_has_no_digest(self, fields: dict[str, object]) -> None:
        found = read([task("1", **fields), {"id": "2", "error": "broken"}], ["1", "2"])

        assert sorted(found.seen) == ["1", "2"]
        assert found.digests == {}

    def test_an_entry_known_from_another_look_is_foreign_in_this_one(self) -> None:
        first = read([task("1"), task("2")], ["1", "2"])

        found = read([task("1"), task("2")], ["2"], as_known(first))

        assert (found.unchanged, found.seen) == ({"2"}, {})

    @pytest.mark.parametrize("second", [task("1"), task("1", status="SUCCESS"), task("1", progress="40%")])
    def test_of_an_id_that_comes_twice_all_entries_are_read(self, second: dict[str, object]) -> None:
        first = read([task("1")], ["1"])

        found = read([task("1"), second], ["1"], as_known(first))

        assert found.unchanged == frozenset()
        assert found.seen == seen_in([task("1"), second], ["1"])
        assert found.digests == {}


class TestStrictness:
    @pytest.mark.parametrize(
        "body",
        [
            b"\xef\xbb\xbf[" + SAMPLE + b"]\r\n",
            b"[" + SAMPLE.replace(b'"pig --v 6.1"', b'"pig \xff\xfe"') + b"]",
            b"[" + SAMPLE.replace(b'"state": ""', b'"state": NaN, "x": -Infinity') + b"]",
            b"[" + SAMPLE.replace(b'"state": ""', b'"state": "\n\t\x00"') + b"]",
            b"[" + SAMPLE.replace(b'"state": ""', b'"status": "IN_PROGRESS", "state": 1e999') + b"]",
            b"[" + SAMPLE.replace(b'"progress": "100%"', b'"progress": 1e999') + b"]",
            b"[" + SAMPLE.replace(b'"state": ""', b'"state": "\\ud800"') + b"]",
            b"[" + SAMPLE.replace(b'"imageUrl"', b'"failReason": "\\udfff", "imageUrl"') + b"]",
            b"[null, 17, [[]], " + SAMPLE + b", {}]",
            b'{"data": [' + SAMPLE + b'], "code": "1", "x": NaN}',
        ],
    )
    def test_what_only_the_patient_decoder_reads_is_read(self, body: bytes) -> None:
        entries = tasks_in(reply(body))
        assert not isinstance(entries, Miss)
        found = read(body, [ASKED])
        (seen,) = found.seen.values()

        assert found.seen == seen_in(entries, [ASKED])
        assert isinstance(seen, Snapshot)
        json.dumps(seen.object, allow_nan=False)

    def test_a_number_that_nobody_can_read_spoils_neither_its_list_nor_what_is_kept(self) -> None:
        endless = SAMPLE.replace(b'"state": ""', b'"state": ' + b"1" * 5000)

        seen = read(b"[" + endless + b"]", [ASKED]).seen[ASKED]

        assert isinstance(seen, Snapshot)
        assert (shown(seen), seen.object["status"]) == ("succeeded", "SUCCESS")

    @given(st.data())
    def test_a_list_tells_the_same_however_it_is_read(self, data: st.DataObject) -> None:
        value = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        words = st.sampled_from(["SUCCESS", "IN_PROGRESS", "", "FAILURE", "100%", "31%", "1", "2", "3", 2, "banned"])
        names = ("id", "status", "progress", "failReason", "action", "prompt", "submitTime", "imageUrl", "videoUrls")
        entry = st.dictionaries(st.sampled_from(names), words | value) | value | st.lists(value, max_size=2)
        entries = data.draw(st.lists(entry, max_size=6))
        asked = ["1", "2", "3"]
        answer = reply(json.dumps(entries).encode())
        whole = seen_in(json.loads(answer.body), asked)

        first = listed(answer, asked, {})
        assert isinstance(first, Listed)
        again = listed(answer, asked, as_known(first))
        assert isinstance(again, Listed)

        assert first.seen == whole
        assert {*again.seen, *again.unchanged} == whole.keys()
        assert not again.seen.keys() & again.unchanged
        assert all(again.seen[task_id] == whole[task_id] for task_id in again.seen)

    @given(st.binary(max_size=200), st.integers(200, 599))
    def test_no_bytes_make_it_raise(self, body: bytes, status: int) -> None:
        for text in (body, b"[" + body + b"]", b'{"data":[' + body + b"]}"):
            found = listed(reply(text, status), ["1"], {})
            assert isinstance(found, Miss) is isinstance(tasks_in(reply(text, status)), Miss)


class TestKeeping:
    def test_what_is_kept_of_news_is_all_of_the_object_without_its_secrets(self) -> None:
        sent = {**json.loads(SAMPLE), "token": SECRET, "finalPrompt": "cat"}
        watched = Task(key=1, id="tsk_1", upstream="default", task_id=ASKED, registered_at=NOW)
        seen = read([sent], [ASKED]).seen[ASKED]

        change = observe(watched, seen, NOW, streak=NO_STREAK, rules=Rules())

        del sent["token"]
        assert change.object == sent
        assert SECRET not in repr((seen, change))


class TestLooks:
    async def test_what_is_known_and_comes_again_is_unchanged_in_lists(self) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider()
        first = await provider.look(ids(9))
        upstream.many = lambda asked: reply(
            [task(task_id, progress="32%" if task_id == "1730000" else "31%") for task_id in asked]
        )

        again = await provider.look(ids(9), as_known(first))

        assert (first.unchanged, len(first.digests)) == (frozenset(), 9)
        assert again.unchanged == set(ids(9)[1:])
        assert {task_id: shown(seen) for task_id, seen in again.seen.items()} == {"1730000": "running 32"}
        assert upstream.asked == [9, 9]

    async def test_what_is_known_and_comes_again_is_unchanged_when_fetched_alone(self) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider("off")
        first = await provider.look(ids(3))

        same = await provider.look(ids(3), as_known(first))
        upstream.one = lambda task_id: reply(task(task_id, progress="32%"))
        other = await provider.look(ids(3), as_known(first))

        assert (same.unchanged, same.seen, same.trouble, same.requests) == (set(ids(3)), {}, None, 3)
        assert (other.unchanged, sorted(other.seen)) == (frozenset(), ids(3))

    @pytest.mark.parametrize("more", [{"broken": "reset"}, {"truncated": True}, {"status": 500}])
    async def test_an_answer_that_is_not_whole_is_never_the_one_that_is_known(self, more: dict[str, Any]) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider("off")
        first = await provider.look(["1"])
        upstream.one = lambda task_id: reply(knows(task_id).body, **more)

        look = await provider.look(["1"], as_known(first))

        assert look.unchanged == frozenset()
        assert isinstance(look.seen["1"], Miss)

    async def test_an_entry_of_a_list_is_not_known_from_a_single_fetch(self) -> None:
        """A single answer may carry any id, and is about the one that was asked for; an entry is about its own."""
        upstream = Upstream(always(reply(task("2"))), lambda _: reply([task("2")]))
        first = await upstream.provider("off").look(["1"])

        look = await upstream.provider("on").look(["1", "2"], as_known(first))

        assert [*first.digests] == ["1"]
        assert look.unchanged == {"1"}, "fetched alone once more, since the list leaves it out"
        assert {task_id: shown(seen) for task_id, seen in look.seen.items()} == {"2": "running 31"}

    async def test_what_a_list_leaves_out_is_asked_for_though_all_the_rest_is_as_it_was(self) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider()
        first = await provider.look(ids(5))
        upstream.many, upstream.asked = (lambda asked: lists(asked[1:])), []

        look = await provider.look(ids(5), as_known(first))

        assert (look.unchanged, [*look.seen]) == (set(ids(5)[1:]), [ids(1)[0]])
        assert upstream.asked == [5, ids(1)[0]]

    async def test_who_has_answered_as_before_is_not_in_trouble(self) -> None:
        upstream = Upstream(knows, lists)
        provider = upstream.provider("off")
        first = await provider.look(["1", "2", "3"])
        upstream.one = lambda task_id: reply({"detail": "Not Found"}, 404) if task_id == "2" else knows(task_id)

        look = await provider.look(["1", "2", "3"], as_known(first))

        assert (look.trouble, look.unchanged) == (None, {"1", "3"})
        assert look.seen["2"].kind is MissKind.UNUSABLE  # type: ignore[union-attr]
