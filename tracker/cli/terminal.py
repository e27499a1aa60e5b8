"""What a person at a terminal sees: coloured tables, bars, and times as distances from now."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tracker.cli.output import Column, text
from tracker.cli.protocol import Document

_WIDE = 130
_BAR = 20
COLOURS = {
    "queued": "cyan",
    "running": "blue",
    "needs_input": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "lost": "red",
    "expired": "red",
    "dropped": "bright_black",
    "pending": "cyan",
    "delivered": "green",
    "dead": "red",
    "superseded": "bright_black",
    "ok": "green",
    "active": "green",
    "paused": "red",
    "disabled": "red",
    "not_configured": "red",
}


def print_table(rows: Sequence[Document], told: Sequence[Column]) -> None:
    """A table, without the wide columns where they would not fit."""
    console = Console()
    shown = [column for column in told if console.width >= _WIDE or not column.is_wide]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(column.name.replace("_", " "), no_wrap=column.name == "status", overflow="fold")
    now = datetime.now(UTC)
    for row in rows:
        table.add_row(*(cell(column.name, row, now) for column in shown))
    console.print(table if rows else Text("nothing", style="bright_black"))


def print_fields(document: Document) -> None:
    """A thing on its own: a line for each of its fields that says something."""
    grid = Table.grid(padding=(0, 2))
    now = datetime.now(UTC)
    for name, value in document.items():
        if value not in (None, "", []):
            grid.add_row(Text(name.replace("_", " "), style="bold"), cell(name, document, now))
    Console().print(grid)


def print_title(title: str) -> None:
    """The heading of a part."""
    Console().print(Text(f"\n{title}", style="bold underline"))


def cell(name: str, row: Document, now: datetime) -> Text:
    """A value as a person wants to see it."""
    value = row.get(name)
    if name == "progress":
        return bar(value, str(row.get("status") or row.get("to_status") or ""))
    if name.endswith("_at") and isinstance(value, str):
        return Text(distance(datetime.fromisoformat(value), now))
    return Text(text(value), style=COLOURS.get(value, "") if isinstance(value, str) else "")


def bar(progress: int | None, status: str) -> Text:
    """Progress as a bar with its number; nothing where an upstream tells none."""
    if progress is None:
        return Text("")
    done = round(progress * _BAR / 100)
    drawn = Text("━" * done, style=COLOURS.get(status, "blue"))
    return drawn.append("━" * (_BAR - done), style="bright_black").append(f" {progress:3d} %", style="default")


def distance(moment: datetime, now: datetime) -> str:
    """How far a moment is from now: `4s ago`, `in 2h`."""
    gap = abs(now - moment)
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1))):
        if gap >= 2 * size:
            amount = f"{gap // size}{unit}"
            break
    else:
        amount = f"{int(gap.total_seconds())}s"
    return f"{amount} ago" if moment <= now else f"in {amount}"


def print_live(changes: Iterable[Document]) -> Document:
    """A line that follows a task, and what became of it; returns the task as it was last."""
    last: Document = {}
    with Live(console=Console(), auto_refresh=False) as live:
        for last in changes:
            live.update(_task_line(last), refresh=True)
    print_fields({name: last[name] for name in ("image_url", "fail_reason") if last.get(name)})
    return last


def _task_line(task: Document) -> Text:
    line = Text(f"{text(task['task_id'])}  ", style="bold")
    line.append(text(task["status"]), style=COLOURS.get(task["status"], ""))
    line.append(f" ({text(task['upstream_status'])})  " if task["upstream_status"] else "  ", style="bright_black")
    return line.append_text(bar(task["progress"], task["status"]))
