"""Commands through the API: the same answers as from the database, and its errors as our exit codes."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import pytest
from api_harness import HOOK, SETTINGS, Api
from click.testing import Result
from clocks import FakeClock
from command_line import UPSTREAMS, CommandLine
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tracker.config import Settings
from tracker.simulate import serve_app
from tracker.store.database import Database

pytestmark = pytest.mark.anyio
T = TypeVar("T")


@dataclass
class Both:
    """The same database from both sides: through the API, and opened."""

    api: Api
    local: CommandLine
    remote: CommandLine

    async def far(self, *arguments: str, stdin: str | None = None) -> Result:
        return await in_thread(lambda: self.remote(*arguments, stdin=stdin))

    async def json(self, *arguments: str) -> tuple[Any, Any]:
        """What a command prints here and there."""
        return (
            await in_thread(lambda: self.local.json(*arguments)),
            await in_thread(lambda: self.remote.json(*arguments)),
        )


async def in_thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work)


@asynccontextmanager
async def both_sides(folder: Path, scope: str = "admin", **limits: int) -> AsyncIterator[Both]:
    local = CommandLine(folder)
    await in_thread(lambda: local("db", "upgrade"))
    database = Database(f"sqlite:///{local.database_path}")
    try:
        settings = Settings.model_validate({**dict(SETTINGS), "limits": limits})
        api = Api(database, FakeClock(now=datetime.now(UTC)), settings=settings)
        async with serve_app(api.app) as url:
            daemon = {"TRACKER_URL": url, "TRACKER_TOKEN": api.token("admin", scope)}
            yield Both(api=api, local=local, remote=CommandLine(folder, settings=daemon))
    finally:
        database.close()


async def test_both_sides_tell_the_same(tmp_path: Path) -> None:
    async with both_sides(tmp_path) as both:
        added = json.loads((await both.far("add", "1", "--callback", HOOK, "--metadata", "[1]", "--json")).stdout)
        await both.far("add", "2", "--upstream", "spare")
        both.api.see("1", progress=100, object={"id": "1", "prompt": "a pig"})
        both.api.attempt(delivered=False)

        for words in (
            ("list",),
            ("list", "--status", "queued,running", "--upstream", "spare", "--since", "2h"),
            ("list", "--q", "pig", "--until", "2199-01-01T00:00:00Z"),
            ("show", "1"),
            ("show", added["id"]),
            ("history", "1"),
            ("deliveries",),
            ("endpoints",),
            ("deliveries", "1", "--status", "pending"),
            ("add", "1", "--callback", HOOK),
            ("refresh", "2"),
        ):
            here, there = await both.json(*words)
            assert here == there, words
        assert added["created"] is True


async def test_both_sides_tell_of_tasks_whose_upstream_is_gone(tmp_path: Path) -> None:
    async with both_sides(tmp_path) as both:
        with_another = CommandLine(
            tmp_path, settings={**UPSTREAMS, "TRACKER_UPSTREAMS__OLD__BASE_URL": "http://a.example"}
        )
        await in_thread(lambda: with_another("add", "1", "--upstream", "old"))

        here, there = await both.json("upstreams")

    assert here == there
    assert [(one["name"], one["state"], one["live_tasks"]) for one in there] == [
        ("default", "unknown", 0),
        ("spare", "unknown", 0),
        ("old", "not_configured", 1),
    ]


async def test_both_sides_say_whether_a_drop_stopped_anything(tmp_path: Path) -> None:
    async with both_sides(tmp_path) as both:
        for number in ("1", "2"):
            await both.far("add", number)

        far = [await both.far("drop", "1", "--json") for _ in range(2)]
        near = [await in_thread(lambda: both.local("drop", "2", "--json")) for _ in range(2)]

    for first, again in (far, near):
        assert (first.exit_code, again.exit_code) == (0, 1)
        assert json.loads(again.stdout) == {**json.loads(first.stdout), "stopped": False}
        assert json.loads(first.stdout)["status"] == "dropped"


async def test_a_task_that_goes_on_for_another_owner_was_not_stopped(tmp_path: Path) -> None:
    async with both_sides(tmp_path, scope="write") as both:
        await both.far("add", "1")
        both.remote.settings["TRACKER_TOKEN"] = both.api.token("bob")
        await both.far("add", "1")

        dropped = await both.far("drop", "1")

    assert dropped.exit_code == 1
    assert dropped.stdout.split("\t")[3] == "queued"
    assert "goes on for another owner" in dropped.stderr


async def test_deliveries_are_listed_in_one_call(tmp_path: Path) -> None:
    app = Always(JSONResponse({"deliveries": [{"id": "msg_1", "last_attempt": None}], "next_cursor": None}))
    async with answering(tmp_path, app) as run:
        listed = await in_thread(lambda: run("deliveries"))

    assert listed.exit_code == 0, listed.stderr
    assert [request.url.path for request in app.asked] == ["/v1/deliveries"]


async def test_lists_go_on_over_pages(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"task_id": str(number), "callback_url": HOOK}) + "\n" for number in range(1100))

    async with both_sides(tmp_path) as both:
        added = await both.far("add", "-", stdin=lines)
        listed = await both.far("list", "--limit", "1050")

    assert len(added.stdout.splitlines()) == 1100
    assert len({line.split("\t")[1] for line in listed.stdout.splitlines()}) == 1050


async def test_large_registrations_are_sent_in_parts(tmp_path: Path) -> None:
    registration = {"callback_url": HOOK + "/" + "x" * 1900, "metadata": "x" * 4000}
    lines = "".join(json.dumps({"task_id": str(number), **registration}) + "\n" for number in range(900))

    async with both_sides(tmp_path) as both:
        added = await both.far("add", "-", stdin=lines)

    assert added.exit_code == 0, added.stderr
    assert len(added.stdout.splitlines()) == 900


async def test_what_the_api_refuses_is_told_by_line(tmp_path: Path) -> None:
    good = [json.dumps({"task_id": str(number)}) for number in range(1000)]
    async with both_sides(tmp_path) as both:
        early = await both.far("add", "-", stdin='{"task_id": "a"}\n\n{"task_id": "b", "upstream": "nope"}\n')
        late = await both.far("add", "-", stdin="\n".join([*good, '{"task_id": "b", "upstream": "nope"}']))
        alone = await both.far("add", "1", "--callback", "http://10.0.0.1/")

    assert (early.exit_code, late.exit_code, alone.exit_code) == (2, 2, 2)
    assert early.stderr.startswith("tracker: line 3, upstream: 'nope' is not configured")
    assert late.stderr.startswith("tracker: line 1001, upstream: ")
    assert "the first 1000 are registered" in late.stderr
    assert alone.stderr.startswith("tracker: callback_url: ")


async def test_a_limit_of_the_daemon_is_told_and_the_operator_has_none(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"task_id": str(number)}) + "\n" for number in range(10))
    async with both_sides(tmp_path, live_tasks_per_owner=1, registrations_per_minute_per_owner=5) as both:
        taken = await both.far("add", "a")
        full = await both.far("add", "b")
        too_many = await both.far("add", "-", stdin=lines)
        near = await in_thread(lambda: both.local("add", "-", stdin=lines))

    assert (taken.exit_code, full.exit_code, too_many.exit_code, near.exit_code) == (0, 69, 2, 0)
    assert full.stderr.startswith("tracker: an owner's live tasks are limited to 1 (limits.live_tasks_per_owner)")
    assert "at most 5 a minute (limits.registrations_per_minute_per_owner); send at most 5 at a time" in too_many.stderr
    assert len(near.stdout.splitlines()) == 10


async def test_what_was_registered_before_a_limit_was_met_is_told(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"task_id": str(number)}) + "\n" for number in range(1100))
    async with both_sides(tmp_path, registrations_per_minute_per_owner=1000) as both:
        stopped = await both.far("add", "-", stdin=lines)
        listed = await both.far("list", "--limit", "2000")

    assert (stopped.exit_code, stopped.stdout) == (69, "")
    assert "at most 1000 registrations a minute (limits.registrations_per_minute_per_owner)" in stopped.stderr
    assert "(the first 1000 are registered; once more does no harm)" in stopped.stderr
    assert len(listed.stdout.splitlines()) == 1000


async def test_a_malformed_line_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with both_sides(tmp_path) as both:
        refused = await both.far("add", "-", stdin='{"task_id": "a"}\n{"task_id": 5}\n')
        listed = await both.far("list")

    assert refused.stderr.startswith("tracker: line 2, task_id: ")
    assert listed.stdout == ""


async def test_errors_of_the_api_have_exit_codes(tmp_path: Path) -> None:
    async with both_sides(tmp_path, scope="read") as both:
        forbidden = await both.far("add", "1")
        missing = await both.far("show", "tsk_1/../..?x")
        both.remote.settings["TRACKER_TOKEN"] = "trk_wrong"
        unknown = await both.far("list")
        del both.remote.settings["TRACKER_TOKEN"]
        none = await both.far("list")

    assert (forbidden.exit_code, missing.exit_code, unknown.exit_code) == (1, 3, 1)
    assert "write" in forbidden.stderr
    for refused in (unknown, none):
        assert refused.exit_code == 1
        assert "the token in TRACKER_TOKEN is missing, unknown or revoked: `tracker token create`" in refused.stderr


@asynccontextmanager
async def answering(folder: Path, app: ASGIApp) -> AsyncIterator[CommandLine]:
    """The command line before something that is no daemon of ours."""
    async with serve_app(app) as url:
        yield CommandLine(folder, settings={"TRACKER_URL": url, "TRACKER_TOKEN": "trk_1"})


class Always:
    """Answers everything alike, and remembers what it was asked."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.asked: list[Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(Request(scope))
        await self.response(scope, receive, send)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (PlainTextResponse("<html>", status_code=502), 69),
        (JSONResponse({"detail": "wait"}, status_code=503), 69),
        (JSONResponse({"detail": "not now"}, status_code=409), 1),
        (JSONResponse(["?"], status_code=404), 69),
        (PlainTextResponse("<html>", status_code=404), 69),
        (JSONResponse({"type": "about:blank", "title": "Not Found", "detail": "no task", "status": 404}, 404), 3),
        (JSONResponse({"detail": "too much"}, status_code=413), 1),
        (PlainTextResponse("", status_code=302, headers={"location": "/elsewhere"}), 69),
    ],
)
async def test_whatever_answers_there_is_an_exit_code(tmp_path: Path, response: Response, code: int) -> None:
    app = Always(response)
    async with answering(tmp_path, app) as run:
        result = await in_thread(lambda: run("list"))

    assert result.exit_code == code
    assert result.stderr.startswith("tracker: ")
    assert len(app.asked) == 1
    assert app.asked[0].headers["authorization"] == "Bearer trk_1"


@pytest.mark.parametrize("answer", [PlainTextResponse("hello"), JSONResponse({"pages": []}), JSONResponse([1])])
async def test_an_answer_of_something_else_is_no_daemon(tmp_path: Path, answer: Response) -> None:
    async with answering(tmp_path, Always(answer)) as run:
        for words in (("list",), ("upstreams",), ("show", "tsk_1"), ("add", "1"), ("deliveries",)):
            result = await in_thread(lambda words=words: run(*words))
            assert result.exit_code == 69, words


async def test_what_knows_no_address_of_ours_is_no_daemon(tmp_path: Path) -> None:
    async with answering(tmp_path, Always(JSONResponse({"detail": "Not Found"}, status_code=404))) as run:
        result = await in_thread(lambda: run("list"))

    assert (result.exit_code, result.stderr) == (69, "tracker: what answers at --url is no tracker daemon\n")


def test_nobody_there(tmp_path: Path) -> None:
    result = CommandLine(tmp_path)("list", "--url", "http://127.0.0.1:1")

    assert result.exit_code == 69
    assert result.stderr.startswith("tracker: the daemon at 127.0.0.1:1 is out of reach")


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://a:b", "http://\udcff"])
def test_an_address_that_is_none_is_bad_usage(tmp_path: Path, url: str) -> None:
    result = CommandLine(tmp_path)("list", "--url", url)

    assert result.exit_code == 2
    assert result.stderr.startswith("tracker: --url: ")


@pytest.mark.parametrize("token", ["trk_ü", "trk_1\n2"])
def test_a_token_that_no_header_can_carry_is_bad_usage(tmp_path: Path, token: str) -> None:
    run = CommandLine(tmp_path, settings={"TRACKER_URL": "http://127.0.0.1:1", "TRACKER_TOKEN": token})

    assert run("list").exit_code == 2
