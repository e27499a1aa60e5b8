"""`tracker listen`: a receiver to try messages with."""

from contextlib import ExitStack

import click

from tracker.cli.arrivals import COLUMNS
from tracker.cli.invocation import Invocation
from tracker.cli.output import documented
from tracker.cli.verbs import Verb


@click.command("listen", cls=Verb, epilog=documented(COLUMNS))
@click.option("--listen", default="127.0.0.1:8643", show_default=True, metavar="HOST:PORT", help="Where; port 0: any.")
@click.option(
    "--secret",
    metavar="whsec_…",
    envvar="TRACKER_SECRET",
    show_envvar=True,
    help="What messages must be signed with; on a command line every user of the machine can read it.",
)
@click.option("--owner", metavar="NAME", help="Whose secrets they must be signed with.  [default: admin]")
@click.option("--forward-to", metavar="URL", help="Hand genuine messages on to this URL, and its answer back.")
@click.option("--status", type=click.IntRange(200, 599), default=204, show_default=True, help="What to answer.")
def command(listen: str, secret: str | None, owner: str | None, forward_to: str | None, status: int) -> None:
    """Receive messages on this machine, verify each, and show it.

    It runs until Ctrl-C. A genuine message is answered with --status, or with what --forward-to answers to the same
    bytes and headers. Any other is answered 401, handed to nobody, and shown with what is wrong with it. Without
    --secret, the owner's secrets are read from the database, which has to be there then, and a rotation is followed.
    """
    import asyncio

    from tracker.cli.listening import listen_until_told, only, stored
    from tracker.cli.opening import open_database

    host, port = _place(listen)
    if secret is not None and owner is not None:
        raise click.UsageError("--secret (or TRACKER_SECRET) and --owner exclude each other")
    invocation = Invocation.current()
    with ExitStack() as stack:
        if secret is not None:
            secrets = only(secret)
        else:
            secrets = stored(owner or "admin", stack.enter_context(open_database(invocation)))
        asyncio.run(
            listen_until_told(host, port, secrets=secrets, forward=forward_to, status=status, as_json=invocation.json)
        )


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or not port.isascii() or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise click.BadParameter(f"{listen!r} is no address with a port", param_hint="--listen")
    host = host.strip("[]")
    return ("127.0.0.1" if host in ("", "localhost") else host), int(port)
