"""Commands that send messages again, and that open and close endpoints: here and through the API."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from api_harness import HOOK, Api
from clocks import FakeClock
from command_line import CommandLine
from test_cli_remote import both_sides

from tracker.cli.commands import endpoints
from tracker.store.database import Database


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@contextmanager
def world(run: CommandLine) -> Iterator[Api]:
    """What a daemon would do to this database meanwhile."""
    database = Database(f"sqlite:///{run.database_path}")
    try:
        yield Api(database, FakeClock(now=datetime.now(UTC)))
    finally:
        database.close()


def delivered(run: CommandLine, task_id: str = "1") -> str:
    """A message that has arrived."""
    run("add", task_id, "--callback", HOOK)
    with world(run) as api:
        api.see(task_id)
        api.clock.advance(1)
        return api.attempt(delivered=True)[0].id


def test_one_message_goes_again(run: CommandLine) -> None:
    id_ = delivered(run)

    (line,) = run.lines("redeliver", id_)

    assert (line[0], line[5]) == (id_, "pending")
    assert run("redeliver", id_).exit_code == 0, "it waits, and is due at once"
    assert run("redeliver", "msg_1").exit_code == 3


def test_all_that_match_go_again_and_the_pipe_gets_their_number(run: CommandLine) -> None:
    delivered(run, "1")
    delivered(run, "2")

    assert run.lines("redeliver", "--status", "delivered", "--endpoint", "https://receiver.example") == [["2"]]
    assert run("redeliver", "--status", "dead", "--since", "2h").exit_code == 1
    assert run.json("deliveries")[0]["why"].endswith(", as attempt 2: it was delivered before")


def test_nothing_that_matched_is_explained_with_what_lets_go_what_waits(run: CommandLine) -> None:
    run("add", "1", "--callback", HOOK)
    with world(run) as api:
        api.see("1")

    answer = run("redeliver", "--endpoint", "https://receiver.example")

    assert (answer.exit_code, answer.stdout) == (1, "0\n")
    assert "no dead message" in answer.stderr
    assert "tracker endpoints enable https://receiver.example" in answer.stderr


@pytest.mark.parametrize("words", [(), ("msg_1", "--status", "dead"), ("--status", "pending")])
def test_it_has_to_be_said_which(run: CommandLine, words: tuple[str, ...]) -> None:
    delivered(run)

    assert run("redeliver", *words).exit_code == 2


def test_endpoints_are_listed_closed_and_opened(run: CommandLine) -> None:
    delivered(run)
    names = [column.name for column in endpoints.COLUMNS]

    (line,) = run.lines("endpoints")
    told = dict(zip(names, line, strict=True))
    assert (told["endpoint"], told["state"], told["waiting"]) == ("https://receiver.example:443", "active", "0")
    assert run.json("endpoints", "disable", told["id"])["reason"] == "disabled by admin"
    assert run.json("endpoints", "enable", "https://receiver.example")["state"] == "active"
    assert run("endpoints", "enable").exit_code == 2
    assert run("endpoints", "enable", "end_1").exit_code == 3


@pytest.mark.anyio
async def test_through_the_api_it_is_the_same(tmp_path: Path) -> None:
    async with both_sides(tmp_path) as both:
        await both.far("add", "1", "--callback", HOOK)
        both.api.see("1")
        (claimed,) = both.api.attempt(delivered=True)

        assert (await both.far("endpoints", "disable", "https://receiver.example")).exit_code == 0
        assert (await both.far("redeliver", claimed.id)).exit_code == 0
        refused = await both.far("redeliver", claimed.id)
        assert (refused.exit_code, "tracker endpoints enable end_" in refused.stderr) == (1, True)
        shown, listed = await both.json("deliveries")
        assert shown == listed
        assert shown[0]["why"].startswith("held: https://receiver.example:443 is disabled: disabled by admin; ")
        assert (await both.far("endpoints", "enable", shown[0]["endpoint"])).exit_code == 0
        assert (await both.far("endpoints", "enable", "https://nowhere.example")).exit_code == 3
        assert (await both.far("redeliver", "--status", "delivered")).exit_code == 1
