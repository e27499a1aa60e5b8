"""`tracker serve`: the daemon."""

import os
from pathlib import Path

import click

from tracker.cli.invocation import Invocation
from tracker.cli.verbs import Verb


@click.command("serve", cls=Verb)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Address and port of API and pages; port 0: any that is free. Other commands go by the setting `listen`.",
)
def command(listen: str | None) -> None:
    """Run the daemon.

    It migrates the database first, and stops on SIGTERM or Ctrl-C when what is in hand is written down. The first start
    on an empty database writes an admin token to tracker.token, beside the SQLite file. SIGHUP has it read the
    configuration again: upstreams, limits, retention and the log follow it at once, the rest at the next start.
    """
    from tracker import config, daemon
    from tracker.store.database import sqlite_file

    invocation, here = Invocation.current(), Path.cwd()
    invocation.must_be_local()
    given = {"database_url": invocation.database_url, "listen": listen}

    def read() -> config.Settings:
        # Later, on SIGHUP, on a thread that knows nothing of this command.
        return config.load(config_path=invocation.config, overrides=given, environ=os.environ, cwd=here).settings

    daemon.serve(read, token_file=lambda settings: token_file(sqlite_file(settings.database_url)))


def token_file(database: Path | None) -> Path:
    """Where the first token is written: beside a SQLite file, else in systemd's directory, else where we stand."""
    if database is not None:
        return database.with_name("tracker.token")
    return Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0]) / "tracker.token"
