"""`tracker endpoints`: how the receivers are doing."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import MOST, columns, documented, print_row, print_rows
from tracker.cli.verbs import Verb

COLUMNS = columns(
    "id",
    "endpoint",
    "state",
    "waiting",
    "failures",
    "reason",
    "failing_since",
    "paused_until",
    "last_success_at",
    # What is wrong stays. The id goes last: where an ID is wanted, the endpoint's address serves as well.
    leaving=("last_success_at", "failing_since", "failures", "paused_until", "id"),
    falling=("failing_since", "paused_until"),
)


_NONE = "no receivers yet: `tracker add TASK_ID --callback URL` names one, `tracker ping URL` tries it"


@click.command("endpoints", cls=Verb, epilog=documented(COLUMNS))
@click.argument("action", type=click.Choice(["list", "enable", "disable"]), default="list", metavar="[enable|disable]")
@click.argument("endpoint", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="How many, newest first.")
def command(action: str, endpoint: str | None, limit: int) -> None:
    """List the receivers of messages, or open or close one.

    An endpoint that fails again and again is paused, and probed now and then; after days without success it is
    disabled. What waits for it is kept, and goes out when it works again, or when somebody enables it. ID is the end_…
    of the list, or the endpoint's address.
    """
    from tracker.cli.opening import open_tracker

    if (action == "list") is not (endpoint is None):
        raise click.UsageError("enable and disable take the ID of an endpoint: `tracker endpoints` lists them")
    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        if endpoint is None:
            print_rows(tracker.endpoints(limit=limit), COLUMNS, as_json=invocation.json, empty=_NONE, most=limit)
        else:
            change = tracker.enable if action == "enable" else tracker.disable
            print_row(change(endpoint), COLUMNS, as_json=invocation.json)
