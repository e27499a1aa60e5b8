"""How systemd sees us: the units, the watchdog, and what the journal remembers. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracker.doctor.findings import Finding, ago, doubtful, fine, wrong

UNIT, WATCHDOG, JOURNAL = "unit", "watchdog", "journal"
SERVICE, SOCKET = "tracker.service", "tracker.socket"
PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "NRestarts", "ExecMainStatus"),
    *("MainPID", "NeedDaemonReload", "WatchdogUSec", "WatchdogTimestampMonotonic", "User", "StateDirectory"),
    *("Environment", "Listen"),
)
_EXITS = {
    "1": "an error that the log tells",
    "2": "bad usage",
    "69": "the database or the address out of reach",
    "78": "bad configuration",
}
_RUNNING = ("active", "reloading")
_MICROSECONDS = 1_000_000
_UNITS_OF_TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit that systemd knows, as `systemctl show` tells it."""

    name: str
    told: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.told.get(name, "")

    @property
    def is_there(self) -> bool:
        """Whether there is a unit file."""
        return self["LoadState"] == "loaded"

    @property
    def is_service(self) -> bool:
        """Whether it is a daemon of ours."""
        return self.name == SERVICE or self.name.startswith("tracker@")

    @property
    def address(self) -> tuple[str, int] | None:
        """Where a socket unit listens; None for any other."""
        shown = re.search(r"(\S+):(\d+) \(Stream\)", self["Listen"])
        return (shown[1].strip("[]"), int(shown[2])) if shown else None

    @property
    def holds_port(self) -> bool:
        """Whether it is a socket that systemd holds for us."""
        return self.address is not None and self["ActiveState"] == "active"

    @property
    def watchdog_seconds(self) -> float:
        """After how long a silent daemon is killed; 0 where it is not."""
        return read_span(self["WatchdogUSec"])


def read_units(shown: str) -> list[Unit]:
    """What `systemctl show` printed of several units."""
    units = []
    for block in shown.strip().split("\n\n"):
        told: dict[str, str] = {}
        for line in block.splitlines():
            name, _, value = line.partition("=")
            # Some properties come several times, once for each of their values.
            told[name] = f"{told[name]} {value}" if name in told else value
        if told.get("Id"):
            units.append(Unit(name=told["Id"], told=told))
    return units


def read_span(shown: str) -> float:
    """Seconds of what systemd prints as `1min 30s`, or as a plain number of microseconds; 0 of anything else."""
    if shown.isdecimal():
        return int(shown) / _MICROSECONDS
    seconds = 0.0
    for part in shown.split():
        number = part.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = _UNITS_OF_TIME.get(part[len(number) :])
        if unit is None or not number.replace(".", "", 1).isdecimal():
            return 0.0
        seconds += float(number) * unit
    return seconds


def judge_units(units: Sequence[Unit] | None) -> Iterator[Finding]:
    """Every unit of ours that systemd knows; `None` where this machine is not run by systemd."""
    if units is None:
        yield fine(UNIT, "this machine is not run by systemd")
        return
    there = [unit for unit in units if unit.is_there]
    if not any(unit.is_service for unit in there):
        yield fine(UNIT, "tracker is no unit of systemd here")
    has_several = any("@" in unit.name and unit["ActiveState"] == "active" for unit in there)
    sockets = [unit.name for unit in there if unit.name == SOCKET]
    for unit in there:
        if not unit.is_service or (has_several and unit["ActiveState"] == "inactive"):
            yield _judge_companion(unit, has_daemon=is_running(units))
        else:
            yield _judge_service(unit, sockets)


def is_running(units: Sequence[Unit]) -> bool:
    """Whether systemd runs a daemon of ours."""
    return any(unit.is_service and unit["ActiveState"] in _RUNNING for unit in units)


def _judge_service(unit: Unit, sockets: Sequence[str]) -> Finding:
    log = f"journalctl -u {unit.name} -n 50"
    if unit["ActiveState"] == "failed" or unit["SubState"] == "auto-restart":
        return wrong(UNIT, f"{unit.name} has failed: {_failure(unit)}", _after_failure(unit))
    if unit["ActiveState"] == "inactive":
        return wrong(UNIT, f"{unit.name} is stopped", f"systemctl enable --now {' '.join([*sockets, unit.name])}")
    if unit["ActiveState"] not in _RUNNING:
        return doubtful(UNIT, f"{unit.name} is {unit['ActiveState']} ({unit['SubState']})", log)
    return _judge_active(unit, log)


def _judge_active(unit: Unit, log: str) -> Finding:
    if unit["NeedDaemonReload"] == "yes":
        cause = f"the file of {unit.name} has changed since systemd read it"
        return doubtful(UNIT, cause, f"systemctl daemon-reload && systemctl restart {unit.name}")
    if unit["UnitFileState"] == "disabled":
        return doubtful(UNIT, f"{unit.name} will not start with the machine", f"systemctl enable {unit.name}")
    if (restarts := unit["NRestarts"]) not in ("", "0"):
        times = "once" if restarts == "1" else f"{restarts} times"
        return doubtful(UNIT, f"{unit.name} runs, but had to be started anew {times}", log)
    return fine(UNIT, f"{unit.name} is active")


def _judge_companion(unit: Unit, *, has_daemon: bool) -> Finding:
    if unit["ActiveState"] == "failed":
        return wrong(UNIT, f"{unit.name} has failed: {_failure(unit)}", f"journalctl -u {unit.name} -n 50")
    if unit.name.endswith(".timer") and unit["ActiveState"] != "active" and unit["UnitFileState"] == "enabled":
        return wrong(UNIT, f"{unit.name} is enabled, but does not run", f"systemctl start {unit.name}")
    is_idle = unit["ActiveState"] == "inactive" and unit["UnitFileState"] == "enabled"
    if unit.name == SOCKET and is_idle and has_daemon:
        cause = f"{unit.name} is enabled, but does not hold the port: who registers during a restart is refused"
        return doubtful(UNIT, cause, f"systemctl stop {SERVICE} && systemctl start {SOCKET} {SERVICE}")
    return fine(UNIT, f"{unit.name} is {unit['ActiveState']}")


def _failure(unit: Unit) -> str:
    if unit["Result"] != "exit-code":
        return {
            "watchdog": "it was silent for too long, and the watchdog killed it",
            "oom-kill": "the machine or its own limit had no memory left for it",
            "start-limit-hit": "it failed so often that systemd gave up",
            "timeout": "it did not get ready, or did not stop, in time",
        }.get(unit["Result"], unit["Result"] or "nobody says why")
    status = unit["ExecMainStatus"]
    return f"exit code {status}, {_EXITS.get(status, 'which the log explains')}"


def _after_failure(unit: Unit) -> str:
    if unit["ExecMainStatus"] == "78":
        return f"tracker config check && systemctl restart {unit.name}"
    return f"journalctl -u {unit.name} -n 50; systemctl restart {unit.name}"


def judge_watchdog(units: Sequence[Unit] | None, monotonic: float) -> Iterator[Finding]:
    """Whether somebody notices when the daemon stands still; `monotonic` is the kernel's clock in seconds."""
    for unit in units or ():
        if not (unit.is_service and unit["ActiveState"] == "active"):
            continue
        limit = unit.watchdog_seconds
        fed = unit["WatchdogTimestampMonotonic"]
        if not limit:
            cause = f"nobody notices when {unit.name} stands still: it has no WatchdogSec"
            yield doubtful(WATCHDOG, cause, f"systemctl edit {unit.name}")
        elif fed.isdecimal() and int(fed):
            silent = monotonic - int(fed) / _MICROSECONDS
            judged = doubtful if silent > 0.75 * limit else None
            cause = f"{unit.name} last showed {ago(max(silent, 0))} ago that it lives; its limit is {ago(limit)}"
            yield judged(WATCHDOG, cause, f"systemctl status {unit.name}") if judged else fine(WATCHDOG, cause)
        else:
            yield fine(WATCHDOG, f"{unit.name} has {ago(limit)} to show that it lives")


def judge_journal(errors: Sequence[str] | None) -> Finding:
    """What was logged as an error lately, newest last; None where there is no journal to read."""
    if errors is None:
        return fine(JOURNAL, "there is no journal to read")
    if not errors:
        return fine(JOURNAL, "no errors within a day")
    cause = f"{len(errors)} errors within a day, the last: {errors[-1][:200]}"
    return doubtful(JOURNAL, cause, "journalctl -u tracker -p err --since -24h")
