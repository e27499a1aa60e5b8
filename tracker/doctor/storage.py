"""Whether the database answers, has the schema of this program, and has room to grow. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from tracker.doctor.findings import AS_ROOT, Finding, doubtful, fine, wrong
from tracker.store.inspection import Inspection

DATABASE, DISK = "database", "disk"
_MIB = 1024 * 1024
LEAST_ROOM, LITTLE_ROOM = 256 * _MIB, 1024 * _MIB
"""Bytes: with less the daemon will soon stand still, and with less somebody should see to it."""
_LEAST_FILES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """What came of asking the database."""

    place: str
    """The file or the server, without a password."""
    revisions: Sequence[str]
    """What this program knows, oldest first."""
    is_server: bool = False
    found: Inspection | None = None
    error: str | None = None
    change: str = "tracker config show"
    """What changes its URL."""


def judge_database(facts: DatabaseFacts) -> Finding:
    """Reachable, ours and current."""
    if facts.found is None:
        return _unreached(facts, str(facts.error))
    revision, newest = facts.found.revision, facts.revisions[-1]
    if facts.found.is_foreign:
        cause = f"{facts.place} holds another program's tables; tracker needs a database for itself"
        return wrong(DATABASE, cause, facts.change)
    if revision is None:
        return wrong(DATABASE, f"{facts.place} is empty: it has no schema yet", "tracker db upgrade")
    if revision not in facts.revisions:
        cause = f"{facts.place} has schema {revision}, made by a newer tracker than this one, which knows {newest}"
        return wrong(DATABASE, cause, "tracker --version")
    if revision != newest:
        cause = f"{facts.place} has schema {revision}, this program needs {newest}"
        return wrong(DATABASE, cause, "tracker db upgrade")
    return fine(DATABASE, f"{facts.place}; schema {revision} is current")


def _unreached(facts: DatabaseFacts, error: str) -> Finding:
    cause = f"{facts.place}: {error}"
    if "Permission denied" in error:
        return doubtful(DATABASE, cause, AS_ROOT)
    if "Peer authentication failed" in error:
        # The server goes by the user of the process, and that is not the daemon's.
        return doubtful(DATABASE, cause, "sudo -u tracker tracker doctor")
    if facts.is_server:
        return wrong(DATABASE, cause, f"systemctl status postgresql; {facts.change}")
    return wrong(DATABASE, cause, "tracker db upgrade" if "there is no file" in error else facts.change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a file system has left for us."""

    folder: str
    free_bytes: int
    free_files: int | None = None
    """None where it does not count them."""
    is_read_only: bool = False
    held_bytes: int = 0
    """The database and what lies beside it."""


def judge_room(room: Room) -> Finding:
    """Enough for days; a copy of the database needs as much again as there is."""
    look = f"df -h {quote(room.folder)}"
    if room.is_read_only:
        cause = f"the file system of {room.folder} is read-only"
        return wrong(DISK, cause, f"findmnt -T {quote(room.folder)}; journalctl -k -p err")
    free = f"{room.free_bytes / _MIB:.0f} MiB are free in {room.folder}"
    if room.free_bytes < LEAST_ROOM:
        return wrong(
            DISK, f"only {free}: soon nothing can be written", f"{look}; du -xh {quote(room.folder)} | sort -h"
        )
    if room.free_files is not None and room.free_files < _LEAST_FILES:
        cause = f"{room.folder} has room for {room.free_files} more files"
        return wrong(DISK, cause, f"df -i {quote(room.folder)}")
    if room.free_bytes < LITTLE_ROOM:
        return doubtful(DISK, f"{free}: that is little", look)
    if room.free_bytes < room.held_bytes:
        return doubtful(DISK, f"{free}, less than the {room.held_bytes / _MIB:.0f} MiB that a copy would take", look)
    return fine(DISK, free)
