"""How much memory this process holds, as the kernel counts it (Linux)."""

from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")


def resident() -> float:
    """Megabytes just now."""
    return _field("VmRSS")


def forget_peak() -> None:
    """Begin a new peak."""
    _FORGET.write_text("5")


def peak() -> float:
    """The most megabytes since the peak was forgotten."""
    return _field("VmHWM")


def _field(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024
