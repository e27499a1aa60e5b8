"""Who may do what on pages: every page and form there is, by everybody. A new one without a decision fails here."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, SETTINGS, Api, serving
from conftest import FakeClock
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from web_harness import Pages, pages_of

from tracker.desk import Desk
from tracker.intake import SCOPES
from tracker.store import access
from tracker.store.database import Connection, Database
from tracker.web import create_pages

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a page or a form asks of whoever comes."""

    scope: str
    names: str | None = None
    """What the path names; another owner's is not there."""
    fields: dict[str, str] = field(default_factory=dict)


READ, WRITE, ADMIN = (partial(Rule, scope=scope) for scope in SCOPES)
FOR_EVERYBODY = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/preferences")}
ENDLESS = {("GET", "/live")}
RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/"): READ(),
    ("GET", "/tasks"): READ(),
    ("POST", "/tasks/act"): WRITE(fields={"do": "refresh", "id": "tsk_0"}),
    ("GET", "/tasks/{id}"): READ(names="task"),
    ("POST", "/tasks/{id}/refresh"): WRITE(names="task"),
    ("POST", "/tasks/{id}/drop"): WRITE(names="task"),
    ("POST", "/tasks/{id}/redeliver"): WRITE(names="task"),
    ("POST", "/tasks/{id}/callbacks"): WRITE(names="task", fields={"callback_url": f"{HOOK}/other"}),
    ("GET", "/register"): WRITE(),
    ("POST", "/register"): WRITE(fields={"task_id": "new", "upstream": "default"}),
    ("GET", "/deliveries"): READ(),
    ("GET", "/deliveries/{id}"): READ(names="delivery"),
    ("POST", "/deliveries/redeliver"): WRITE(fields={"all": "1", "status": "delivered"}),
    ("POST", "/deliveries/{id}/redeliver"): WRITE(names="delivery"),
    ("GET", "/endpoints"): READ(),
    ("GET", "/endpoints/{id}"): READ(names="endpoint"),
    ("POST", "/endpoints/{id}/redeliver"): WRITE(names="endpoint"),
    # Receivers are shared: whoever closes one closes it for all.
    ("POST", "/endpoints/{id}/enable"): ADMIN(names="endpoint"),
    ("POST", "/endpoints/{id}/disable"): ADMIN(names="endpoint"),
    ("GET", "/upstreams"): READ(),
    ("GET", "/test"): WRITE(),
    ("POST", "/test"): WRITE(fields={"callback_url": HOOK}),
    ("GET", "/tokens"): ADMIN(),
    ("POST", "/tokens"): ADMIN(fields={"owner": "shop", "scope": "read"}),
    ("POST", "/tokens/{id}/revoke"): ADMIN(names="token"),
    ("GET", "/secrets"): WRITE(),
    ("POST", "/secrets"): WRITE(),
    # Last: whoever did this is gone.
    ("POST", "/sign-out"): READ(),
}
EACH = [pytest.param(*call, id=" ".join(call)) for call in RULES]
FORMS = [pytest.param(path, id=path) for method, path in RULES if method == "POST"]
OWNED = [pytest.param(*call, id=" ".join(call)) for call, rule in RULES.items() if rule.names and rule.scope != "admin"]
CALLERS = {
    "nobody": None,
    "a reader": ("ann", "read"),
    "a writer": ("ann", "write"),
    "an admin": ("root", "admin"),
    "another owner": ("bob", "write"),
}
MADE = "whsec_bm90LXRvLWJlLXRvbGQtdG8tYW55Ym9keQ=="


@dataclass
class World:
    """What ann has: a task with its end, a message that was delivered, the endpoint that took it, a token."""

    pages: Pages
    ids: dict[str, str]

    @property
    def api(self) -> Api:
        return self.pages.api

    async def go(self, method: str, path: str, *, csrf: bool = True) -> tuple[int, str]:
        """Come to a page, or send its form."""
        rule = RULES[method, path]
        address = path.replace("{id}", self.ids.get(rule.names or "", ""))
        if method == "GET":
            answer = await self.pages.get(address)
        elif csrf and "tracker_session" in self.pages.client.cookies:
            answer = await self.pages.act(address, rule.fields)
        else:
            answer = await self.pages.client.post(address, data=rule.fields or {"a": "b"})
        return answer.status_code, answer.text + str(answer.headers)

    def rows(self) -> set[tuple[object, ...]]:
        """Everything that is stored, but for who came when."""
        tables = ("task", "registration", "event", "callback", "delivery", "endpoint", "attempt", "secret")

        def work(connection: Connection) -> set[tuple[object, ...]]:
            found = {(name, *row) for name in tables for row in connection.exec_driver_sql(f"SELECT * FROM {name}")}
            tokens = connection.exec_driver_sql("SELECT id, revoked_at FROM token WHERE owner = 'shop'")
            return found | {tuple(row) for row in tokens}

        return self.api.database.read_now(work)


@pytest.fixture
async def world(database: Database, clock: FakeClock) -> AsyncIterator[World]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        api.use()
        task = await api.register("of-ann", callback_url=HOOK, metadata={"note": "of ann"})
        api.see("of-ann")
        (delivery,) = api.attempt(delivered=True)
        endpoint = (await api.client.get("/v1/endpoints")).json()["endpoints"][0]["id"]
        api.token("shop")
        token = next(line.id for line in database.read_now(access.list_tokens) if line.owner == "shop")
        for owner in ("ann", "root"):
            database.write_now(partial(access.rotate_secret, owner=owner, now=clock(), fresh=MADE))
        yield World(pages, {"task": task["id"], "delivery": delivery.id, "endpoint": endpoint, "token": token})


async def come(world: World, caller: str) -> None:
    if (who := CALLERS[caller]) is not None:
        await world.pages.sign_in(*who)


def expected(rule: Rule, who: tuple[str, str]) -> set[int]:
    owner, scope = who
    if SCOPES.index(scope) < SCOPES.index(rule.scope):
        return {403}
    return {200, 303} if owner == "ann" or scope == "admin" or rule.names is None else {404}


async def test_every_page_and_form_has_a_rule(world: World) -> None:
    ports = world.api.app.state.ports
    app = create_pages(ports, Desk.of(ports))
    assert isinstance(app, Starlette)

    found = set()
    for route in app.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
        else:
            assert isinstance(route, Route)
            found |= {(method, route.path) for method in route.methods or () if method != "HEAD"}

    assert found == RULES.keys() | FOR_EVERYBODY | ENDLESS


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path"), EACH)
async def test_only_those_who_may_get_further(world: World, method: str, path: str, caller: str) -> None:
    await come(world, caller)
    before = world.rows()

    status, told = await world.go(method, path)

    who = CALLERS[caller]
    if who is None:
        assert (status, "/sign-in" in told) == (303, True)
    else:
        assert status in expected(RULES[method, path], who)
        assert status != 303 or path == "/sign-out" or "/sign-in" not in told
    if who is None or status in {403, 404}:
        assert world.rows() == before


@pytest.mark.parametrize("path", FORMS)
async def test_no_form_without_the_sessions_own_mark_does_anything(world: World, path: str) -> None:
    await world.pages.sign_in("ann", "admin")
    before = world.rows()

    status, _ = await world.go("POST", path, csrf=False)

    assert status == 403
    assert world.rows() == before
    assert (await world.pages.get("/deliveries")).status_code == 200, "still signed in"


@pytest.mark.parametrize(("method", "path"), OWNED)
async def test_what_others_have_looks_like_what_nobody_has(world: World, method: str, path: str) -> None:
    await world.pages.sign_in("bob", "write")
    kind = RULES[method, path].names or ""
    theirs = world.ids[kind]
    nobodys = theirs[:-4] + "0000"

    status, hidden = await world.go(method, path)
    world.ids[kind] = nobodys
    missing = await world.go(method, path)

    assert (status, hidden.replace(theirs, nobodys)) == missing


@pytest.mark.parametrize(("method", "path"), [call for call in EACH if "{id}" not in call.values[1]])
async def test_no_page_tells_another_owner_of_what_ann_has(world: World, method: str, path: str) -> None:
    await world.pages.sign_in("bob", "write")

    _, told = await world.go(method, path)

    for mine in (*world.ids.values(), "of-ann", "of ann", "receiver.example"):
        assert mine not in told or path == "/test"


@pytest.mark.parametrize("caller", ["a writer", "an admin"])
@pytest.mark.parametrize(("method", "path"), EACH)
async def test_no_page_tells_a_secret_that_was_there(world: World, method: str, path: str, caller: str) -> None:
    await come(world, caller)
    hashes = world.api.database.read_now(
        lambda connection: [row[0] for row in connection.exec_driver_sql("SELECT hash FROM token")]
    )
    upstream = SETTINGS.upstreams["default"].token
    assert upstream is not None

    _, told = await world.go(method, path)

    for secret in (*hashes, MADE, upstream.get_secret_value()):
        assert secret not in told
    if (method, path) not in {("POST", "/tokens"), ("POST", "/secrets")}:
        assert not re.search(r"whsec_[A-Za-z0-9+/]{8}|trk_[A-Za-z0-9_-]{8}", told)
