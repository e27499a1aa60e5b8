"""`tracker db`: the schema of the database, and copies of it."""

from contextlib import closing
from pathlib import Path

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import print_json, print_line, print_note
from tracker.cli.verbs import VerbGroup
from tracker.errors import BusyError, InputError


@click.group("db", cls=VerbGroup)
def command() -> None:
    """Migrate the database, tell how far it is, or copy it."""


@command.command("upgrade")
def upgrade() -> None:
    """Bring the schema to this program's version.

    Makes the database where there is none. Prints the revisions before and after.
    """
    from tracker.store import migrate

    _report(*migrate.upgrade(_url()))


@command.command("current")
def current() -> None:
    """Say whether the schema is up to date.

    Prints the database's revision, the newest one, and the answer; the exit code is 1 if it is not up to date.
    """
    from tracker.cli.opening import NOT_BY_URL
    from tracker.store import migrate
    from tracker.store.database import Database, sqlite_file

    url, newest = _url(), migrate.newest()
    path = sqlite_file(url)
    found = None
    if path is None or path.exists():
        with closing(Database(url)) as database:
            found = database.read_now(migrate.current)
    elif Invocation.current().url is not None:
        print_note(NOT_BY_URL)
    if Invocation.current().json:
        print_json({"revision": found, "newest": newest, "up_to_date": found == newest})
    else:
        print_line(found or "none", newest, "up to date" if found == newest else "not up to date: `tracker db upgrade`")
    click.get_current_context().exit(0 if found == newest else 1)


@command.command("downgrade")
@click.argument("revision", metavar="REVISION")
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(revision: str, *, yes: bool) -> None:
    """Take the schema back to REVISION.

    The revision base is an empty database. What only newer schemas hold is lost. Prints the revisions before and after.
    """
    from tracker.store import migrate

    url = _url()
    known = migrate.revisions()
    if revision not in (*known, "base"):
        raise InputError("REVISION", f"{revision!r} is not one", f"use one of: base, {', '.join(known)}")
    if not yes:
        click.confirm(f"Take the schema back to {revision}? What only newer ones hold is lost.", abort=True, err=True)
    _report(*migrate.downgrade(url, revision))


@command.command("vacuum")
def vacuum() -> None:
    """Make a SQLite file small, and able to shrink by itself.

    Only for files that another program made: `PRAGMA auto_vacuum` says 2 where it is not needed. The daemon must be
    stopped. Prints the bytes before and after.
    """
    from tracker.daemon.exclusive import exclusive
    from tracker.store import migrate
    from tracker.store.database import sqlite_file

    url = _url()
    path = sqlite_file(url)
    try:
        with exclusive(path):
            before, after = migrate.vacuum(url)
    except BusyError:
        raise BusyError(f"{path} is served by a daemon; stop it first, or leave the file as it is") from None
    if Invocation.current().json:
        print_json({"before": before, "after": after})
    else:
        print_line(str(before), str(after))


@command.command("backup")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
@click.option("--keep", type=click.IntRange(min=1), default=7, show_default=True, help="Copies to keep.")
def backup(folder: Path, *, keep: int) -> None:
    """Copy the database into FOLDER while the daemon works, and check the copy.

    A SQLite file is copied by its own online backup, opened and checked for integrity; of PostgreSQL, pg_dump makes a
    dump, and pg_restore reads it. Older copies are taken away when the new one is there. Prints its path and its bytes.
    """
    from tracker.clock import utc_now
    from tracker.store.backups import back_up

    made = back_up(_url(), folder, keep=keep, now=utc_now())
    if Invocation.current().json:
        print_json({"path": str(made.path), "bytes": made.size, "removed": [str(path) for path in made.removed]})
    else:
        print_line(str(made.path), str(made.size))


def _url() -> str:
    from tracker.cli.opening import load, must_be_a_database

    url = load(Invocation.current()).settings.database_url
    must_be_a_database(url)
    return url


def _report(before: str | None, after: str | None) -> None:
    if Invocation.current().json:
        print_json({"before": before, "after": after})
    else:
        print_line(before or "none", after or "none")
