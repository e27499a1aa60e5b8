"""This machine, as far as it is looked at: what systemd says, who may do what, who listens where."""

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.config.layers import SYSTEM_PATH
from tracker.doctor.permissions import Account, Kind, Standing
from tracker.doctor.service import PROPERTIES, SERVICE, Unit, read_units
from tracker.doctor.storage import Room

_UNITS = (SERVICE, "tracker@*.service", "tracker.socket", "tracker-backup.service", "tracker-backup.timer")
_SECONDS = 2.5
_MOST_LINES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The doors to this machine."""

    environ: Mapping[str, str]
    cwd: Path
    system_path: Path = SYSTEM_PATH
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs


def ask_systemd(host: Host) -> list[Unit] | None:
    """Our units; None where systemd does not run this machine."""
    shown = _said(host, "systemctl", "show", *_UNITS, "--no-pager", f"--property={','.join(PROPERTIES)}")
    return None if shown is None else read_units(shown)


def ask_journal(host: Host) -> list[str] | None:
    """What our units logged as errors within a day, oldest first."""
    units = ("--unit=tracker.service", "--unit=tracker@*.service")
    span = ("--priority=err", "--since=-24h", f"--lines={_MOST_LINES}")
    said = _said(host, "journalctl", *units, *span, "--output=cat", "--no-pager", "--quiet")
    return None if said is None else [_event(line) for line in said.splitlines() if line.strip()]


def _said(host: Host, program: str, *arguments: str) -> str | None:
    path = shutil.which(program, path=host.environ.get("PATH", os.defpath))
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - words of our own
            [path, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout


def _event(line: str) -> str:
    """The event of a line that we logged as JSON, with its reason; any other line as it is."""
    try:
        told = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(told, dict) or "event" not in told:
        return line.strip()
    reason = told.get("reason") or told.get("error")
    return f"{told['event']} ({reason})" if reason else str(told["event"])


def environment_of_service(host: Host, units: Sequence[Unit]) -> Mapping[str, str]:
    """What the service's process is told where it runs, else what its unit says; empty where there is neither."""
    service = next((unit for unit in units if unit.name == SERVICE and unit.is_there), None)
    if service is None:
        return {}
    if (pid := service["MainPID"]) not in ("", "0"):
        try:
            pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="surrogateescape").split("\0")
        except OSError:
            pairs = []
        found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if found:
            return {name: value for name, value in found.items() if _concerns_us(name)}
    folder = service["StateDirectory"].split(" ")[0]
    told = dict(pair.split("=", 1) for pair in service["Environment"].split(" ") if "=" in pair)
    state = {"STATE_DIRECTORY": f"/var/lib/{folder}"} if folder else {}
    if os.access(plain := host.system_path.parent / "credentials", os.R_OK | os.X_OK):
        state["CREDENTIALS_DIRECTORY"] = str(plain)
    return state | {name: value for name, value in told.items() if _concerns_us(name)}


def _concerns_us(name: str) -> bool:
    return name.startswith("TRACKER_") or name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")


def account(units: Sequence[Unit]) -> Account:
    """Whom the daemon runs as: the user of its unit, else we."""
    service = next((unit for unit in units if unit.is_service and unit.is_there), None)
    if service is not None and service["User"]:
        try:
            entry = pwd.getpwnam(service["User"])
        except KeyError:
            pass
        else:
            groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
            return Account(name=entry.pw_name, user=entry.pw_uid, groups=groups)
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return Account(name=name, user=os.geteuid(), groups=frozenset((*os.getgroups(), os.getegid())))


def credentials(host: Host) -> list[Path]:
    """The files from which systemd makes the service's credentials, as far as we may see them."""
    folder = host.system_path.parent
    return sorted([*folder.glob("credentials/*"), *folder.glob("credentials.encrypted/*")])


def hides_credentials(host: Host) -> bool:
    """Whether there are credentials that we may not see."""
    folders = [host.system_path.parent / name for name in ("credentials", "credentials.encrypted")]
    return any(os.path.isdir(folder) and not os.access(folder, os.R_OK) for folder in folders)  # noqa: PTH112 - never raises


def files_of(
    config: Path | None, database: Path | None, token: Path, secrets: Sequence[Path], *, holds_secret: bool
) -> list[Standing]:
    """Those of our files that are there, and who may do what with them."""
    wanted = [(config, Kind.SECRET_CONFIG if holds_secret else Kind.CONFIG), (token, Kind.TOKEN)]
    wanted += [(path, Kind.CREDENTIAL) for path in secrets if _is_entered_by_others(path.parent)]
    if database is not None:
        wanted += [(database.parent, Kind.FOLDER), (database, Kind.DATABASE)]
        wanted += [(database.with_name(f"{database.name}{end}"), Kind.DATABASE) for end in ("-wal", "-shm")]
    return [found for path, kind in wanted if path is not None and (found := _standing(path, kind))]


def _is_entered_by_others(folder: Path) -> bool:
    """Whether the modes of files in it matter; encrypted ones are made readable, in a folder that is root's alone."""
    return bool(folder.stat().st_mode & 0o011)


def _standing(path: Path, kind: Kind) -> Standing | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return Standing(path=str(path), kind=kind, mode=stat.st_mode & 0o7777, owner=stat.st_uid, group=stat.st_gid)


def room_in(host: Host, folder: Path, database: Path | None) -> Room:
    """What is left where the database is, or where it will be; raises OSError where nothing can be told."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    stat = host.statvfs(there)
    return Room(
        folder=str(there),
        free_bytes=stat.f_bavail * stat.f_frsize,
        free_files=stat.f_favail if stat.f_files else None,
        is_read_only=bool(stat.f_flag & os.ST_RDONLY),
        held_bytes=_size(database) if database else 0,
    )


def _size(database: Path) -> int:
    beside = (database, database.with_name(f"{database.name}-wal"))
    return sum(path.stat().st_size for path in beside if path.exists())
