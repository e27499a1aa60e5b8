"""What commands print: tables on a terminal, tab-separated lines in a pipe, JSON on request.

Upstreams and receivers wrote some of it: nothing that could steer a terminal is passed on.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from tracker.cli.protocol import Document, Tracker

MOST = 100_000
"""How many things a list may show."""
_UNSEEN_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; its name is the key in the JSON as well."""

    name: str
    leaves: int | None = None
    """When it leaves a terminal that is too narrow for all, the lowest first; None never. Pipes always get it."""
    falls: bool = False
    """Whether it is told below its row then."""


def columns(*names: str, leaving: Sequence[str] = (), falling: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns in this order; the last of those that may leave stays longest, and some are told below their row then."""
    return tuple(
        Column(name=name, leaves=leaving.index(name) if name in leaving else None, falls=name in falling)
        for name in names
    )


def documented(told: Sequence[Column]) -> str:
    """The line of a command's help that tells what a pipe gets."""
    return f"Columns in a pipe: {', '.join(column.name for column in told)}."


def has_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def print_rows(
    rows: Sequence[Document], told: Sequence[Column], *, as_json: bool, empty: str = "nothing", most: int | None = None
) -> None:
    """Print many things of one kind; a person also reads why there are none, and that there may be more than `most`."""
    if as_json:
        print_json(rows)
    elif has_terminal():
        from tracker.cli import tables

        tables.print_table(rows, told, empty=empty)
        if len(rows) == most and most < MOST:
            tables.print_hint(f"the newest {most}: `--limit {min(most * 10, MOST)}` shows more")
    else:
        for row in rows:
            print_line(*(row.get(column.name) for column in told))


def print_row(row: Document, told: Sequence[Column], *, as_json: bool) -> None:
    """Print one thing: alone it is no list in JSON."""
    if as_json:
        print_json(row)
    else:
        print_rows([row], told, as_json=False)


def print_note(said: str) -> None:
    """Something beside the answer, for whoever wonders about it."""
    click.echo(f"tracker: {printable(said)}", err=True)


def print_idleness(tracker: Tracker) -> None:
    """Say it where no daemon runs: what is printed looks alive without."""
    if (said := tracker.idleness()) is not None:
        print_note(said)


def print_line(*cells: object) -> None:
    """One line of a pipe."""
    click.echo("\t".join(text(cell) for cell in cells))


def print_json(value: object) -> None:
    """One JSON document."""
    click.echo(_json(value, indent=2))


def print_json_line(value: object) -> None:
    """One JSON document of many, on a line."""
    click.echo(_json(value, indent=None))


def _json(value: object, *, indent: int | None) -> str:
    document = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSEEN_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def text(value: object) -> str:
    """A value on one line: nothing for None, words for truth, JSON for what has parts."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() if all(isinstance(part, str) for part in value):
            return ",".join(map(text, value))
        case list() | dict():
            return _json(value, indent=None)
        case _:
            return printable(str(value))


def printable(said: str) -> str:
    """The same text without anything that moves a cursor or breaks a line."""
    if said.isprintable():
        return said
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in said)
