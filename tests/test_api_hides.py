"""What the API never tells: which address a name stands for, which rule is against it, and any secret."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from api_harness import ON_ONE_DATABASE, Api
from clocks import FakeClock
from couriers import courier, due_now
from fakes import World
from raw_servers import LOOPBACK_OPEN, SHORT, Script, answering, resetting, server_tls, serving, silent
from structlog.testing import capture_logs
from test_api_trials import sending
from test_sender import answer

from tracker.guard import Guard
from tracker.http import open_callback_client
from tracker.store import access
from tracker.store.database import Database
from tracker.webhooks import Sender

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]

RULES = ("loopback", "link-local", "NAT64", "cloud metadata", "(private)", "this machine", "too many addresses")
VOLATILE = ("duration_ms", "message_id")


@dataclass
class Case:
    """An owner with a task that has ended, its callback at a name that stands for these addresses."""

    api: Api
    url: str
    deliver: Callable[[], Awaitable[int]]
    task: str

    async def trial(self) -> dict[str, Any]:
        told = await self.api.client.post("/v1/callbacks/test", json={"callback_url": self.url})
        assert told.status_code == 200, told.text
        return dict(told.json())

    async def everything(self) -> dict[str, str]:
        """Whatever its owner can read, by path."""
        paths = [
            *("/v1/tasks", "/v1/deliveries", "/v1/endpoints", "/v1/events", "/v1/upstreams"),
            *(f"/v1/tasks/{self.task}{part}" for part in ("", "/history", "/deliveries")),
        ]
        listed = (await self.api.client.get("/v1/deliveries")).json()["deliveries"]
        paths += [f"/v1/deliveries/{one['id']}" for one in listed]
        answers = {path: await self.api.client.get(path) for path in paths}
        assert [one.status_code for one in answers.values()] == [200] * len(paths)
        return {path: one.text for path, one in answers.items()}


@asynccontextmanager
async def case(
    database: Database, clock: FakeClock, guard: Guard, addresses: Sequence[str], url: str
) -> AsyncIterator[Case]:
    def lookup(_host: str) -> Sequence[str]:
        return addresses

    async with (
        sending(database, clock, guard=guard, addresses=addresses) as api,
        open_callback_client(guard, lookup=lookup) as client,
    ):
        task = await api.register("1", callback_url=url)
        api.see("1")
        world = World(database, clock)
        sender = Sender(client, version="1", timeout=SHORT, clock=clock)
        ours = courier(world, sender, {"retry_schedule": ["0s", "1s"]})

        async def deliver() -> int:
            due_now(world)
            return await ours.run_once()

        yield Case(api, url, deliver, task["id"])


BLOCKED = [
    ["10.1.2.3"],
    ["127.0.0.1"],
    ["169.254.169.254"],
    ["::1"],
    ["fd00:ec2::254"],
    ["::ffff:192.168.7.7"],
    ["64:ff9b::a01:203"],
    ["93.184.215.14", "10.1.2.3"],
    [f"8.8.8.{number}" for number in range(100)],
]


@pytest.mark.parametrize("addresses", BLOCKED, ids=lambda addresses: addresses[-1])
async def test_nothing_tells_what_a_blocked_name_stands_for(
    database: Database, clock: FakeClock, addresses: list[str]
) -> None:
    async with case(database, clock, Guard(), addresses, "http://inside.test/hook") as tested:
        trial = await tested.trial()
        for _ in range(2):
            assert await tested.deliver() == 1
        read = await tested.everything()

    assert (trial["error"], trial["phase"]) == ("blocked", "dns")
    for path, text in {**read, "trial": str(trial)}.items():
        assert not any(address in text for address in addresses), path
        assert not any(rule in text for rule in RULES), path
    (delivered,) = [text for path, text in read.items() if path.startswith("/v1/deliveries/")]
    assert '"status":"dead"' in delivered
    assert '"error":"blocked"' in delivered
    assert "why" in delivered


async def test_all_rules_are_told_alike(database: Database, clock: FakeClock) -> None:
    """Or the answers of many tests would be a map of a network."""
    told = []
    for addresses in BLOCKED:
        async with sending(database, clock, guard=Guard(), addresses=addresses) as api:
            answered = await api.client.post("/v1/callbacks/test", json={"callback_url": "http://inside.test/"})
        told.append({name: value for name, value in answered.json().items() if name not in VOLATILE})
        clock.advance(60)

    assert all(one == told[0] for one in told)


FAULTS: dict[str, tuple[Script, str]] = {
    "timeout": (silent, "http"),
    "reset": (resetting, "http"),
    "protocol": (answering(b"SSH-2.0\r\n\r\n"), "http"),
    "status": (answering(answer(500)), "http"),
    "tls": (answering(b""), "https"),
    "refused": (silent, "http"),
}


@pytest.mark.parametrize("error", FAULTS)
async def test_nothing_tells_where_an_attempt_failed(database: Database, clock: FakeClock, error: str) -> None:
    """Nor the text of the fault: a client's own names the address."""
    script, scheme = FAULTS[error]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(script, tls=server_tls() if scheme == "https" else None))
        if error == "refused":
            await stack.aclose()
        url = server.url("inside.test", scheme)
        async with case(database, clock, LOOPBACK_OPEN, ["127.0.0.1"], url) as tested:
            assert await tested.deliver() == 1
            read = await tested.everything()
            shown = (await tested.api.client.get("/v1/deliveries")).json()["deliveries"][0]

    assert shown["last_attempt"]["error"] == error
    assert not any("127.0.0.1" in text for text in read.values())
    assert error in shown["why"] or "HTTP 500" in shown["why"]


async def test_no_answer_and_no_log_line_has_a_secret_or_a_token(database: Database, clock: FakeClock) -> None:
    secret = f"whsec_{'c2VjcmV0' * 6}"
    database.write_now(partial(access.current_secret, owner="ann", now=clock(), fresh=secret))
    async with (
        serving(answering(answer(204))) as server,
        case(database, clock, LOOPBACK_OPEN, ["127.0.0.1"], server.url("inside.test")) as tested,
    ):
        with capture_logs() as logs:
            trial = await tested.trial()
            assert await tested.deliver() == 1
            read = await tested.everything()
        token = tested.api.client.headers["authorization"].removeprefix("Bearer ")

    assert trial["delivered"]
    for text in (*read.values(), str(trial), str(logs)):
        assert not any(hidden in text for hidden in (secret, secret.removeprefix("whsec_"), token, "v1,"))
