"""Registering by the shortcut says and does what registering the long way does."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from api_harness import HOOK, ON_ONE_DATABASE, Api, serving
from clocks import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

from tracker.intake import RegistrationRequest, read_many, read_one
from tracker.model import Status
from tracker.store.database import Database

FIELDS = ("task_id", "callback_url", "upstream", "events", "format", "metadata")
USUAL: dict[str, Any] = {
    "task_id": "1730621826053455",
    "callback_url": HOOK,
    "upstream": "default",
    "events": ["task.progress", "ended", "progress"],
    "format": "upstream",
    "metadata": {"order": [17, 1.5e300, None, True, "ü\u2028\x7f"], "": {"big": 2**70, "small": -1}},
}


@pytest.fixture
async def api(database: Database, clock: FakeClock) -> AsyncIterator[Api]:
    async with serving(database, clock) as made:
        made.use()
        yield made


def long_way(api: Api) -> httpx.AsyncClient:
    """A client whose calls all go the long way."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await super(type(api.app), api.app).__call__(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tracker.test")


def variants() -> list[dict[str, Any]]:
    """Registrations of which most are wrong somewhere."""
    odd: list[Any] = ["", " x", "x\x00", "ü", "x" * 513, "x" * 65, None, 5, True, [], ["ended"], ["nothing"], {}, "xml"]
    return [USUAL | {name: value} for name in (*FIELDS, "colour") for value in odd] + [
        USUAL,
        {"task_id": "1"},
        {"task_id": "1", "metadata": 5},
        {"task_id": "1", "events": ["ended"]},
        USUAL | {"callback_url": "http://10.0.0.1/"},
        USUAL | {"callback_url": "https://receiver.example:22/"},
        USUAL | {"upstream": "unheard-of"},
        USUAL | {"metadata": "x" * 5000},
        USUAL | {"metadata": "\x00"},
    ]


@ON_ONE_DATABASE
async def test_both_ways_answer_alike(api: Api) -> None:
    bodies = [json.dumps(variant).encode() for variant in variants()]
    bodies += [json.dumps([variant, USUAL]).encode() for variant in variants()]
    bodies += [b'{"tasks": [{"task_id": "1"}]}', b'{"tasks": []}', b'{"tasks": 1, "x": 2}', b"[]", b"{", b"", b"\xff"]
    bodies += [b'{"task_id": "1", "task_id": "2"}', b'{"task_id": "\\ud800"}', b'{"task_id": "1", "metadata": 1e999}']
    bodies += [b'{"task_id": "1", "callback_url": "%s", "metadata": %s}' % (HOOK.encode(), b"[" * 150 + b"]" * 150)]
    ways = [(api.client, api.shows("ann")), (long_way(api), api.shows("bob"))]

    for path in ("/v1/tasks", "/v1/tasks/batch"):
        for body in bodies:
            short, long = [await client.post(path, content=body, headers=shown) for client, shown in ways]

            assert short.status_code == long.status_code, body
            assert short.json() == long.json(), body
            for name in ("content-type", "location"):
                assert short.headers.get(name) == long.headers.get(name), body


async def test_what_is_usual_takes_the_shortcut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unwanted(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("it went the long way")

    monkeypatch.setattr(api.app.state.shortcut, "_long_way", unwanted)

    one = await api.client.post("/v1/tasks", json=USUAL)
    again = await api.client.post("/v1/tasks", json=USUAL)
    many = await api.client.post("/v1/tasks/batch", json=[USUAL, {"task_id": "2"}])
    wrapped = await api.client.post("/v1/tasks/batch", json={"tasks": [{"task_id": "3"}]})

    assert [answer.status_code for answer in (one, again, many, wrapped)] == [201, 200, 200, 200]
    assert [row["created"] for row in many.json()["tasks"]] == [False, True]


@ON_ONE_DATABASE
async def test_a_body_that_comes_in_parts_is_put_together(api: Api) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b'{"task', b'_id": "', b'1"}'):
            yield part

    assert (await api.client.post("/v1/tasks", content=parts())).status_code == 201


async def test_a_task_that_has_ended_is_told_with_its_end_by_the_shortcut_too(api: Api) -> None:
    await api.register()
    api.see("1", Status.FAILED, fail_reason="banned prompt")

    told = await api.register(callback_url=HOOK)

    assert (told["status"], told["fail_reason"]) == ("failed", "banned prompt")
    assert "courier" in api.woken


@ON_ONE_DATABASE
async def test_the_poller_is_woken_for_many_that_come_at_once(api: Api) -> None:
    bodies = [{"task_id": str(number)} for number in range(20)]
    await asyncio.gather(*(api.client.post("/v1/tasks", json=body) for body in bodies))
    rung = asyncio.Event()
    object.__setattr__(api.app.state.ports, "wake", rung.set)

    await asyncio.gather(*(api.client.post("/v1/tasks", json=body) for body in bodies))

    async with asyncio.timeout(5):
        await rung.wait()


TEXTS = st.text(max_size=6) | st.sampled_from(["1", "default", HOOK, "ended", "progress", "standard", "upstream", " x"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("task_id", "callback_url", "upstream", "format"), TEXTS | JSON),
        "events": st.lists(TEXTS, max_size=3) | JSON,
        "metadata": JSON,
        "colour": JSON,
    },
)


def modelled(body: bytes) -> dict[str, Any] | None:
    """What the model reads; None for what it does not take."""
    try:
        return RegistrationRequest.model_validate(from_json(body)).model_dump()
    except (ValidationError, ValueError):
        return None


@given(DOCUMENTS, st.booleans())
def test_whatever_is_read_from_bytes_is_what_the_model_reads(document: dict[str, Any], is_ascii: bool) -> None:  # noqa: FBT001
    body = json.dumps(document, ensure_ascii=is_ascii).encode(errors="surrogatepass")

    found = read_one(body)

    if found is not None:
        assert {name: getattr(found, name) for name in FIELDS} == modelled(body)
    rows = read_many(b"[%s,%s]" % (body, body))
    assert rows == (None if found is None else [found, found])


@given(st.fixed_dictionaries({"task_id": st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True), "metadata": JSON}))
def test_what_the_model_takes_is_nearly_always_read_from_bytes(document: dict[str, Any]) -> None:
    """Numbers that are none (NaN) are left to the model, which refuses them."""
    body = json.dumps(document).encode()

    assert (read_one(body) is None) == (modelled(body) is None)
