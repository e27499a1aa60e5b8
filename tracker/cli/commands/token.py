"""`tracker token`: who may use the API."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import columns, documented, print_json, print_note, print_row, print_rows
from tracker.cli.verbs import VerbGroup
from tracker.errors import NotFoundError

COLUMNS = columns(
    "id",
    "owner",
    "scope",
    "name",
    "prefix",
    "created_at",
    "last_used_at",
    "revoked_at",
    leaving=("prefix", "created_at", "last_used_at", "name"),
)


@click.group("token", cls=VerbGroup)
def command() -> None:
    """Make, list and revoke tokens of the API.

    They are made in the database; a running daemon notices within a second.
    """


@command.command("create")
@click.option("--owner", required=True, help="Whose it is: an owner sees the tasks it registered.")
@click.option(
    "--scope", required=True, metavar="read|write|admin", help="What it allows; each allows the ones before it too."
)
@click.option("--name", default="", metavar="TEXT", help="What it is for.")
def create(owner: str, scope: str, name: str) -> None:
    """Make a token and print it, the only time it is known."""
    from functools import partial

    from tracker.cli.opening import open_database
    from tracker.clock import utc_now
    from tracker.intake import SCOPES
    from tracker.intake.callers import LONGEST_OWNER, is_owner_name
    from tracker.store import access

    if not is_owner_name(owner):
        rule = f"an owner has 1 to {LONGEST_OWNER} visible characters, without blanks around them"
        raise click.BadParameter(rule, param_hint="--owner")
    if scope not in SCOPES:
        raise click.BadParameter(f"{scope!r} is none of {', '.join(SCOPES)}", param_hint="--scope")
    invocation = Invocation.current()
    made = access.new_token()
    with open_database(invocation) as database:
        work = partial(access.add_token, made=made, owner=owner, scope=scope, name=name, now=utc_now())
        database.write_now(work)
    if invocation.json:
        print_json({"token": made, "owner": owner, "scope": scope, "name": name})
    else:
        click.echo(made)


@command.command("list", epilog=documented(COLUMNS))
def list_tokens() -> None:
    """List all tokens, oldest first; never the tokens themselves."""
    from tracker.cli.opening import open_database
    from tracker.store import access
    from tracker.telling import tell_token

    invocation = Invocation.current()
    with open_database(invocation) as database:
        found = database.read_now(access.list_tokens)
    print_rows([{**tell_token(line)} for line in found], COLUMNS, as_json=invocation.json)


@command.command("revoke", epilog=documented(COLUMNS))
@click.argument("id_", metavar="ID")
def revoke(id_: str) -> None:
    """Let a token in no more; ID is the tok_… of `tracker token list`.

    Prints its line. Once more does no harm.
    """
    from functools import partial

    from tracker.cli.opening import open_database
    from tracker.clock import utc_now
    from tracker.store import access
    from tracker.telling import tell_token

    invocation = Invocation.current()
    with open_database(invocation) as database:
        before = {line.id: line for line in database.read_now(access.list_tokens)}.get(id_)
        if not database.write_now(partial(access.revoke_token, id_=id_, now=utc_now())):
            raise NotFoundError(f"there is no token {id_!r}: `tracker token list` shows them")
        (line,) = (line for line in database.read_now(access.list_tokens) if line.id == id_)
    if before and before.revoked_at is not None:
        print_note(f"{id_} was revoked before")
    print_row({**tell_token(line)}, COLUMNS, as_json=invocation.json)
