"""The OpenAPI document: it is valid, complete, and what it says is so."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from api_harness import HOOK, Api, serving
from clocks import FakeClock
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tracker import __version__
from tracker.model import Status
from tracker.store.database import Database

OPEN = {"/healthz", "/readyz", "/metrics"}
FIRST_ANSWERS = {
    ("post", "/v1/tasks"),
    ("post", "/v1/tasks/batch"),
    ("get", "/v1/tasks"),
    ("get", "/v1/tasks/{id}"),
    ("delete", "/v1/tasks/{id}"),
    ("get", "/v1/tasks/{id}/history"),
    ("get", "/v1/tasks/{id}/deliveries"),
    ("post", "/v1/tasks/{id}/refresh"),
    ("get", "/v1/events"),
    ("get", "/v1/deliveries"),
    ("get", "/v1/deliveries/{id}"),
    ("post", "/v1/callbacks/test"),
    ("post", "/v1/deliveries/{id}/redeliver"),
    ("post", "/v1/deliveries/redeliver"),
    ("get", "/v1/endpoints"),
    ("post", "/v1/endpoints/{id}/enable"),
    ("post", "/v1/endpoints/{id}/disable"),
    ("get", "/v1/upstreams"),
    ("post", "/v1/links"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


@pytest.fixture
def sqlite(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "tracker.db"
    shutil.copy(sqlite_template, path)
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
async def api(sqlite: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(sqlite, clock) as made:
        made.use()
        yield made


@pytest.fixture
async def document(api: Api) -> dict[str, Any]:
    answer = await api.client.get("/openapi.json")
    return dict(answer.json())


async def test_the_document_names_the_program_and_its_version(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert (document["info"]["title"], document["info"]["version"]) == ("tracker", __version__)


async def test_the_document_is_valid_and_lists_every_call(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()

    assert {(method, path) for path, calls in document["paths"].items() for method in calls} == FIRST_ANSWERS


async def test_every_call_has_a_name_a_summary_and_says_whether_it_needs_a_token(document: dict[str, Any]) -> None:
    names = set()
    for path, calls in document["paths"].items():
        for call in calls.values():
            names.add(call["operationId"])
            assert call["summary"]
            assert bool(call.get("security")) is (path not in OPEN)
    assert len(names) == len(FIRST_ANSWERS)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


async def test_everything_that_may_stand_in_an_address_is_described(document: dict[str, Any]) -> None:
    parameters = [
        (path, parameter["name"], parameter.get("description"))
        for path, calls in document["paths"].items()
        for call in calls.values()
        for parameter in call.get("parameters", ())
    ]

    assert parameters
    assert [told for told in parameters if not told[2]] == []


async def test_it_says_whose_id_stands_in_an_address_and_how_much_a_drop_ends(document: dict[str, Any]) -> None:
    calls = document["paths"]["/v1/tasks/{id}"]

    for call in calls.values():
        (place,) = (one for one in call["parameters"] if one["name"] == "id")
        assert "`tsk_…`" in place["description"]
        assert "`GET /v1/tasks?task_id=…`" in place["description"]
    assert "only your own part ends" in calls["delete"]["description"]


async def test_every_error_of_every_call_is_a_problem(document: dict[str, Any]) -> None:
    answers = [
        answer
        for calls in document["paths"].values()
        for call in calls.values()
        for status, answer in call["responses"].items()
        if int(status) >= 400
    ]

    assert answers
    for answer in answers:
        assert answer["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


async def test_calls_that_are_limited_say_so(document: dict[str, Any]) -> None:
    limited = {
        (method, path): call["responses"]["429"]["headers"].keys()
        for path, calls in document["paths"].items()
        for method, call in calls.items()
        if "429" in call["responses"]
    }

    paths = ("/v1/tasks", "/v1/tasks/batch", "/v1/callbacks/test", "/v1/links")
    assert limited == {("post", path): {"Retry-After"} for path in paths}


async def test_real_answers_have_the_shape_that_is_told(api: Api, document: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(document)
    task = await api.register(callback_url=HOOK, metadata={"a": [1]})
    await api.register("2")
    api.see("1", Status.RUNNING, progress=10, submitted_at=api.clock())
    api.see("1", Status.SUCCEEDED, progress=100, object={"id": "1"}, image_url="https://image.example/1.png")
    api.attempt(delivered=False)
    api.clock.advance(5)
    api.attempt(delivered=True)
    (delivery,) = (await api.client.get("/v1/deliveries")).json()["deliveries"]
    (endpoint,) = (await api.client.get("/v1/endpoints")).json()["endpoints"]
    api.use("root", "admin")
    bodies = {
        "/v1/deliveries/redeliver": {"status": "dead"},
        "/v1/callbacks/test": {"callback_url": HOOK},
        "/v1/tasks": {"task_id": "3"},
        "/v1/tasks/batch": [{"task_id": "4", "callback_url": HOOK}],
    }

    for method, path in sorted(FIRST_ANSWERS, reverse=True):
        id_ = delivery["id"] if "deliveries/" in path else endpoint["id"] if "endpoints/" in path else task["id"]
        place = path.format(id=id_)
        body = bodies.get(path) if method == "post" else None
        answer = await api.client.request(method, place, json=body)

        assert answer.is_success, (method, path, answer.text)
        schema[path][method].validate_response(answer)


async def test_a_real_problem_has_the_shape_that_is_told(api: Api, document: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(document)

    schema["/v1/tasks"]["get"].validate_response(await api.client.get("/v1/tasks?limit=0"))
    schema["/v1/tasks/{id}"]["get"].validate_response(await api.client.get("/v1/tasks/tsk_1"))


@pytest.fixture
def fuzzed(sqlite: Database, clock: FakeClock) -> Any:  # noqa: ANN401 - the library's own
    api = Api(sqlite, clock)
    headers = api.shows("fuzz", "admin")
    schema = schemathesis.openapi.from_asgi("/openapi.json", api.app, headers=headers)
    schema.config.update(headers=headers)
    return schema


# An id in a path is any text, so nothing can violate it: only queries and bodies can be wrong.
WITH_INPUT = [
    ("get", "/v1/deliveries"),
    ("post", "/v1/deliveries/redeliver"),
    ("get", "/v1/endpoints"),
    ("post", "/v1/callbacks/test"),
    ("get", "/v1/events"),
    ("get", "/v1/tasks"),
    ("post", "/v1/tasks"),
    ("post", "/v1/tasks/batch"),
]
RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*call, RIGHT) for call in sorted(FIRST_ANSWERS)] + [(*call, WRONG) for call in WITH_INPUT],
)
def test_no_request_breaks_what_the_document_promises(
    fuzzed: Any,  # noqa: ANN401
    method: str,
    path: str,
    mode: schemathesis.GenerationMode,
) -> None:
    """Some rules are no part of a schema (which URLs may be called), and the token here is always a good one."""

    @given(case=fuzzed[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance, ignored_auth])

    call()
