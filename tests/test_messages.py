"""What a message says, and that it always fits."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from tracker.model import Callback, MessageType, Status, Task
from tracker.moments import rfc3339
from tracker.vocabulary import parse_status
from tracker.webhooks import compose, new_message_id
from tracker.webhooks.messages import LARGEST

SAMPLE = json.loads((Path(__file__).parent / "data" / "fetch-success.json").read_text())
AT = datetime(2026, 11, 22, 8, 0, 0, 123000, tzinfo=UTC)
TASK = Task(
    key=1,
    id="tsk_1",
    upstream="default",
    task_id="1730621826053455",
    registered_at=AT,
    status=Status.SUCCEEDED,
    upstream_status="SUCCESS",
    progress=100,
    sequence=6,
    submitted_at=AT,
    started_at=AT + timedelta(seconds=1),
    finished_at=AT + timedelta(seconds=2),
    image_url="https://cdn.example/pig.png",
)
CALLBACK = Callback(key=1, task_key=1, owner="admin", url="https://example.com", metadata={"order": 17})


BARE = replace(CALLBACK, format="upstream")
STATUS_OF = {
    kind: Status.RUNNING if kind is MessageType.PROGRESS else Status(kind.removeprefix("task."))
    for kind in MessageType
    if kind is not MessageType.TEST
}


def composed(
    upstream_object: dict[str, object],
    task: Task = TASK,
    callback: Callback = CALLBACK,
    status: Status = Status.SUCCEEDED,
    message_type: MessageType = MessageType.SUCCEEDED,
) -> str:
    return compose(message_type, task, sequence=6, at=AT, status=status, object=upstream_object, callback=callback)


def test_the_body_is_the_one_that_is_promised() -> None:
    body = json.loads(composed(SAMPLE))

    assert list(body) == ["type", "timestamp", "data"]
    assert (body["type"], body["timestamp"]) == ("task.succeeded", "2026-11-22T08:00:00.123Z")
    assert list(body["data"].items()) == [
        ("id", "tsk_1"),
        ("task_id", "1730621826053455"),
        ("upstream", "default"),
        ("status", "succeeded"),
        ("upstream_status", "SUCCESS"),
        ("progress", 100),
        ("sequence", 6),
        ("submitted_at", "2026-11-22T08:00:00.123Z"),
        ("started_at", "2026-11-22T08:00:01.123Z"),
        ("finished_at", "2026-11-22T08:00:02.123Z"),
        ("image_url", "https://cdn.example/pig.png"),
        ("fail_reason", None),
        ("metadata", {"order": 17}),
        ("task", SAMPLE),
    ]


def test_what_is_not_known_is_null() -> None:
    bare = Task(key=1, id="tsk_1", upstream="default", task_id="1", registered_at=AT)

    data = json.loads(composed({}, bare, replace(CALLBACK, metadata=None), Status.EXPIRED))["data"]

    nulls = [name for name, value in data.items() if value is None]
    assert nulls == ["progress", "submitted_at", "started_at", "finished_at", "image_url", "fail_reason", "metadata"]
    assert (data["status"], data["upstream_status"], data["task"]) == ("expired", "", {})


@pytest.mark.parametrize(("kind", "status"), STATUS_OF.items())
def test_every_type_says_what_it_is(kind: MessageType, status: Status) -> None:
    body = json.loads(composed(SAMPLE, structs.replace(TASK, status=status), status=status, message_type=kind))

    assert (body["type"], body["data"]["status"], body["data"]["task"]) == (str(kind), str(status), SAMPLE)


class TestUpstreamFormat:
    def bare(self, kind: MessageType, upstream_object: dict[str, object], task: Task = TASK) -> dict[str, object]:
        body = composed(upstream_object, task, BARE, STATUS_OF[kind], kind)
        return json.loads(body)  # type: ignore[no-any-return]

    @pytest.mark.parametrize(
        ("kind", "word"),
        [
            (MessageType.SUCCEEDED, "SUCCESS"),
            (MessageType.SUCCEEDED, "completed"),
            (MessageType.FAILED, "FAILURE"),
            (MessageType.CANCELLED, "CANCEL"),
            (MessageType.PROGRESS, "IN_PROGRESS"),
            (MessageType.PROGRESS, "SUBMITTED"),
            (MessageType.PROGRESS, ""),
            (MessageType.PROGRESS, "a word that nobody knows"),
            (MessageType.NEEDS_INPUT, "MODAL"),
        ],
    )
    def test_what_the_upstream_said_is_the_whole_body(self, kind: MessageType, word: str) -> None:
        said = SAMPLE | {"status": word}

        assert self.bare(kind, said) == said

    @pytest.mark.parametrize(("kind", "word"), [(MessageType.LOST, "lost"), (MessageType.EXPIRED, "expired")])
    def test_an_end_that_the_upstream_did_not_tell_is_a_failure_with_its_reason(
        self, kind: MessageType, word: str
    ) -> None:
        """Its last words are that the task is running: whoever reads them would wait for ever."""
        said = SAMPLE | {"status": "IN_PROGRESS", "progress": "31%", "failReason": ""}

        body = self.bare(kind, said)

        assert body["status"] == "FAILURE"
        assert str(body["failReason"]).startswith(f"{word}: ")
        assert body == said | {"status": "FAILURE", "failReason": body["failReason"]}

    def test_a_failure_that_the_upstream_only_implied_is_told_with_its_own_reason(self) -> None:
        said = SAMPLE | {"status": "IN_PROGRESS", "progress": "100%", "failReason": "banned prompt"}

        assert self.bare(MessageType.FAILED, said) == said | {"status": "FAILURE"}

    def test_a_task_that_the_upstream_never_showed_is_named(self) -> None:
        unseen = Task(key=1, id="tsk_1", upstream="default", task_id="1730621826053455", registered_at=AT)

        body = self.bare(MessageType.LOST, {}, unseen)

        assert (body["id"], body["status"]) == ("1730621826053455", "FAILURE")
        assert set(body) == {"id", "status", "failReason"}

    def test_where_the_object_was_tidied_away_it_is_made_of_what_is_known(self) -> None:
        """A callback that comes long after the end is told what matters all the same."""
        assert self.bare(MessageType.SUCCEEDED, {}, structs.replace(TASK, action="IMAGINE")) == {
            "id": "1730621826053455",
            "action": "IMAGINE",
            "status": "SUCCESS",
            "progress": "100%",
            "submitTime": 1795334400123,
            "startTime": 1795334401123,
            "finishTime": 1795334402123,
            "imageUrl": "https://cdn.example/pig.png",
        }

    @pytest.mark.parametrize(("kind", "word"), [(MessageType.SUCCEEDED, "SUCCESS"), (MessageType.CANCELLED, "CANCEL")])
    def test_an_end_is_never_told_without_its_word(self, kind: MessageType, word: str) -> None:
        assert self.bare(kind, {"prompt": "cat"})["status"] == word

    def test_an_object_that_does_not_say_which_task_it_is_is_given_the_id(self) -> None:
        assert self.bare(MessageType.PROGRESS, {"status": "IN_PROGRESS", "progress": "3%"})["id"] == TASK.task_id

    def test_metadata_has_no_place_in_it(self) -> None:
        assert '"order"' not in composed(SAMPLE, callback=BARE)


def test_text_is_sent_as_utf_8_and_never_breaks_it() -> None:
    body = composed({"prompt": "猪 🐖", "odd": "\ud83d", "control": "\0"})

    assert "猪 🐖" in body
    assert json.loads(body.encode())["data"]["task"] == {"prompt": "猪 🐖", "odd": "\ufffd", "control": "\0"}


def test_numbers_that_json_does_not_have_become_null() -> None:
    body = composed({"a": float("inf"), "b": [float("nan"), {"c": -1e999}], "d": 1.5})

    assert json.loads(body)["data"]["task"] == {"a": None, "b": [None, {"c": None}], "d": 1.5}


@pytest.mark.parametrize("callback_format", ["standard", "upstream"])
def test_the_least_missed_parts_of_a_large_object_go_first(callback_format: str) -> None:
    large = SAMPLE | {"buttons": ["x" * 21_000]}

    body = json.loads(composed(large, callback=replace(CALLBACK, format=callback_format)))

    left = body if callback_format == "upstream" else body["data"]["task"]
    assert left == {key: value for key, value in SAMPLE.items() if key != "buttons"} | {"truncated": True}


def test_an_object_of_many_unknown_parts_keeps_what_matters() -> None:
    large = SAMPLE | {f"unknown{number}": "x" * 100 for number in range(500)}

    left = json.loads(composed(large))["data"]["task"]

    assert left["truncated"] is True
    assert {key for key in left if key != "truncated"} == {
        *("id", "action", "status", "progress", "submitTime", "startTime", "finishTime", "imageUrl", "failReason")
    }
    assert left["imageUrl"] == SAMPLE["imageUrl"]


def test_a_long_reason_is_shortened_and_an_address_is_kept_whole() -> None:
    url = "https://cdn.example/" + "p" * 4000
    task = structs.replace(TASK, fail_reason="because " * 10_000, image_url=url)

    data = json.loads(composed({"failReason": "because " * 10_000, "imageUrl": url, "id": "1"}, task))["data"]

    assert data["fail_reason"].startswith("because because")
    assert len(data["fail_reason"]) <= 1000
    assert data["fail_reason"].endswith("…")
    assert data["image_url"] == url
    assert (data["task"]["imageUrl"], data["task"]["id"], data["task"]["truncated"]) == (url, "1", True)
    assert data["metadata"] == {"order": 17}


def test_metadata_beyond_all_bounds_is_left_out() -> None:
    """It cannot come in by the API, but whoever writes to the database could."""
    data = json.loads(composed(SAMPLE, callback=replace(CALLBACK, metadata="x" * LARGEST)))["data"]

    assert (data["metadata"], data["task"], data["task_id"]) == (None, {"truncated": True}, TASK.task_id)


def test_an_object_nested_beyond_reason_is_left_out() -> None:
    deep: object = "bottom"
    for _ in range(100_000):
        deep = [deep]

    data = json.loads(composed({"id": deep, "status": "SUCCESS", "other": deep}))["data"]

    assert data["task"] == {"id": None, "status": "SUCCESS", "truncated": True}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters()), inner, max_size=5),
    max_leaves=20,
)
LONG = st.builds(lambda text, times: text * times, st.text(st.characters(), min_size=1), st.integers(1, 20_000))
NAMES = st.sampled_from(sorted(SAMPLE)) | st.text(st.characters())
OBJECTS = st.dictionaries(NAMES, ANY_JSON | LONG | st.integers(10**3000, 10**4000), max_size=12)
METADATA = ANY_JSON.filter(lambda value: len(json.dumps(value).encode()) <= 4096) | st.builds(
    lambda letter: letter * (4094 // len(json.dumps(letter)[1:-1])), st.characters(codec="utf-8")
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(
    upstream_object=OBJECTS,
    metadata=METADATA,
    fail_reason=st.none() | LONG,
    image_url=st.none() | LONG,
    upstream_status=LONG,
    callback_format=st.sampled_from(["standard", "upstream"]),
    kind=st.sampled_from(sorted(STATUS_OF)),
)
def test_every_message_is_json_below_the_limit(
    *,
    upstream_object: dict[str, object],
    metadata: object,
    fail_reason: str | None,
    image_url: str | None,
    upstream_status: str,
    callback_format: str,
    kind: MessageType,
) -> None:
    task = structs.replace(TASK, fail_reason=fail_reason, image_url=image_url, upstream_status=upstream_status)
    callback = replace(CALLBACK, metadata=metadata, format=callback_format)

    body = composed(upstream_object, task, callback, STATUS_OF[kind], kind)

    assert len(body.encode()) < LARGEST
    parsed = json.loads(body, parse_constant=pytest.fail)
    if callback_format == "standard":
        assert (parsed["data"]["id"], parsed["data"]["sequence"]) == ("tsk_1", 6)
        assert (
            parsed["data"]["metadata"] is not None
            or json.loads(json.dumps(metadata), parse_constant=lambda _: None) is None
        )
    elif STATUS_OF[kind].is_end:
        told = parse_status(parsed["status"])
        assert told is (STATUS_OF[kind] if kind not in (MessageType.LOST, MessageType.EXPIRED) else Status.FAILED)


def test_ids_are_new_and_without_a_dot() -> None:
    ids = {new_message_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(len(id_) == 36 and id_.startswith("msg_") and "." not in id_ for id_ in ids)


def test_times_are_utc_with_milliseconds() -> None:
    east = timezone(timedelta(hours=8))

    assert rfc3339(datetime(2026, 11, 22, 16, 0, 0, 5999, tzinfo=east)) == "2026-11-22T08:00:00.005Z"
    assert rfc3339(datetime(2026, 11, 22, 8, tzinfo=UTC)) == "2026-11-22T08:00:00.000Z"
