"""Runs benchmarks and prints one table: `python -m bench`, or `python -m bench NAME …` for some of them in full."""

import importlib
import os
import platform
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.table import Row, render
from tracker import log

NAMES = (
    "polling",
    "recording",
    "cadence",
    "delivering",
    "isolation",
    "recovery",
    "registering",
    "idle",
)
"""Modules of this package, in the order of the table: each has `run() -> Iterable[Row]`.

One that takes longer than a minute has a shorter `brief()` too, for the table of all: that ends within ten minutes.
"""
ON_REQUEST = ("million", "soak", "history", "snapshot", "pages")
"""The same, for which nobody waits who did not ask for them."""


def main(names: list[str]) -> int:
    """Run and print; 1 if a ratio is not what it is asked to be, or could not be measured."""
    known = (*NAMES, *ON_REQUEST)
    if unknown := [name for name in names if name not in known]:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    began, load = time.monotonic(), os.getloadavg()[0]
    rows: list[Row] = []
    failed: list[str] = []
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        # Lines are made as the daemon makes them under systemd, and read by nobody.
        log.configure(format="json", level="info", stream=nowhere)
        for name in names or NAMES:
            module = importlib.import_module(f"bench.{name}")
            rows += _timed(name, module.run if names else getattr(module, "brief", module.run), failed)
    print("\n".join(_machine(load)) + "\n")
    print(render(rows))
    print(f"\n{time.monotonic() - began:.0f} s")
    if failed:
        print(f"could not be measured: {', '.join(failed)}")
    return 0 if all(row.holds for row in rows) and not failed else 1


def _timed(name: str, measure: Callable[[], Iterable[Row]], failed: list[str]) -> Iterator[Row]:
    """The rows, as far as they come: what one cannot measure must not cost the others their table."""
    began = time.monotonic()
    try:
        yield from measure()
    except Exception:  # noqa: BLE001 - whatever it is
        traceback.print_exc()
        failed.append(name)
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def _machine(load: float) -> Iterator[str]:
    """What figures can be compared by, and how far they can be trusted."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    yield f"{platform.system()} {platform.release()}, {cores} cores ({_processor()}), {memory:.0f} GB"
    wanted = ("httpx", "aiohttp", "sqlalchemy", "psycopg", "msgspec", "uvloop", "orjson", "httptools")
    versions = ", ".join(f"{name} {found}" for name in wanted if (found := _version(name)))
    yield f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"
    busy = " (others are at work here: trust the ratios, not the figures)" if load > cores / 4 else ""
    yield f"load before the start {load:.1f}{busy}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
