"""One daemon for one SQLite file: a lock that the kernel releases however the daemon ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.errors import BusyError, UnavailableError


@contextmanager
def exclusive(database: Path | None) -> Iterator[None]:
    """Hold the lock beside a SQLite file; raises BusyError when another daemon does. None: nothing to hold."""
    if database is None:
        yield
        return
    # Beside the database, not on it: closing any handle of the file itself would drop SQLite's own locks.
    path = database.with_name(f"{database.name}.lock")
    if not path.parent.is_dir():
        raise UnavailableError(f"database_url: the folder {path.parent} does not exist; make it, or name another file")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise BusyError(
                f"{database} is served by another daemon (pid {holder}); "
                "stop that one, or use PostgreSQL to run several"
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
