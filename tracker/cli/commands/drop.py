"""`tracker drop`: stop watching."""

import click

from tracker.cli.commands.list import COLUMNS
from tracker.cli.invocation import Invocation
from tracker.cli.naming import has_ended, names_a_task
from tracker.cli.output import documented, print_note, print_row
from tracker.cli.protocol import resolve
from tracker.cli.verbs import Verb


@click.command("drop", cls=Verb, epilog=documented(COLUMNS))
@names_a_task
def command(task: str, upstream: str | None) -> None:
    """Stop watching a task; its history stays.

    TASK is tracker's tsk_… or the upstream's id. The exit code is 1 where nothing was
    stopped: the task had ended, or it goes on for another owner who registered it too.
    Which of them it was is said on standard error.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        dropped = tracker.drop(resolve(tracker, task, upstream)["id"])
    print_row(dropped, COLUMNS, as_json=invocation.json)
    if dropped["ended_at"] is not None and not dropped["stopped"]:
        print_note(has_ended(dropped))
    elif not dropped["stopped"]:
        print_note(f"{dropped['task_id']!r} goes on for another owner; your part of it has ended")
    click.get_current_context().exit(0 if dropped["stopped"] else 1)
