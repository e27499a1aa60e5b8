"""Tasks that are followed on a terminal: a table that is drawn anew in place, and says what it comes to."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tracker.cli.output import columns
from tracker.cli.protocol import Document
from tracker.cli.tables import hint, table
from tracker.cli.terminal import marked, print_fields, screen
from tracker.model import Status

_COLUMNS = columns(
    "task_id",
    "status",
    "progress",
    "upstream_status",
    "registered_at",
    "upstream",
    "fail_reason",
    "image_url",
    leaving=("image_url", "upstream", "upstream_status", "registered_at", "fail_reason"),
)
_AROUND = 4
"""Lines of a screen that are no tasks: the heading, its rule, the sum, and the one on which the cursor waits."""
_FEWEST = 3
_NOBODY = "no live tasks: `tracker add TASK_ID --callback URL` watches one"


def room(console: Console | None = None) -> int:
    """How many tasks the screen holds."""
    return max((console or screen()).height - _AROUND, _FEWEST)


def draw(looks: Iterable[Sequence[Document]], console: Console | None = None) -> Sequence[Document]:
    """Draw each look over the one before, and leave the last one whole; returns that."""
    console = console or screen()
    last: Sequence[Document] = ()
    with Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
        for last in looks:
            live.update(_frame(last, console, room(console)), refresh=True)
        live.update(_frame(last, console, len(last)))
    if len(last) == 1:
        print_fields({name: last[0][name] for name in ("image_url", "fail_reason") if last[0].get(name)}, console)
    return last


def _frame(seen: Sequence[Document], console: Console, most: int) -> RenderableType:
    if not seen:
        return hint(_NOBODY)
    shown = seen
    if len(seen) > most:
        # What still moves goes first; the others keep their order.
        shown = sorted(seen, key=lambda task: task["ended_at"] is not None)[:most]
    return Group(*table(shown, _COLUMNS, console.width), _sum(seen, len(seen) - len(shown)))


def _sum(seen: Sequence[Document], hidden: int) -> Text:
    """How many stand where, and what the screen had no room for."""
    counted = Counter(task["status"] for task in seen)
    now = datetime.now(UTC)
    line = Text(f"{now:%H:%M:%S}Z", style="bright_black")
    for status in Status:
        if counted[status]:
            line.append(f"  {counted[status]} ").append_text(marked(status))
    return line.append(f"  and {hidden} more than fit" if hidden else "", style="bright_black")
