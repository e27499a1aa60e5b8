"""What becomes of tasks when upstreams change while the daemon runs."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from daemons import DaemonProcess
from gateways import SUCCESS, Gateway
from services import Manager, Said, serving


class Running:
    """A daemon whose upstreams are in a file, and its manager."""

    def __init__(self, daemon: DaemonProcess, manager: Manager, path: Path) -> None:
        self.daemon = daemon
        self.manager = manager
        self._path = path

    def register(self, task_id: str, upstream: str) -> str:
        answer = self._call("POST", "/v1/tasks", json={"task_id": task_id, "upstream": upstream})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def status(self, id_: str) -> str:
        return str(self._call("GET", f"/v1/tasks/{id_}").json()["status"])

    def ask_for_a_link(self) -> int:
        return self._call("POST", "/v1/links").status_code

    def metrics(self) -> str:
        return self._call("GET", "/metrics").text

    def wait_for_status(self, id_: str, status: str) -> None:
        eventually(lambda: self.status(id_) == status)

    def reload(self, **upstreams: dict[str, str]) -> Said:
        """Put a file with these upstreams in force; returns what was said when that was done."""
        write(self._path, upstreams)
        assert self.daemon.process is not None
        started = time.monotonic()
        self.daemon.process.send_signal(signal.SIGHUP)
        return self.manager.wait_for("READY", since=self.manager.wait_for("RELOADING", since=started).at)

    def events(self, name: str) -> list[Any]:
        lines = [line[3:] for line in self.daemon.log.read_text().splitlines() if line.startswith("<")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def _call(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        headers = {"authorization": f"Bearer {self.daemon.token}"}
        return httpx.request(method, f"{self.daemon.url}{path}", headers=headers, trust_env=False, timeout=30, **more)


def write(path: Path, upstreams: dict[str, dict[str, str]]) -> None:
    text = ""
    for name, keys in upstreams.items():
        text += f"[upstreams.{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    path.write_text(text)


def eventually(fact: Callable[[], bool], within: float = 30.0) -> None:
    ends_at = time.monotonic() + within
    while not fact():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def keys(gateway: Gateway, *, token: str = "sk-right", **more: str) -> dict[str, str]:
    return {"base_url": gateway.url, "token": token, "poll_interval": "200ms", "batch": "off", **more}


@contextmanager
def started(folder: Path, database_url: str, **upstreams: dict[str, str]) -> Iterator[Running]:
    path = folder / "upstreams.toml"
    write(path, upstreams)
    # An empty variable says nothing, so that the file does.
    settings = {"TRACKER_CONFIG": str(path), "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": ""}
    with Manager() as manager, serving(folder, manager, database_url, **settings) as daemon:
        manager.wait_for("READY")
        yield Running(daemon, manager, path)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway("sk-right")
    with made.open():
        yield made


def test_a_new_token_is_shown_from_the_reload_on_and_ends_the_pause(
    database_url: str, tmp_path: Path, gateway: Gateway
) -> None:
    gateway.status = SUCCESS
    with started(tmp_path, database_url, default=keys(gateway, token="sk-wrong")) as running:
        task = running.register("1", "default")
        eventually(lambda: bool(running.events("upstream_paused")))
        done = running.reload(default=keys(gateway))

        running.wait_for_status(task, "succeeded")
        assert "paused" not in done["STATUS"]
        (told,) = running.events("configuration_reloaded")
        assert told["changed"] == ["upstreams.default.token"]
        assert "sk-right" not in running.daemon.log.read_text()


def test_tasks_go_on_under_new_settings_without_being_read_again(
    database_url: str, tmp_path: Path, gateway: Gateway
) -> None:
    with started(tmp_path, database_url, default=keys(gateway)) as running:
        task = running.register("1", "default")
        running.wait_for_status(task, "running")
        done = running.reload(default=keys(gateway, poll_interval="300ms", timeout="3s"))
        asked = len(gateway.asked)
        eventually(lambda: len(gateway.asked) >= asked + 3)
        gateway.status = SUCCESS
        running.wait_for_status(task, "succeeded")
        assert "watching 1 task of 1 upstream" in done["STATUS"]


def test_tasks_of_an_upstream_that_is_gone_wait_for_it_to_come_back(
    database_url: str, tmp_path: Path, gateway: Gateway
) -> None:
    other = Gateway("sk-right")
    with other.open(), started(tmp_path, database_url, default=keys(gateway), other=keys(other)) as running:
        task = running.register("1", "other")
        running.wait_for_status(task, "running")
        done = running.reload(default=keys(gateway))
        assert "watching 0 tasks of 1 upstream" in done["STATUS"]
        assert 'tracker_watched_tasks{upstream="default"}' in running.metrics()
        assert 'tracker_watched_tasks{upstream="other"}' not in running.metrics()
        eventually(lambda: bool(running.events("upstream_is_not_configured")))
        (left,) = running.events("upstream_left")
        assert (left["upstream"], left["tasks"]) == ("other", 1)
        asked = len(other.asked)
        other.status = SUCCESS
        running.reload(default=keys(gateway), other=keys(other))
        running.wait_for_status(task, "succeeded")

    assert len(other.asked) - asked <= 3


def test_an_upstream_that_never_answers_does_not_hold_up_the_others(
    database_url: str, tmp_path: Path, gateway: Gateway
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hole:
        silent = {"base_url": f"http://127.0.0.1:{hole.getsockname()[1]}", "poll_interval": "200ms"}
        with started(tmp_path, database_url, default=silent, other=keys(gateway)) as running:
            task = running.register("1", "default")
            hole.accept()[0].close()
            running.register("2", "default")
            running.reload(default=keys(gateway), other=keys(gateway))
            gateway.status = SUCCESS

            running.wait_for_status(task, "succeeded")
            assert not running.events("loops_are_stuck")
            assert running.daemon.terminate() == 0


def test_asked_again_and_again_it_ends_with_what_was_written_last(
    database_url: str, tmp_path: Path, gateway: Gateway
) -> None:
    with started(tmp_path, database_url, default=keys(gateway)) as running:
        task = running.register("1", "default")
        running.wait_for_status(task, "running")
        for number in range(5):
            running.reload(default=keys(gateway, timeout=f"{number + 2}s"))
        gateway.status = SUCCESS

        running.wait_for_status(task, "succeeded")
        assert len(running.events("configuration_reloaded")) == 5
        assert not running.events("step_failed")
        assert running.daemon.terminate() == 0


def test_an_allowance_does_not_begin_anew(database_url: str, tmp_path: Path, gateway: Gateway) -> None:
    """Nor does the count of those who listen to what is new, which stays with it."""
    with started(tmp_path, database_url, default=keys(gateway)) as running:
        while (status := running.ask_for_a_link()) != 429:
            assert status == 201
        running.reload(default=keys(gateway, token="sk-other"))

        # A few are due again by then; a new allowance would have thirty.
        assert 429 in [running.ask_for_a_link() for _ in range(20)]
