"""A host that is well, to be broken: a gateway, a database with a daemon's heartbeat, and `tracker doctor` on it."""

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from command_line import CommandLine
from daemons import free_port
from starlette.types import ASGIApp
from typed import check, commands_in

import tracker
from tracker.clock import utc_now
from tracker.simulate.server import serve_app
from tracker.store import daemons
from tracker.store.database import Database

BASE_URL, KEY = "TRACKER_UPSTREAMS__DEFAULT__BASE_URL", "TRACKER_UPSTREAMS__DEFAULT__TOKEN"
TOKEN = "sk-right-0123456789"

Row = dict[str, Any]


@dataclass
class Patient:
    """Somebody's machine, and what the doctor says about it."""

    run: CommandLine

    @classmethod
    def well(cls, folder: Path, gateway: str, template: Path) -> "Patient":
        """A host that has nothing; its daemon runs on another machine."""
        settings = {BASE_URL: gateway, KEY: TOKEN, "TRACKER_LISTEN": f"127.0.0.1:{free_port()}"}
        found = cls(CommandLine(folder, settings))
        shutil.copy(template, found.run.database_path)
        found.run.database_path.chmod(0o640)
        beat(f"sqlite:///{found.run.database_path}")
        return found

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def settings(self) -> dict[str, str]:
        return self.run.settings

    def examined(self, *arguments: str, exit_code: int) -> list[Row]:
        """All that was found, with the exit code that goes with it; no secret is ever told."""
        result = self.run("doctor", "--json", *arguments)
        assert result.exit_code == exit_code, result.stdout
        assert TOKEN not in result.stdout
        told = json.loads(result.stdout)
        assert told["ok"] is (exit_code == 0)
        rows: list[Row] = told["checks"]
        for row in rows:
            assert (row["state"] == "ok") is (row["command"] is None), row
            for line in commands_in(row["command"] or ""):
                check(line)
        return rows

    def illness(self, *arguments: str) -> Row:
        """The one thing that is wrong."""
        rows = self.examined(*arguments, exit_code=1)
        (wrong,) = [row for row in rows if row["state"] == "problem"]
        return wrong

    def symptom(self, check: str) -> Row:
        """What is to be looked at although all works."""
        rows = self.examined(exit_code=0)
        (found,) = [row for row in rows if row["check"] == check]
        assert found["state"] == "warning", found
        return found

    def use(self, url: str) -> None:
        """Have it look at this database."""
        self.settings["TRACKER_DATABASE_URL"] = url

    def has_systemd(self, **units: dict[str, str]) -> None:
        """A `systemctl` that shows these units, and a `journalctl` that has nothing to tell."""
        shown = []
        for name, told in units.items():
            properties = {"Id": f"tracker.{name}", "LoadState": "loaded", "ActiveState": "active", **told}
            shown.append("\n".join(f"{key}={value}" for key, value in properties.items()))
        self.has_program("systemctl", "\n\n".join(shown))
        self.has_program("journalctl", "")

    def has_program(self, name: str, prints: str) -> None:
        """A program of this name, found before any other, that prints this."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.txt").write_text(prints + "\n" if prints else "")
        (folder / name).write_text(f"#!/bin/sh\nexec cat {folder}/{name}.txt\n")
        (folder / name).chmod(0o755)
        self.settings["PATH"] = f"{folder}:{os.environ['PATH']}"


def beat(url: str, *, seconds_ago: float = -3600, version: str = tracker.__version__) -> None:
    """Enter a daemon that showed itself so long ago; by default it goes on doing so for as long as a test may take.

    On PostgreSQL it has shown itself just now, whatever is said here: the server's clock counts.
    """
    entry = {"me": "dmn_one", "host": "elsewhere", "pid": 1, "version": version}
    with closing(Database(url)) as database:
        database.write_now(partial(daemons.join, **entry, now=utc_now() - timedelta(seconds=seconds_ago)))


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The app on a thread of its own; yields its URL."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop, url = asyncio.Event(), ""

    async def serve() -> None:
        nonlocal url
        async with serve_app(app) as url:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@contextmanager
def gateway_of_another_time(ahead: timedelta) -> Iterator[str]:
    """A gateway that knows no task, and whose clock is ahead; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"description": "task_no_found", "type": "upstream_error", "code": 4}'
            self.send_response(400)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            moment = utc_now().timestamp() if timestamp is None else timestamp
            return super().date_time_string(moment + ahead.total_seconds())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
