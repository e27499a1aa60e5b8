"""`tracker watch`: follow a task."""

import time
from collections.abc import Callable, Iterator

import click

from tracker.cli.invocation import Invocation
from tracker.cli.naming import names_a_task
from tracker.cli.output import columns, documented, has_terminal, print_json_line, print_line
from tracker.cli.protocol import Document, Tracker, resolve
from tracker.cli.verbs import Verb

COLUMNS = columns("seen_at", "id", "task_id", "status", "progress", "upstream_status", "fail_reason", "image_url")
_EVERY_SECONDS = 0.5


@click.command("watch", cls=Verb, epilog=documented(COLUMNS))
@names_a_task
def command(task: str, upstream: str | None) -> None:
    """Follow a task until it ends.

    TASK is tracker's tsk_… or the upstream's id. A pipe gets one line for the task as it is and one for each change,
    --json one JSON document on each line. The exit code is 0 when the task succeeded, 1 at any other end.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        found = resolve(tracker, task, upstream)
        changes = follow(tracker, found["id"], lambda: time.sleep(_EVERY_SECONDS))
        if invocation.json:
            last = _print(changes, print_json_line)
        elif has_terminal():
            from tracker.cli import terminal

            last = terminal.print_live(changes)
        else:
            last = _print(changes, _print_change)
    click.get_current_context().exit(0 if last["status"] == "succeeded" else 1)


def follow(tracker: Tracker, id_: str, pause: Callable[[], None]) -> Iterator[Document]:
    """The task as it is, and again each time it has changed, until it has ended; pauses between two looks."""
    told = None
    while True:
        now = tracker.task(id_)
        news = (now["status"], now["upstream_status"], now["progress"])
        if news != told:
            yield now
        told = news
        if now["ended_at"] is not None:
            return
        pause()


def _print(changes: Iterator[Document], show: Callable[[Document], None]) -> Document:
    last: Document = {}
    for last in changes:
        show(last)
    return last


def _print_change(change: Document) -> None:
    from tracker.clock import utc_now
    from tracker.moments import rfc3339

    row = {**change, "seen_at": rfc3339(utc_now())}
    print_line(*(row[column.name] for column in COLUMNS))
