"""Copies of the database, made while daemons work: consistent, checked before they count, the last few kept."""

import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import make_url

from tracker.errors import BusyError, UnavailableError
from tracker.store.engines import psycopg_url, sqlite_file

_KEPT = {"db": re.compile(r"tracker-\d{8}T\d{9}Z\.db"), "dump": re.compile(r"tracker-\d{8}T\d{9}Z\.dump")}
"""What we call copies of each kind; nothing else in the folder is ever taken away."""
_UNFINISHED = re.compile(r"\.tracker-\d{8}T\d{9}Z\.(db|dump)\.part(-journal|-wal|-shm)?")
_MUST_HAVE = "TABLE DATA public task "


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A copy that was made and checked."""

    path: Path
    size: int
    """In bytes."""
    removed: tuple[Path, ...]
    """Older ones that were beyond what is kept."""


def back_up(url: str, folder: Path, *, keep: int, now: datetime) -> Backup:
    """Copy the database into the folder, and keep the last `keep` copies.

    Raises UnavailableError where the database cannot be read, where there is no room, or where the copy does not hold
    what it must; then no older one is taken away.
    """
    kind = "db" if sqlite_file(url) else "dump"
    with _alone(folder):
        for left in folder.iterdir():
            if _UNFINISHED.fullmatch(left.name):
                left.unlink()
        path = folder / f"tracker-{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z.{kind}"
        draft = folder / f".{path.name}.part"
        _make_private(draft)
        try:
            (_copy_sqlite if kind == "db" else _dump_postgres)(url, draft)
            _settle(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        return Backup(path=path, size=path.stat().st_size, removed=tuple(_thin_out(folder, kind, keep)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    if not folder.is_dir():
        raise UnavailableError(f"the folder {folder} does not exist; make it, for the user that runs tracker alone")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BusyError(f"another backup into {folder} is being made") from None
    finally:
        os.close(descriptor)


def _make_private(path: Path) -> None:
    # It holds the secrets that sign, like the database itself.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))


def _settle(draft: Path, path: Path) -> None:
    """On the disk, whole, under its name."""
    _flush(draft)
    draft.rename(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_sqlite(url: str, draft: Path) -> None:
    source_path = sqlite_file(url)
    if source_path is None or not source_path.exists():
        raise UnavailableError(f"there is no database {source_path}")
    size, free = source_path.stat().st_size, shutil.disk_usage(draft.parent).free
    if size > free:
        raise UnavailableError(f"{draft.parent} has room for {free} bytes, and the database has {size}; make room")
    try:
        with closing(sqlite3.connect(source_path, timeout=60)) as source:
            with closing(sqlite3.connect(draft)) as copy:
                # In one go: whoever writes meanwhile writes beside it, and does not make it start again.
                source.backup(copy)
                # One file, that can be read where nothing can be written.
                copy.execute("PRAGMA journal_mode=DELETE").close()
            expected = _revision(source)
        with closing(sqlite3.connect(f"{draft.absolute().as_uri()}?mode=ro", uri=True)) as copy:
            _check(copy, expected)
    except sqlite3.Error as error:
        raise UnavailableError(f"the database cannot be copied: {error}") from error


def _check(copy: sqlite3.Connection, expected: str | None) -> None:
    problems = [text for (text,) in copy.execute("PRAGMA integrity_check(3)") if text != "ok"]
    if problems:
        raise UnavailableError(f"the copy is damaged, and so may be the database: {'; '.join(problems)}")
    if (found := _revision(copy)) != expected:
        raise UnavailableError(f"the copy has the schema {found}, the database {expected}")


def _revision(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def _dump_postgres(url: str, draft: Path) -> None:
    # As psql understands it, and without the password, which everybody on this machine could read.
    server = make_url(psycopg_url(url).set(drivername="postgresql"))
    environ = {**os.environ, **({"PGPASSWORD": str(server.password)} if server.password else {})}
    address = server.set(password=None).render_as_string(hide_password=False)
    _run(environ, "pg_dump", "--format=custom", "--no-password", f"--file={draft}", f"--dbname={address}")
    listed = _run(environ, "pg_restore", "--list", str(draft))
    if _MUST_HAVE not in listed:
        raise UnavailableError("the dump holds no tasks: is this the database of tracker?")


def _run(environ: dict[str, str], program: str, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the two programs named above
            [program, *arguments], env=environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise UnavailableError(
            f"there is no {program} here; install the client programs of PostgreSQL (postgresql-client)"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UnavailableError(f"{program} failed: {' '.join(lines[:3])}")
    return done.stdout


def _thin_out(folder: Path, kind: str, keep: int) -> Iterator[Path]:
    ours = sorted(path for path in folder.iterdir() if _KEPT[kind].fullmatch(path.name))
    for path in ours[:-keep]:
        path.unlink()
        yield path
