"""What is printed: plain in a pipe, drawn on a terminal, and never able to steer one."""

import errno
import fcntl
import io
import json
import os
import re
import struct
import termios
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api_harness import HOOK, Api
from clocks import FakeClock
from command_line import CommandLine
from rich.console import Console

from tracker.cli.commands import add, deliveries, endpoints, history, token, upstreams
from tracker.cli.commands import list as list_command
from tracker.cli.output import Column, text
from tracker.cli.tables import print_table
from tracker.cli.terminal import COLOURS, MARKS, bar, distance, exact, print_fields, sparkline, spoken
from tracker.model import DeliveryStatus, EndpointState, Status
from tracker.store.database import Database

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, ""),
        (0, "0"),
        (True, "yes"),
        (False, "no"),
        ("a\tb\nc", r"a\tb\nc"),
        ("\x1b[2J\x9b1m", r"\x1b[2J\x9b1m"),
        ("任务超时", "任务超时"),
        (["ended", "progress"], "ended,progress"),
        ({"a": [1, "\n"]}, r'{"a": [1, "\n"]}'),
        ([1, None], "[1, null]"),
    ],
)
def test_a_cell_is_one_printable_piece(value: object, told: str) -> None:
    assert text(value) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0s ago"), (60, "1m ago"), (119, "1m ago"), (120, "2m ago"), (7200, "2h ago"), (172800, "2d ago"),
     (-30, "in 30s"), (-7300, "in 2h")],
)  # fmt: skip
def test_times_are_told_as_distances(seconds: int, told: str) -> None:
    assert distance(NOW - timedelta(seconds=seconds), NOW) == told


@pytest.mark.parametrize(("progress", "told"), [(0, "  0 %"), (50, " 50 %"), (100, "100 %")])
def test_a_bar_always_has_its_length_and_its_number(progress: int, told: str) -> None:
    drawn = bar(progress, "running").plain

    assert drawn == f"{'━' * (progress // 5)}{'─' * (20 - progress // 5)} {told}"


def test_an_unknown_progress_has_no_bar() -> None:
    assert bar(None, "running").plain == ""


def test_every_status_has_a_colour_and_a_sign() -> None:
    known = {*map(str, Status), *map(str, DeliveryStatus), *map(str, EndpointState)}

    assert known <= COLOURS.keys() & MARKS.keys()


def test_what_is_good_and_what_is_bad_have_other_signs() -> None:
    """Whoever sees no colours tells them apart."""
    good = {MARKS[word] for word in ("succeeded", "delivered", "ok", "active")}
    bad = {MARKS[word] for word in ("failed", "lost", "expired", "dead", "paused", "disabled", "not_configured")}

    assert good & bad == set()


def test_moments_in_a_sentence_are_told_as_distances() -> None:
    said = "held: it is paused, failing since 2026-11-22T07:00:00.000Z: no; next probe at 2026-11-22T08:00:30.000Z"

    assert spoken(said, NOW) == "held: it is paused, failing for 1h: no; next probe in 30s"


@pytest.mark.parametrize(
    ("values", "told"),
    [([0, 100], "▁▁██"), ([None, 50], "··▅▅"), ([0, 13, 50, 100], "▁▂▅█"), ([], "")],
)
def test_a_sparkline_grows_with_its_values(values: list[int | None], told: str) -> None:
    assert sparkline(values, 4) == told


ID, TASK_ID, URL = f"tsk_{'0123456789abcdef' * 2}", "1730621826053455", "https://receiver.example/" + "h" * 90
MOMENTS = ("_at", "_since", "_until")
TOLD_AT = "2026-11-22T08:00:00.000Z"


def full(told: Sequence[Column]) -> dict[str, object]:
    """A row in which everything is there, and long."""
    of_kind = {
        "id": ID,
        "task_id": TASK_ID,
        "progress": 40,
        "sequence": 12,
        "created": True,
        "status": "needs_input",
        "attempt": 3,
    }
    row = {column.name: of_kind.get(column.name, "some words") for column in told}
    row |= {name: URL for name in row if name.endswith("url")} | {
        name: TOLD_AT for name in row if name.endswith(MOMENTS)
    }
    row |= {"note": f"attempt 3 of msg_{'0123456789abcdef' * 2} was answered by HTTP 500", "type": "task.needs_input"}
    return row


TABLES = [add.COLUMNS, list_command.COLUMNS, deliveries.COLUMNS, history.COLUMNS, upstreams.COLUMNS, token.COLUMNS]


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("told", TABLES)
def test_a_table_breaks_no_id_and_stays_within_the_terminal(told: Sequence[Column], width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    row = full(told)

    print_table([row], told, console)

    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= width
    if "task_id" in row:
        assert any(TASK_ID in line for line in lines)
    assert any(ID in line for line in lines) or not any("tsk_" in line for line in lines)
    for column in told:
        if column.leaves is None and column.name not in ("reason", "note", "progress") and column.name[-3:] != "_at":
            assert any(text(row[column.name]) in line for line in lines), column.name
    assert not any("msg_" in line for line in lines) or any(f"msg_{ID[4:]}" in line for line in lines)
    assert not any("http" in line and "…" not in line and URL not in line for line in lines)


def test_columns_leave_in_their_order_and_the_bar_gets_shorter() -> None:
    def drawn(width: int) -> str:
        console = Console(width=width, record=True, file=io.StringIO())
        print_table([full(list_command.COLUMNS)], list_command.COLUMNS, console)
        return console.export_text()

    assert ("image url" in drawn(220), "image url" in drawn(140)) == (True, False)
    assert [width for width in (80, 100, 140) if ID in drawn(width)] == [140]
    assert [drawn(width).count("━") for width in (80, 100, 140)] == [3, 3, 8]


MESSAGE = f"msg_{'0123456789abcdef' * 2}"
SENT = full(deliveries.COLUMNS) | {
    "id": MESSAGE,
    "status": "pending",
    "why": "pending: attempt 4 is due at 2026-11-22T08:05:00Z; the last one was answered by HTTP 500",
}
RECEIVER = full(endpoints.COLUMNS) | {
    "id": f"end_{'0123456789abcdef' * 2}",
    "endpoint": "https://receiver.example:443",
    "state": "paused",
    "waiting": 12,
    "failures": 5,
    "reason": "5 failures in a row, the last one: HTTP 500",
}


def drawn_at(width: int, row: dict[str, object], told: Sequence[Column]) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    print_table([row], told, console)
    return console.export_text()


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (80, ("status", "next attempt")),
        (120, ("status", "next attempt", "why", "code")),
        (200, ("status", "next attempt", "why", "code", "type", "url")),
    ],
)
def test_a_message_keeps_its_id_where_it_stands_and_what_comes_next(width: int, headings: Sequence[str]) -> None:
    drawn = drawn_at(width, SENT, deliveries.COLUMNS)

    assert MESSAGE in drawn
    assert "pending" in drawn
    assert [one for one in headings if not re.search(rf"\b{one}\b", drawn.splitlines()[0])] == []
    assert max(map(len, map(str.rstrip, drawn.splitlines()))) <= width


@pytest.mark.parametrize(("width", "has_id"), [(80, False), (120, True), (200, True)])
def test_an_endpoint_keeps_what_is_wrong_with_it(width: int, has_id: bool) -> None:  # noqa: FBT001
    drawn = drawn_at(width, RECEIVER, endpoints.COLUMNS)

    assert "https://receiver.example:443" in drawn
    assert "reason" in drawn.splitlines()[0]
    assert "paused" in drawn
    assert (str(RECEIVER["id"]) in drawn) is has_id


@pytest.mark.parametrize("width", [100, 120, 140])
def test_a_list_keeps_why_a_task_failed(width: int) -> None:
    assert "fail reason" in drawn_at(width, full(list_command.COLUMNS), list_command.COLUMNS)


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize(
    ("row", "told", "kept"), [(SENT, deliveries.COLUMNS, ("why", "type")), (RECEIVER, endpoints.COLUMNS, ("reason",))]
)
def test_what_has_no_room_in_a_row_stands_below_it(
    width: int, row: dict[str, object], told: Sequence[Column], kept: Sequence[str]
) -> None:
    """However narrow it is, nothing of importance is lost."""
    row = row | {"why": "waiting for attempt 4, after HTTP 500"}

    words = drawn_at(width, row, told).split()

    for name in kept:
        assert set(str(row[name]).split()) <= set(words), name
    assert any(word.startswith("https://receiver.") for word in words)


def test_a_column_that_tells_nothing_leaves_before_one_that_does() -> None:
    row = SENT | {"last_error": None, "next_attempt_at": None, "why": "delivered"}

    headings = drawn_at(120, row, deliveries.COLUMNS).splitlines()[0]

    assert "next attempt" not in headings
    assert "type" in headings


def test_an_id_that_has_no_room_is_longer_than_the_terminal() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    print_table([{"id": ID, "task_id": "x" * 300, "upstream": "default"}], add.COLUMNS, console)
    print_fields({"task_id": "x" * 300, "image_url": URL}, console)

    lines = console.export_text().splitlines()
    assert sum("x" * 300 in line for line in lines) == 2
    assert any(URL in line for line in lines)


def on_terminal(run: CommandLine, *arguments: str, width: int = 100) -> str:
    """What a command draws on a terminal of this width, without the colours."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    run.settings |= {"TERM": "xterm-256color"}
    process = run.start(*arguments, stdout=theirs)
    os.close(theirs)
    drawn = b""
    while chunk := _read(ours):
        drawn += chunk
    os.close(ours)
    process.communicate(timeout=30)
    assert b"\x1b[" in drawn
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError as error:  # how Linux says that the other side has closed
        if error.errno != errno.EIO:
            raise
        return b""


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """One task that succeeded, and one whose failure would like to steer the terminal."""
    command_line = CommandLine(tmp_path)
    for task_id in ("good", "bad"):
        command_line("add", task_id, "--callback", HOOK)
    database = Database(f"sqlite:///{command_line.database_path}")
    api = Api(database, FakeClock(now=datetime.now(UTC)))
    api.see("good", progress=100)
    api.see("bad", Status.FAILED, progress=40, fail_reason="[bold]\x1b[2J no")
    api.attempt(delivered=True)
    database.close()
    return command_line


def test_a_terminal_gets_a_table_with_bars(run: CommandLine) -> None:
    drawn = on_terminal(run, "list")

    assert "task id" in drawn
    assert re.search(r"good +default +✓ succeeded +━{8} 100 %", drawn)
    assert "tsk_" not in drawn


def test_a_wide_terminal_gets_all_columns(run: CommandLine) -> None:
    drawn = on_terminal(run, "list", width=220)

    assert "tsk_" in drawn
    assert r"[bold]\x1b[2J no" in drawn


def test_a_terminal_gets_a_page_for_a_task(run: CommandLine) -> None:
    drawn = on_terminal(run, "show", "good", width=160)

    assert all(title in drawn for title in ("Callbacks", "Timeline"))
    assert "delivered" in drawn


def test_a_terminal_follows_a_task_to_its_end(run: CommandLine) -> None:
    drawn = on_terminal(run, "watch", "bad")

    assert re.search(r"bad +✗ failed +━{3}─{5}  40 % +FAILED", drawn)
    assert r"[bold]\x1b[2J no" in drawn


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list", "--status", "lost"), "`tracker list` shows all"),
        (("deliveries", "--status", "dead"), "`tracker deliveries` shows all"),
    ],
)
def test_nothing_that_matches_teaches_how_to_see_all(run: CommandLine, words: tuple[str, ...], told: str) -> None:
    assert told.replace("`", "") in on_terminal(run, *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list",), "tracker add TASK_ID --callback URL"),
        (("deliveries",), "tracker add TASK_ID --callback URL"),
        (("endpoints",), "tracker ping URL"),
        (("upstreams",), "export TRACKER_UPSTREAMS__DEFAULT__BASE_URL="),
        (("watch", "--timeout", "1ms"), "tracker add TASK_ID --callback URL"),
    ],
)
def test_an_empty_list_teaches_the_one_command_to_type(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    command_line = CommandLine(tmp_path, settings={})
    command_line("db", "upgrade")

    assert told in on_terminal(command_line, *words)
    assert command_line.lines(*words) == []


def test_a_list_that_was_cut_short_says_how_to_see_more(run: CommandLine) -> None:
    assert "--limit 10 shows more" in on_terminal(run, "list", "--limit", "1")
    assert "shows more" not in on_terminal(run, "list")
    assert len(run.lines("list", "--limit", "1")) == 1


@pytest.mark.parametrize("words", [("list",), ("show", "good"), ("watch", "good")])
def test_a_terminal_that_has_not_all_signs_gets_others(run: CommandLine, words: tuple[str, ...]) -> None:
    run.settings["PYTHONIOENCODING"] = "ascii"

    assert "? succeeded" in on_terminal(run, *words)


def test_json_is_json_on_a_terminal_too(run: CommandLine) -> None:
    ours, theirs = os.openpty()
    process = run.start("show", "bad", "--json", stdout=theirs)
    os.close(theirs)
    drawn = b""
    while chunk := _read(ours):
        drawn += chunk
    os.close(ours)
    process.communicate(timeout=30)

    assert b"\x1b" not in drawn
    assert json.loads(drawn)["fail_reason"] == "[bold]\x1b[2J no"


def test_a_moment_until_which_something_lasts_is_told_as_what_is_left() -> None:
    assert spoken(f"paused until {exact(NOW + timedelta(seconds=16)).replace(' ', 'T')}: no", NOW) == (
        "paused for another 16s: no"
    )
