"""Networks that an operator opens: said at the start, open from there on, and everything else as closed as before."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from daemons import DaemonProcess

pytestmark = pytest.mark.anyio


@contextmanager
def running(folder: Path, template: Path, **settings: str) -> Iterator[DaemonProcess]:
    folder.mkdir()
    shutil.copy(template, folder / "tracker.db")
    upstream = {"TRACKER_UPSTREAMS__DEFAULT__BASE_URL": "http://127.0.0.1:1024", "TRACKER_LOG__FORMAT": "json"}
    daemon = DaemonProcess(folder, f"sqlite:///{folder}/tracker.db", {**upstream, **settings})
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.end()


def ready(daemon: DaemonProcess) -> dict[str, Any]:
    """The line that says it serves."""
    lines = [line[line.index("{") :] for line in daemon.log.read_text().splitlines() if "{" in line]
    (found,) = [line for line in map(json.loads, lines) if line["event"] == "ready"]
    return dict(found)


async def registered(daemon: DaemonProcess, url: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"authorization": f"Bearer {daemon.token}"}
        body = {"task_id": url, "callback_url": url}
        return (await client.post(f"{daemon.url}/v1/tasks", json=body, headers=headers)).status_code


OPENING = {"TRACKER_CALLBACKS__ALLOW_NETWORKS": "10.1.0.0/16,fd00::/8"}
URLS = [
    "http://10.1.2.3/",
    "http://[fd12::1]:8080/",
    "http://10.2.0.1/",
    "http://127.0.0.1:8080/",
    "https://a.example/",
]


@pytest.mark.parametrize(
    ("settings", "told", "answers"),
    [
        ({}, None, [422, 422, 422, 422, 201]),
        (
            {"TRACKER_CALLBACKS__ALLOW_NETWORKS": "10.1.0.0/16,fd00::/8"},
            ["10.1.0.0/16", "fd00::/8"],
            [201, 201, 422, 422, 201],
        ),
    ],
    ids=["closed", "two networks open"],
)
async def test_the_log_names_the_networks_that_are_open_and_no_others_are(
    settings: dict[str, str], told: list[str] | None, answers: list[int], tmp_path: Path, sqlite_template: Path
) -> None:
    with running(tmp_path / "daemon", sqlite_template, **settings) as daemon:
        await daemon.wait_until_ready()
        said = ready(daemon)
        statuses = [await registered(daemon, url) for url in URLS]

    assert said.get("callbacks_allowed_to") == told
    assert statuses == answers
