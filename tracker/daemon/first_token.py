"""The token of the first start: without it nobody could use the API of a new database."""

import os
from functools import partial
from pathlib import Path

import structlog

from tracker.clock import Clock
from tracker.store import access
from tracker.store.database import Database

log = structlog.get_logger()


async def write_first_token(database: Database, path: Path, clock: Clock) -> None:
    """Make an admin token on a database that has none, and keep it in a file that only its owner reads."""
    if await database.read(access.has_tokens):
        return
    made = access.new_token()
    # The file first: a token that nobody knows could not be made again, one that opens nothing is made anew.
    _write_private(path, made)
    work = partial(access.add_token, made=made, owner="admin", scope="admin", name="first start", now=clock())
    await database.write(work)
    log.info("admin_token_written", path=str(path))


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
