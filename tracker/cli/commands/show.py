"""`tracker show`: everything about one task on one page."""

import click

from tracker.cli.commands import deliveries, history
from tracker.cli.invocation import Invocation
from tracker.cli.naming import names_a_task
from tracker.cli.output import columns, has_terminal, print_idleness, print_json, print_line
from tracker.cli.protocol import Document, resolve
from tracker.cli.verbs import Verb

CALLBACKS = columns("url", "events", "format", "metadata")
_LAST_EVENTS = 10
_APART = ("callbacks", "task")
"""The callbacks are told below, the upstream's own object in JSON only."""


@click.command("show", cls=Verb)
@names_a_task
def command(task: str, upstream: str | None) -> None:
    """Show a task: who is told of it or why not yet, and all that happened.

    TASK is tracker's tsk_… or the upstream's id. A terminal gets one timeline of events, messages and attempts. A pipe
    gets one line per field (its name, its value), then lines that begin with callback, delivery and event, with the
    columns of `tracker deliveries` and `tracker history`, of the last ten events.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        found = resolve(tracker, task, upstream)
        sent = tracker.task_deliveries(found["id"])
        events = tracker.history(found["id"])
        is_drawn = has_terminal() and not invocation.json
        upstreams = tracker.upstreams() if is_drawn and found["ended_at"] is None else []
        print_idleness(tracker)
    if is_drawn:
        from tracker.cli.portrait import print_portrait

        print_portrait(found, sent, events, upstreams)
    elif invocation.json:
        print_json({**found, "deliveries": sent, "events": events[-_LAST_EVENTS:]})
    else:
        _print_lines(found, deliveries.with_last_attempt(sent), events[-_LAST_EVENTS:])


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
