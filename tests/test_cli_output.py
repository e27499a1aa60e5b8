"""What is printed: plain in a pipe, drawn on a terminal, and never able to steer one."""

import errno
import fcntl
import json
import os
import re
import struct
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api_harness import HOOK, Api
from command_line import CommandLine
from conftest import FakeClock

from tracker.cli.output import text
from tracker.cli.terminal import COLOURS, bar, distance
from tracker.model import DeliveryStatus, Status
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
    [(0, "0s ago"), (59, "59s ago"), (119, "119s ago"), (120, "2m ago"), (7200, "2h ago"), (172800, "2d ago"),
     (-30, "in 30s"), (-7300, "in 2h")],
)  # fmt: skip
def test_times_are_told_as_distances(seconds: int, told: str) -> None:
    assert distance(NOW - timedelta(seconds=seconds), NOW) == told


@pytest.mark.parametrize(("progress", "told"), [(0, "  0 %"), (50, " 50 %"), (100, "100 %")])
def test_a_bar_always_has_its_length_and_its_number(progress: int, told: str) -> None:
    assert bar(progress, "running").plain == f"{'━' * 20} {told}"


def test_an_unknown_progress_has_no_bar() -> None:
    assert bar(None, "running").plain == ""


def test_every_status_has_a_colour() -> None:
    assert {*Status, *DeliveryStatus} <= COLOURS.keys()


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
    assert re.search(r"good +default +succeeded +━{20} 100 %", drawn)
    assert "tsk_" not in drawn


def test_a_wide_terminal_gets_all_columns(run: CommandLine) -> None:
    drawn = on_terminal(run, "list", width=220)

    assert "tsk_" in drawn
    assert r"[bold]\x1b[2J no" in drawn


def test_a_terminal_gets_a_page_for_a_task(run: CommandLine) -> None:
    drawn = on_terminal(run, "show", "good", width=160)

    assert all(title in drawn for title in ("Callbacks", "Deliveries", "Last events"))
    assert "delivered" in drawn
    assert on_terminal(run, "deliveries", "--status", "dead").strip() == "nothing"


def test_a_terminal_follows_a_task_to_its_end(run: CommandLine) -> None:
    drawn = on_terminal(run, "watch", "bad")

    assert re.search(r"bad  failed \(FAILED\)  ━{20}  40 %", drawn)
    assert r"[bold]\x1b[2J no" in drawn


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
