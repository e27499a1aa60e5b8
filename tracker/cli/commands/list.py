"""`tracker list`: tasks that match."""

from datetime import datetime

import click

from tracker.cli.invocation import Invocation
from tracker.cli.naming import Moment, Words, names_an_upstream
from tracker.cli.output import MOST, columns, documented, print_idleness, print_note, print_rows
from tracker.cli.protocol import Selection
from tracker.cli.verbs import Verb
from tracker.model import Status

COLUMNS = columns(
    "id",
    "task_id",
    "upstream",
    "status",
    "progress",
    "registered_at",
    "ended_at",
    "fail_reason",
    "image_url",
    # Why a task failed stays longer than the tracker's own id: every command takes the upstream's as well.
    leaving=("image_url", "ended_at", "id", "upstream", "fail_reason", "registered_at"),
    falling=("fail_reason",),
)


_NONE = "no tasks yet: `tracker add TASK_ID --callback URL` watches one"
_NO_MATCH = "no task matches: `tracker list` shows all"


@click.command("list", cls=Verb, epilog=documented(COLUMNS))
@click.option("--status", type=Words(*Status), help=f"Some of {', '.join(Status)}; separated by commas.")
@names_an_upstream("Only this upstream's.")
@click.option("--q", metavar="TEXT", help="Part of a task id, or of what the upstream tells of it (its prompt, say).")
@click.option("--since", type=Moment(), help="Registered at or after; a time, or a duration like 2h: that long ago.")
@click.option("--until", type=Moment(), help="Registered before.")
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="How many.")
def command(
    status: tuple[str, ...] | None,
    upstream: str | None,
    q: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List tasks, newest first."""
    from tracker.cli.opening import open_tracker

    wanted = Selection(status=status or (), upstream=upstream, q=q, since=since, until=until, limit=limit)
    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        found = tracker.tasks(wanted)
        known = [one["name"] for one in tracker.upstreams() if one["base_url"] is not None] if upstream else []
        print_idleness(tracker)
    if upstream and upstream not in known:
        print_note(f"the upstream {upstream!r} is not configured")
    is_first = wanted == Selection(limit=limit)
    print_rows(found, COLUMNS, as_json=invocation.json, empty=_NONE if is_first else _NO_MATCH, most=limit)
