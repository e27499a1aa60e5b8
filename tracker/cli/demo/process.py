"""The real daemon as a process of its own, started and stopped as systemd would."""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from tracker.errors import UnavailableError

_START_SECONDS = 30
_STOP_SECONDS = 15
_TOLD_LINES = 5
_LONGEST_LINE = 1024 * 1024


class DaemonProcess:
    """`tracker serve`, from its first line to its exit code; what it logs goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path
        self._last_lines: deque[str] = deque(maxlen=_TOLD_LINES)
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, settings: Mapping[str, str], log_path: Path) -> "DaemonProcess":
        """Start one with these variables and no other setting; returns before it is ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tracker",
            "serve",
            env={**_environment(), **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            # Ctrl-C is for us: we stop it when we are done.
            start_new_session=True,
        )
        return cls(process, log_path)

    async def ready(self) -> str:
        """Wait until it serves, and return its address; raises UnavailableError when it does not come to that."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                return await asyncio.shield(self._address)
        except TimeoutError:
            raise UnavailableError(f"the daemon was not ready in {_START_SECONDS} s: {self._told()}") from None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode

    async def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        # One whose log has ended is ending; a signal to it would race with whoever collects its exit code.
        if not self._reading.done():
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        stream = self._process.stderr
        with self._log_path.open("wb") as file:
            while stream is not None and (line := await stream.readline()):
                file.write(line)
                file.flush()
                self._notice(line)
        if not self._address.done():
            self._address.set_exception(UnavailableError(f"the daemon ended at once: {self._told()}"))
            self._address.exception()  # whoever waits is told; nobody may be waiting

    def _notice(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        self._last_lines.append(text)
        try:
            event = json.loads(text)
        except ValueError:
            return
        if isinstance(event, dict) and event.get("event") == "ready" and not self._address.done():
            self._address.set_result(str(event["listen"]))

    def _told(self) -> str:
        return " | ".join(self._last_lines) or "it said nothing"


def _environment() -> dict[str, str]:
    """Ours, without what would configure the daemon or make it think that systemd started it."""
    ours = ("TRACKER_", "LISTEN_", "NOTIFY_", "WATCHDOG_")
    directories = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "JOURNAL_STREAM")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(ours) and name not in directories
    }
