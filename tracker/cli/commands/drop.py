"""`tracker drop`: stop watching."""

import click

from tracker.cli.commands.list import COLUMNS
from tracker.cli.invocation import Invocation
from tracker.cli.naming import names_a_task
from tracker.cli.output import documented, print_json, print_rows
from tracker.cli.protocol import resolve
from tracker.cli.verbs import Verb


@click.command("drop", cls=Verb, epilog=documented(COLUMNS))
@names_a_task
def command(task: str, upstream: str | None) -> None:
    """Stop watching a task; its history stays.

    TASK is tracker's tsk_… or the upstream's id. A task that has ended stays as it is, and the exit code is 1.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        before = resolve(tracker, task, upstream)
        found = tracker.drop(before["id"])
    if invocation.json:
        print_json(found)
    else:
        print_rows([found], COLUMNS, as_json=False)
    if before["ended_at"] is not None:
        click.get_current_context().exit(1)
