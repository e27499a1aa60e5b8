"""Runs the benchmarks, all or those that are named, and prints one table: `python -m bench [NAME …]`."""

import importlib
import os
import platform
import sqlite3
import sys
import time
from importlib.metadata import version
from pathlib import Path

from bench.table import render
from tracker import log

NAMES = ("recording", "cadence", "delivering", "isolation", "recovery", "registering")
"""Modules of this package, each with `run() -> Iterable[Row]`, in the order of the table."""


def main(names: list[str]) -> int:
    """Run and print; 1 if a ratio is not what it is asked to be."""
    if unknown := [name for name in names if name not in NAMES]:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        # Lines are made as the daemon makes them under systemd, and read by nobody.
        log.configure(format="json", level="info", stream=nowhere)
        rows = [row for name in names or NAMES for row in importlib.import_module(f"bench.{name}").run()]
    print(_machine())
    print(render(rows))
    print(f"\n{time.monotonic() - started:.0f} s")
    return 0 if all(row.holds for row in rows) else 1


def _machine() -> str:
    parts = ["httpx", "httpx-aiohttp", "aiohttp", "sqlalchemy", "psycopg"]
    versions = ", ".join(f"{name} {version(name)}" for name in parts)
    system = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores"
    return f"{system}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
