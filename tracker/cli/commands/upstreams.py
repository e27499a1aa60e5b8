"""`tracker upstreams`: how the gateways are doing."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import columns, documented, print_rows
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
    print_rows(found, COLUMNS, as_json=invocation.json, empty=_NONE)
