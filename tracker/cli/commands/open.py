"""`tracker open`: a link to the pages that signs in."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.naming import completed
from tracker.cli.output import print_idleness, print_json
from tracker.cli.verbs import Verb


@click.command("open", cls=Verb)
@click.option("--owner", metavar="OWNER", help="Whose tasks to see.  [default: admin]")
@click.option(
    "--scope",
    metavar="read|write|admin",
    shell_complete=completed("read", "write", "admin"),
    help="What may be done there.  [default: admin; with --owner: write]",
)
def command(owner: str | None, scope: str | None) -> None:
    """Print a link that signs you in to the pages.

    It works once, within five minutes: whoever opens it first is signed in, so hand it to nobody else. With --url the
    daemon makes it, for the owner and with the scope of the token in TRACKER_TOKEN. On a desktop:
    xdg-open "$(tracker open)".
    """
    from tracker.cli.opening import open_tracker
    from tracker.intake import SCOPES
    from tracker.intake.callers import LONGEST_OWNER, is_owner_name

    if owner is not None and not is_owner_name(owner):
        rule = f"an owner has 1 to {LONGEST_OWNER} visible characters, without blanks around them"
        raise click.BadParameter(rule, param_hint="--owner")
    if scope is not None and scope not in SCOPES:
        raise click.BadParameter(f"{scope!r} is none of {', '.join(SCOPES)}", param_hint="--scope")
    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        made = tracker.link(owner, scope)
        print_idleness(tracker)
    if invocation.json:
        print_json(made)
    else:
        click.echo(made["url"])
