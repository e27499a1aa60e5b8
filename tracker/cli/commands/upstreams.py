"""`tracker upstreams`: how the gateways are doing."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import columns, documented, has_terminal, print_idleness, print_rows
from tracker.cli.protocol import Document
from tracker.cli.verbs import Verb

COLUMNS = columns(
    "name",
    "state",
    "reason",
    "live_tasks",
    "base_url",
    "paused_until",
    "last_ok_at",
    "last_error_at",
    "last_error",
    leaving=("last_error_at", "base_url", "last_error", "paused_until", "last_ok_at"),
    falling=("base_url", "last_error", "paused_until"),
)
_DRAWN = tuple(column for column in COLUMNS if column.name != "last_error_at")
_NONE = "no upstreams yet: `export TRACKER_UPSTREAMS__DEFAULT__BASE_URL=https://…` names your gateway"


@click.command("upstreams", cls=Verb, epilog=documented(COLUMNS))
def command() -> None:
    """Show how the upstreams are doing.

    An upstream is ok, paused (with the reason), unknown while nobody has asked it yet, or not_configured
    where live tasks name one that the configuration has not: nobody looks at those.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        found = tracker.upstreams()
        print_idleness(tracker)
    told = COLUMNS
    if has_terminal() and not invocation.json:
        found, told = [_dated(one) for one in found], _DRAWN
    print_rows(found, told, as_json=invocation.json, empty=_NONE)


def _dated(one: Document) -> Document:
    """The last error with how long ago it was: beside a state of now it would seem to be of now."""
    from datetime import datetime

    from tracker.cli.terminal import distance
    from tracker.clock import utc_now

    if not one["last_error"] or not one["last_error_at"]:
        return one
    when = distance(datetime.fromisoformat(one["last_error_at"]), utc_now())
    return {**one, "last_error": f"{when}: {one['last_error']}"}
