"""How a message that arrived is shown: a line in a pipe, a few on a terminal, a document with --json."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tracker.cli.output import columns, has_terminal, print_json_line, print_line, text
from tracker.cli.protocol import Document

if TYPE_CHECKING:  # --help needs none of it
    from tracker.simulate import Arrival

COLUMNS = columns("arrived_at", "verdict", "type", "message_id", "answered", "problem")
_MARKS = {"genuine": ("✓", "green"), "repeat": ("↻", "yellow"), "forged": ("✗", "red")}


def shower(*, as_json: bool) -> Callable[["Arrival"], None]:
    """What shows arrivals to whoever reads."""
    if as_json:
        return lambda arrival: print_json_line(document(arrival))
    return _show_to_person if has_terminal() else _show_line


def document(arrival: "Arrival") -> Document:
    """An arrival with everything that came."""
    from tracker.moments import rfc3339

    verdict = "forged" if arrival.problem else "repeat" if arrival.is_repeat else "genuine"
    return {
        "arrived_at": rfc3339(arrival.arrived_at),
        "verdict": verdict,
        "type": arrival.content.get("type"),
        "message_id": arrival.message_id,
        "answered": arrival.answered,
        "problem": arrival.problem,
        "path": arrival.path,
        "headers": dict(arrival.headers),
        "body": arrival.body.decode(errors="replace"),
    }


def _show_line(arrival: "Arrival") -> None:
    told = document(arrival)
    print_line(*(told[column.name] for column in COLUMNS))


def _show_to_person(arrival: "Arrival") -> None:
    import json

    told = document(arrival)
    mark, colour = _MARKS[told["verdict"]]
    moment = arrival.arrived_at.astimezone().strftime("%H:%M:%S")
    head = f"{mark} {told['verdict']} {text(told['type'] or 'no type')}"
    click.echo(f"{moment} {click.style(head, fg=colour, bold=True)} {text(told['message_id'])} → {arrival.answered}")
    if arrival.problem:
        click.echo(f"  {text(arrival.problem)}")
    shown = json.dumps(arrival.content, ensure_ascii=False, indent=2) if arrival.content else told["body"]
    for line in shown.splitlines():
        click.echo(click.style(f"  {text(line)}", dim=True))
