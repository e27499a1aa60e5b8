"""`tracker refresh`: look now."""

import click

from tracker.cli.commands.list import COLUMNS
from tracker.cli.invocation import Invocation
from tracker.cli.naming import has_ended, names_a_task
from tracker.cli.output import documented, print_idleness, print_note, print_row
from tracker.cli.protocol import resolve
from tracker.cli.verbs import Verb


@click.command("refresh", cls=Verb, epilog=documented(COLUMNS))
@names_a_task
def command(task: str, upstream: str | None) -> None:
    """Look at a task now.

    TASK is tracker's tsk_… or the upstream's id. Prints the task as it is known now; the daemon looks within a second.
    A task that has ended is looked at too: what an upstream says against the end goes to its history.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        found = tracker.refresh(resolve(tracker, task, upstream)["id"])
        print_idleness(tracker)
    print_row(found, COLUMNS, as_json=invocation.json)
    if found["ended_at"] is not None:
        print_note(f"{has_ended(found)}; it is looked at once, and only a contradiction is noted in its history")
