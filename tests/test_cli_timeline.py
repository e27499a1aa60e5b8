"""One timeline of a task, why a callback waits, and how both are drawn."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from api_harness import HOOK, Api
from clocks import FakeClock
from command_line import CommandLine
from rich.console import Console

from tracker.cli.portrait import print_portrait
from tracker.cli.reasons import reason
from tracker.cli.timeline import progress_over_time, timeline
from tracker.model import Status
from tracker.store import upstreams as upstream_store
from tracker.store.database import Database
from tracker.store.upstreams import Health

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """A task that ran, ended, and was told of at the second try."""
    command_line = CommandLine(tmp_path)
    command_line("add", "1", "--callback", HOOK)
    database = Database(f"sqlite:///{command_line.database_path}")
    clock = FakeClock(now=datetime.now(UTC))
    api = Api(database, clock)
    for progress in (10, 20, 60):
        clock.advance(1)
        api.see("1", Status.RUNNING, progress=progress)
    clock.advance(1)
    api.see("1", progress=100)
    for delivered in (False, True):
        clock.advance(6)
        api.attempt(delivered=delivered)
    database.close()
    return command_line


def told(run: CommandLine) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    shown = run.json("show", "1")
    del shown["events"]
    return shown, shown.pop("deliveries"), run.json("history", "1")


def test_events_messages_and_attempts_are_one_timeline(run: CommandLine) -> None:
    _, sent, events = told(run)

    moments = timeline(events, sent)

    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    assert [(moment.word, moment.said) for moment in moments] == [
        ("queued", "registered"),
        ("running", "queued → running (RUNNING)"),
        ("running", "progress 20 % to 60 %, in 2 steps"),
        ("succeeded", "running → succeeded (SUCCEEDED)"),
        ("", f"task.succeeded for {HOOK}: {sent[0]['id']}"),
        ("failed", "attempt 1 to https://receiver.example:443: HTTP 500 in 12 ms: hm"),
        ("delivered", "attempt 2 to https://receiver.example:443: HTTP 204 in 12 ms"),
    ]


def test_attempts_that_are_forgotten_are_told_by_the_history(run: CommandLine) -> None:
    _, sent, events = told(run)

    moments = timeline(events, [one | {"attempts": []} for one in sent])

    assert [moment.word for moment in moments[-2:]] == ["failed", "delivered"]
    assert all(sent[0]["id"] in moment.said for moment in moments[-2:])


def test_what_comes_next_ends_the_timeline(run: CommandLine) -> None:
    _, sent, events = told(run)
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()

    last = timeline(events, [sent[0] | {"status": "pending", "next_attempt_at": later}])[-1]

    assert (last.word, last.said) == ("pending", "attempt 3 to https://receiver.example:443, at the earliest")


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        ({"outcome": "sending"}, "under way"),
        ({"outcome": "interrupted"}, "interrupted"),
        ({"outcome": "failed", "error": "timeout", "duration_ms": 20000}, "timeout in 20000 ms"),
        ({"outcome": "failed", "error": "refused", "detail": "by the host"}, "refused: by the host"),
        ({"outcome": "failed"}, "no answer"),
    ],
)
def test_an_attempt_is_told_in_words(run: CommandLine, attempt: dict[str, object], said: str) -> None:
    _, sent, _ = told(run)
    blank = dict.fromkeys(sent[0]["attempts"][0]) | {"attempt": 7, "attempted_at": NOW.isoformat()}

    (tried,) = (one for one in timeline([], [sent[0] | {"attempts": [blank | attempt]}]) if "attempt 7" in one.said)

    assert tried.said == f"attempt 7 to https://receiver.example:443: {said}"


def step(seconds: int, progress: int | None) -> dict[str, object]:
    return {"observed_at": (NOW + timedelta(seconds=seconds)).isoformat(), "progress": progress}


@pytest.mark.parametrize(
    ("steps", "values"),
    [
        ([step(0, None), step(4, 50), step(8, 100)], [None, 50, 50, 100]),
        ([step(0, None)], []),
        ([step(0, 30)], [30, 30, 30, 30]),
        ([], []),
    ],
)
def test_progress_is_drawn_over_time(steps: Sequence[dict[str, Any]], values: list[int | None]) -> None:
    assert progress_over_time(steps, NOW + timedelta(seconds=8), 4) == values


TASK: dict[str, Any] = {"task_id": "1", "upstream": "default", "status": "running", "ended_at": None}
TASK |= {"upstream_status": "IN_PROGRESS", "registered_at": "2026-11-22T07:00:00Z"}
CALLBACK = {"url": HOOK, "events": ["ended"], "gone_at": None}
UPSTREAM = {"name": "default", "state": "ok", "reason": None, "paused_until": None}
ENDED = TASK | {"status": "failed", "ended_at": NOW.isoformat()}


@pytest.mark.parametrize(
    ("task", "callback", "upstream", "said"),
    [
        (TASK, CALLBACK, UPSTREAM, "the task is running, and its end is told when it is seen"),
        (TASK, CALLBACK | {"events": ["progress"]}, UPSTREAM, "its end is not among the events"),
        (TASK, CALLBACK | {"gone_at": "2026-11-22T07:00:00Z"}, UPSTREAM, "gone since 2026-11-22T07:00:00Z"),
        (TASK, CALLBACK, UPSTREAM | {"state": "unknown"}, "does `tracker serve` run?"),
        (TASK, CALLBACK, UPSTREAM | {"state": "not_configured"}, "the upstream 'default' is not configured"),
        (TASK, CALLBACK, UPSTREAM | {"name": "other"}, "the upstream 'default' is not configured"),
        (TASK, CALLBACK, UPSTREAM | {"state": "paused", "reason": "refused: HTTP 401"}, "is paused: refused: HTTP 401"),
        (TASK, CALLBACK, UPSTREAM | {"state": "paused", "paused_until": "2026-11-22T09:00:00Z"}, "until 2026-11-22T09"),
        (TASK | {"upstream_status": None}, CALLBACK, UPSTREAM, "has not said anything about it yet: is the id right?"),
        (TASK | {"upstream_status": None, "registered_at": NOW.isoformat()}, CALLBACK, UPSTREAM, "nothing to tell yet"),
        (ENDED, CALLBACK | {"events": ["succeeded"]}, UPSTREAM, "its events (succeeded) do not ask for failed"),
        (ENDED | {"status": "dropped"}, CALLBACK, UPSTREAM, "nobody is told of a task that was dropped"),
        (ENDED, CALLBACK, UPSTREAM, "its message is not there any more"),
    ],
)
def test_a_callback_without_a_message_says_why(
    task: dict[str, Any], callback: dict[str, Any], upstream: dict[str, Any], said: str
) -> None:
    assert said in reason(task, callback, [upstream], NOW)


def drawn(run: CommandLine, width: int, **changed: object) -> str:
    console = Console(width=width, file=StringIO())
    found, sent, events = told(run)
    print_portrait(found | changed, sent, events, run.json("upstreams"), console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_a_page_has_exact_times_and_distances_and_keeps_within_the_terminal(run: CommandLine, width: int) -> None:
    page = drawn(run, width)

    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +(in )?\d+s( ago)?  ✓ running → succeeded", page, re.MULTILINE)
    assert re.search(r"^[▁▂▃▄▅▆▇█·]{20,60} over 4s$", page, re.MULTILINE)
    assert "1  ✓ succeeded  ━━━━━━━━━━━━━━━━━━━━ 100 %" in page
    assert [line for line in page.splitlines() if len(line) > width] == []


def test_a_page_says_who_could_be_told(run: CommandLine) -> None:
    assert "tracker add 1 --callback URL names who wants to know" in drawn(run, 80, callbacks=[])


def test_a_page_cannot_be_steered_by_what_it_tells(run: CommandLine) -> None:
    page = drawn(run, 80, fail_reason="[bold]\x1b[2J", task_id="a\x1b[1m\n")

    assert "\x1b" not in page
    assert r"[bold]\x1b[2J" in page


def test_why_nothing_comes_is_asked_of_the_upstream(run: CommandLine) -> None:
    """A pause of the upstream is the reason that people look for last."""
    run("add", "2", "--callback", HOOK)
    database = Database(f"sqlite:///{run.database_path}")
    health = Health(name="default", state="paused", reason="refused: HTTP 401")
    database.write_now(partial(upstream_store.write, health=health))
    database.close()
    console = Console(width=100, file=StringIO())

    print_portrait(run.json("show", "2"), [], run.json("history", "2"), run.json("upstreams"), console)

    assert isinstance(console.file, StringIO)
    assert "while the upstream 'default' is paused: refused: HTTP 401" in " ".join(console.file.getvalue().split())


def test_a_command_to_copy_takes_an_id_for_text_whatever_it_looks_like() -> None:
    """Whoever registers a task names it, and somebody else may copy the line."""
    paper = StringIO()
    task = TASK | {"task_id": "1; reboot", "progress": None, "callbacks": []}

    print_portrait(task, [], [], [], Console(file=paper, width=120))

    assert "tracker add '1; reboot' --callback URL" in paper.getvalue()


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        (
            {"state": "paused", "reason": "refused: HTTP 401"},
            "while the upstream 'default' is paused: refused: HTTP 401",
        ),
        ({}, "its upstream has not said anything about it yet: is the id right?"),
    ],
)
def test_what_is_in_the_way_is_told_also_where_nobody_is_told(upstream: dict[str, Any], said: str) -> None:
    paper = StringIO()
    task = TASK | {"progress": None, "callbacks": [], "upstream_status": None}

    print_portrait(task, [], [], [UPSTREAM | upstream], Console(file=paper, width=120))

    assert said in " ".join(paper.getvalue().split())
