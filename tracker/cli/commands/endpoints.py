"""`tracker endpoints`: how the receivers are doing."""

from collections.abc import Sequence

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import MOST, columns, documented, has_terminal, print_row, print_rows
from tracker.cli.protocol import Document, Tracker
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
_MOST_WAITING = 100
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
            found = tracker.endpoints(limit=limit)
            if has_terminal() and not invocation.json:
                found = _with_failing(found, tracker)
            print_rows(found, COLUMNS, as_json=invocation.json, empty=_NONE, most=limit)
        else:
            change = tracker.enable if action == "enable" else tracker.disable
            print_row(change(endpoint), COLUMNS, as_json=invocation.json)


def _with_failing(found: Sequence[Document], tracker: Tracker) -> list[Document]:
    """The same, and those that are sent to but have failed since their last success say so: one is no sign of health.

    What comes next is told by a message that waits for it, if one is among the newest.
    """
    if not any(map(_fails, found)):
        return list(found)
    waiting = tracker.deliveries(status="pending", limit=_MOST_WAITING)
    tried = [one for one in waiting if one["last_attempt"] and one["next_attempt_at"]]
    tried.sort(key=lambda one: str(one["next_attempt_at"]), reverse=True)
    next_of = {one["endpoint"]: one for one in tried}
    return [_failing(one, next_of.get(one["endpoint"])) if _fails(one) else one for one in found]


def _fails(one: Document) -> bool:
    return bool(one["state"] == "active" and one["failures"] > 0)


def _failing(one: Document, waiting: Document | None) -> Document:
    from tracker.cli.terminal import spoken
    from tracker.clock import utc_now

    said = f"failing since {one['failing_since']}" if one["failing_since"] else "failing"
    if waiting:
        said = str(waiting["why"])
    return {**one, "state": "failing", "reason": one["reason"] or spoken(said, utc_now())}
