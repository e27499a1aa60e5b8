"""The doctor touches nothing, tells no secret, waits for nobody, and asks the daemon that systemd runs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from command_line import CommandLine
from daemons import DaemonProcess, free_port
from doctors import BASE_URL, KEY, TOKEN, Patient, beat, served
from fakes import statements, writes

from tracker.doctor import Asked, Finding, Host, State, examine
from tracker.simulate.gateway import Gateway
from tracker.store.database import Database
from tracker.store.inspection import inspect_database


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file, with what is in it and when it was changed."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def database(tmp_path: Path, sqlite_template: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "tracker.db")
    url = f"sqlite:///{tmp_path}/tracker.db"
    beat(url)
    return url


def host(folder: Path, database: str, **settings: str) -> Host:
    """A machine without systemd, and with a gateway that is not there."""
    given = {"PATH": str(folder), "TRACKER_DATABASE_URL": database, BASE_URL: f"http://127.0.0.1:{free_port()}"}
    return Host(environ={**given, **settings}, cwd=folder, system_path=folder / "etc" / "tracker.toml")


def finding(found: list[Finding], check: str) -> Finding:
    (one,) = [each for each in found if each.check == check]
    return one


def test_nothing_is_changed(tmp_path: Path, database: str) -> None:
    before = contents(tmp_path)

    examine(host(tmp_path, database), Asked())

    assert contents(tmp_path) == before


def test_what_a_daemon_has_not_put_into_its_file_yet_is_seen(tmp_path: Path, database: str) -> None:
    """It keeps the last changes in a file beside it, as long as it runs."""
    with closing(Database(database)) as opened:
        opened.write_now(lambda connection: connection.exec_driver_sql("DELETE FROM daemon").close())
        assert (tmp_path / "tracker.db-wal").stat().st_size
        assert inspect_database(database).daemons == ()
    assert inspect_database(database).daemons == ()


def test_a_server_is_only_read(database_url: str) -> None:
    with statements() as seen:
        inspect_database(database_url)

    assert writes(seen) == []
    assert seen[0] == "SET TRANSACTION READ ONLY" or database_url.startswith("sqlite")


@pytest.mark.parametrize(
    ("mebibytes", "state", "words"),
    [(20, "problem", "only 20 MiB are free"), (700, "warning", "that is little"), (4096, "ok", "4096 MiB are free")],
)
def test_room_on_the_disk(tmp_path: Path, database: str, mebibytes: int, state: str, words: str) -> None:
    counted = SimpleNamespace(f_bavail=mebibytes * 256, f_frsize=4096, f_files=1000, f_favail=500, f_flag=0)
    small = replace(host(tmp_path, database), statvfs=lambda _: cast("os.statvfs_result", counted))

    disk = finding(examine(small, Asked()), "disk")

    assert (disk.state, words in disk.cause) == (state, True)
    assert (disk.command or "").startswith("df -h" if state != "ok" else "")


@contextmanager
def mute() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening.getsockname()[1]


def test_nobody_is_waited_for(tmp_path: Path) -> None:
    """A gateway, a server, and whoever has our port, who all say nothing; and a `systemctl` that hangs."""
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "systemctl").chmod(0o755)
    with mute() as port, mute() as server, mute() as other:
        url = f"postgresql://tracker:{TOKEN}@127.0.0.1:{server}/tracker"
        settings = {BASE_URL: f"http://127.0.0.1:{port}", "TRACKER_LISTEN": f"127.0.0.1:{other}"}
        slow = host(tmp_path, url, **settings, PATH=f"{tmp_path}:{os.environ['PATH']}")
        started = time.monotonic()
        found = examine(slow, Asked())
        took = time.monotonic() - started

    assert took < 10
    problems = {one.check for one in found if one.state is State.PROBLEM}
    assert problems == {"database", "upstream default", "listen"}, found


@pytest.mark.parametrize("place", ["config", "environment", "url"])
def test_no_secret_is_told(tmp_path: Path, place: str) -> None:
    file = tmp_path / "tracker.toml"
    settings = {
        "config": f'[upstreams.default]\nbase_url = "http://127.0.0.1:1"\ntoken = "{TOKEN}"\npoll = "{TOKEN}"\n',
        "environment": "",
        "url": f'database_url = "mysql://u:{TOKEN}@h/d"\n',
    }
    file.write_text(settings[place])
    where = Host(
        environ={"PATH": "/nowhere", **({KEY: TOKEN} if place == "environment" else {})}, cwd=tmp_path, system_path=file
    )

    found = examine(where, Asked())

    assert found[0].state is State.PROBLEM
    assert TOKEN not in repr([(one.cause, one.command) for one in found])


def test_the_configuration_of_the_service_is_looked_at(tmp_path: Path, database: str) -> None:
    """As its process was told it, where the caller names none."""
    told = {"TRACKER_DATABASE_URL": database, BASE_URL: f"http://127.0.0.1:{free_port()}", "TRACKER_LOG__LEVEL": "info"}
    service = subprocess.Popen([sys.executable, "-c", "input()"], env=told, stdin=subprocess.PIPE)
    patient = Patient(CommandLine(tmp_path))
    patient.has_systemd(service={"MainPID": str(service.pid), "StateDirectory": "tracker", "WatchdogUSec": "30s"})
    aside = tmp_path / "aside"
    aside.mkdir()
    bare = Host(environ={"PATH": patient.settings["PATH"]}, cwd=aside, system_path=tmp_path / "none.toml")
    try:
        found = examine(bare, Asked())
        named = examine(bare, Asked(database_url=f"sqlite:///{aside}/other.db"))
    finally:
        service.kill()
        service.communicate()

    assert finding(found, "database").cause.startswith(f"{tmp_path}/tracker.db")
    assert finding(named, "database").cause.startswith(f"{aside}/other.db")


def test_a_token_that_only_the_service_sees(tmp_path: Path, database: str) -> None:
    """Its credentials are there while it runs, and are no reason to call the token missing."""
    folder = tmp_path / "etc" / "credentials"
    folder.mkdir(parents=True, mode=0o755)
    (folder / "upstream-default-token").write_text(TOKEN)
    (folder / "upstream-default-token").chmod(0o644)
    with served(Gateway(token=TOKEN)) as url:
        found = examine(host(tmp_path, database, **{BASE_URL: url}), Asked())

    assert finding(found, "upstream default").state is State.WARNING
    assert "a credential that only the service sees" in finding(found, "upstream default").cause
    assert finding(found, "files").command == f"chmod go-rwx {folder}/upstream-default-token"
    folder.chmod(0o700)
    assert finding(examine(host(tmp_path, database), Asked()), "files").state is State.OK


def test_a_socket_of_systemd_is_not_touched_while_nobody_is_behind_it(tmp_path: Path, database: str) -> None:
    """A connection would start the daemon that somebody has stopped."""
    patient = Patient(CommandLine(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as held:
        held.setblocking(False)
        port = held.getsockname()[1]
        patient.has_systemd(service={"ActiveState": "inactive"}, socket={"Listen": f"127.0.0.1:{port} (Stream)"})
        found = examine(host(tmp_path, database, PATH=patient.settings["PATH"]), Asked())
        with pytest.raises(BlockingIOError):
            held.accept()

    assert finding(found, "listen").cause == f"127.0.0.1:{port} is kept by systemd for us"
    commands = {one.command for one in found if one.check == "unit"}
    assert "systemctl enable --now tracker.socket tracker.service" in commands


def test_what_a_stopped_service_would_be_told(tmp_path: Path, database: str) -> None:
    """Its unit says where its configuration is; its credentials are where systemd would take them from."""
    etc = tmp_path / "etc"
    (etc / "credentials").mkdir(parents=True)
    (etc / "credentials" / "database-url").write_text(database)
    (etc / "credentials" / "database-url").chmod(0o600)
    (etc / "other.toml").write_text(f'[upstreams.default]\nbase_url = "http://127.0.0.1:{free_port()}"\n')
    patient = Patient(CommandLine(tmp_path))
    stopped = {"ActiveState": "inactive", "MainPID": "0", "Environment": f"TRACKER_CONFIG={etc}/other.toml A=b"}
    patient.has_systemd(service=stopped)
    aside = tmp_path / "aside"
    aside.mkdir()

    found = examine(
        Host(environ={"PATH": patient.settings["PATH"]}, cwd=aside, system_path=etc / "tracker.toml"), Asked()
    )

    assert finding(found, "config").cause == f"{etc}/other.toml; upstreams: 1"
    assert finding(found, "database").cause.startswith(f"{tmp_path}/tracker.db;")
    assert finding(found, "unit").command == "systemctl enable --now tracker.service"


def test_url_is_bad_usage(tmp_path: Path) -> None:
    assert CommandLine(tmp_path)("doctor", "--url", "http://127.0.0.1:1").exit_code == 2


async def test_a_daemon_that_runs_and_one_that_stands_still(tmp_path: Path) -> None:
    with served(Gateway(token=TOKEN)) as url:
        daemon = DaemonProcess(tmp_path, f"sqlite:///{tmp_path}/tracker.db", {BASE_URL: url, KEY: TOKEN})
        daemon.start()
        try:
            await daemon.wait_until_ready()
            well = daemon.run("doctor", "--json")
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGSTOP)
            ill = daemon.run("doctor", "--json")
            daemon.process.send_signal(signal.SIGCONT)
        finally:
            daemon.end()

    causes = {row["check"]: row["cause"] for row in json.loads(well.stdout)["checks"]}
    assert well.returncode == 0, well.stdout
    assert causes["listen"] == f"127.0.0.1:{daemon.port} is ours"
    (wrong,) = [row for row in json.loads(ill.stdout)["checks"] if row["state"] == "problem"]
    assert (ill.returncode, wrong["check"]) == (1, "daemon")
    assert wrong["cause"] == "the daemon stands still; it listens and does not answer"
    assert wrong["command"] == f"kill {daemon.process.pid}; tracker serve"
