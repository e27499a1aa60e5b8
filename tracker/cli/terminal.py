"""What a person at a terminal sees of a value: a sign and a colour, a bar, a time as its distance from now."""

import io
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.text import Text

from tracker.cli.output import text
from tracker.cli.protocol import Document

LONG_BAR, SHORT_BAR = 20, 8
_GAP = 2
_BLOCKS = "▁▂▃▄▅▆▇█"
_MOMENTS = ("_at", "_since", "_until")
_WRITTEN = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
_IN_WORDS = re.compile(rf"\b(?:(at|since|until) )?({_WRITTEN})")
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
    "failing": "yellow",
    "paused": "red",
    "unknown": "bright_black",
    "disabled": "red",
    "not_configured": "red",
    "sending": "cyan",
    "interrupted": "yellow",
}
MARKS = {
    "queued": "○",
    "running": "●",
    "needs_input": "?",
    "succeeded": "✓",
    "failed": "✗",
    "cancelled": "■",
    "lost": "✗",
    "expired": "✗",
    "dropped": "■",
    "pending": "○",
    "delivered": "✓",
    "dead": "✗",
    "superseded": "»",
    "ok": "✓",
    "active": "✓",
    "failing": "!",
    "paused": "!",
    "unknown": "?",
    "disabled": "✗",
    "not_configured": "✗",
    "sending": "●",
    "interrupted": "!",
}
"""So that nothing is told by its colour alone, and a column can be read at a glance."""
_MARKED = frozenset({"status", "state", "outcome", "last_outcome"})


def screen() -> Console:
    """The terminal that we print to; for a sign that its encoding has not it gets another, and no error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console()


def print_fields(document: Document, console: Console | None = None) -> None:
    """A thing on its own: a line for each of its fields that says something, however long."""
    console = console or screen()
    now = datetime.now(UTC)
    told = [name for name, value in document.items() if value not in (None, "", [])]
    room = max(map(len, told), default=0) + _GAP
    for name in told:
        line = Text(name.replace("_", " ").ljust(room), style="bold")
        line.append_text(cell(name, document, now))
        if name.endswith(_MOMENTS):
            line = line[:room] + Text(f"{exact(datetime.fromisoformat(document[name]))}  ") + line[room:]
        console.print(line, soft_wrap=True)


def print_title(title: str) -> None:
    """The heading of a part."""
    screen().print(Text(f"\n{title}", style="bold underline"))


def cell(name: str, row: Document, now: datetime, bar_length: int = LONG_BAR) -> Text:
    """A value as a person wants to see it."""
    value = row.get(name)
    if name == "progress":
        return bar(value, str(row.get("status") or row.get("to_status") or ""), bar_length)
    if not isinstance(value, str):
        return Text(text(value))
    if name.endswith(_MOMENTS):
        return Text(distance(datetime.fromisoformat(value), now))
    if name == "why":
        return Text(spoken(text(value), now))
    return marked(value) if name in _MARKED else Text(text(value), style=COLOURS.get(value, ""))


def marked(word: str) -> Text:
    """A status as a sign and a word, and in a colour where there are any."""
    sign = f"{MARKS[word]} " if word in MARKS else ""
    return Text(f"{sign}{text(word)}", style=COLOURS.get(word, ""))


def bar(progress: int | None, status: str, length: int = LONG_BAR) -> Text:
    """Progress as a bar with its number; nothing where an upstream tells none."""
    if progress is None:
        return Text("")
    done = round(progress * length / 100)
    drawn = Text("━" * done, style=COLOURS.get(status, "blue"))
    return drawn.append("─" * (length - done), style="bright_black").append(f" {progress:3d} %", style="default")


def sparkline(values: Sequence[int | None], length: int) -> str:
    """Values from 0 to 100 as blocks that grow, each with as much room; a dot where there is none yet."""
    places = (values[place * len(values) // length] for place in range(length)) if values else ()
    return "".join("·" if one is None else _BLOCKS[min(one * len(_BLOCKS) // 100, len(_BLOCKS) - 1)] for one in places)


def spoken(said: str, now: datetime) -> str:
    """The same words, with distances from now in place of moments."""

    def far(found: re.Match[str]) -> str:
        told = distance(datetime.fromisoformat(found[2]), now)
        if found[1] == "until" and told.startswith("in "):
            return f"for another {told.removeprefix('in ')}"
        return f"for {told.removesuffix(' ago')}" if found[1] == "since" else told

    return _IN_WORDS.sub(far, said)


def exact(moment: datetime) -> str:
    """A moment as people read it, in UTC as everywhere else."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def distance(moment: datetime, now: datetime) -> str:
    """How far a moment is from now: `4s ago`, `in 2h`."""
    gap = abs(now - moment)
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1))):
        if gap >= size:
            amount = f"{gap // size}{unit}"
            break
    else:
        amount = f"{int(gap.total_seconds())}s"
    return f"{amount} ago" if moment <= now else f"in {amount}"
