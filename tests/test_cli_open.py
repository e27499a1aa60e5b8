"""`tracker open`: a link to the pages that signs in."""

import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from command_line import NO_DAEMON, CommandLine
from test_cli_remote import both_sides, in_thread

from tracker.cli.local import page_address
from tracker.store import sessions
from tracker.store.database import Database
from tracker.store.sessions import SignIn

LINK = re.compile(r"(http://\S+)/sign-in\?link=(lnk_\S+)\n")


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    command_line = CommandLine(tmp_path)
    command_line("db", "upgrade")
    return command_line


def use(run: CommandLine, link: str) -> SignIn | None:
    """Who is signed in by whoever opens it."""
    database = Database(f"sqlite:///{run.database_path}")
    try:
        work = partial(sessions.use_link, presented=link, made=sessions.new_session(), now=datetime.now(UTC))
        return database.write_now(work)
    finally:
        database.close()


@pytest.mark.parametrize(
    ("options", "owner", "scope"),
    [
        ((), "admin", "admin"),
        (("--scope", "read"), "admin", "read"),
        (("--owner", "shop"), "shop", "write"),
        (("--owner", "shop", "--scope", "read"), "shop", "read"),
    ],
)
def test_a_link_is_all_that_is_printed_and_works_once(
    run: CommandLine, options: tuple[str, ...], owner: str, scope: str
) -> None:
    result = run("open", *options)

    found = LINK.fullmatch(result.stdout)
    assert found is not None
    assert result.stderr == f"tracker: {NO_DAEMON}\n"
    assert found[1] == "http://127.0.0.1:8640"
    assert use(run, found[2]) == SignIn(owner=owner, scope=scope, token_id=None)
    assert use(run, found[2]) is None


def test_json_says_how_long_it_can_be_used(run: CommandLine) -> None:
    made = run.json("open")

    assert LINK.fullmatch(f"{made['url']}\n")
    assert 0 < (datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)).total_seconds() <= 300


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", 8640, "http://127.0.0.1:8640"),
        ("0.0.0.0", 80, "http://127.0.0.1:80"),  # noqa: S104 - read, not bound
        ("::", 8640, "http://[::1]:8640"),
        ("fd00::1", 8640, "http://[fd00::1]:8640"),
        ("tracker.example", 8640, "http://tracker.example:8640"),
    ],
)
def test_the_address_is_one_that_a_browser_here_can_open(host: str, port: int, address: str) -> None:
    assert page_address(host, port) == address


def test_a_daemon_on_any_port_has_to_be_named(run: CommandLine) -> None:
    run.settings["TRACKER_LISTEN"] = "127.0.0.1:0"

    result = run("open")

    assert result.exit_code == 2
    assert "--url" in result.stderr


@pytest.mark.parametrize("options", [("--scope", "king"), ("--owner", " shop"), ("--owner", "")])
def test_a_link_for_nobody_is_not_made(run: CommandLine, options: tuple[str, str]) -> None:
    assert run("open", *options).exit_code == 2


@pytest.mark.anyio
@pytest.mark.parametrize("scope", ["read", "admin"])
async def test_a_daemon_elsewhere_makes_it_for_the_owner_of_the_token(tmp_path: Path, scope: str) -> None:
    async with both_sides(tmp_path, scope) as both:
        result = await both.far("open")
        refused = await both.far("open", "--owner", "shop")

        found = LINK.fullmatch(result.stdout)
        assert found is not None
        assert found[1] == both.remote.settings["TRACKER_URL"]
        signed_in = await in_thread(lambda: use(both.local, found[2]))

    assert signed_in is not None
    assert (signed_in.owner, signed_in.scope) == ("admin", scope)
    assert signed_in.token_id is not None
    assert refused.exit_code == 2
    assert "--owner" in refused.stderr
