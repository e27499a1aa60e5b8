"""Tables for a terminal as wide as it is: what has no room leaves its row, or is told below it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tracker.cli.output import Column
from tracker.cli.protocol import Document
from tracker.cli.terminal import LONG_BAR, SHORT_BAR, cell, screen

_GAP = 2
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
_BELOW = 4
_BETWEEN = "   "
"""How far what is told below a row stands to the right."""

Drawn = Mapping[Column, Sequence[Text]]


def print_table(
    rows: Sequence[Document], told: Sequence[Column], console: Console | None = None, *, empty: str = "nothing"
) -> None:
    """A table, or what to say where there is nothing to tell.

    What has to stay is never broken into pieces: lines are longer than a terminal that has no room for it.
    """
    console = console or screen()
    for line in table(rows, told, console.width) if rows else [hint(empty)]:
        console.print(line, soft_wrap=True)


def print_hint(said: str) -> None:
    """A line beside the answer."""
    screen().print(hint(said))


def hint(said: str) -> Text:
    """A sentence for whoever wonders what to do; what to type, between backticks, stands out."""
    line = Text()
    for place, part in enumerate(said.split("`")):
        line.append(part, style="bold" if place % 2 else "bright_black")
    return line


def table(rows: Sequence[Document], told: Sequence[Column], width: int) -> list[Text]:
    """The lines of a table for a terminal of this width, without the columns for which that has no room."""
    now, length = datetime.now(UTC), LONG_BAR if width >= _ROOM_FOR_BARS else SHORT_BAR
    drawn = {column: [cell(column.name, row, now, length) for row in rows] for column in told}
    widths = _fitting(drawn, width)
    fallen = [column for column in told if column.falls and column not in widths]
    headings = [Text(_heading(column), style="bold") for column in widths]
    lines = [*_row(headings, widths), Text("─" * _total(widths), style="bright_black")]
    for place in range(len(rows)):
        lines += _row([drawn[column][place] for column in widths], widths)
        lines += _below({column: drawn[column][place] for column in fallen}, width)
    return lines


def _row(cells: Sequence[Text], widths: Mapping[Column, int]) -> Iterator[Text]:
    """The lines of a row: as many as its longest text takes."""
    columns = [_folded(drawn, column, room) for drawn, (column, room) in zip(cells, widths.items(), strict=True)]
    for number in range(max(map(len, columns))):
        line = Text()
        for parts, room in zip(columns, widths.values(), strict=True):
            part = parts[number] if number < len(parts) else Text()
            line.append_text(part).append(" " * (room - part.cell_len + _GAP))
        line.rstrip()
        yield line


def _folded(drawn: Text, column: Column, width: int) -> list[Text]:
    if column.name in _FOLDED:
        return wrapped(drawn, width)
    short = drawn.copy()
    short.truncate(width, overflow="ellipsis")
    return [short]


def wrapped(drawn: Text, width: int) -> list[Text]:
    """The lines of a text in this much room, at least one."""
    lines = list(drawn.wrap(_NOWHERE, width, overflow="fold")) or [Text()]
    for line in lines:
        line.rstrip()
    return lines


def _below(fallen: Mapping[Column, Text], width: int) -> Iterator[Text]:
    """What had no room in a row, with the names that stand over it elsewhere: as much on a line as fits."""
    room, line = max(width - _BELOW, _LONGEST_WORD), Text()
    for column, drawn in fallen.items():
        if not drawn:
            continue
        named = Text(f"{_heading(column)} ", style="bright_black").append_text(drawn)
        if column.name in _CUT:
            named.truncate(room, overflow="ellipsis")
        if line and line.cell_len + len(_BETWEEN) + named.cell_len > room:
            yield from _indented(line, room)
            line = Text()
        line.append(_BETWEEN if line else "").append_text(named)
    if line:
        yield from _indented(line, room)


def _indented(line: Text, room: int) -> Iterator[Text]:
    for part in wrapped(line, room):
        yield Text(" " * _BELOW).append_text(part)


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


def _fitting(drawn: Drawn, width: int) -> dict[Column, int]:
    """The columns that stay, each with its width: the least one, and more where there is room to spare.

    Where not all can be whole, those that tell nothing leave first: with them nothing is lost.
    """
    if _total({column: _whole(column, cells) for column, cells in drawn.items()}) > width:
        drawn = {column: cells for column, cells in drawn.items() if column.leaves is None or any(cells)}
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


_NOWHERE = Console(width=_LONGEST_WORD)
"""Text is wrapped for some console, of which only the rules for tabs are used."""
