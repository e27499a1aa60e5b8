"""`tracker secret`: what signs an owner's messages."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import print_json, print_note
from tracker.cli.verbs import Verb


@click.command("secret", cls=Verb)
@click.argument("action", type=click.Choice(["show", "rotate"]), default="show", metavar="[show|rotate]")
@click.option("--owner", default="admin", show_default=True, help="Whose messages.")
def command(action: str, owner: str) -> None:
    """Print the secret that signs an owner's messages.

    It is made if there is none yet. After rotate, the one before signs beside the new one for 24 hours, and receivers
    may accept either. A running daemon notices within a second.
    """
    from functools import partial

    from tracker.cli.opening import open_database
    from tracker.intake.callers import LOCAL
    from tracker.store import access
    from tracker.webhooks.signing import new_secret

    invocation = Invocation.current()
    change = access.rotate_secret if action == "rotate" else access.current_secret
    with open_database(invocation) as database:
        known = {LOCAL.owner, *(line.owner for line in database.read_now(access.list_tokens))}
        current = database.write_now(partial(change, owner=owner, now=database.now(), fresh=new_secret()))
    if owner not in known:
        print_note(f"{owner!r} has no token, so nothing is registered as its own (`tracker token list`)")
    if invocation.json:
        print_json({"owner": owner, "secret": current})
    else:
        click.echo(current)
