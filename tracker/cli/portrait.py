"""One task on a terminal: what it is, who is told of it or why not yet, and all that happened."""

from collections.abc import Sequence
from datetime import UTC, datetime
from shlex import quote

from rich.console import Console
from rich.text import Text

from tracker.cli.output import text
from tracker.cli.protocol import Document
from tracker.cli.reasons import reason, standstill
from tracker.cli.tables import hint, wrapped
from tracker.cli.terminal import (
    COLOURS,
    MARKS,
    bar,
    distance,
    exact,
    marked,
    print_fields,
    screen,
    sparkline,
    spoken,
)
from tracker.cli.timeline import Moment, progress_over_time, timeline

_IN_TITLE = ("task_id", "status", "progress", "sequence", "callbacks", "task")
_LONGEST_SPARKLINE = 60
_FAR, _SHORTEST_TEXT = 9, 30
_INDENT = 2


def print_portrait(
    task: Document,
    sent: Sequence[Document],
    events: Sequence[Document],
    upstreams: Sequence[Document],
    console: Console | None = None,
) -> None:
    """Draw it; `sent` has every attempt, `events` is the whole history."""
    console = console or screen()
    now = datetime.now(UTC)
    title = Text(text(task["task_id"]), style="bold").append("  ").append_text(marked(task["status"]))
    console.print(title.append("  ").append_text(bar(task["progress"], task["status"])), soft_wrap=True)
    drawn = _drawn_progress(task, events, now, console.width)
    if drawn:
        console.print(Text(drawn, style=COLOURS.get(task["status"], "")))
    print_fields({name: value for name, value in task.items() if name not in _IN_TITLE}, console)
    _title("Callbacks", console)
    for line in _callbacks(task, sent, upstreams, now, console.width):
        console.print(line, soft_wrap=True)
    halted = standstill(task, upstreams, now)
    told = {one["url"] for one in sent}
    if halted and all(callback["url"] in told for callback in task["callbacks"]):  # no callback's line has said it
        for line in wrapped(Text(spoken(text(halted), now)), console.width):
            console.print(line, soft_wrap=True)
    _title("Timeline", console)
    for moment in timeline(events, sent):
        for line in _moment(moment, now, console.width):
            console.print(line, soft_wrap=True)


def _title(said: str, console: Console) -> None:
    console.print(Text(f"\n{said}", style="bold underline"))


def _drawn_progress(task: Document, events: Sequence[Document], now: datetime, width: int) -> str:
    """How progress went from the first event to the end, or to now."""
    until = datetime.fromisoformat(task["ended_at"]) if task["ended_at"] else now
    began = datetime.fromisoformat(events[0]["observed_at"]) if events else until
    length = min(_LONGEST_SPARKLINE, width // 2)
    values = progress_over_time(events, until, length)
    if not values:
        return ""
    return f"{sparkline(values, length)} over {distance(began, until).removesuffix(' ago')}"


def _callbacks(
    task: Document, sent: Sequence[Document], upstreams: Sequence[Document], now: datetime, width: int
) -> list[Text]:
    if not task["callbacks"]:
        return [
            hint(f"nobody is told: `tracker add {quote(text(task['task_id']))} --callback URL` names who wants to know")
        ]
    lines: list[Text] = []
    for callback in task["callbacks"]:
        lines.append(_callback(callback))
        messages = [one for one in sent if one["url"] == callback["url"]]
        for one in messages:
            line = marked(one["status"]).append(f"  {text(one['type'])}  ", style="default")
            lines += _indented(
                line.append(f"{text(one['id'])}\n{spoken(text(one['why']), now)}", style="default"), width
            )
        if not messages:
            lines += _indented(Text(spoken(text(reason(task, callback, upstreams, now)), now)), width)
    return lines


def _callback(callback: Document) -> Text:
    line = Text(text(callback["url"]), style="bold")
    line.append(f"  {text(callback['events'])}, {text(callback['format'])}", style="not bold bright_black")
    if callback["metadata"] is not None:
        line.append(f"  {text(callback['metadata'])}", style="not bold bright_black")
    return line


def _indented(said: Text, width: int) -> list[Text]:
    lines = [line for part in said.split("\n") for line in wrapped(part, max(width - _INDENT, _SHORTEST_TEXT))]
    return [Text(" " * _INDENT).append_text(line) for line in lines]


def _moment(moment: Moment, now: datetime, width: int) -> list[Text]:
    """When exactly, how long ago, and what; what does not fit goes on below itself."""
    head = Text(exact(moment.at)).append(f"  {distance(moment.at, now):>{_FAR}}  ", style="bright_black")
    head.append(f"{MARKS.get(moment.word, '·')} ", style=COLOURS.get(moment.word, ""))
    indent = head.cell_len
    first, *more = wrapped(Text(text(moment.said)), max(width - indent, _SHORTEST_TEXT))
    return [head.append_text(first), *(Text(" " * indent).append_text(line) for line in more)]
