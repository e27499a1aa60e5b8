"""Broken hosts: the doctor names the cause and what to type, and its exit code is 1. And a host that is well: 0."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from command_line import CommandLine
from conftest import FakeClock
from daemons import free_port
from databases import PostgresDatabases
from doctors import TOKEN, Patient, beat, gateway_of_another_time, served
from fakes import World, want

from tracker.clock import utc_now
from tracker.simulate.gateway import Gateway
from tracker.store import migrate
from tracker.store.database import Database

BASE_URL, KEY = "TRACKER_UPSTREAMS__DEFAULT__BASE_URL", "TRACKER_UPSTREAMS__DEFAULT__TOKEN"


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served(Gateway(token=TOKEN)) as url:
        yield url


@pytest.fixture
def patient(tmp_path: Path, gateway: str, sqlite_template: Path) -> Patient:
    """A host that is well."""
    settings = {BASE_URL: gateway, KEY: TOKEN, "TRACKER_LISTEN": f"127.0.0.1:{free_port()}"}
    found = Patient(CommandLine(tmp_path, settings))
    shutil.copy(sqlite_template, found.run.database_path)
    found.run.database_path.chmod(0o640)
    beat(f"sqlite:///{found.run.database_path}")
    return found


def test_a_host_that_is_well(patient: Patient) -> None:
    rows = patient.examined(exit_code=0)

    assert {row["state"] for row in rows} == {"ok"}, rows
    told = "database disk files listen guard clock daemon watching deliveries receivers unit journal"
    assert {"config", "upstream default", *told.split()} == {row["check"] for row in rows}


def test_a_pipe_gets_a_line_for_each_check(patient: Patient) -> None:
    lines = patient.run.lines("doctor")

    assert lines[0][:2] == ["config", "ok"]
    assert {len(cells) for cells in lines} == {4}


def test_a_key_that_is_no_setting(patient: Patient) -> None:
    file = patient.folder / "wrong.toml"
    file.write_text("[callbacks]\nretry_shedule = []\n")
    patient.settings["TRACKER_CONFIG"] = str(file)

    ill = patient.illness()

    assert ill["check"] == "config"
    assert ill["cause"].startswith("callbacks.retry_shedule: is not a setting; did you mean callbacks.retry_schedule?")
    assert ill["command"] == f"sudoedit {file} && tracker config check"


def test_no_upstream(patient: Patient) -> None:
    for name in (BASE_URL, KEY):
        del patient.settings[name]

    ill = patient.illness()

    assert (ill["check"], ill["cause"].partition(" (")[0]) == ("config", "no upstream is configured")


def test_an_old_schema(patient: Patient, postgres: PostgresDatabases) -> None:
    """On a real PostgreSQL, as an upgrade of the program leaves it."""
    url, (*_, before, newest) = postgres.empty(), migrate.revisions()
    migrate.upgrade(url, before)
    patient.use(url)

    ill = patient.illness()

    assert ill["check"] == "database"
    assert ill["cause"].endswith(f"has schema {before}, this program needs {newest}")
    assert ill["command"] == "tracker db upgrade"
    migrate.upgrade(url)
    beat(url)
    assert "the database" in {row["check"]: row["cause"] for row in patient.examined(exit_code=0)}["clock"]
    postgres.drop(url)


def test_a_schema_of_the_future(patient: Patient) -> None:
    with closing(Database(f"sqlite:///{patient.run.database_path}")) as database:
        World(database, FakeClock()).sql("UPDATE alembic_version SET version_num = '9999'")

    ill = patient.illness()

    assert "made by a newer tracker than this one" in ill["cause"]
    assert ill["command"] == "tracker --version"


def test_a_server_that_is_not_there(patient: Patient) -> None:
    patient.use(f"postgresql://tracker:{TOKEN}@127.0.0.1:{free_port()}/tracker")

    ill = patient.illness()

    assert ill["check"] == "database"
    assert "Connection refused" in ill["cause"]
    assert "systemctl status postgresql" in ill["command"]


def test_a_database_that_the_server_does_not_have(patient: Patient, postgres: PostgresDatabases) -> None:
    patient.use(postgres.url("tracker_nowhere"))

    assert 'database "tracker_nowhere" does not exist' in patient.illness()["cause"]


def test_a_file_that_is_not_there(patient: Patient) -> None:
    patient.run.database_path.unlink()

    ill = patient.illness()

    assert (ill["check"], ill["command"]) == ("database", "tracker db upgrade")
    assert not patient.run.database_path.exists()


def test_a_file_that_is_no_database(patient: Patient) -> None:
    patient.run.database_path.write_bytes(b"not a database" * 1000)

    assert "file is not a database" in patient.illness()["cause"]


def test_a_token_that_the_gateway_refuses(patient: Patient) -> None:
    patient.settings[KEY] = "sk-wrong-9876543210"

    ill = patient.illness()

    assert ill["check"] == "upstream default"
    assert "refuses the token (HTTP 401" in ill["cause"]
    assert "upstreams.default.token" in ill["cause"]
    assert "9876543210" not in str(ill)
    assert ill["command"] == f"export {KEY}=VALUE"


def test_a_token_that_is_missing(patient: Patient) -> None:
    del patient.settings[KEY]

    assert patient.illness()["cause"].endswith("wants a token, and none is configured: upstreams.default.token")


def test_a_gateway_that_is_not_there(patient: Patient) -> None:
    patient.settings[BASE_URL] = f"http://127.0.0.1:{free_port()}/mj"

    ill = patient.illness()

    assert ill["check"] == "upstream default"
    assert ill["cause"].endswith("is out of reach: the connection was refused (connect)")
    assert ill["command"].startswith("curl -sv")


@pytest.mark.parametrize(("minutes", "word"), [(10, "ahead"), (-10, "behind")])
def test_a_clock_that_is_off(patient: Patient, minutes: int, word: str) -> None:
    with gateway_of_another_time(timedelta(minutes=minutes)) as url:
        patient.settings[BASE_URL] = url
        ill = patient.illness()

    assert ill["check"] == "clock"
    assert ill["cause"] == f"this machine's clock is off: upstream default is 10 minutes {word} of it"
    assert "timedatectl" in ill["command"]


def test_a_gateway_whose_clock_is_off_while_another_agrees(patient: Patient) -> None:
    with gateway_of_another_time(timedelta(minutes=10)) as url:
        patient.settings["TRACKER_UPSTREAMS__ODD__BASE_URL"] = url
        symptom = patient.symptom("clock")

    assert "the clock of upstream odd is 10 minutes ahead" in symptom["cause"]


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
    patient.settings["TRACKER_LISTEN"] = "192.0.2.1:8640"

    assert "cannot be listened on: Cannot assign requested address" in patient.illness()["cause"]


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
