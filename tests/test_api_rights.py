"""Who may do what: every call there is, by everybody there is. A new call without a decision fails here."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_harness import HOOK, SETTINGS, Api, serving
from clocks import FakeClock
from starlette.routing import BaseRoute, Route

from tracker.intake import SCOPES
from tracker.store import access
from tracker.store.database import Connection, Database

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a call asks of whoever makes it."""

    scope: str | None
    """The least that the token must allow; None where none is needed."""
    names: str | None = None
    """What the path names; another owner's is not there."""
    status: int = 200
    body: Any = None


PUBLIC = Rule(scope=None)
READ, WRITE, ADMIN = (partial(Rule, scope=scope) for scope in SCOPES)
RULES: dict[tuple[str, str], Rule] = {
    ("POST", "/v1/tasks"): WRITE(status=201, body={"task_id": "new"}),
    ("POST", "/v1/tasks/batch"): WRITE(body=[{"task_id": "new"}]),
    ("GET", "/v1/tasks"): READ(),
    ("GET", "/v1/tasks/{id}"): READ(names="task"),
    ("GET", "/v1/tasks/{id}/history"): READ(names="task"),
    ("GET", "/v1/tasks/{id}/deliveries"): READ(names="task"),
    ("POST", "/v1/tasks/{id}/refresh"): WRITE(names="task", status=202),
    ("DELETE", "/v1/tasks/{id}"): WRITE(names="task"),
    ("GET", "/v1/events"): READ(),
    ("GET", "/v1/deliveries"): READ(),
    ("GET", "/v1/deliveries/{id}"): READ(names="delivery"),
    ("POST", "/v1/deliveries/{id}/redeliver"): WRITE(names="delivery", status=202),
    ("POST", "/v1/deliveries/redeliver"): WRITE(body={"status": "delivered"}),
    ("GET", "/v1/endpoints"): READ(),
    # Receivers are shared: whoever closes one closes it for all.
    ("POST", "/v1/endpoints/{id}/enable"): ADMIN(names="endpoint"),
    ("POST", "/v1/endpoints/{id}/disable"): ADMIN(names="endpoint"),
    ("POST", "/v1/callbacks/test"): WRITE(body={"callback_url": HOOK}),
    ("GET", "/v1/upstreams"): READ(),
    ("POST", "/v1/links"): READ(status=201),
    ("GET", "/openapi.json"): READ(),
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): PUBLIC,
}
CALLS = [pytest.param(*call, id=" ".join(call)) for call in RULES]
OWNED = [pytest.param(*call, id=" ".join(call)) for call, rule in RULES.items() if rule.names and rule.scope != "admin"]
CALLERS = {
    "no token": None,
    "a made up token": None,
    "a revoked token": None,
    "a token to read": ("ann", "read"),
    "a token to write": ("ann", "write"),
    "an admin": ("root", "admin"),
    "another owner": ("bob", "write"),
}


def calls(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """Every method of every path. Anything that is no plain route would hide what it serves from us."""
    found: set[tuple[str, str]] = set()
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            found |= calls(router.routes)
        else:
            assert isinstance(route, Route)
            found |= {(method, route.path) for method in route.methods or () if method != "HEAD"}
    return found


def expected(rule: Rule, caller: tuple[str, str] | None) -> int:
    if rule.scope is None:
        return rule.status
    if caller is None:
        return 401
    owner, scope = caller
    if SCOPES.index(scope) < SCOPES.index(rule.scope):
        return 403
    is_visible = owner == "ann" or scope == "admin"
    return rule.status if is_visible or rule.names is None else 404


@dataclass
class World:
    """What ann has: a task with its end, a message that was delivered, and the endpoint that took it."""

    api: Api
    ids: dict[str, str]
    tokens: dict[str, str]

    def headers(self, caller: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[caller]}"} if caller in self.tokens else {}

    def rows(self) -> set[tuple[object, ...]]:
        """Everything that is stored, but for who called when."""
        tables = ("task", "registration", "event", "callback", "delivery", "endpoint", "attempt")

        def work(connection: Connection) -> set[tuple[object, ...]]:
            return {
                (table, *row) for table in tables for row in connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            }

        return self.api.database.read_now(work)

    async def call(self, method: str, path: str, caller: str, id_: str | None = None) -> httpx.Response:
        rule = RULES[method, path]
        place = path.format(id=id_ or self.ids.get(rule.names or ""))
        return await self.api.client.request(method, place, headers=self.headers(caller), json=rule.body)


@dataclass(frozen=True, kw_only=True)
class Furnished:
    """A database with all that, and who has which token."""

    path: Path
    ids: dict[str, str]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def furnished(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    path = tmp_path_factory.mktemp("furnished") / "tracker.db"
    shutil.copy(sqlite_template, path)
    database = Database(f"sqlite:///{path}")
    ids, tokens = asyncio.run(furnish(database, FakeClock()))
    database.close()
    return Furnished(path=path, ids=ids, tokens=tokens)


async def furnish(database: Database, clock: FakeClock) -> tuple[dict[str, str], dict[str, str]]:
    async with serving(database, clock) as api:
        tokens = {who: api.token(*caller) for who, caller in CALLERS.items() if caller}
        tokens["a made up token"] = access.new_token()
        tokens["a revoked token"] = api.token("ann", "admin")
        (line,) = [
            line for line in database.read_now(access.list_tokens) if (line.owner, line.scope) == ("ann", "admin")
        ]
        database.write_now(partial(access.revoke_token, id_=line.id, now=clock()))
        ann = {"authorization": f"Bearer {tokens['a token to write']}"}
        task = await api.register("1", callback_url=f"{HOOK}/of-ann", metadata="of ann", headers=ann)
        api.see("1", progress=100, object={"prompt": "ann's picture"})
        (sent,) = api.attempt(delivered=True)
        (endpoint,) = (await api.client.get("/v1/endpoints", headers=ann)).json()["endpoints"]
    return {"task": task["id"], "delivery": sent.id, "endpoint": endpoint["id"]}, tokens


@pytest.fixture
def database_url(furnished: Furnished, tmp_path: Path) -> str:
    shutil.copy(furnished.path, tmp_path / "tracker.db")
    return f"sqlite:///{tmp_path}/tracker.db"


@pytest.fixture
async def world(database: Database, furnished: Furnished, clock: FakeClock) -> AsyncIterator[World]:
    async with serving(database, clock) as api:
        yield World(api, furnished.ids, furnished.tokens)


def test_every_call_has_a_decision(database: Database, clock: FakeClock) -> None:
    assert calls(Api(database, clock).app.routes) == set(RULES)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_every_caller_gets_what_is_decided(world: World, method: str, path: str, caller: str) -> None:
    rule = RULES[method, path]
    before = world.rows()

    answer = await world.call(method, path, caller)

    assert answer.status_code == expected(rule, CALLERS[caller]), answer.text
    after = world.rows()
    if answer.is_client_error or rule.scope == "read":
        assert after == before
    if caller == "another owner":
        assert after >= before
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    if answer.status_code == 403:
        assert f"the scope {rule.scope}" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), OWNED)
async def test_what_others_have_looks_like_what_nobody_has(world: World, method: str, path: str) -> None:
    theirs = world.ids[RULES[method, path].names or ""]
    nobodys = theirs[:-4] + "0000"

    hidden = await world.call(method, path, "another owner", theirs)
    missing = await world.call(method, path, "another owner", nobodys)

    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace(theirs, nobodys) == missing.text
    assert hidden.headers == missing.headers


async def test_a_receiver_of_others_looks_like_one_of_nobody(world: World) -> None:
    url = "/v1/deliveries/redeliver"
    bodies = [{"endpoint": name} for name in (world.ids["endpoint"], "end_0", HOOK, "https://nobody.example/hook")]
    headers = world.headers("another owner")

    answers = [await world.api.client.post(url, json=body, headers=headers) for body in bodies]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert [answer.json()["detail"] for answer in answers] == [
        f"there is no endpoint {body['endpoint']!r}" for body in bodies
    ]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_no_answer_tells_another_owner_of_what_ann_has(world: World, method: str, path: str) -> None:
    answer = await world.call(method, path, "another owner", "msg_none" if "{id}" in path else None)

    told = answer.text + str(answer.headers)
    for mine in (*world.ids.values(), "of-ann", "of ann", "ann's picture", "receiver.example", '"ann"'):
        assert mine not in told or (path == "/v1/callbacks/test" and mine in HOOK)


@pytest.mark.parametrize("caller", ["a token to write", "an admin"])
@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_no_answer_tells_a_secret(world: World, method: str, path: str, caller: str) -> None:
    made = "whsec_bm90LXRvLWJlLXRvbGQtdG8tYW55Ym9keQ=="
    for owner in ("ann", "root"):
        world.api.database.write_now(partial(access.rotate_secret, owner=owner, now=world.api.clock(), fresh=made))
    hashes = world.api.database.read_now(
        lambda connection: [row[0] for row in connection.exec_driver_sql("SELECT hash FROM token")]
    )
    upstream = SETTINGS.upstreams["default"].token
    assert upstream is not None

    answer = await world.call(method, path, caller)

    told = answer.text + str(answer.headers)
    for secret in (*world.tokens.values(), *hashes, made, upstream.get_secret_value()):
        assert secret not in told
    assert not re.search(r"whsec_[A-Za-z0-9+/]{8}|trk_[A-Za-z0-9_-]{8}", told)
