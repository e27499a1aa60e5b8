"""More broken hosts: addresses, files, units of systemd, and a daemon that is gone."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import FakeClock
from daemons import free_port
from doctors import BASE_URL, KEY, TOKEN, Patient, beat, served
from fakes import World, want

from tracker.clock import utc_now
from tracker.doctor.listening import holder_of
from tracker.simulate.gateway import Gateway
from tracker.store.database import Database


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served(Gateway(token=TOKEN)) as url:
        yield url


@pytest.fixture
def patient(tmp_path: Path, gateway: str, sqlite_template: Path) -> Patient:
    return Patient.well(tmp_path, gateway, sqlite_template)


def test_a_guard_that_is_off(patient: Patient) -> None:
    patient.settings["TRACKER_CALLBACKS__ALLOW_NETWORKS"] = "0.0.0.0/0"

    ill = patient.illness()

    assert ill["check"] == "guard"
    assert "callbacks.allow_networks has 0.0.0.0/0" in ill["cause"]
    assert ill["command"] == "export TRACKER_CALLBACKS__ALLOW_NETWORKS=VALUE"


def test_a_daemon_that_everybody_may_ask(patient: Patient) -> None:
    patient.settings["TRACKER_LISTEN"] = f"0.0.0.0:{free_port()}"

    ill = patient.illness()

    assert ill["check"] == "listen"
    assert "/metrics needs no token" in ill["cause"]
    assert 'set metrics.scope to "read"' in ill["cause"]


def test_a_port_that_another_process_has(patient: Patient) -> None:
    port = free_port()
    listening = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        patient.settings["TRACKER_LISTEN"] = f"127.0.0.1:{port}"
        ill = patient.illness()
    finally:
        listening.kill()
        listening.wait()

    assert ill["check"] == "listen"
    assert f"127.0.0.1:{port} is taken by" in ill["cause"]
    assert f"(pid {listening.pid})" in ill["cause"]
    assert ill["command"] == f"ss -ltnp 'sport = :{port}'"


def _wait_for(port: int) -> None:
    ends_at = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < ends_at
            time.sleep(0.05)
        else:
            return


def test_an_address_of_another_machine(patient: Patient) -> None:
    """Who has the same port at an address of ours is not in its way."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        patient.settings["TRACKER_LISTEN"] = f"192.0.2.77:{port}"
        ill = patient.illness()

    assert ill["cause"] == f"192.0.2.77:{port} cannot be listened on: Cannot assign requested address"


def test_who_listens_is_told_by_address_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        found = [holder_of(host, port) for host in ("127.0.0.1", "127.0.0.2", "::1")]

    assert [getattr(holder, "pid", None) for holder in found] == [os.getpid(), None, None]


@pytest.mark.parametrize("which", ["tracker.db", "tracker.token"])
def test_a_file_that_everybody_reads(patient: Patient, which: str) -> None:
    file = patient.folder / which
    file.touch()
    file.chmod(0o644)

    ill = patient.illness()

    assert ill["check"] == "files"
    assert str(file) in ill["cause"]
    assert "(mode 0644)" in ill["cause"]
    closing_it = "o-rwx" if which == "tracker.db" else "go-rwx"
    assert ill["command"] == f"chmod {closing_it} {file}"


def test_a_configuration_with_a_token_that_everybody_reads(patient: Patient) -> None:
    file = patient.folder / "tracker.toml"
    file.write_text(f'[upstreams.default]\nbase_url = "{patient.settings[BASE_URL]}"\ntoken = "{TOKEN}"\n')
    file.chmod(0o644)
    for name in (BASE_URL, KEY):
        del patient.settings[name]

    ill = patient.illness()

    assert ill["check"] == "files"
    assert "the configuration, which holds a secret, is open to others" in ill["cause"]
    file.chmod(0o640)
    patient.examined(exit_code=0)


def test_a_database_that_the_service_cannot_write(patient: Patient) -> None:
    """Somebody restored it as root."""
    patient.folder.chmod(0o755)
    patient.has_systemd(service={"User": "nobody", "WatchdogUSec": "30s"})

    rows = patient.examined(exit_code=1)

    commands = {row["command"] for row in rows if row["state"] == "problem"}
    assert commands == {f"chown nobody: {patient.folder}", f"chown nobody: {patient.run.database_path}"}


def test_a_service_that_has_failed(patient: Patient) -> None:
    failed = {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78", "WatchdogUSec": "30s"}
    patient.has_systemd(service=failed)

    ill = patient.illness()

    assert ill["check"] == "unit"
    assert ill["cause"] == "tracker.service has failed: exit code 78, bad configuration"
    assert ill["command"] == "tracker config check && systemctl restart tracker.service"


def test_a_daemon_that_is_gone(patient: Patient) -> None:
    url = f"sqlite:///{patient.run.database_path}"
    with closing(Database(url)) as database:
        World(database, FakeClock(now=utc_now() - timedelta(hours=3))).sql("DELETE FROM daemon")
    beat(url, seconds_ago=3 * 3600)

    ill = patient.illness()

    assert ill["check"] == "daemon"
    assert ill["cause"] == "no daemon runs: the last one was seen 3 hours ago on elsewhere"
    assert ill["command"] == "tracker serve"


def test_messages_that_nobody_sends(patient: Patient) -> None:
    with closing(Database(f"sqlite:///{patient.run.database_path}")) as database:
        world = World(database, FakeClock(now=utc_now() - timedelta(minutes=20)))
        world.sql("DELETE FROM daemon")
        world.pending(want(url="https://shop.example/hook"))
        world.sql("DELETE FROM daemon")
    beat(f"sqlite:///{patient.run.database_path}")

    ill = patient.illness()

    assert ill["check"] == "deliveries"
    assert ill["cause"] == "a message has been due for 20 minutes"
    assert ill["command"] == "tracker deliveries --status pending"


def test_tasks_that_nobody_looks_at(patient: Patient) -> None:
    with closing(Database(f"sqlite:///{patient.run.database_path}")) as database:
        World(database, FakeClock(now=utc_now())).register(want(upstream="forgotten", url=None))

    ill = patient.illness()

    assert ill["check"] == "watching"
    assert "1 live tasks belong to the upstream forgotten, which is not configured" in ill["cause"]
