"""`tracker redeliver`: send messages again."""

from datetime import datetime

import click

from tracker.cli.commands.deliveries import COLUMNS, with_last_attempt
from tracker.cli.invocation import Invocation
from tracker.cli.naming import Moment
from tracker.cli.output import documented, print_json, print_line, print_note, print_row
from tracker.cli.protocol import Again
from tracker.cli.verbs import Verb


@click.command("redeliver", cls=Verb, epilog=documented(COLUMNS))
@click.argument("message", metavar="[MSG_ID]", required=False)
@click.option("--endpoint", metavar="ID", help="Only those for this endpoint: its end_… or its address.")
@click.option("--status", type=click.Choice(["dead", "delivered"]), help="Those that stand like this (default: dead).")
@click.option("--since", type=Moment(), metavar="TIME", help="Only those made then or later.")
@click.option("--until", type=Moment(), metavar="TIME", help="Only those made before.")
def command(
    message: str | None, endpoint: str | None, status: str | None, since: datetime | None, until: datetime | None
) -> None:
    """Send messages again that were delivered or given up.

    One by its msg_…, or all that match, of which a pipe gets the number. The receiver gets the same id and the same
    body; the schedule of attempts begins anew. Of all that match, progress that a later message has overtaken is left
    out. One that still waits for its next attempt is sent now; all of an endpoint are by `tracker endpoints enable`.
    The exit code is 1 where nothing matched, where the body is gone, or while an attempt is under way.
    """
    from tracker.cli.opening import open_tracker

    wanted = Again(endpoint=endpoint, status=status, since=since, until=until)
    if (message is None) is (wanted == Again()):
        raise click.UsageError("name one MSG_ID, or say which: --endpoint, --status, --since, --until")
    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        if message is not None:
            sent = tracker.redeliver(message)
            print_row(sent if invocation.json else with_last_attempt([sent])[0], COLUMNS, as_json=invocation.json)
            return
        count = tracker.redeliver_matching(wanted)
    if invocation.json:
        print_json({"redelivered": count})
    else:
        print_line(count)
    if not count:
        print_note(_why_none(wanted))
    click.get_current_context().exit(0 if count else 1)


def _why_none(wanted: Again) -> str:
    sent = f"no {wanted.status or 'dead'} message that could be sent again matches"
    return f"{sent}; what is pending goes out now with `tracker endpoints enable {wanted.endpoint or 'ID'}`"
