"""From settings to a running daemon, and back."""

import asyncio
import gc
import signal
from pathlib import Path

import structlog

import tracker
from tracker.clock import utc_now
from tracker.config import Settings
from tracker.daemon.daemon import Daemon
from tracker.daemon.exclusive import exclusive
from tracker.daemon.first_token import write_first_token
from tracker.daemon.server import bind
from tracker.metrics import Metrics
from tracker.store import migrate
from tracker.store.database import Database, sqlite_file

log = structlog.get_logger()


def serve(settings: Settings, *, token_file: Path) -> None:
    """Serve until SIGTERM or SIGINT; returns when everything in hand is written down.

    Raises BusyError where another daemon serves the same SQLite file, UnavailableError where the
    database or the address to listen on cannot be had.
    """
    with exclusive(sqlite_file(settings.database_url)):
        asyncio.run(_serve(settings, token_file))


async def _serve(settings: Settings, token_file: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # First of all: an address that is taken leaves nothing behind. Who connects before we are ready waits in line.
    listening = bind(*settings.listen_address)
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
        # What is there by now stays to the end: nobody waits while it is looked through for garbage.
        gc.collect()
        gc.freeze()
        await daemon.run(listening, stop)
    finally:
        await asyncio.to_thread(database.close)
    log.info("stopped")
