"""`tracker show`: everything about one task on one page."""

import click

from tracker.cli.commands import deliveries, history
from tracker.cli.invocation import Invocation
from tracker.cli.naming import names_a_task
from tracker.cli.output import columns, has_terminal, print_json, print_line
from tracker.cli.protocol import Document, resolve
from tracker.cli.verbs import Verb

CALLBACKS = columns("url", "events", "format", "metadata")
_LAST_EVENTS = 10
_APART = ("callbacks", "task")
"""The callbacks are told below, the upstream's own object in JSON only."""


@click.command("show", cls=Verb)
@names_a_task
def command(task: str, upstream: str | None) -> None:
    """Show a task with its callbacks, deliveries and last events.

    TASK is tracker's tsk_… or the upstream's id. A pipe gets one line per field (its name, its value), then lines that
    begin with callback, delivery and event, with the columns of `tracker deliveries` and `tracker history`.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        found = resolve(tracker, task, upstream)
        sent = tracker.task_deliveries(found["id"])
        events = tracker.history(found["id"])[-_LAST_EVENTS:]
    if invocation.json:
        print_json({**found, "deliveries": sent, "events": events})
    elif has_terminal():
        _print_page(found, deliveries.with_last_attempt(sent), events)
    else:
        _print_lines(found, deliveries.with_last_attempt(sent), events)


def _print_lines(found: Document, sent: list[Document], events: list[Document]) -> None:
    for name, value in found.items():
        if name not in _APART:
            print_line(name, value)
    parts = (
        ("callback", found["callbacks"], CALLBACKS),
        ("delivery", sent, deliveries.COLUMNS),
        ("event", events, history.COLUMNS),
    )
    for word, rows, told in parts:
        for row in rows:
            print_line(word, *(row.get(column.name) for column in told))


def _print_page(found: Document, sent: list[Document], events: list[Document]) -> None:
    from tracker.cli import terminal

    terminal.print_fields({name: value for name, value in found.items() if name not in _APART})
    parts = (
        ("Callbacks", found["callbacks"], CALLBACKS),
        ("Deliveries", sent, deliveries.COLUMNS),
        ("Last events", events, history.COLUMNS),
    )
    for title, rows, told in parts:
        terminal.print_title(title)
        terminal.print_table(rows, told)
