"""`tracker ping`: whether a URL can be told anything."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import columns, has_terminal, print_json, print_line
from tracker.cli.protocol import Document
from tracker.cli.verbs import Verb

ADDRESSES = columns("address", "rule", "opened_by")


@click.command("ping", cls=Verb)
@click.argument("callback_url", metavar="CALLBACK_URL")
@click.option("--owner", metavar="NAME", help="Whose secret signs.  [default: admin]")
def command(callback_url: str, owner: str | None) -> None:
    """Send a signed test to a URL now, and tell what happened.

    The message is a callback.test. From the database's side it also lists the addresses of the URL's host, with the
    rule against each and the entry of callbacks.allow_networks that opens it. With --url (or TRACKER_URL) the daemon
    sends it, for the owner of the token.

    A pipe gets one line per field (its name, its value), then lines that begin with address. The exit code is 0 when
    the receiver answered 2xx, 1 otherwise.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        told = tracker.ping(callback_url, owner)
    if invocation.json:
        print_json(told)
    elif has_terminal():
        _print_page(told)
    else:
        _print_lines(told)
    click.get_current_context().exit(0 if told["delivered"] else 1)


def _print_lines(told: Document) -> None:
    for name, value in told.items():
        if name != "addresses":
            print_line(name, value)
    for one in told.get("addresses", ()):
        print_line("address", *(one[column.name] for column in ADDRESSES))


def _print_page(told: Document) -> None:
    from tracker.cli import tables, terminal

    terminal.print_fields({name: value for name, value in told.items() if name != "addresses"})
    if told.get("addresses"):
        terminal.print_title("Addresses")
        tables.print_table([one | {"rule": one["rule"] or "may be called"} for one in told["addresses"]], ADDRESSES)
