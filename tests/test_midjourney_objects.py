"""What an upstream object says, and what of it is kept."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from midjourney_fakes import ASKED, NOW, SAMPLE, SECRET, reply, shown, task
from msgspec.structs import replace

from tracker.model import NO_STREAK, Miss, Rules, Snapshot, Status, Task
from tracker.observe import observe
from tracker.providers.midjourney import Reply
from tracker.providers.midjourney.answers import task_in
from tracker.providers.midjourney.cleaning import DEEPEST, LARGEST, clean, judge
from tracker.providers.midjourney.entries import seen_in
from tracker.providers.midjourney.objects import snapshot
from tracker.providers.midjourney.ordinary import WELL_KNOWN, ordinary
from tracker.store.rows import dump_json

WATCHED = Task(key=1, id="tsk_1", upstream="default", task_id=ASKED, registered_at=NOW)


def found(answer: Reply) -> Snapshot:
    value = task_in(answer, ASKED)
    assert not isinstance(value, Miss), value
    return snapshot(ASKED, value)


class TestObjects:
    def test_the_documented_sample_is_read_field_by_field(self) -> None:
        seen = found(reply(SAMPLE))

        assert seen.status is Status.SUCCEEDED
        assert (seen.upstream_status, seen.progress, seen.action) == ("SUCCESS", 100, "IMAGINE")
        assert seen.submitted_at == datetime(2024, 11, 3, 8, 17, 6, 53000, UTC)
        assert seen.started_at == datetime(2024, 11, 3, 8, 17, 8, 24000, UTC)
        assert seen.finished_at == datetime(2024, 11, 3, 8, 17, 35, 817000, UTC)
        assert seen.image_url == json.loads(SAMPLE)["imageUrl"]
        assert (seen.fail_reason, seen.reported_id, seen.implies_failure) == (None, None, False)
        assert seen.object == json.loads(SAMPLE)

    def test_the_sample_is_accepted_under_another_id(self) -> None:
        value = task_in(reply(SAMPLE), "14001934816969359")
        assert not isinstance(value, Miss)

        seen = snapshot("14001934816969359", value)

        assert (seen.task_id, seen.reported_id) == ("14001934816969359", ASKED)
        assert seen.status is Status.SUCCEEDED

    @pytest.mark.parametrize(
        "body",
        [
            b"\xef\xbb\xbf" + SAMPLE + b"\r\n",
            SAMPLE.replace(b'"pig --v 6.1"', b'"pig \xff\xfe"'),
            SAMPLE.replace(b'"state": ""', b'"state": NaN, "x": Infinity'),
            SAMPLE.replace(b'"state": ""', b'"state": "\n\t\x00"'),
            SAMPLE.replace(b'"state": ""', b'"status": "IN_PROGRESS", "state": 1e999'),
            b'{"code": "success", "data": ' + SAMPLE + b"}",
            b'{"code": 1, "message": "", "data": ' + SAMPLE + b"}",
            b'{"success": true, "data": ' + SAMPLE + b"}",
        ],
    )
    def test_the_sample_is_read_in_any_wrapping(self, body: bytes) -> None:
        seen = found(reply(body, content_type="text/html"))

        assert (seen.status, seen.progress) == (Status.SUCCEEDED, 100)
        json.dumps(seen.object, allow_nan=False)

    @pytest.mark.parametrize("number", [1730621826053455, 2**53 + 1, 2**64 + 1, 10**30])
    def test_an_id_may_be_a_number_of_any_size(self, number: int) -> None:
        value = task_in(reply({"id": number, "status": "SUCCESS"}), str(number))
        assert not isinstance(value, Miss)

        seen = snapshot(str(number), value)

        assert seen.reported_id is None
        assert str(seen.object["id"]) == str(number)

    def test_the_first_answer_of_a_new_api_gateway_is_a_queued_task(self) -> None:
        first = task(status="", progress="0%", submitTime=1731000000123, startTime=0, finishTime=0, imageUrl="")
        seen = found(reply({**first, "buttons": None, "properties": None, "failReason": ""}))

        assert (seen.status, seen.upstream_status, seen.progress) == (None, "", 0)
        assert seen.submitted_at is not None
        assert (seen.started_at, seen.finished_at, seen.image_url, seen.fail_reason) == (None, None, None, None)

    @pytest.mark.parametrize("status", [None, "", "unknown", "WARMING_UP", 17])
    def test_a_status_without_meaning_is_none(self, status: object) -> None:
        seen = found(reply(task(status=status)))

        assert seen.status is None
        assert seen.upstream_status == ("" if status is None else str(status))

    def test_a_status_that_is_missing_is_none(self) -> None:
        assert found(reply({"id": ASKED, "progress": "3%"})).status is None

    def test_a_task_without_an_id_is_one_beside_enough_other_fields(self) -> None:
        seen = found(reply({"status": "SUCCESS", "action": "IMAGINE", "progress": "100%"}))

        assert (seen.status, seen.reported_id) == (Status.SUCCEEDED, None)

    @pytest.mark.parametrize(
        ("fields", "implied"),
        [
            ({"status": "IN_PROGRESS", "progress": "100%", "failReason": "timeout"}, True),
            ({"status": "", "progress": "100%", "failReason": "timeout"}, True),
            ({"status": "FAILURE", "progress": "100%", "failReason": "timeout"}, False),
            ({"status": "SUCCESS", "progress": "100%", "failReason": "https://result"}, False),
            ({"status": "IN_PROGRESS", "progress": "100%", "failReason": " "}, False),
            ({"status": "IN_PROGRESS", "progress": "99%", "failReason": "timeout"}, False),
        ],
    )
    def test_full_progress_with_a_reason_implies_failure(self, fields: dict[str, object], implied: bool) -> None:  # noqa: FBT001, a column
        assert found(reply(task(**fields))).implies_failure is implied

    @pytest.mark.parametrize(
        ("fields", "url"),
        [
            ({"imageUrl": "https://a/1", "videoUrl": "https://v/1"}, "https://a/1"),
            ({"imageUrl": "", "imageUrls": [{"url": "https://b/1"}, {"url": "https://b/2"}]}, "https://b/1"),
            ({"imageUrl": None, "imageUrls": ["https://b/3"]}, "https://b/3"),
            ({"imageUrl": None, "imageUrls": [], "videoUrl": "https://v/1"}, "https://v/1"),
            ({"videoUrls": [{}, {"url": ""}, {"url": "http://v/2"}]}, "http://v/2"),
            ({"imageUrl": "http://localhost:3000/mj/image/1"}, "http://localhost:3000/mj/image/1"),
            ({"imageUrl": "javascript:alert(1)"}, None),
            ({"imageUrl": "/relative"}, None),
            ({"imageUrl": "https://a/" + "x" * 5000}, None),
            ({"imageUrl": 17, "imageUrls": "https://b/1"}, None),
            ({}, None),
        ],
    )
    def test_the_result_is_wherever_there_is_one(self, fields: dict[str, object], url: str | None) -> None:
        seen = found(reply(task(status="SUCCESS", **fields)))

        assert seen.image_url == url
        assert seen.status is Status.SUCCEEDED

    def test_texts_are_bounded(self) -> None:
        seen = found(reply(task(status="S" * 999, action="A" * 999, failReason="不" * 9999)))

        assert (len(seen.upstream_status), len(seen.action or ""), len(seen.fail_reason or "")) == (64, 64, 4000)
        assert found(reply(task(failReason="", action=None))).fail_reason is None

    def test_a_failure_of_the_proxies_has_no_progress(self) -> None:
        seen = found(reply(task(status="FAILURE", progress="", failReason="任务超时", imageUrl=None)))

        assert (seen.status, seen.progress, seen.fail_reason) == (Status.FAILED, None, "任务超时")


class TestCleaning:
    def test_secrets_and_accounts_are_dropped_at_every_depth(self) -> None:
        private = {
            **dict.fromkeys(("notifyHook", "notify_hook", "nonce", "discordInstanceId", "instanceId"), "x"),
            **dict.fromkeys(("subInstanceId", "clientIp", "client-ip", "userId", "accountFilter", "messageHash"), "x"),
            **dict.fromkeys(("flags", "messageId", "messageIds", "progressMessageId", "interactionMetadataId"), "x"),
            **dict.fromkeys(("partnerTaskInfo", "officialTaskInfo", "token", "apiKey", "mjApiSecret", "password"), "x"),
        }
        kept = {"finalPrompt": "cat", "customId": "MJ::1"}

        cleaned = clean({**private, "properties": {**private, **kept}, "list": [{**private, **kept}]})

        assert cleaned == {"properties": kept, "list": [kept]}

    def test_what_no_database_stores_is_replaced(self) -> None:
        cleaned = clean(
            {"a\x00": "b\x00\ud800", "nan": float("nan"), "big": 2**63, "deep": [float("inf")], "ok": 2**53}
        )

        assert cleaned == {"a\ufffd": "b\ufffd\ufffd", "nan": None, "big": str(2**63), "deep": [None], "ok": 2**53}

    def test_depth_is_bounded(self) -> None:
        deep: object = "bottom"
        for _ in range(500):
            deep = {"next": [deep]}

        text = json.dumps(clean({"deep": deep}))

        assert text.count("{") + text.count("[") == DEEPEST
        assert "null" in text

    def test_pictures_are_dropped_and_short_texts_kept(self) -> None:
        picture = base64.b64encode(b"x" * 3000).decode()

        cleaned = clean(
            {"maskBase64": picture, "base64Array": [picture], "botType": f"data:image/png;base64,{picture}", "x": ""}
        )

        assert cleaned == {"botType": None, "x": ""}
        assert clean({"maskBase64": ""}) == {"maskBase64": ""}

    def test_a_large_object_keeps_what_matters(self) -> None:
        large = {**json.loads(SAMPLE), "failReason": "r" * 100_000, "promptFull": "p" * 60_000, "logs": ["l" * 50_000]}

        cleaned = clean(large)

        assert len(json.dumps(cleaned, ensure_ascii=False).encode()) <= LARGEST
        assert "logs" in cleaned
        assert "promptFull" not in cleaned
        assert cleaned["failReason"] == "r" * 4000
        assert {"id", "status", "imageUrl", "buttons"} <= cleaned.keys()

    def test_even_essential_fields_go_when_they_are_huge(self) -> None:
        assert clean({"id": "1", "status": ["x" * 1000] * 100}) == {"id": "1"}

    @given(
        st.dictionaries(
            st.text(),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
                max_leaves=8,
            ),
        )
    )
    def test_any_object_becomes_storable(self, value: dict[str, object]) -> None:
        text = json.dumps(clean(value), allow_nan=False, ensure_ascii=False)

        assert "\\u0000" not in text
        assert len(text.encode()) <= LARGEST


class TestOrdinary:
    """Objects whose text tells that nothing has to go."""

    def test_the_sample_is_kept_as_it_is(self) -> None:
        assert ordinary(SAMPLE) == clean(json.loads(SAMPLE)) == json.loads(SAMPLE)

    @pytest.mark.parametrize(
        "odd",
        [
            *(
                {"token": "x"},
                {"notify_hook": "x"},
                {"maskBase64": ["x"]},
                {"a\x00": 1},
                {"a": "\x00"},
                {"a": "\ud800"},
            ),
            *({"big": 2**63}, {"big": -(2**63)}, {"a": "data:image/png;base64," + "x" * 1000}, {"id": "x" * 4001}),
            *({"maskBase64": {"id": "x"}}, {"id": "1", "prompt": "\x00"}, {"buttons": [{"maskBase64": ["x"]}]}),
            *({"a": [{"b": {"nonce": 1}}]}, {"a": {"b": {"c": {"d": {"e": {}}}}}}, {"a": ["x" * 900] * 50}),
        ],
    )
    def test_what_is_odd_is_looked_at_closely(self, odd: dict[str, object]) -> None:
        assert ordinary(json.dumps(odd).encode()) is None

    @pytest.mark.parametrize(
        "text", [b"", b"[]", b"17", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\t"}', b'{"a": 1', b"\xff"]
    )
    def test_what_is_no_object_to_the_letter_is_read_patiently(self, text: bytes) -> None:
        assert ordinary(text) is None

    def test_well_known_names_are_kept_as_they_are(self) -> None:
        assert [judge(name) for name in WELL_KNOWN] == [(False, False, name) for name in WELL_KNOWN]

    @given(
        st.dictionaries(
            st.sampled_from([*WELL_KNOWN, "maskBase64"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
                lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "url", "maskBase64"]), inner),
                max_leaves=8,
            ),
        )
    )
    def test_what_has_well_known_names_alone_is_what_cleaning_leaves(self, value: dict[str, object]) -> None:
        text = json.dumps(value)

        assert ordinary(text.encode()) in (None, clean(json.loads(text)))

    @given(
        st.dictionaries(
            st.sampled_from(["id", "prompt", "token", "base64", "x"]) | st.text(st.characters()),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
                lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["y", "secret", "maskBase64"]), inner),
                max_leaves=8,
            ),
        )
    )
    def test_what_is_ordinary_is_what_cleaning_leaves(self, value: dict[str, object]) -> None:
        text = json.dumps(value)

        assert ordinary(text.encode()) in (None, clean(json.loads(text)))


class Counted(dict[str, object]):
    """An upstream's object that counts how often it is gone through."""

    passes = 0

    def items(self) -> Any:  # noqa: ANN401 - what dict says
        self.passes += 1
        return super().items()


class TestLaziness:
    def test_looks_that_bring_nothing_new_clean_nothing(self) -> None:
        raw = Counted(json.loads(SAMPLE) | {"status": "IN_PROGRESS", "progress": "31%", "finishTime": 0})
        first = observe(WATCHED, snapshot(ASKED, raw), NOW, streak=NO_STREAK, rules=Rules())
        raw.passes = 0

        for _ in range(100):
            seen = snapshot(ASKED, raw)
            assert seen.fingerprint == snapshot(ASKED, raw).fingerprint
            assert observe(first.task, seen, NOW, streak=NO_STREAK, rules=Rules()).object is None

        assert raw.passes == 0

    def test_what_is_kept_of_news_is_the_cleaned_object_made_when_it_is_wanted(self) -> None:
        raw = Counted(json.loads(SAMPLE) | {"token": SECRET, "text": "\x00"})
        seen = snapshot(ASKED, raw)

        change = observe(WATCHED, seen, NOW, streak=NO_STREAK, rules=Rules())

        assert raw.passes == 0
        assert type(change.object) is dict
        assert raw.passes == 1
        assert dump_json(change.object) == dump_json(clean(dict(raw)))
        assert SECRET not in repr((seen, change))

    def test_a_copy_of_a_snapshot_has_the_same_object(self) -> None:
        seen = snapshot(ASKED, json.loads(SAMPLE))

        assert replace(seen, progress=3).object == seen.object

    def test_a_snapshot_has_no_other_lazy_fields(self) -> None:
        with pytest.raises(AttributeError, match="wings"):
            _ = snapshot(ASKED, task()).wings  # type: ignore[attr-defined]


class TestEntries:
    def test_entries_come_in_any_order_and_number(self) -> None:
        entries = [
            task("3", progress="1%"),
            None,
            "2",
            [task("2")],
            task("foreign"),
            {"status": "SUCCESS"},
            task("1", status="FAILURE"),
            task("1"),
            task("1", status="SUCCESS"),
            task("3", progress="2%"),
            {"id": 4, "status": "SUCCESS"},
            {"id": "5", "error": "broken"},
            {"id": "3", "error": "broken"},
        ]

        seen = seen_in(entries, ["1", "2", "3", "4", "5"])

        assert sorted(seen) == ["1", "3", "4", "5"]
        assert [shown(seen[task_id]) for task_id in sorted(seen)] == ["failed", "running 2", "succeeded", "unusable"]
