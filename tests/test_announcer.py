"""Telling the operator: signed, on the schedule of deliveries, the same message until it is taken."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from clocks import FakeClock
from fakes import FakeSender, FlakyDatabase, World, failed, moment_of, our_fault, statements, want, writes
from structlog.testing import capture_logs

from tracker.config import CallbackSettings
from tracker.courier import Announcer, Ports
from tracker.metrics import Metrics
from tracker.store import access, endpoints
from tracker.webhooks.signing import new_secret

pytestmark = pytest.mark.anyio

URL = "http://10.0.0.9:9000/tracker?key=hush"


@dataclass
class Office:
    """An announcer, with everything it touches at hand."""

    world: World

    def __post_init__(self) -> None:
        self.sender = FakeSender()
        self.metrics = Metrics(version="0")
        ports = Ports(
            database=self.world.database,
            sender=self.sender,
            metrics=self.metrics,
            new_secret=new_secret,
            clock=self.world.clock,
            timer=self.world.clock.timer,
            dice=lambda: 0.5,
            beat=lambda: None,
        )
        self.announcer = Announcer(URL, CallbackSettings(), ports)
        self.world.join("dmn_teller", tells_operator=True)

    def turn(self, url: str = "https://shop.example/hook") -> None:
        """Something to tell."""
        self.world.pending(want(url, url=url))
        key = self.world.column("SELECT max(key) FROM endpoint")[0]
        disable = partial(endpoints.disable, key=key, reason="by hand", now=self.world.clock())
        self.world.write(disable)

    def row(self) -> dict[str, Any]:
        (row,) = self.world.rows("SELECT status, attempt, failures, next_attempt_at FROM notice")
        again = row.pop("next_attempt_at")
        return row | {"again_in": again and (moment_of(again) - self.world.clock()).total_seconds()}

    def counted(self, outcome: str) -> bool:
        said = self.metrics.exposition()[0].decode()
        return f'tracker_operator_messages_total{{outcome="{outcome}"}} 1.0' in said.splitlines()


@pytest.fixture
def office(database: FlakyDatabase, clock: FakeClock) -> Office:
    return Office(World(database, clock))


async def test_what_is_due_is_sent_to_the_operator_and_written_down(office: Office) -> None:
    office.turn()

    assert [await office.announcer.run_once() for _ in range(2)] == [True, False]

    (sent,) = office.sender.sent
    assert sent.url == URL
    assert (sent.id, sent.body) == tuple(office.world.rows("SELECT id, body FROM notice")[0].values())
    assert json.loads(sent.body)["type"] == "endpoint.disabled"
    assert office.row() == {"status": "delivered", "attempt": 1, "failures": 0, "again_in": None}
    assert office.counted("delivered")


async def test_where_nothing_is_due_nothing_is_written(office: Office) -> None:
    with statements() as sent:
        assert not await office.announcer.run_once()

    assert writes(sent) == []


async def test_one_goes_after_the_other(office: Office) -> None:
    for number in range(3):
        office.turn(f"https://{number}.example/")

    while await office.announcer.run_once():
        pass

    told = [json.loads(message.body)["data"]["endpoint"] for message in office.sender.sent]
    assert told == [f"https://{number}.example:443" for number in range(3)]
    assert office.sender.most_at_once == 1


async def test_it_is_signed_with_the_admins_secrets_of_this_moment(office: Office) -> None:
    office.turn()
    office.sender.script.append(failed())
    await office.announcer.run_once()
    now = office.world.clock()
    (first,) = office.world.column("SELECT secret FROM secret WHERE owner = 'admin'")
    office.world.write(partial(access.rotate_secret, owner="admin", now=now, fresh="whsec_new"))
    office.world.clock.advance(5)

    await office.announcer.run_once()

    assert office.sender.signed == [(first,), ("whsec_new", first)]


async def test_it_fails_on_the_schedule_of_deliveries_until_it_is_dead(office: Office) -> None:
    office.turn()
    waits: list[float] = []
    with capture_logs() as said:
        while office.row()["status"] == "pending":
            office.sender.script.append(failed())
            assert await office.announcer.run_once()
            waits.append(office.row()["again_in"])
            office.world.clock.advance(waits[-1] or 0)

    schedule = CallbackSettings().retry_schedule
    assert waits == [wait.total_seconds() for wait in schedule[1:]] + [None]
    assert office.row() == {"status": "dead", "attempt": 10, "failures": 10, "again_in": None}
    assert {(message.id, message.body) for message in office.sender.sent} == {
        (office.sender.sent[0].id, office.sender.sent[0].body)
    }
    assert [line["event"] for line in said] == ["operator_not_told"] * 9 + ["operator_message_dead"]
    assert "hush" not in str(said)
    assert office.counted("dead")


async def test_a_receiver_may_ask_for_more_time(office: Office) -> None:
    office.turn()
    office.sender.script.append(failed(503, retry_after=timedelta(minutes=10)))

    await office.announcer.run_once()

    assert office.row()["again_in"] == 660, "ten minutes, and 10 % for the middle of the dice"


async def test_410_ends_this_message_and_no_other(office: Office) -> None:
    office.turn()
    office.sender.script.append(failed(410))
    await office.announcer.run_once()
    assert office.row()["status"] == "dead"

    office.turn("https://other.example/")

    assert await office.announcer.run_once()
    assert office.world.column("SELECT status FROM notice ORDER BY key") == ["dead", "delivered"]


async def test_our_own_fault_spends_no_attempt(office: Office) -> None:
    office.turn()
    office.sender.script.append(our_fault())

    await office.announcer.run_once()

    assert office.row() == {"status": "pending", "attempt": 1, "failures": 0, "again_in": 300}


async def test_after_a_crash_the_same_message_goes_again(office: Office) -> None:
    office.turn()
    office.sender.script.append(RuntimeError("the process ends here"))
    with pytest.raises(RuntimeError):
        await office.announcer.run_once()
    assert not await office.announcer.run_once(), "its claim holds"
    office.world.clock.advance(50)

    assert await office.announcer.run_once()

    first, second = office.sender.sent
    assert (first.id, first.body) == (second.id, second.body)
    assert office.row() == {"status": "delivered", "attempt": 2, "failures": 0, "again_in": None}


async def test_told_to_stop_it_lets_the_claim_run_out(office: Office) -> None:
    office.turn()
    office.sender.holes[""] = asyncio.Event()
    telling = asyncio.create_task(office.announcer.run_once())
    await office.sender.started.wait()

    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling

    assert office.row() == {"status": "pending", "attempt": 1, "failures": 0, "again_in": 50}


async def test_an_outcome_is_kept_until_the_database_is_back(
    office: Office, database: FlakyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.courier.writing._AGAIN_AFTER", 0)
    office.turn()
    hole = office.sender.holes[""] = asyncio.Event()
    telling = asyncio.create_task(office.announcer.run_once())
    await office.sender.started.wait()
    database.away = 3
    hole.set()

    assert await telling

    assert database.refused == 3
    assert office.row() == {"status": "pending", "attempt": 1, "failures": 1, "again_in": 5}
