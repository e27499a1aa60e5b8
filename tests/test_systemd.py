"""What is said to systemd, and what is taken from it."""

import ast
import os
import socket
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from services import Manager

from tracker import systemd
from tracker.systemd import Notifier, journal_listens, passed_sockets, watchdog_limit


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager() as made:
        yield made


def test_it_needs_the_standard_library_only() -> None:
    tree = ast.parse(Path(systemd.__file__).read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_each_word_is_one_datagram(manager: Manager) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": manager.address})

    notifier.extend(timedelta(seconds=30), "migrating")
    notifier.ready("watching")
    notifier.status("two\nlines")
    notifier.watchdog()
    notifier.stopping("done")

    manager.wait_for("STOPPING")
    assert [said.fields for said in manager.heard] == [
        {"EXTEND_TIMEOUT_USEC": "30000000", "STATUS": "migrating"},
        {"READY": "1", "STATUS": "watching"},
        {"STATUS": "two lines"},
        {"WATCHDOG": "1"},
        {"STOPPING": "1", "STATUS": "done"},
    ]


def test_a_reload_carries_the_moment_on_the_clock_that_systemd_compares(manager: Manager) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    Notifier.of({"NOTIFY_SOCKET": manager.address}).reloading("reading")

    said = manager.wait_for("RELOADING")
    assert before <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_socket_in_the_file_system_is_as_good(tmp_path: Path) -> None:
    with Manager(str(tmp_path / "notify")) as manager:
        Notifier.of({"NOTIFY_SOCKET": manager.address}).watchdog()

        assert manager.wait_for("WATCHDOG")


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all"])
def test_where_nobody_listens_nothing_happens(address: str | None) -> None:
    notifier = Notifier(address)

    notifier.ready("watching")

    assert notifier.is_heard is bool(address)


def test_that_it_is_done_is_said_again_where_it_was_not_taken(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever called for a reload waits for this word."""
    connect, refused = socket.socket.sendto, []

    def refuse_once(self: socket.socket, said: bytes, address: str) -> int:
        if not refused:
            refused.append(said)
            raise TimeoutError
        return connect(self, said, address)

    monkeypatch.setattr("socket.socket.sendto", refuse_once)
    Notifier(manager.address).ready("watching")

    manager.wait_for("READY")
    assert len(refused) == len(manager.heard) == 1


@pytest.mark.parametrize(
    ("environ", "limit"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "17"}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "18"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_meant_for_one_process(environ: dict[str, str], limit: timedelta | None) -> None:
    assert watchdog_limit(environ, 17) == limit


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": "18", "LISTEN_FDS": "1"}, {"LISTEN_PID": "17"}]
)
def test_sockets_for_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert passed_sockets(environ, 17) == []


def test_passed_sockets_keep_their_names_and_go_to_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    first = 700
    for place, one in enumerate(made):
        os.dup2(one.fileno(), first + place)
    monkeypatch.setattr(systemd, "_FIRST_PASSED", first)
    environ = {"LISTEN_PID": "17", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "api:other"}

    passed = passed_sockets(environ, 17)

    assert [one.name for one in passed] == ["api", "other", "unknown"]
    assert [one.socket.getsockname() for one in passed] == [one.getsockname() for one in made]
    assert not any(one.socket.get_inheritable() for one in passed)
    assert environ == {}
    for one in [*made, *(one.socket for one in passed)]:
        one.close()


def test_the_journal_is_known_by_the_file_that_is_written_to(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}

        assert journal_listens(environ, file.fileno())
        assert not journal_listens({"JOURNAL_STREAM": "8:1"}, file.fileno())
        assert not journal_listens({}, file.fileno())
    assert not journal_listens(environ, 10_000)
