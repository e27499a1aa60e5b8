"""What a person at a terminal sees: coloured tables, bars, and times as distances from now."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, OverflowMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tracker.cli.output import Column, text
from tracker.cli.protocol import Document

_GAP = 2
_BAR, _SHORT_BAR = 20, 8
_ROOM_FOR_BARS = 120
_CUT = frozenset({"url", "image_url", "base_url"})
"""Addresses, cut at their end where they do not fit: in pieces they are no use."""
_SHORTEST_CUT = 24
_FOLDED = frozenset(
    {"note", "fail_reason", "reason", "why", "last_error", "value", "origin", "events", "metadata", "name"}
)
"""Text, which goes on in the next line. All other columns have ids, words, numbers and times, and are always whole."""
_SHORTEST_FOLDED, _LONGEST_WORD = 12, 40
_HEADINGS = {"sequence": "#", "last_status_code": "code", "last_outcome": "outcome", "next_attempt_at": "next attempt"}
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
    "unknown": "bright_black",
    "disabled": "red",
    "not_configured": "red",
}


def print_table(rows: Sequence[Document], told: Sequence[Column], console: Console | None = None) -> None:
    """A table, without the columns of lesser worth where all would not fit.

    What has to stay is never broken into pieces: lines are longer than a terminal that has no room for it.
    """
    console = console or Console()
    if not rows:
        console.print(Text("nothing", style="bright_black"))
        return
    now, length = datetime.now(UTC), _BAR if console.width >= _ROOM_FOR_BARS else _SHORT_BAR
    drawn = {column: [cell(column.name, row, now, length) for row in rows] for column in told}
    widths = _fitting(drawn, console.width)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column, width in widths.items():
        is_folded = column.name in _FOLDED
        overflow: OverflowMethod = "fold" if is_folded else "ellipsis"
        table.add_column(_heading(column), no_wrap=not is_folded, overflow=overflow, width=width)
    for cells in zip(*(drawn[column] for column in widths), strict=True):
        table.add_row(*cells)
    console.width = max(console.width, _total(widths))
    console.print(table)


def _heading(column: Column) -> str:
    return _HEADINGS.get(column.name, column.name.replace("_", " "))


def _least(column: Column, cells: Sequence[Text]) -> int:
    """The least room in which a column is of use."""
    heading, whole = len(_heading(column)), _whole(column, cells)
    if column.name in _CUT:
        return max(heading, min(whole, _SHORTEST_CUT))
    if column.name in _FOLDED:
        longest = max((cell_len(word) for drawn in cells for word in drawn.plain.split()), default=0)
        return max(heading, min(whole, max(_SHORTEST_FOLDED, min(longest, _LONGEST_WORD))))
    return whole


def _whole(column: Column, cells: Sequence[Text]) -> int:
    return max(len(_heading(column)), *(drawn.cell_len for drawn in cells))


def _fitting(drawn: Mapping[Column, Sequence[Text]], width: int) -> dict[Column, int]:
    """The columns that stay, each with its width: the least one, and more where there is room to spare."""
    widths = {column: _least(column, cells) for column, cells in drawn.items()}
    for column in sorted((one for one in drawn if one.leaves is not None), key=lambda one: one.leaves or 0):
        if _total(widths) > width:
            del widths[column]
    for column in sorted(widths, key=lambda one: one.name in _CUT):
        spare = max(width - _total(widths), 0)
        widths[column] = min(_whole(column, drawn[column]), widths[column] + spare)
    return widths


def _total(widths: Mapping[Column, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def print_fields(document: Document, console: Console | None = None) -> None:
    """A thing on its own: a line for each of its fields that says something, however long."""
    console = console or Console()
    now = datetime.now(UTC)
    told = [name for name, value in document.items() if value not in (None, "", [])]
    room = max(map(len, told), default=0) + _GAP
    for name in told:
        heading = Text(name.replace("_", " ").ljust(room), style="bold")
        console.print(heading + cell(name, document, now), soft_wrap=True)


def print_title(title: str) -> None:
    """The heading of a part."""
    Console().print(Text(f"\n{title}", style="bold underline"))


def cell(name: str, row: Document, now: datetime, bar_length: int = _BAR) -> Text:
    """A value as a person wants to see it."""
    value = row.get(name)
    if name == "progress":
        return bar(value, str(row.get("status") or row.get("to_status") or ""), bar_length)
    if name.endswith("_at") and isinstance(value, str):
        return Text(distance(datetime.fromisoformat(value), now))
    return Text(text(value), style=COLOURS.get(value, "") if isinstance(value, str) else "")


def bar(progress: int | None, status: str, length: int = _BAR) -> Text:
    """Progress as a bar with its number; nothing where an upstream tells none."""
    if progress is None:
        return Text("")
    done = round(progress * length / 100)
    drawn = Text("━" * done, style=COLOURS.get(status, "blue"))
    return drawn.append("━" * (length - done), style="bright_black").append(f" {progress:3d} %", style="default")


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
