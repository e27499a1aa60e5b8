"""Who may do what on pages: every page and form there is, by everybody. A new one without a decision fails here."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, SETTINGS, Api, serving
from clocks import FakeClock
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
OWNED = [call for call, rule in RULES.items() if rule.names and rule.scope != "admin"]
CALLERS = {
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


@pytest.mark.parametrize("caller", ["a reader", "a writer", "an admin", "another owner"])
async def test_only_those_who_may_get_further(world: World, caller: str) -> None:
    await world.pages.sign_in(*CALLERS[caller])
    wrong: dict[tuple[str, str], object] = {}

    for call, rule in RULES.items():
        before = world.rows()
        status, told = await world.go(*call)
        wanted = expected(rule, CALLERS[caller])
        is_sent_away = status == 303 and "/sign-in" in told and call != ("POST", "/sign-out")
        if status not in wanted or is_sent_away:
            wrong[call] = status, wanted
        elif status in {403, 404} and world.rows() != before:
            wrong[call] = "refused, and done all the same"

    assert wrong == {}


async def test_who_is_not_signed_in_is_led_there_and_does_nothing(world: World) -> None:
    before = world.rows()

    answers = {call: await world.go(*call) for call in RULES}

    assert {call for call, (status, told) in answers.items() if status != 303 or "/sign-in" not in told} == set()
    assert world.rows() == before


async def test_no_form_without_the_sessions_own_mark_does_anything(world: World) -> None:
    await world.pages.sign_in("ann", "admin")
    before = world.rows()

    answers = {path: await world.go("POST", path, csrf=False) for method, path in RULES if method == "POST"}

    assert {path: status for path, (status, _) in answers.items() if status != 403} == {}
    assert world.rows() == before
    assert (await world.pages.get("/deliveries")).status_code == 200, "still signed in"


async def test_what_others_have_looks_like_what_nobody_has(world: World) -> None:
    await world.pages.sign_in("bob", "write")
    different = []

    for method, path in OWNED:
        kind = RULES[method, path].names or ""
        theirs = world.ids[kind]
        nobodys = theirs[:-4] + "0000"
        status, hidden = await world.go(method, path)
        missing = await World(world.pages, world.ids | {kind: nobodys}).go(method, path)
        if (status, hidden.replace(theirs, nobodys)) != missing:
            different.append((method, path))

    assert different == []


async def test_no_page_tells_another_owner_of_what_ann_has(world: World) -> None:
    await world.pages.sign_in("bob", "write")

    for call in RULES:
        _, told = await world.go(*call)
        mine = (*world.ids.values(), "of-ann", "of ann", "receiver.example")
        # Whoever names it is told what they named.
        named = set(world.ids.values()) if "{id}" in call[1] else {"receiver.example"} if call[1] == "/test" else set()
        assert [one for one in mine if one in told and one not in named] == [], call


@pytest.mark.parametrize("caller", ["a writer", "an admin"])
async def test_no_page_tells_a_secret_that_was_there(world: World, caller: str) -> None:
    await world.pages.sign_in(*CALLERS[caller])
    upstream = SETTINGS.upstreams["default"].token
    assert upstream is not None

    for call in RULES:
        hashes = world.api.database.read_now(
            lambda connection: [row[0] for row in connection.exec_driver_sql("SELECT hash FROM token")]
        )
        _, told = await world.go(*call)
        assert [one for one in (*hashes, MADE, upstream.get_secret_value()) if one in told] == [], call
        if call not in {("POST", "/tokens"), ("POST", "/secrets")}:
            assert re.search(r"whsec_[A-Za-z0-9+/]{8}|trk_[A-Za-z0-9_-]{8}", told) is None, call
