"""What the command line says where nobody is at work, or something fails, though the list looks well."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from api_harness import HOOK, Api
from clocks import FakeClock
from command_line import NO_DAEMON, CommandLine

from tracker.cli.commands import endpoints, upstreams
from tracker.model import Status
from tracker.store import daemons
from tracker.store import endpoints as endpoint_store
from tracker.store import upstreams as upstream_store
from tracker.store.database import Connection, Database
from tracker.store.upstreams import Health


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    command_line = CommandLine(tmp_path)
    command_line("add", "1", "--callback", HOOK)
    return command_line


def enter(run: CommandLine, *, seconds_ago: int, is_gone: bool = False) -> None:
    """A daemon that showed itself last so long ago."""
    database = Database(f"sqlite:///{run.database_path}")
    seen = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    join = partial(daemons.join, me="dmn_1", host="here", pid=1, version="1", now=seen)
    database.write_now(join)
    if is_gone:
        database.write_now(daemons.all_leave)
    database.close()


COMMANDS = (
    ("list",),
    ("show", "1"),
    ("upstreams",),
    ("watch", "1", "--timeout", "1ms"),
    ("add", "2"),
    ("refresh", "1"),
    ("open",),
)


@pytest.mark.parametrize("words", COMMANDS)
def test_that_no_daemon_runs_is_said_beside_the_answer(run: CommandLine, words: tuple[str, ...]) -> None:
    result = run(*words)

    assert f"tracker: {NO_DAEMON}\n" in result.stderr
    assert "no daemon" not in result.stdout


@pytest.mark.parametrize("words", COMMANDS)
def test_nothing_is_said_where_one_runs(run: CommandLine, words: tuple[str, ...]) -> None:
    enter(run, seconds_ago=6)

    assert "no daemon" not in run(*words).stderr


@pytest.mark.parametrize(("seconds_ago", "is_gone", "said"), [(17, True, "1[789] seconds"), (300, False, "5 minutes")])
def test_it_is_said_when_the_last_one_was_seen(run: CommandLine, *, seconds_ago: int, is_gone: bool, said: str) -> None:
    enter(run, seconds_ago=seconds_ago, is_gone=is_gone)

    assert re.search(rf"no daemon runs \(the last one was seen {said} ago\): nothing is looked at", run("list").stderr)


def test_what_needs_no_daemon_does_not_miss_one(run: CommandLine) -> None:
    for words in (("history", "1"), ("config", "show"), ("db", "current"), ("token", "list"), ("deliveries",)):
        assert "no daemon" not in run(*words).stderr


def note_failures(connection: Connection, now: datetime) -> None:
    ((key, before),) = endpoint_store.read_all(connection, ["https://receiver.example:443"]).values()
    endpoint_store.change(connection, key, before, replace(before, failures=2, failing_since=now), now)


def test_an_endpoint_that_fails_does_not_look_well(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(f"sqlite:///{run.database_path}")
    clock = FakeClock(now=datetime.now(UTC))
    api = Api(database, clock)
    api.see("1", Status.FAILED)
    clock.advance(6)
    api.attempt(delivered=False)
    database.write_now(partial(note_failures, now=clock()))
    database.close()
    piped = run("endpoints")
    monkeypatch.setattr(endpoints, "has_terminal", lambda: True)

    drawn = run("endpoints").stdout

    assert piped.stdout.split("\t")[2] == "active"
    assert run.json("endpoints")[0]["state"] == "active"
    assert drawn.split("\t")[2] == "failing"
    assert "HTTP 500" in drawn


def test_an_error_of_the_past_is_told_with_its_distance(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    ago = datetime.now(UTC) - timedelta(hours=3)
    health = Health(name="default", state="ok", last_error="HTTP 500", last_error_at=ago)
    database = Database(f"sqlite:///{run.database_path}")
    database.write_now(partial(upstream_store.write, health=health))
    database.close()
    assert "HTTP 500" in run.lines("upstreams")[0]
    monkeypatch.setattr(upstreams, "has_terminal", lambda: True)

    assert "3h ago: HTTP 500" in run.lines("upstreams")[0]


def test_a_reader_who_has_seen_enough_is_no_answer(run: CommandLine) -> None:
    read, write = os.pipe()
    os.close(read)
    with run.start("list", stdout=write) as listing:
        os.close(write)
        _, said = listing.communicate(timeout=60)

    assert listing.returncode == 0
    assert said.splitlines() == [f"tracker: {NO_DAEMON}"]
