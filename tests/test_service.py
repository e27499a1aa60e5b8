"""The daemon as a service: a process that a service manager starts, watches, reloads and stops."""

import itertools
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from daemons import DaemonProcess
from gateways import Gateway
from services import UPSTREAM, Manager, activated, serving

from tracker.store import migrate

pytestmark = pytest.mark.anyio

LIMIT = 2.0
"""Seconds after which these managers would take a daemon for dead."""
WATCHED = {"WATCHDOG_USEC": str(int(LIMIT * 1_000_000))}


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager() as made:
        yield made


def get(daemon: DaemonProcess, path: str) -> httpx.Response:
    return httpx.get(f"{daemon.url}{path}", headers={"authorization": f"Bearer {daemon.token}"}, trust_env=False)


def events(daemon: DaemonProcess, name: str) -> list[dict[str, Any]]:
    """The lines of the log that tell of this, with the priority that the journal reads off each."""
    lines = [line for line in daemon.log.read_text().splitlines() if line.startswith("<")]
    found = [{"priority": int(line[1]), **json.loads(line[3:])} for line in lines]
    return [event for event in found if event["event"] == name]


def test_it_is_ready_when_it_serves_and_not_before(tmp_path: Path, manager: Manager) -> None:
    """While somebody else writes the database, the first look for work cannot be made."""
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    migrate.upgrade(url)
    with closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with serving(tmp_path, manager, url) as daemon:
            manager.wait_for("EXTEND_TIMEOUT_USEC")
            time.sleep(1.0)  # the fact is that nothing comes
            early = manager.heard_of("READY")
            other.execute("ROLLBACK")
            ready = manager.wait_for("READY")
            answer = get(daemon, "/readyz")

    assert early == []
    assert answer.status_code == 200
    assert ready["STATUS"] == "watching 0 tasks of 1 upstream; 0 due late; 0 messages waiting"


def test_migrating_asks_for_more_time(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, manager):
        manager.wait_for("READY")

    first = manager.heard[0]
    assert int(first["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
    assert "database" in first["STATUS"]


def test_one_line_at_the_start_says_what_it_is(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, manager) as daemon:
        manager.wait_for("READY")
        (line,) = events(daemon, "ready")

    assert (line["priority"], line["level"]) == (6, "info")
    assert line["listen"] == f"127.0.0.1:{daemon.port}"
    assert line["database"] == f"sqlite:///{tmp_path / 'tracker.db'}"
    assert line["upstreams"] == ["default"]
    assert line["version"]


def test_it_says_goodbye_and_is_gone_within_ten_seconds(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, manager) as daemon:
        manager.wait_for("READY")
        code = daemon.terminate(within=10)

    assert code == 0
    assert manager.heard_of("STOPPING")


def test_a_bad_configuration_is_an_error_in_the_journal(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, manager, TRACKER_LOG__LEVEL="loud") as daemon:
        assert daemon.process is not None
        code = daemon.process.wait(timeout=30)

    assert code == 78
    assert daemon.log.read_text().startswith("<3>tracker: log.level")
    assert not manager.heard_of("READY")


def test_it_gives_signs_of_life_while_its_loops_come_round(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, manager, **WATCHED):
        manager.wait_for("READY")
        manager.wait_for("WATCHDOG", count=8)

    assert longest_gap(manager) <= 0.6 * LIMIT


async def test_it_gives_them_in_time_while_it_has_more_to_do_than_it_can(tmp_path: Path, manager: Manager) -> None:
    """Thousands of new tasks a second, all of them to be looked at, and everybody wants lists."""
    limit, batch = 6.0, 500
    gateway = Gateway("sk-right")
    watched = {"WATCHDOG_USEC": str(int(limit * 1_000_000)), "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "sk-right"}
    with gateway.open(), serving(tmp_path, manager, **{**watched, UPSTREAM: gateway.url}) as daemon:
        ready = await anyio.to_thread.run_sync(manager.wait_for, "READY")
        registered = [0] * 4

        async def keep_registering(place: int) -> None:
            headers = {"authorization": f"Bearer {daemon.token}"}
            async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as client:
                while True:
                    first = registered[place]
                    tasks = [{"task_id": f"{place}-{number}"} for number in range(first, first + batch)]
                    answer = await client.post(f"{daemon.url}/v1/tasks/batch", json={"tasks": tasks})
                    assert answer.status_code < 300, answer.text
                    registered[place] += batch
                    await client.get(f"{daemon.url}/v1/tasks", params={"limit": 200})
                    await client.get(f"{daemon.url}/metrics")

        async with anyio.create_task_group() as group:
            for place in range(len(registered)):
                group.start_soon(keep_registering, place)
            await anyio.to_thread.run_sync(lambda: manager.wait_for("WATCHDOG", 10, within=60, since=ready.at))
            group.cancel_scope.cancel()

    assert min(registered) > 0
    assert len(gateway.asked) > 100
    assert longest_gap(manager, ready.at) <= 0.6 * limit


def longest_gap(manager: Manager, since: float = 0.0) -> float:
    signs = [said.at for said in manager.heard_of("WATCHDOG", since)]
    assert len(signs) > 2
    return max(later - earlier for earlier, later in itertools.pairwise(signs))


BLOCKED = """
import asyncio, signal, time
from tracker.daemon import serve
def block(loop=asyncio.get_event_loop_policy()):
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
block()
"""


def test_a_blocked_event_loop_gives_none(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, manager, prelude=BLOCKED, **WATCHED) as daemon:
        manager.wait_for("READY")
        manager.wait_for("WATCHDOG", count=2)
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGUSR1)
        silent_since = silence(manager)

    assert not manager.heard_of("WATCHDOG", silent_since)


def silence(manager: Manager) -> float:
    """Wait until nothing has come for longer than the limit; returns since when."""
    while True:
        last = manager.heard_of("WATCHDOG")[-1].at
        time.sleep(max(last + 1.1 * LIMIT - time.monotonic(), 0.01))
        if manager.heard_of("WATCHDOG")[-1].at == last and time.monotonic() >= last + 1.1 * LIMIT:
            return last + 0.001


SOON = """
from datetime import timedelta
from tracker.daemon import daemon, lanes, vigil
daemon.LATE = lanes.LATE = timedelta(seconds=2)
daemon._WAKE_EVERY = timedelta(seconds=0.2)
daemon.HEARTBEAT_EVERY = timedelta(seconds=0.2)
vigil.SETTLES_WITHIN = 1.0
"""
"""Loops are late, and late ones stuck, after two seconds instead of a minute."""
STUCK_COURIER = """
import asyncio
from tracker.courier.courier import Courier
async def _claim(self, *group):
    await asyncio.Event().wait()
Courier._claim = _claim
"""
STUCK_LANE = """
import asyncio
from tracker.poller.lane import Lane
async def _sleep(self, seconds):
    await asyncio.Event().wait()
Lane._sleep = _sleep
"""
STUCK_ADOPTION = """
import asyncio
from tracker.poller import Adoption
first = Adoption.run_once
async def run_once(self):
    await first(self)
    Adoption.run_once = wait
    return 0
async def wait(self):
    await asyncio.Event().wait()
Adoption.run_once = run_once
"""


@pytest.mark.parametrize(
    ("prelude", "loop"),
    [(STUCK_COURIER, "deliver"), (STUCK_LANE, "poll default"), (STUCK_ADOPTION, "adopt")],
    ids=["courier", "lane", "adoption"],
)
def test_a_stuck_loop_gives_none_and_is_named(tmp_path: Path, manager: Manager, prelude: str, loop: str) -> None:
    with serving(tmp_path, manager, prelude=SOON + prelude, **WATCHED) as daemon:
        manager.wait_for("READY")
        silent_since = silence(manager)
        lines = events(daemon, "loops_are_stuck")

    assert [line["priority"] for line in lines if loop in line["loops"]] == [2]
    assert not manager.heard_of("WATCHDOG", silent_since)


def test_what_it_did_when_it_was_ended_is_in_the_journal(tmp_path: Path, manager: Manager) -> None:
    """systemd ends a silent service by SIGABRT."""
    with serving(tmp_path, manager) as daemon:
        manager.wait_for("READY")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGABRT)
        daemon.process.wait(timeout=30)

    assert "Fatal Python error: Aborted" in daemon.log.read_text()
    assert "most recent call first" in daemon.log.read_text()


FILE = """
[upstreams.default]
base_url = "{default}"
token = "{token}"
poll_interval = "250ms"
{more}
"""


class Configured:
    """A daemon whose upstreams are in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tracker.toml"

    def write(self, default: str = "http://127.0.0.1:9", token: str = "sk-old", more: str = "") -> None:
        self.path.write_text(FILE.format(default=default, token=token, more=more))


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    made = Configured(tmp_path)
    made.write()
    return made


def reload(daemon: DaemonProcess, manager: Manager) -> tuple[Any, Any]:
    """SIGHUP; what is said first, and what when it is done."""
    assert daemon.process is not None
    started = time.monotonic()
    daemon.process.send_signal(signal.SIGHUP)
    first = manager.wait_for("RELOADING", since=started)
    return first, manager.wait_for("READY", since=first.at)


def from_file(configured: Configured) -> dict[str, str]:
    # An empty variable says nothing, so that the file does.
    return {"TRACKER_CONFIG": str(configured.path), "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": ""}


def test_a_reload_puts_the_new_file_in_force(tmp_path: Path, manager: Manager, configured: Configured) -> None:
    with serving(tmp_path, manager, **from_file(configured)) as daemon:
        manager.wait_for("READY")
        configured.write(more='[upstreams.second]\nbase_url = "http://127.0.0.1:9"\n[log]\nlevel = "debug"')
        first, done = reload(daemon, manager)
        upstreams = get(daemon, "/v1/upstreams").json()["upstreams"]
        (line,) = events(daemon, "configuration_reloaded")

    assert int(first["MONOTONIC_USEC"]) > 0
    assert "2 upstreams" in done["STATUS"]
    assert [upstream["name"] for upstream in upstreams] == ["default", "second"]
    assert {"upstreams.second.base_url", "log.level"} <= set(line["changed"])


def test_a_bad_file_keeps_the_old_one_and_says_so(tmp_path: Path, manager: Manager, configured: Configured) -> None:
    with serving(tmp_path, manager, **from_file(configured)) as daemon:
        manager.wait_for("READY")
        configured.write(more='[upstreams.second]\nbase_url = "gopher://old"')
        _, done = reload(daemon, manager)
        upstreams = get(daemon, "/v1/upstreams").json()["upstreams"]
        (line,) = events(daemon, "configuration_not_reloaded")
        configured.write()
        _, mended = reload(daemon, manager)

    assert [upstream["name"] for upstream in upstreams] == ["default"]
    assert line["priority"] == 3
    assert "upstreams.second.base_url" in line["reason"]
    assert "not reloaded" in done["STATUS"]
    assert "not reloaded" not in mended["STATUS"]


def test_what_cannot_change_while_it_runs_waits_for_a_start(
    tmp_path: Path, manager: Manager, configured: Configured
) -> None:
    with serving(tmp_path, manager, **from_file(configured)) as daemon:
        manager.wait_for("READY")
        configured.write(more='[callbacks]\ntimeout = "7s"')
        reload(daemon, manager)
        (line,) = events(daemon, "settings_need_a_restart")

    assert (line["priority"], line["keys"]) == (4, ["callbacks.timeout"])


def test_a_limit_holds_from_the_reload_on(tmp_path: Path, manager: Manager, configured: Configured) -> None:
    with serving(tmp_path, manager, **from_file(configured)) as daemon:
        manager.wait_for("READY")
        before = register(daemon, "1").status_code
        configured.write(more="[limits]\nlive_tasks_per_owner = 1")
        reload(daemon, manager)
        after = register(daemon, "2").status_code

    assert (before, after) == (201, 429)


def register(daemon: DaemonProcess, task_id: str, client: httpx.Client | None = None) -> httpx.Response:
    post = client.post if client else httpx.post
    options: dict[str, Any] = {} if client else {"trust_env": False, "timeout": 30}
    headers = {"authorization": f"Bearer {daemon.token}"}
    return post(f"{daemon.url}/v1/tasks", json={"task_id": task_id}, headers=headers, **options)


def test_a_passed_socket_is_served_whatever_else_is_configured(tmp_path: Path, manager: Manager) -> None:
    """The one that is called api; what else is passed is somebody else's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as api,
        socket.create_server(("127.0.0.1", 0)) as other,
        activated(other, api, names="metrics:api") as prepare,
        serving(tmp_path, manager, prepare=prepare) as daemon,
    ):
        manager.wait_for("READY")
        (line,) = events(daemon, "ready")
        daemon.port = api.getsockname()[1]
        answer = get(daemon, "/readyz")

    assert line["listen"] == f"127.0.0.1:{daemon.port}"
    assert answer.status_code == 200


def test_a_socket_that_nobody_can_connect_to_is_bad_configuration(tmp_path: Path, manager: Manager) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        activated(datagrams, names="api") as prepare,
        serving(tmp_path, manager, prepare=prepare) as daemon,
    ):
        assert daemon.process is not None
        assert daemon.process.wait(timeout=30) == 78


async def test_registrations_during_a_restart_are_all_answered(tmp_path: Path, manager: Manager) -> None:
    """They wait at the socket, which outlives the daemon; with connections of their own, and over one that is kept."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as api,
        activated(api, names="api") as prepare,
        serving(tmp_path, manager, prepare=prepare) as daemon,
    ):
        daemon.port = api.getsockname()[1]
        await anyio.to_thread.run_sync(manager.wait_for, "READY")
        clients = [Registering(daemon, "new"), Registering(daemon, "kept")]
        async with anyio.create_task_group() as group:
            for client in clients:
                group.start_soon(client.run)
            for _ in range(2):
                await wait_for_more(clients, 10)
                assert await anyio.to_thread.run_sync(daemon.terminate) == 0
                daemon.start()
            await wait_for_more(clients, 10)
            for client in clients:
                client.stop.set()
        assert await anyio.to_thread.run_sync(daemon.terminate) == 0
        with closing(sqlite3.connect(tmp_path / "tracker.db")) as database:
            (written,) = database.execute("SELECT count(*) FROM task").fetchone()

    answered = [status for client in clients for status in client.answered]
    assert set(answered) == {201}
    assert written == len(answered)


class Registering:
    """A client that registers one task after the other, over connections that it keeps, or a new one each time."""

    def __init__(self, daemon: DaemonProcess, kind: str) -> None:
        self.answered: list[int] = []
        self.stop = anyio.Event()
        self._daemon = daemon
        self._kind = kind

    async def run(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0 if self._kind == "new" else None)
        headers = {"authorization": f"Bearer {self._daemon.token}"}
        async with httpx.AsyncClient(limits=limits, headers=headers, trust_env=False, timeout=30) as client:
            while not self.stop.is_set():
                body = {"task_id": f"{self._kind}-{len(self.answered)}"}
                answer = await client.post(f"{self._daemon.url}/v1/tasks", json=body)
                self.answered.append(answer.status_code)


async def wait_for_more(clients: list[Registering], more: int) -> None:
    goals = [len(client.answered) + more for client in clients]
    with anyio.fail_after(60):
        while any(len(client.answered) < goal for client, goal in zip(clients, goals, strict=True)):
            await anyio.sleep(0.01)
