"""Whether the files are readable and writable for those who should, and for nobody else. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from shlex import quote

from tracker.doctor.findings import Finding, fine, wrong

CHECK = "files"
_OTHERS, _ALL_BUT_OWNER = 0o007, 0o077
_READ, _WRITE, _ENTER = 4, 2, 1


class Kind(StrEnum):
    """What a file is to us."""

    CONFIG = "configuration"
    SECRET_CONFIG = "configuration, which holds a secret,"  # noqa: S105 - a name for people
    TOKEN = "admin token"  # noqa: S105 - a name for people
    CREDENTIAL = "credential"
    DATABASE = "database"
    FOLDER = "folder of the database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A file or a folder, and who may do what with it."""

    path: str
    kind: Kind
    mode: int
    owner: int
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user that the daemon runs as."""

    name: str
    user: int
    groups: frozenset[int]

    def may(self, what: int, file: Standing) -> bool:
        """Whether it may do all of this: bits as of one digit of a mode."""
        if self.user == 0:
            return True
        if self.user == file.owner:
            granted = file.mode >> 6
        elif file.group in self.groups:
            granted = file.mode >> 3
        else:
            granted = file.mode
        return granted & what == what


def judge_files(files: Sequence[Standing], account: Account) -> Iterator[Finding]:
    """Every file that is too open, or closed to the daemon."""
    found = [finding for file in files for finding in (_too_open(file), _closed(file, account)) if finding]
    yield from found
    if not found:
        yield fine(CHECK, f"{len(files)} files are as open to {account.name} as they have to be, and to nobody else")


def _too_open(file: Standing) -> Finding | None:
    allowed = {Kind.SECRET_CONFIG: (_OTHERS, "o-rwx"), Kind.DATABASE: (_OTHERS, "o-rwx")}
    bits, closing = allowed.get(file.kind, (_ALL_BUT_OWNER, "go-rwx"))
    if file.kind in (Kind.CONFIG, Kind.FOLDER) or not file.mode & bits:
        return None
    whose = "others" if bits == _OTHERS else "others than its owner"
    cause = f"{file.path}: the {file.kind} is open to {whose} (mode {file.mode:04o})"
    return wrong(CHECK, cause, f"chmod {closing} {quote(file.path)}")


def _closed(file: Standing, account: Account) -> Finding | None:
    what, needed = {
        Kind.DATABASE: ("write", _READ | _WRITE),
        Kind.FOLDER: ("write", _READ | _WRITE | _ENTER),
    }.get(file.kind, ("read", _READ))
    if file.kind in (Kind.TOKEN, Kind.CREDENTIAL) or account.may(needed, file):
        return None
    cause = (
        f"{file.path}: {account.name}, as whom the daemon runs, cannot {what} the {file.kind} (mode {file.mode:04o})"
    )
    own = f"chown {quote(account.name)}: {quote(file.path)}"
    return wrong(CHECK, cause, own if what == "write" else f"chgrp {quote(account.name)} {quote(file.path)}")
