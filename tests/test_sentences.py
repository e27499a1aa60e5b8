"""Sentences for people: the same English for programs, and any language for pages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from test_waiting import FAILED, LINE, PAUSED, TRIED

from tracker import endpoints, observe
from tracker.http import faults
from tracker.model import EndpointHealth, MissKind, Snapshot, Status, Task
from tracker.model.notes import DROPPED_BY, REGISTERED_AGAIN_BY, as_read_by, signed_note
from tracker.telling import kept
from tracker.telling.kept import recognise
from tracker.telling.sentences import Recogniser, Sentence, Template, sentence
from tracker.telling.waiting import standing
from tracker.web.languages import CHINESE, ENGLISH

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def test_what_is_named_in_a_sentence_is_filled_in() -> None:
    said = sentence(Template("tried at {tried_at} after {cause}"), tried_at=NOW, cause=sentence(Template("no answer")))

    assert said.english == "tried at 2026-11-22T08:00:00.000Z after no answer"


def test_a_moment_that_is_missing_is_an_unknown_time() -> None:
    said = sentence(Template("tried at {tried_at}"), tried_at=None)

    assert said.english == "tried at an unknown time"


@pytest.mark.parametrize(
    ("line", "last"),
    [
        (LINE, None),
        (TRIED, FAILED),
        (TRIED, replace(FAILED, status_code=None, error="timeout")),
        (TRIED, replace(FAILED, status_code=None, error=None)),
        (TRIED, replace(FAILED, outcome="interrupted")),
        (TRIED, replace(FAILED, outcome="sending")),
        (PAUSED, FAILED),
        (replace(PAUSED, failing_since=None, paused_until=None), FAILED),
        (replace(PAUSED, endpoint_state="disabled"), FAILED),
        (replace(LINE, endpoint_state="disabled", endpoint_reason=None), None),
        (replace(TRIED, status="dead"), FAILED),
        (replace(TRIED, status="dead"), None),
        (replace(TRIED, status="superseded", settled_at=NOW), None),
        (replace(TRIED, status="delivered", settled_at=NOW), None),
    ],
)
def test_where_a_message_stands_is_recognised_in_its_english(line, last) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    said = standing(line, last)

    found = recognise(said.english)

    assert found is not None
    assert (found.template, found.english) == (said.template, said.english)
    assert CHINESE.said(found) == CHINESE.said(said)


class _Anything(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "an unknown time" if name.endswith("_at") else "7"


@pytest.mark.parametrize("template", kept.TEMPLATES)
def test_no_sentence_stands_in_the_way_of_another(template: Template) -> None:
    found = recognise(template.format_map(_Anything()))

    assert found is not None
    assert found.template == template


def _reasons() -> list[str | None]:
    long = EndpointHealth(failures=9, failing_since=NOW - timedelta(days=6))
    short = EndpointHealth(failures=9, failing_since=NOW - timedelta(minutes=2))
    return [endpoints.failed(health, "HTTP 500", NOW, dice=0.5).reason for health in (long, short)]


def _notes() -> list[str | None]:
    task = Task(key=1, id="tsk_1", upstream="default", task_id="1", registered_at=NOW - timedelta(days=9))
    ended = structs.replace(task, status=Status.FAILED)
    late = Snapshot(task_id="1", status=Status.SUCCEEDED, upstream_status="SUCCESS")
    running = Snapshot(task_id="1", status=Status.RUNNING, upstream_status="IN_PROGRESS")
    rules, streak = observe.Rules(), observe.Streak()
    changes = [
        observe.observe(ended, late, NOW, streak=streak, rules=rules),
        observe.observe(task, running, NOW, streak=streak, rules=rules),
        observe.observe(task, structs.replace(late, reported_id="2"), NOW, streak=streak, rules=rules),
    ]
    return [change.event.note for change in changes if change.event]


WISHES = [signed_note(did, "shop") for did in (DROPPED_BY, REGISTERED_AGAIN_BY)]
KEPT = [
    *_reasons(),
    *_notes(),
    *WISHES,
    *(as_read_by("other", wish) for wish in WISHES),
    *faults._LINES.values(),  # noqa: SLF001 - every line that there is
    *faults._TIMEOUT_LINES.values(),  # noqa: SLF001
]


@pytest.mark.parametrize("text", KEPT)
def test_what_the_daemon_writes_itself_is_said_in_chinese(text: str) -> None:
    assert recognise(text) is not None
    assert CHINESE.said(text) != text


@pytest.mark.parametrize("kind", [kind for kind in MissKind if kind is not MissKind.UNKNOWN])
def test_each_reason_of_a_pause_is_recognised(kind: MissKind) -> None:
    """An upstream that does not know one task is not paused for it."""
    said = recognise(f"{kind}: the host could not be reached (connect)")

    assert said is not None
    assert isinstance(said.parts["detail"], Sentence)


@pytest.mark.parametrize(
    "text", ["", "Job failed: banned prompt", "task 1730621826053455 timeout", "已停用", "x" * 9999]
)
def test_what_others_wrote_stays_as_it_is(text: str) -> None:
    assert recognise(text) is None
    assert CHINESE.said(text) == ENGLISH.said(text) == text


def test_nothing_is_said_of_nothing() -> None:
    assert CHINESE.said(None) == ""


def test_moments_are_told_as_the_page_tells_them() -> None:
    assert CHINESE.said("delivered at 2026-11-22T08:00:00.000Z") == "已于 2026-11-22 08:00:00 UTC 送达"
    assert ENGLISH.said("delivered at 2026-11-22T08:00:00.000Z") == "delivered at 2026-11-22 08:00:00 UTC"


def test_sentences_in_sentences_are_said_in_the_same_language() -> None:
    text = "waiting for attempt 3 at 2026-11-22T08:00:00.000Z after timeout"

    assert CHINESE.said(text).startswith("上次结果为“超时”")


def test_a_text_that_says_what_a_field_is_called_is_no_field() -> None:
    """What others wrote is filled in once, and never read as a template."""
    assert CHINESE.said("disabled by {owner}{0.__class__}") == "由 {owner}{0.__class__} 停用"


def test_of_two_that_fit_the_first_is_found() -> None:
    found = Recogniser([Template("a {x} c"), Template("a {x}")]).recognise("a b c")

    assert found is not None
    assert found.template == "a {x} c"
