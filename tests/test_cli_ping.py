"""`tracker ping`: what is sent, what an operator is told, what everybody else is told."""

import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import Result
from command_line import CommandLine
from test_cli_output import on_terminal
from test_cli_remote import both_sides, in_thread

from tracker.simulate import Receiver, serve_app

pytestmark = pytest.mark.anyio
OPEN = {"TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """A command line with an empty database, and loopback open."""
    command_line = CommandLine(tmp_path)
    command_line("db", "upgrade")
    command_line.settings |= OPEN
    return command_line


@asynccontextmanager
async def receiver(run: CommandLine, owner: str = "admin") -> AsyncIterator[tuple[Receiver, str]]:
    secret = (await in_thread(lambda: run("secret", "--owner", owner))).stdout.strip()
    made = Receiver(secrets=lambda: [secret])
    async with serve_app(made) as url:
        yield made, f"{url}/hook"


async def ping(run: CommandLine, *arguments: str) -> Result:
    return await in_thread(lambda: run("ping", *arguments))


async def test_a_ping_delivers_a_signed_test(run: CommandLine) -> None:
    async with receiver(run) as (made, url):
        done = await ping(run, url)

    (message,) = made.messages.values()
    told = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert done.exit_code == 0
    assert message.content["type"] == "callback.test"
    assert (told["delivered"], told["status_code"], told["message_id"]) == ("yes", "204", message.message_id)
    assert told["address"] == "127.0.0.1\t\t"


async def test_a_ping_is_signed_for_the_owner_that_is_named(run: CommandLine) -> None:
    async with receiver(run, "shop") as (_, url):
        assert (await ping(run, url, "--owner", "shop")).exit_code == 0
        refused = await ping(run, url, "--json")

    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["status_code"] == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_operator_learns_which_rule_blocks_and_what_opens_it(run: CommandLine, host: str) -> None:
    run.settings.pop("TRACKER_CALLBACKS__ALLOW_NETWORKS")
    done = await ping(run, f"http://{host}:9999/", "--json")

    told = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (1, "")
    assert (told["delivered"], told["error"]) == (False, "blocked")
    assert {"address": "127.0.0.1", "rule": "loopback", "opened_by": "127.0.0.1/32"} in told["addresses"]
    assert "127.0.0.1 (loopback)" in told["blocked_by"]
    assert '"127.0.0.1/32"' in told["blocked_by"]


async def test_what_is_said_to_open_an_address_opens_it(run: CommandLine) -> None:
    run.settings["TRACKER_CALLBACKS__ALLOW_NETWORKS"] = "127.0.0.1/32"
    async with receiver(run) as (_, url):
        assert (await ping(run, url)).exit_code == 0


async def test_a_rule_about_the_url_itself_is_named(run: CommandLine) -> None:
    run.settings["TRACKER_CALLBACKS__REQUIRE_HTTPS"] = "true"
    done = await ping(run, "http://127.0.0.1:9999/", "--json")

    told = json.loads(done.stdout)
    assert told["addresses"] == [{"address": "127.0.0.1", "rule": None, "opened_by": None}]
    assert "callbacks.require_https" in told["blocked_by"]


async def test_a_closed_port_is_not_told_as_a_closed_network(run: CommandLine) -> None:
    run.settings.pop("TRACKER_CALLBACKS__ALLOW_NETWORKS")
    done = await ping(run, "http://127.0.0.1:6379/", "--json")

    told = json.loads(done.stdout)
    assert told["blocked_by"] == "port 6379 belongs to a service that is not HTTP; use another port"


@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "[fe80::1]"])
async def test_nobody_is_told_to_open_where_clouds_keep_their_secrets(run: CommandLine, host: str) -> None:
    done = await ping(run, f"http://{host}/", "--json")

    told = json.loads(done.stdout)
    assert [one["opened_by"] for one in told["addresses"]] == [None]
    assert "allow_networks" not in told["blocked_by"]


async def test_a_port_where_nobody_listens_is_told(run: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = await ping(run, f"http://127.0.0.1:{port}/", "--json")

    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (told["phase"], told["error"], told["blocked_by"]) == ("connect", "refused", None)


async def test_what_is_no_url_is_bad_usage(run: CommandLine) -> None:
    done = await ping(run, "gopher://a.example")

    assert done.exit_code == 2
    assert done.stderr.startswith("tracker: CALLBACK_URL: ")
    assert "http" in done.stderr


async def test_a_terminal_gets_a_page(run: CommandLine) -> None:
    async with receiver(run) as (_, url):
        drawn = await in_thread(lambda: on_terminal(run, "ping", url))

    assert re.search(r"delivered +yes", drawn)
    assert re.search(r"127\.0\.0\.1 +may be called", drawn)


async def test_a_daemon_tells_what_happened_but_no_addresses(tmp_path: Path) -> None:
    async with both_sides(tmp_path, "write") as both:
        told = json.loads((await both.far("ping", "https://receiver.example/hook", "--json")).stdout)
        blocked = await both.far("ping", "http://127.0.0.1/hook")
        owned = await both.far("ping", "https://receiver.example/hook", "--owner", "shop")

    assert (told["delivered"], told["url"]) == (True, "https://receiver.example/hook")
    assert "addresses" not in told
    assert blocked.exit_code == 2
    assert "callback_url" in blocked.stderr
    assert owned.exit_code == 2
