"""`tracker doctor`: what is wrong on this machine, and what to type."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import columns, documented, has_terminal, print_json, print_note, print_rows, printable
from tracker.cli.protocol import Document
from tracker.cli.verbs import Verb

COLUMNS = columns("check", "state", "cause", "command")
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor", cls=Verb, epilog=documented(COLUMNS))
def command() -> None:
    """Say what is wrong on this machine, and what to type.

    Looks at the configuration, the database and its room, the clock, the upstreams and their tokens, whom callbacks
    may reach, the address to listen on, the modes of files, systemd's units, the daemon and its last errors. Where you
    name no configuration and systemd runs a tracker, it is that one's. Changes nothing, tells no secret, takes ten
    seconds at most; run it as root to have it see everything.

    The exit code is 1 where there is a problem; warnings are no problems.
    """
    from tracker.cli.opening import NOT_BY_URL
    from tracker.doctor import Asked, Host, State, examine

    invocation = Invocation.current()
    invocation.must_be_local()
    asked = Asked(config_path=invocation.config, database_url=invocation.database_url)
    if invocation.url is not None:
        print_note(NOT_BY_URL)
    found = examine(Host(environ=os.environ, cwd=Path.cwd()), asked)
    rows = [{"check": one.check, "state": str(one.state), "cause": one.cause, "command": one.command} for one in found]
    is_well = all(one.state is not State.PROBLEM for one in found)
    if invocation.json:
        print_json({"ok": is_well, "checks": rows})
    elif has_terminal():
        _print_page(rows)
    else:
        print_rows(rows, COLUMNS, as_json=False)
    click.get_current_context().exit(0 if is_well else 1)


def _print_page(rows: Sequence[Document]) -> None:
    """A line for each, with the command on one of its own, to be copied."""
    room = max(len(row["check"]) for row in rows)
    for row in rows:
        state = click.style(row["state"].ljust(len("problem")), fg=_COLOURS[row["state"]])
        click.echo(f"{state}  {printable(row['check']).ljust(room)}  {printable(row['cause'])}")
        if row["command"]:
            click.echo(f"{' ' * (len('problem') + room + 4)}{click.style(printable(row['command']), bold=True)}")
