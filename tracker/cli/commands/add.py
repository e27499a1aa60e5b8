"""`tracker add`: register one task, or many as JSON lines."""

import sys

import click

from tracker.cli.invocation import Invocation
from tracker.cli.naming import completed, names_an_upstream
from tracker.cli.output import columns, documented, print_idleness, print_row, print_rows
from tracker.cli.protocol import Document, Entry
from tracker.cli.verbs import Verb
from tracker.errors import InputError
from tracker.model import EVENT_WORDS

COLUMNS = columns("id", "task_id", "upstream", "status", "created", leaving=("upstream",))


@click.command("add", cls=Verb, epilog=documented(COLUMNS))
@click.argument("task_id", metavar="TASK_ID")
@click.option("--callback", metavar="URL", help="Where to POST the messages; without it the task is only watched.")
@names_an_upstream("A configured upstream; the default one otherwise.")
@click.option(
    "--events",
    metavar="WORDS",
    shell_complete=completed(*EVENT_WORDS),
    help=f"What to tell: some of {', '.join(EVENT_WORDS)}; separated by commas.  [default: ended]",
)
@click.option(
    "--format",
    metavar="FORMAT",
    shell_complete=completed("standard", "upstream"),
    help="Body of the messages: standard, or upstream (the gateway's own JSON, bare).",
)
@click.option("--metadata", metavar="JSON", help="Any JSON; handed back in every message.")
def command(
    task_id: str,
    callback: str | None,
    upstream: str | None,
    events: str | None,
    format: str | None,  # noqa: A002 - the option's name
    metadata: str | None,
) -> None:
    """Watch a task, and tell a URL when it ends.

    TASK_ID is what the upstream gave when the job was submitted. The same registration twice is the same one.

    With - as TASK_ID, registrations are read from standard input, one JSON object a line, with the fields of the API:
    {"task_id": "…", "callback_url": "…", "upstream": "…", "events": ["ended"], "format": "…", "metadata": …}.
    All lines are checked before any is registered.
    """
    from tracker.cli.opening import open_tracker

    given = {"callback_url": callback, "upstream": upstream, "format": format}
    document: Document = {name: value for name, value in given.items() if value is not None}
    if events is not None:
        document["events"] = events.split(",")
    if metadata is not None:
        document["metadata"] = _metadata(metadata)
    entries = _lines(document) if task_id == "-" else [Entry(document={"task_id": task_id, **document})]
    invocation = Invocation.current()
    with open_tracker(invocation, may_create=True) as tracker:
        added = tracker.register(entries)
        print_idleness(tracker)
    if task_id == "-":
        print_rows(added, COLUMNS, as_json=invocation.json)
    else:
        print_row(added[0], COLUMNS, as_json=invocation.json)


def _metadata(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except RecursionError:
        raise InputError("--metadata", "is nested too deep", "write fewer levels") from None
    except ValueError as error:
        raise InputError("--metadata", f"is not JSON ({error})", """write it like '{"order": 17}'""") from None


def _lines(document: Document) -> list[Entry]:
    """The registrations on standard input."""
    import json

    if document:
        raise click.UsageError("with - every line says its own: leave out the other options")
    entries = []
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        where, fault, read = f"line {number}", None, None
        try:
            read = json.loads(line)
        except RecursionError:
            fault = InputError(where, "is nested too deep", "write fewer levels")
        except ValueError:
            fault = InputError(where, "is not JSON", 'write one object a line, like {"task_id": "1730621826053455"}')
        entries.append(Entry(document=read, where=where, fault=fault))
    return entries
