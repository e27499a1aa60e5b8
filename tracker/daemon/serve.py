"""From settings to a running daemon, and back."""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

import tracker
from tracker.clock import utc_now
from tracker.config import Settings
from tracker.daemon.daemon import Daemon
from tracker.daemon.exclusive import exclusive
from tracker.daemon.first_token import write_first_token
from tracker.daemon.reloading import configure_log
from tracker.daemon.service import Service, Surroundings
from tracker.daemon.vigil import extending
from tracker.errors import TrackerError
from tracker.metrics import Metrics
from tracker.store import migrate
from tracker.store.database import Database, sqlite_file

log = structlog.get_logger()

FAILED = 1


def serve(read_settings: Callable[[], Settings], *, token_file: Callable[[Settings], Path]) -> None:
    """Serve until SIGTERM or SIGINT; returns when everything in hand is written down.

    The settings are read at the start, and on SIGHUP again. Raises ConfigError where they cannot be used, BusyError
    where another daemon serves the same SQLite file, UnavailableError where the database or the address to listen on
    cannot be had.
    """
    settings = read_settings()
    settings.must_have_upstreams()
    configure_log(settings)
    # systemd ends a daemon that is stuck by SIGABRT: the journal then shows where it was.
    faulthandler.enable()
    try:
        with exclusive(sqlite_file(settings.database_url)):
            asyncio.run(_serve(settings, token_file(settings), read_settings))
    except (TrackerError, OSError):
        raise
    except Exception:
        log.critical("daemon_failed", exc_info=True)
        raise SystemExit(FAILED) from None


async def _serve(settings: Settings, token_file: Path, read_settings: Callable[[], Settings]) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # From a terminal it means that the terminal was closed.
    loop.add_signal_handler(signal.SIGHUP, stop.set if sys.stderr.isatty() else reload.set)
    surroundings = Surroundings.of(os.environ)
    # First of all: an address that is taken leaves nothing behind. Who connects before we are ready waits in line.
    listening = surroundings.listen(*settings.listen_address)
    async with extending(surroundings.notifier, "starting: bringing the database up to date"):
        before, after = await asyncio.to_thread(migrate.upgrade, settings.database_url)
    if before != after:
        log.info("database_migrated", before=before, after=after)
    metrics = Metrics(version=tracker.__version__)
    database = Database(
        settings.database_url,
        stopwatch=lambda operation, seconds: metrics.database.labels(operation).observe(seconds),
    )
    try:
        await write_first_token(database, token_file, utc_now)
        daemon = Daemon(settings, database, metrics)
        service = Service(daemon, settings, database, surroundings, read_settings)
        # What is there by now stays to the end: nobody waits while it is looked through for garbage.
        gc.collect()
        gc.freeze()
        await service.run(listening, stop, reload)
    finally:
        await asyncio.to_thread(database.close)
    log.info("stopped")
