"""Following tasks: what is told of them, and with what it ends."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from api_harness import Api
from clocks import FakeClock
from command_line import NO_DAEMON, CommandLine
from rich.console import Console

from tracker.cli.live import draw, room
from tracker.cli.protocol import Document, Selection
from tracker.cli.watching import Chosen, Deadline, Live, News, Patient, follow, warned
from tracker.errors import NotFoundError, UnavailableError
from tracker.model import Status
from tracker.store import upstreams as upstream_store
from tracker.store.database import Database
from tracker.store.upstreams import Health

ENDED = "2026-11-22T08:00:00.000Z"


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """One task that succeeded, one that failed, and one that is not over."""
    command_line = CommandLine(tmp_path)
    command_line("add", "-", stdin="".join(f'{{"task_id": "{name}"}}\n' for name in ("good", "bad", "slow")))
    with world(command_line) as api:
        api.see("good", progress=100, image_url="https://images.example/1.png")
        api.see("bad", Status.FAILED, fail_reason="no\tpigs\x1b[2J")
        api.see("slow", Status.RUNNING, progress=40)
    return command_line


@contextmanager
def world(run: CommandLine) -> Iterator[Api]:
    """What a daemon would do to this database meanwhile."""
    database = Database(f"sqlite:///{run.database_path}")
    try:
        yield Api(database, FakeClock(now=datetime.now(UTC)))
    finally:
        database.close()


def test_the_exit_code_is_the_outcome(run: CommandLine) -> None:
    assert run("watch", "good").exit_code == 0
    assert run("watch", "bad").exit_code == 1
    assert run("watch", "good", "bad").exit_code == 1
    assert run("watch", "good", "nobody").exit_code == 3


def test_a_pipe_gets_a_line_for_each_task(run: CommandLine) -> None:
    result = run("watch", "good", "bad")

    good, bad = (line.split("\t") for line in result.stdout.splitlines())
    assert (good[2:4], bad[2:4]) == (["good", "succeeded"], ["bad", "failed"])
    assert bad[6] == r"no\tpigs\x1b[2J"
    assert (good[7], good[8]) == ("https://images.example/1.png", "default")
    assert [json.loads(line)["status"] for line in run("watch", "good", "bad", "--json").stdout.splitlines()] == [
        "succeeded",
        "failed",
    ]


def test_a_task_that_is_named_twice_is_followed_once(run: CommandLine) -> None:
    assert len(run("watch", "good", "good").stdout.splitlines()) == 1


def test_time_that_is_up_is_neither_yes_nor_no(run: CommandLine) -> None:
    result = run("watch", "good", "slow", "--timeout", "1ms")

    assert result.exit_code == 124
    noted, ended = result.stderr.splitlines()
    assert noted == f"tracker: {NO_DAEMON}"
    assert ended.startswith("tracker: the time is up, and 1 of 2 had not ended: nobody has asked its upstream yet")
    assert len(result.stdout.splitlines()) == 2


def test_time_that_would_have_been_enough_changes_nothing(run: CommandLine) -> None:
    assert run("watch", "good", "--timeout", "1m").exit_code == 0


def test_a_span_of_time_needs_its_unit(run: CommandLine) -> None:
    result = run("watch", "good", "--timeout", "10")

    assert result.exit_code == 2
    assert "'10' is no duration like" in result.stderr


def test_without_a_task_the_live_ones_are_followed(run: CommandLine) -> None:
    result = run("watch", "--timeout", "1ms")

    assert result.exit_code == 0
    assert [line.split("\t")[2:5] for line in result.stdout.splitlines()] == [["slow", "running", "40"]]
    assert run("watch", "--timeout", "1ms", "--upstream", "spare").stdout == ""


def task(id_: str, status: str = "running", **fields: object) -> Document:
    is_end = Status(status).is_end
    return {
        "id": id_,
        "task_id": id_,
        "status": status,
        "upstream": "default",
        "upstream_status": "",
        "progress": 40,
        "registered_at": ENDED,
        "ended_at": ENDED if is_end else None,
        "fail_reason": None,
        "image_url": None,
        **fields,
    }


class Told:
    """A tracker that tells one thing after the other, of one task and of all."""

    def __init__(self, *told: Any) -> None:  # noqa: ANN401 - documents, lists of them, errors
        self._told = iter(told)
        self.asked: list[object] = []

    def task(self, id_: str) -> Document:
        self.asked.append(id_)
        return self._next()

    def tasks(self, wanted: Selection) -> list[Document]:
        self.asked.append(wanted.limit)
        return self._next()

    def _next(self) -> Any:  # noqa: ANN401
        told = next(self._told)
        if isinstance(told, Exception):
            raise told
        return told


def chosen(tracker: Told, *found: Document) -> Chosen:
    return Chosen(tracker, found)  # type: ignore[arg-type] # all that is used of a tracker


def live(tracker: Told, room: Callable[[], int] = lambda: 7) -> Live:
    return Live(tracker, None, room)  # type: ignore[arg-type] # all that is used of a tracker


def test_each_change_is_told_once_and_nobody_is_asked_about_what_has_ended() -> None:
    statuses = ("queued", "queued", "running", "running", "succeeded")
    tracker = Told(*(task("a", status) for status in statuses))
    pauses: list[None] = []
    news = News()

    looks = follow(chosen(tracker, task("a"), task("b", "failed")), lambda: pauses.append(None) or True)
    told = [(one["id"], one["status"]) for look in looks for one in news.of(look)]

    assert told == [("a", "queued"), ("b", "failed"), ("a", "running"), ("a", "succeeded")]
    assert tracker.asked == ["a"] * 5
    assert len(pauses) == 4


def test_a_pause_that_says_so_ends_it() -> None:
    assert len(list(follow(chosen(Told(task("a")), task("a")), lambda: False))) == 1


def test_a_live_task_that_ends_stays_a_while_to_be_seen() -> None:
    rest = [[task("b")]] * 10
    watched = live(Told([task("a"), task("b")], [task("b")], task("a", "succeeded"), *rest))

    looks = [[(one["id"], one["status"]) for one in watched.look()] for _ in range(12)]

    assert looks[0] == [("a", "running"), ("b", "running")]
    assert sorted(looks[1]) == [("a", "succeeded"), ("b", "running")]
    assert looks[-1] == [("b", "running")]


@pytest.mark.parametrize("answer", [task("a"), NotFoundError("it is forgotten")])
def test_a_live_task_that_only_left_the_list_is_shown_no_more(answer: object) -> None:
    watched = live(Told([task("a")], [], answer))
    watched.look()

    assert watched.look() == []


def test_as_many_live_tasks_are_asked_for_as_there_is_room_for() -> None:
    tracker = Told([], [])
    rooms = iter([30, 12])
    watched = live(tracker, lambda: next(rooms))

    watched.look()
    watched.look()

    assert tracker.asked == [30, 12]


def test_a_daemon_that_restarts_is_waited_for() -> None:
    away = UnavailableError("connection refused")
    watched = Patient(chosen(Told(task("a", progress=50), away, away, task("a", "succeeded")), task("a")))

    assert [watched.look()[0]["progress"] for _ in range(3)] == [50, 50, 50]
    assert watched.look()[0]["status"] == "succeeded"
    assert watched.is_over


def test_a_daemon_that_stays_away_is_an_error() -> None:
    away = UnavailableError("connection refused")
    watched = Patient(chosen(Told(task("a"), *[away] * 100), task("a")))
    watched.look()

    with pytest.raises(UnavailableError):
        list(follow(watched, lambda: True))
    with pytest.raises(UnavailableError):
        Patient(chosen(Told(away), task("a"))).look()


def test_a_deadline_lets_one_more_look_be_taken_at_its_end() -> None:
    pause = Deadline(timedelta(milliseconds=2), timedelta(seconds=30))

    assert [pause(), pause()] == [True, False]
    assert Deadline(None, timedelta(0))()


def drawn(*looks: list[Document], width: int = 80, height: int = 10) -> str:
    console = Console(width=width, height=height, file=StringIO(), force_terminal=True, color_system=None)
    draw(looks, console)
    assert isinstance(console.file, StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def test_a_screen_counts_by_status_and_keeps_what_still_moves() -> None:
    """There is room for six: those that have ended go first when there are more, and the last picture has all."""
    many = [task(f"t{number}", "succeeded" if number < 5 else "running") for number in range(9)]

    picture, last = drawn(many)[: -len(drawn(many)) // 2], drawn(many)

    assert room(Console(width=80, height=10, file=StringIO())) == 6
    assert "4 ● running  5 ✓ succeeded  and 3 more than fit" in last
    assert all(f"t{number} " in picture for number in (5, 6, 7, 8))
    assert all(last.count(f"t{number} ") == (1 if number in (2, 3, 4) else 2) for number in range(9))


def test_of_one_task_its_result_is_told_whole() -> None:
    url = "https://images.example/" + "a" * 100

    assert url in drawn([task("a", "succeeded", image_url=url)])


def test_time_that_is_up_says_what_was_in_the_way(run: CommandLine) -> None:
    until = datetime.now(UTC) + timedelta(hours=1, seconds=30)
    health = Health(name="default", state="paused", reason="refused: HTTP 401", paused_until=until)
    with world(run) as api:
        api.database.write_now(partial(upstream_store.write, health=health))

    said = run("watch", "slow", "--timeout", "1ms").stderr

    assert "had not ended: nothing can be seen while the upstream 'default' is paused" in said
    assert "for another 1h: refused: HTTP 401" in said


def test_that_no_daemon_runs_is_said_whenever_it_begins_and_asked_now_and_then() -> None:
    answers = iter([None, "gone", "gone", None, "gone again"])
    said: list[str] = []
    clock = iter(float(second) for second in range(400))
    looks = iter([[task("a")]] * 40)

    list(
        warned(looks, chosen(Told(), task("a")), lambda: next(answers, "gone again"), said.append, lambda: next(clock))
    )

    assert said == ["gone", "gone again"]


def test_nobody_is_missed_who_has_nothing_left_to_do(run: CommandLine) -> None:
    assert run("watch", "good", "bad").stderr == ""
