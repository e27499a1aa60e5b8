"""What a demo shows while it runs: bars on a terminal, a line for each step in a pipe."""

from types import TracebackType
from typing import Self

import click
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tracker.cli.demo.score import Score
from tracker.cli.protocol import Document
from tracker.cli.terminal import COLOURS
from tracker.model import Status

_BAR = 10
_CELL = 34


class Screen:
    """Takes scores, one after the other; this one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last score where it is."""

    def show(self, score: Score, seconds: float) -> None:
        """Show how far it is."""


class Lines(Screen):
    """A line whenever the counts have changed."""

    def __init__(self) -> None:
        self._told = ""

    def show(self, score: Score, seconds: float) -> None:
        """Print it, if it is news."""
        news = counts(score)
        if news != self._told:
            click.echo(f"{seconds:5.1f} s  {news}")
        self._told = news


class Bars(Screen):
    """All tasks with their bars, redrawn in place."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, score: Score, seconds: float) -> None:
        """Redraw."""
        sent = {delivery["task"]: delivery for delivery in score.deliveries}
        cells = [_cell(task, sent.get(task["id"])) for task in reversed(score.tasks)]
        head = Text(f"{seconds:5.1f} s  ", style="bold").append(counts(score), style="not bold")
        self._live.update(Group(Columns(cells, width=_CELL, padding=(0, 1)), head), refresh=True)


def counts(score: Score) -> str:
    """How many tasks and messages stand where."""
    live = ", ".join(f"{score.by_status[status]} {status}" for status in Status if score.by_status[status])
    told = f"{score.delivered} delivered, {len(score.verified)} verified"
    return f"{live or 'nothing yet'}; {told}" + (f", {score.refused} refused at first" if score.refused else "")


def _cell(task: Document, delivery: Document | None) -> Text:
    """One task: its id's end, its bar, its status, and whether its message has arrived."""
    progress, status = task["progress"] or 0, task["status"]
    done = round(progress * _BAR / 100)
    line = Text(f"…{task['task_id'][-6:]} ", style="bright_black")
    line.append("━" * done, style=COLOURS[status]).append("━" * (_BAR - done), style="bright_black")
    line.append(f" {status:<11}", style=COLOURS[status])
    if delivery is not None:
        mark = "✓" if delivery["status"] == "delivered" else "…"
        line.append(f"{mark} {delivery['attempt']}", style=COLOURS[delivery["status"]])
    return line
