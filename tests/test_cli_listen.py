"""`tracker listen`: what it takes, what it refuses, what it shows, and how it ends."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import CommandLine
from snippets import Message, signed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from test_cli_remote import in_thread

from tracker.simulate import serve_app
from tracker.webhooks.signing import new_secret

pytestmark = pytest.mark.anyio
SECRET = new_secret()


@dataclass
class Listening:
    """A listener as a process, and where it is."""

    process: subprocess.Popen[str]
    url: str
    shown: list[str] = field(default_factory=list)

    def post(self, message: Message) -> httpx.Response:
        return httpx.post(f"{self.url}/hook", content=message.body, headers=message.headers, trust_env=False)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")


@contextmanager
def listening(run: CommandLine, *arguments: str) -> Iterator[Listening]:
    """One on a free port; at the end it is interrupted, and must end well."""
    with run.start("listen", "--listen", "127.0.0.1:0", *arguments) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"listening at (http://127\.0\.0\.1:\d+) ", said)
        assert found, said
        try:
            yield Listening(process, found[1])
        finally:
            process.send_signal(signal.SIGINT)
            rest, problems = process.communicate(timeout=30)
        assert (process.returncode, rest, problems) == (0, "", "")


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    """One that knows SECRET, for facts that leave nothing behind in it."""
    with listening(CommandLine(tmp_path_factory.mktemp("listener")), "--secret", SECRET) as started:
        yield started


def test_a_genuine_message_is_answered_and_shown_on_a_line(run: CommandLine) -> None:
    message = signed()
    with listening(run, "--secret", message.secret) as listener:
        answers = [listener.post(message).status_code for _ in range(2)]
        lines = [listener.line().split("\t") for _ in range(2)]

    assert answers == [204, 204]
    assert [line[1:] for line in lines] == [
        ["genuine", "task.succeeded", "msg_1", "204", ""],
        ["repeat", "task.succeeded", "msg_1", "204", ""],
    ]


@pytest.mark.parametrize(
    ("seconds_ago", "changes", "problem"),
    [
        (0, {"webhook-id": "msg_2"}, "fits none of the secrets"),
        (0, {"webhook-signature": ""}, "webhook-signature is missing"),
        (0, {"webhook-id": ""}, "webhook-id or webhook-timestamp is missing"),
        (3600, {}, r"too far from now: 360\d s old"),
    ],
)
def test_a_forged_message_is_refused_with_what_is_wrong(
    listener: Listening, seconds_ago: int, changes: dict[str, str], problem: str
) -> None:
    message = signed(secret=SECRET, seconds_ago=seconds_ago)
    message.headers.update(changes)

    answer = listener.post(message)
    line = listener.line()

    assert answer.status_code == 401
    assert re.search(problem, answer.text)
    assert re.search(rf"\tforged\t.*{problem}", line)


def test_json_tells_every_byte_and_header(run: CommandLine) -> None:
    message = signed()
    with listening(run, "--secret", message.secret, "--status", "503", "--json") as listener:
        answer = listener.post(message)
        told: dict[str, Any] = json.loads(listener.line())

    assert answer.status_code == told["answered"] == 503
    assert told["body"] == message.body.decode()
    assert message.headers.items() <= told["headers"].items()
    assert (told["verdict"], told["path"], told["problem"]) == ("genuine", "/hook", None)


def test_a_secret_need_not_stand_where_every_process_can_read_it(run: CommandLine) -> None:
    message = signed()
    run.settings["TRACKER_SECRET"] = message.secret
    with listening(run) as listener:
        answer = listener.post(message)
        shown = listener.line()
        words = Path(f"/proc/{listener.process.pid}/cmdline").read_text()

    assert answer.status_code == 204
    assert message.secret not in words
    assert message.secret not in shown
    assert run("config", "check").exit_code == 0


def test_an_owners_secrets_come_from_the_database_and_are_followed(run: CommandLine) -> None:
    run("db", "upgrade")
    secrets = [run("secret", "--owner", "shop").stdout.strip()]
    with listening(run, "--owner", "shop") as listener:
        secrets.append(run("secret", "rotate", "--owner", "shop").stdout.strip())
        answers = [listener.post(signed(secret=secret)).status_code for secret in secrets]
        listener.line()
        listener.line()

    assert answers == [204, 204]


async def test_a_genuine_message_is_handed_on_byte_for_byte(run: CommandLine) -> None:
    taken: list[tuple[dict[str, str], bytes]] = []

    async def take(request: Request) -> Response:
        taken.append((dict(request.headers), await request.body()))
        return Response("mine", status_code=418, headers={"retry-after": "7"})

    message = signed()
    forged = signed(secret=message.secret)
    forged.headers["webhook-id"] = "msg_2"
    async with serve_app(Starlette(routes=[Route("/mine", take, methods=["POST"])])) as url:

        def post() -> list[httpx.Response]:
            with listening(run, "--secret", message.secret, "--forward-to", f"{url}/mine") as listener:
                answers = [listener.post(message), listener.post(forged)]
                assert "\t418\t" in listener.line()
                assert "\t401\t" in listener.line()
                return answers

        answer, refusal = await in_thread(post)

    ((headers, body),) = taken
    assert body == message.body
    assert message.headers.items() <= headers.items()
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (418, "mine", "7")
    assert refusal.status_code == 401


def test_a_program_that_is_away_is_told_as_502(run: CommandLine) -> None:
    message = signed()
    with listening(run, "--secret", message.secret, "--forward-to", "http://127.0.0.1:1/") as listener:
        answer = listener.post(message)
        line = listener.line()

    assert answer.status_code == 502
    assert "refused" in answer.text
    assert "\t502\t" in line


def test_what_cannot_be_used_is_bad_usage(run: CommandLine) -> None:
    secret = signed().secret
    for arguments in (
        ("--secret", "short"),
        ("--secret", secret, "--owner", "shop"),
        ("--secret", secret, "--listen", "nowhere"),
        ("--secret", secret, "--listen", "127.0.0.1:0", "--forward-to", "ftp://a.example"),
    ):
        done = run("listen", *arguments)
        assert done.exit_code == 2, done.stderr


def test_a_port_that_is_taken_is_told(run: CommandLine, listener: Listening) -> None:
    done = run("listen", "--secret", SECRET, "--listen", listener.url.removeprefix("http://"))

    assert done.exit_code == 69
    assert "cannot be had" in done.stderr
