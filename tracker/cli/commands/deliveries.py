"""`tracker deliveries`: where the messages are."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.naming import names_an_upstream
from tracker.cli.output import MOST, columns, documented, print_rows, printable
from tracker.cli.protocol import Document, resolve
from tracker.cli.verbs import Verb
from tracker.model import DeliveryStatus

COLUMNS = columns(
    "id",
    "task_id",
    "upstream",
    "type",
    "url",
    "status",
    "attempt",
    "last_outcome",
    "last_status_code",
    "last_error",
    "next_attempt_at",
    "created_at",
    "why",
    # `tracker redeliver` takes the id: it stays, and with it where the message stands and what comes next.
    leaving=(
        *("created_at", "upstream", "last_outcome", "last_error", "attempt", "url", "type", "last_status_code"),
        *("why", "next_attempt_at"),
    ),
    falling=("type", "url", "why"),
)


@click.command("deliveries", cls=Verb, epilog=documented(COLUMNS))
@click.argument("task", metavar="[TASK]", required=False)
@names_an_upstream("The upstream of TASK, where several know the id.")
@click.option("--status", type=click.Choice(list(map(str, DeliveryStatus))), help="Only those that stand like this.")
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="How many, without TASK.")
def command(task: str | None, upstream: str | None, status: str | None, limit: int) -> None:
    """List messages, and what came of sending them.

    All messages newest first, each with its last attempt; or those of one TASK (tracker's tsk_… or the upstream's id),
    first to last, where --json tells every attempt.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        if task is None:
            found = tracker.deliveries(status=status, limit=limit)
        else:
            sent = tracker.task_deliveries(resolve(tracker, task, upstream)["id"])
            found = [one for one in sent if status in (None, one["status"])]
    print_rows(
        found if invocation.json else with_last_attempt(found),
        COLUMNS,
        as_json=invocation.json,
        empty=_none(task, status),
        most=limit if task is None else None,
    )


def _none(task: str | None, status: str | None) -> str:
    """What to say, and what to type, where there is no message."""
    if status is not None:
        return f"no message is {status}: `tracker deliveries` shows all"
    if task is not None:
        return f"no messages: `tracker show {printable(task)}` says why"
    return "no messages yet: `tracker add TASK_ID --callback URL` has one sent when the task ends"


def with_last_attempt(found: list[Document]) -> list[Document]:
    """Deliveries with what came of the last try beside the rest, to fit a line."""
    rows = []
    for one in found:
        last = one["last_attempt"] or {}
        rows.append(one | {f"last_{name}": last.get(name) for name in ("outcome", "status_code", "error")})
    return rows
