"""What is our own fault costs a receiver nothing: no attempt of its message, no step towards being paused."""

import asyncio
import errno
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from couriers import courier, due_now
from databases import lent_database
from fakes import OWNER, FlakyDatabase, World, want
from raw_servers import SHORT, fault_of, replace_sockets
from structlog.testing import capture_logs
from test_sender import OPEN, Receiver, answer, receiving

from tracker.http import Client, open_callback_client
from tracker.model import Delivery, Outcome
from tracker.store import access
from tracker.webhooks import Sender

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with lent_database(request, "sqlite") as url:
        yield url


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving(*[answer(204)] * 20) as made:
        yield made


Breaking = Callable[[World, pytest.MonkeyPatch], None]


def a_secret_that_is_none(world: World, _patch: pytest.MonkeyPatch) -> None:
    world.write(partial(access.rotate_secret, owner=OWNER, now=world.clock(), fresh="whsec_dG9vIHNob3J0"))


def a_mistake(_world: World, patch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> str:
        raise ZeroDivisionError

    patch.setattr("tracker.webhooks.sender.sign", wrong)


def a_mistake_after_the_answer(_world: World, patch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> str:
        raise ZeroDivisionError

    patch.setattr("tracker.webhooks.sender._excerpt", wrong)


def no_more_threads(_world: World, patch: pytest.MonkeyPatch) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    patch.setattr("tracker.http.dialing.threading", SimpleNamespace(Thread=Refused))


def no_more_files(_world: World, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    replace_sockets(patch, refuse)


def no_more_memory_for_sockets(_world: World, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    replace_sockets(patch, refuse)


def an_id_that_cannot_be_sent(world: World, _patch: pytest.MonkeyPatch) -> None:
    """Written by hand: nothing of ours makes such an id."""
    world.sql("UPDATE delivery SET id = 'msg_1\r\nx-more: 1'")


def an_id_that_cannot_be_signed(world: World, _patch: pytest.MonkeyPatch) -> None:
    world.sql("UPDATE delivery SET id = 'msg.1'")


FAULTS: list[Breaking] = [
    a_secret_that_is_none,
    a_mistake,
    a_mistake_after_the_answer,
    no_more_threads,
    no_more_files,
    no_more_memory_for_sockets,
    an_id_that_cannot_be_sent,
    an_id_that_cannot_be_signed,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_our_fault_costs_no_attempt_and_the_message_arrives_when_it_is_over(
    world: World, receiver: Receiver, fault: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pending(want("1", url=receiver.url.replace("127.0.0.1", "a.test")))
    (id_,) = world.column("SELECT id FROM delivery")
    async with open_callback_client(OPEN, lookup=lambda _host: ["127.0.0.1"]) as client:
        sender = Sender(client, version="1", timeout=timedelta(seconds=5), clock=world.clock)
        with monkeypatch.context() as patch, capture_logs():
            fault(world, patch)
            made = [await once(world, sender) for _ in range(12)]

        assert made == [1] * 12, "it is tried all the time"
        assert world.column("SELECT status FROM delivery") == ["pending"]
        assert world.column("SELECT failures FROM delivery") == [0]
        assert world.column("SELECT failures FROM endpoint") == [0]
        assert set(world.column("SELECT error FROM attempt")) <= {"internal", "local", None}

        world.sql("DELETE FROM secret")
        world.sql("UPDATE delivery SET id = :id", id=id_)
        assert await once(world, sender) == 1
    assert world.column("SELECT status FROM delivery") == ["delivered"]


async def once(world: World, sender: Sender) -> int:
    """One attempt of what is pending, after whatever it waits for."""
    world.clock.advance(7200)
    due_now(world)
    return await courier(world, sender, {"retry_schedule": ["0s", "5s"]}).run_once()


async def test_look_ups_that_hang_cost_other_receivers_nothing(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.http.dialing._LONGEST_WAIT_SECONDS", 0.05)
    world.pending(want("1", url=receiver.url.replace("127.0.0.1", "a.test")))
    release = threading.Event()
    hung = threading.Semaphore(0)

    def lookup(host: str) -> Sequence[str]:
        if host != "a.test":
            hung.release()
            release.wait(20)
        return ["127.0.0.1"]

    async with open_callback_client(OPEN, lookup=lookup) as client:
        sender = Sender(client, version="1", timeout=timedelta(seconds=5), clock=world.clock)
        async with hanging_look_ups(client, hung):
            assert [await once(world, sender) for _ in range(3)] == [1, 1, 1]
            starved = world.column("SELECT error FROM attempt")
            failures = world.column("SELECT failures FROM delivery") + world.column("SELECT failures FROM endpoint")
        release.set()
        await once(world, sender)

    assert (starved, failures) == (["local"] * 3, [0, 0])
    assert world.column("SELECT status FROM delivery") == ["delivered"]


@asynccontextmanager
async def hanging_look_ups(client: Client, hung: threading.Semaphore) -> AsyncIterator[None]:
    """Every look-up that there may be at a time is for a name that hangs."""
    async with asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(fault_of(client, f"http://hangs-{number}.test/", deadline=SHORT))
        for _ in range(16):
            await asyncio.to_thread(hung.acquire)
        yield


class Lost:
    """A sender after whose attempts the database is away for a while."""

    def __init__(self, sender: Sender, database: FlakyDatabase) -> None:
        self._sender = sender
        self._database = database

    async def send(self, delivery: Delivery, secrets: Sequence[str]) -> Outcome:
        outcome = await self._sender.send(delivery, secrets)
        self._database.away = 3
        return outcome


async def test_a_database_that_is_away_forgets_no_outcome_and_adds_none(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.courier.writing._AGAIN_AFTER", 0.0)
    assert isinstance(world.database, FlakyDatabase)
    world.pending(want("1", url=receiver.url))
    async with open_callback_client(OPEN) as client:
        sender = Sender(client, version="1", timeout=timedelta(seconds=5), clock=world.clock)

        made = await courier(world, Lost(sender, world.database)).run_once()

    assert (made, world.database.refused, receiver.connections) == (1, 3, 1)
    assert world.column("SELECT status FROM delivery") == ["delivered"]
    assert world.attempts() == [(1, "delivered")]
