"""`tracker history`: what happened to a task."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.naming import names_a_task
from tracker.cli.output import columns, documented, print_rows
from tracker.cli.protocol import resolve
from tracker.cli.verbs import Verb

COLUMNS = columns(
    "sequence",
    "observed_at",
    "event",
    "from_status",
    "to_status",
    "upstream_status",
    "progress",
    "note",
    leaving=("from_status", "upstream_status", "progress"),
)


@click.command("history", cls=Verb, epilog=documented(COLUMNS))
@names_a_task
def command(task: str, upstream: str | None) -> None:
    """List everything that happened to a task.

    TASK is tracker's tsk_… or the upstream's id.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        events = tracker.history(resolve(tracker, task, upstream)["id"])
    print_rows(events, COLUMNS, as_json=invocation.json)
