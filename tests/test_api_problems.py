"""What goes wrong is told in one shape, and never more of the inside than is good."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import httpx
import pytest
from api_harness import ON_ONE_DATABASE, Api, fields, serving
from clocks import FakeClock
from sqlalchemy import update
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from tracker.api.bodies import LARGEST_BODY, MOST_DRAINED
from tracker.api.problems import APOLOGY
from tracker.desk.fence import Fence
from tracker.errors import UnavailableError
from tracker.simulate import serve_app
from tracker.store.database import Database, Work
from tracker.store.schema import callback

T = TypeVar("T")


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        made.use()
        yield made


@ON_ONE_DATABASE
async def test_an_unknown_path_is_a_problem(api: Api) -> None:
    answer = await api.client.get("/v1/nothing")

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no such path; /openapi.json lists those that exist",
        "errors": [],
    }


@ON_ONE_DATABASE
@pytest.mark.parametrize("path", ["/v1/tasks/", "/v1/tasks/tsk_1/", "//v1/tasks", "/docs", "/redoc", "/"])
async def test_nothing_is_redirected_and_no_page_is_served(api: Api, path: str) -> None:
    answer = await api.client.get(path)

    assert (answer.status_code, fields(answer)) == (404, [])


@ON_ONE_DATABASE
async def test_a_method_that_a_path_does_not_take_is_a_problem(api: Api) -> None:
    answer = await api.client.put("/v1/tasks/tsk_1")

    assert (answer.status_code, fields(answer)) == (405, [])
    assert "allow" in answer.headers


async def test_an_unknown_task_is_a_problem(api: Api) -> None:
    for method, path in [
        ("GET", ""),
        ("GET", "/history"),
        ("GET", "/deliveries"),
        ("POST", "/refresh"),
        ("DELETE", ""),
    ]:
        answer = await api.client.request(method, f"/v1/tasks/tsk_1{path}")

        assert (answer.status_code, answer.json()["detail"]) == (404, "there is no task 'tsk_1'")


async def test_an_unknown_delivery_is_a_problem(api: Api) -> None:
    answer = await api.client.get("/v1/deliveries/msg_1")

    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no delivery 'msg_1'")


@ON_ONE_DATABASE
async def test_a_method_that_is_not_there_is_answered_with_all_that_are(api: Api) -> None:
    allowed = [(await api.client.put(path)).headers["allow"] for path in ("/v1/tasks", "/v1/tasks/tsk_1", "/healthz")]

    assert allowed == ["GET, POST", "DELETE, GET", "GET"]


@ON_ONE_DATABASE
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/history"), ("DELETE", ""), ("POST", "/refresh")])
async def test_an_upstreams_id_in_the_place_of_ours_is_told_apart(api: Api, method: str, path: str) -> None:
    await api.register("1730621826053455")

    answer = await api.client.request(method, f"/v1/tasks/1730621826053455{path}")

    assert answer.status_code == 404
    assert "tracker's own id (tsk_…)" in answer.json()["detail"]
    assert "GET /v1/tasks?task_id=…" in answer.json()["detail"]


@ON_ONE_DATABASE
@pytest.mark.parametrize("id_", ["%00", "tsk_%00", "tsk_%0A", "%ED%A0%80", "%FF"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/tasks/{}"),
        ("GET", "/v1/tasks/{}/history"),
        ("GET", "/v1/tasks/{}/deliveries"),
        ("POST", "/v1/tasks/{}/refresh"),
        ("DELETE", "/v1/tasks/{}"),
        ("GET", "/v1/deliveries/{}"),
    ],
)
async def test_an_id_that_is_no_text_is_refused(api: Api, method: str, path: str, id_: str) -> None:
    answer = await api.client.request(method, path.format(id_))

    assert (answer.status_code, fields(answer)) == (422, ["id"])


@ON_ONE_DATABASE
async def test_a_problem_does_not_send_back_all_of_a_long_input(api: Api) -> None:
    answer = await api.client.get("/v1/tasks/" + "x" * 30_000)

    assert answer.status_code == 404
    assert len(answer.content) < 1000


@ON_ONE_DATABASE
async def test_an_error_names_the_field_what_is_wrong_and_the_fix(api: Api) -> None:
    answer = await api.client.get("/v1/tasks?limit=501")

    assert answer.json() == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "limit: is too large; send at most 500",
        "errors": [{"field": "limit", "problem": "is too large", "fix": "send at most 500"}],
    }


@ON_ONE_DATABASE
class TestBodies:
    async def test_one_that_is_too_large_is_refused(self, api: Api) -> None:
        answer = await api.client.post("/v1/tasks", content=b" " * (LARGEST_BODY + 1))

        assert (answer.status_code, fields(answer)) == (413, [])
        assert answer.json()["title"] == "Content Too Large"
        assert answer.headers["connection"] == "close"

    async def test_one_of_the_largest_size_is_read(self, api: Api) -> None:
        body = b'{"task_id": "1"}'

        answer = await api.client.post("/v1/tasks", content=body + b" " * (LARGEST_BODY - len(body)))

        assert answer.status_code == 201

    async def test_one_nested_too_deep_is_told_so(self, api: Api) -> None:
        answer = await api.client.post("/v1/tasks", content=b"[" * 50_000 + b"]" * 50_000)

        assert (answer.status_code, fields(answer)) == (422, ["body"])
        assert answer.json()["errors"][0]["problem"] == "is nested too deep"

    async def test_the_refusal_of_a_large_one_arrives(self, api: Api) -> None:
        """A server that hangs up while a client sends is all that many clients tell."""
        async with serve_app(api.app) as url, httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{url}/v1/tasks", content=b" " * 30_000_000, headers=dict(api.client.headers))

        assert (answer.status_code, fields(answer)) == (413, [])

    @pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks/batch"])
    async def test_one_without_an_end_is_read_only_to_a_limit(self, api: Api, path: str) -> None:
        """No content-length says how much will come."""
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1_000_000
                yield b" " * 1_000_000

        answer = await api.client.post(path, content=endless())

        assert answer.status_code == 413
        assert sent <= MOST_DRAINED + 1_000_000

    async def test_the_rest_of_a_large_one_is_not_waited_for_without_end(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.api.bodies.DRAIN_SECONDS", 0.01)

        async def stalling() -> AsyncIterator[bytes]:
            yield b" " * (LARGEST_BODY + 1)
            await asyncio.Event().wait()

        answer = await api.client.post("/v1/tasks", content=stalling())

        assert answer.status_code == 413

    async def test_a_strangers_is_not_read_at_all(self, api: Api) -> None:
        async def unwanted() -> AsyncIterator[bytes]:
            pytest.fail("it was read")
            yield b""

        answer = await api.client.post("/v1/tasks", content=unwanted(), headers={"authorization": "Bearer trk_no"})

        assert answer.status_code == 401

    async def test_a_client_that_leaves_in_the_middle_is_no_error_of_ours(self, api: Api) -> None:
        told: list[int] = []
        headers = [(name.lower().encode(), value.encode()) for name, value in api.client.headers.items()]

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                told.append(int(str(message["status"])))

        scope = {"type": "http", "method": "POST", "path": "/v1/tasks", "query_string": b"", "headers": headers}
        with capture_logs() as logs:
            await api.app(scope, receive, send)

        assert (told, logs) == ([400], [])


class Cut(Database):
    """A database that is out of reach."""

    async def read(self, _work: Work[T]) -> T:
        raise UnavailableError("connection to server at 10.0.0.7 failed")

    async def write(self, _work: Work[T]) -> T:
        raise UnavailableError("connection to server at 10.0.0.7 failed")


class Stuck(Database):
    """A database that never answers."""

    async def read(self, _work: Work[T]) -> T:
        return await asyncio.get_running_loop().create_future()


class Broken(Database):
    """A database that fails in a way nobody thought of."""

    async def read(self, _work: Work[T]) -> T:
        raise ZeroDivisionError("the inside")


class TestTrouble:
    @pytest.fixture
    async def made(self, request: pytest.FixtureRequest, database_url: str, clock: FakeClock) -> AsyncIterator[Api]:
        database = request.param(database_url)
        async with serving(database, clock) as api:
            api.use()
            yield api
        database.close()

    @ON_ONE_DATABASE
    @pytest.mark.parametrize("made", [Cut], indirect=True)
    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/v1/tasks"), ("POST", "/v1/tasks"), ("GET", "/v1/deliveries"), ("GET", "/readyz")],
    )
    async def test_a_database_that_is_away_is_503_and_tells_no_address(self, made: Api, method: str, path: str) -> None:
        answer = await made.client.request(method, path)

        assert (answer.status_code, fields(answer)) == (503, [])
        assert answer.headers["retry-after"] == "1"
        assert "10.0.0.7" not in answer.text

    @ON_ONE_DATABASE
    @pytest.mark.parametrize("made", [Broken], indirect=True)
    async def test_what_nobody_expected_is_500_without_details_and_logged(self, made: Api) -> None:
        with capture_logs() as logs:
            answer = await made.client.get("/v1/tasks?q=secret")

        assert (answer.status_code, fields(answer)) == (500, [])
        assert "inside" not in answer.text
        assert [(line["event"], line["method"], line["path"], line["log_level"]) for line in logs] == [
            ("request_failed", "GET", "/v1/tasks", "error")
        ]

    async def test_an_answer_that_breaks_in_the_middle_is_left_to_the_server(self) -> None:
        """It closes the connection, which is all that can be told by then."""
        sent: list[str] = []

        async def breaks(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ZeroDivisionError

        async def send(message: Message) -> None:
            sent.append(message["type"])

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        with capture_logs() as logs, pytest.raises(ZeroDivisionError):
            await Fence(breaks, apology=APOLOGY)({"type": "http", "method": "GET", "path": "/"}, receive, send)

        assert sent == ["http.response.start"]
        assert [line["event"] for line in logs] == ["request_failed"]

    @ON_ONE_DATABASE
    @pytest.mark.parametrize("made", [Stuck], indirect=True)
    async def test_a_database_that_does_not_answer_in_time_is_not_ready(
        self, made: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.api.health.ANSWER_WITHIN_SECONDS", 0.01)

        answer = await made.client.get("/readyz")

        assert answer.status_code == 503

    async def test_a_registration_that_could_not_be_written_is_503(self, api: Api) -> None:
        await api.client.get("/v1/tasks")
        api.database.close()

        answer = await api.client.post("/v1/tasks", json={"task_id": "1"})

        assert answer.status_code == 503
        assert api.woken == []


@pytest.mark.parametrize(
    ("stored", "told"), [('["\\ud800", 1e999]', ["?", None]), ("[1e999, 2]", [None, 2]), ("no JSON", "no JSON")]
)
async def test_what_was_written_by_hand_can_always_be_answered(api: Api, stored: str, told: object) -> None:
    """Half a character and an infinite number are no JSON, but somebody's SQL may have put them there."""
    task = await api.register(callback_url="https://receiver.example/", metadata=1)
    by_hand = update(callback).values(metadata=stored)

    await api.database.write(lambda connection: connection.execute(by_hand))
    answer = await api.client.get(f"/v1/tasks/{task['id']}")

    assert [made["metadata"] for made in answer.json()["callbacks"]] == [told]
