"""`tracker config`: what is in force, and why."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import columns, documented, print_json, print_line, print_rows
from tracker.cli.verbs import VerbGroup

COLUMNS = columns("key", "value", "origin")


@click.group("config", cls=VerbGroup)
def command() -> None:
    """Show or check the configuration, or print a sample file."""


@command.command("show", epilog=documented(COLUMNS))
def show() -> None:
    """Show every setting in force, and where it comes from; secrets are masked."""
    from tracker import config
    from tracker.cli.opening import load

    invocation = Invocation.current()
    rows = [{"key": key, "value": value, "origin": origin} for key, value, origin in config.show(load(invocation))]
    print_rows(rows, COLUMNS, as_json=invocation.json)


@command.command("example")
def example() -> None:
    """Print a tracker.toml with every setting and its default, commented out."""
    from tracker import config

    invocation = Invocation.current()
    invocation.must_be_local()
    if invocation.json:
        print_json({"toml": config.example()})
    else:
        click.echo(config.example(), nl=False)


@command.command("check")
def check() -> None:
    """Say ok and the file that was read, or what is wrong, with exit code 78."""
    from tracker.cli.opening import load

    invocation = Invocation.current()
    path = load(invocation).path
    if invocation.json:
        print_json({"ok": True, "path": path and str(path)})
    else:
        print_line("ok", str(path) if path else "no file: environment and defaults")
