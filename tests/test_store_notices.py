"""Operator messages as the tables remember them: written with the turn, claimed once, said again once a day."""

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from fakes import (
    HeldOpen,
    Thread,
    World,
    delivered,
    failed,
    our_fault,
    statements,
    wait_until_blocked,
    want,
    writes,
)

from tracker import notices as rules
from tracker.model import Notice, Outcome
from tracker.store import endpoints, learning, notices, retention
from tracker.store.learning import Lesson

DAY = 86_400.0


@dataclass
class Notices:
    """A world in which a daemon tells the operator."""

    world: World

    def fail(self, times: int = 5, every: float = 15, outcome: Outcome | None = None) -> None:
        """So many attempts that come to this, of whatever is due first."""
        for _ in range(times):
            self.world.clock.advance(every)
            (claimed,) = self.world.claim(*self.world.due(limit=1))
            self.learn(claimed, outcome or failed())

    def probe(self, outcome: Outcome) -> None:
        now = self.world.clock()
        take = partial(endpoints.take_probe, key=self.key(), now=now, until=now + timedelta(seconds=50))
        (claimed,) = self.world.claim(self.world.write(take) or 0)
        self.learn(claimed, outcome, is_probe=True)

    def learn(self, claimed: Any, outcome: Outcome, *, is_probe: bool = False) -> None:  # noqa: ANN401 - what `claim` gave
        self.world.settle(claimed, outcome, None if outcome.delivered or outcome.gone else 5)
        lesson = Lesson(delivery=claimed, outcome=outcome, now=self.world.clock(), dice=0.5, is_probe=is_probe)
        self.world.write(partial(learning.learn, lesson=lesson))

    def key(self) -> int:
        return int(self.world.column("SELECT key FROM endpoint")[0])

    def disable(self) -> None:
        self.world.write(partial(endpoints.disable, key=self.key(), reason="by hand", now=self.world.clock()))

    def enable(self) -> None:
        self.world.write(partial(endpoints.enable, key=self.key(), now=self.world.clock()))

    def told(self) -> list[str]:
        """The types of all there are, first to last."""
        return self.world.column("SELECT message_type FROM notice ORDER BY key")

    def about(self) -> list[dict[str, Any]]:
        """What each says about its endpoint."""
        return [json.loads(body)["data"] for body in self.world.column("SELECT body FROM notice ORDER BY key")]

    def remind(self) -> int:
        return self.world.write(partial(notices.remind, now=self.world.clock(), limit=100))

    def give_up(self, limit: int = 100) -> int:
        return self.world.write(partial(notices.give_up, now=self.world.clock(), limit=limit))

    def claim(self, for_seconds: float = 50) -> Notice | None:
        until = self.world.clock() + timedelta(seconds=for_seconds)
        return self.world.write(partial(notices.claim, now=self.world.clock(), until=until))

    def settle(self, claimed: Notice, outcome: Outcome, again_after: float | None = None) -> bool:
        now = self.world.clock()
        again = None if again_after is None else now + timedelta(seconds=again_after)
        return self.world.write(
            partial(notices.settle, claimed=claimed, outcome=outcome, now=now, next_attempt_at=again)
        )

    def row(self) -> tuple[Any, ...]:
        """Status, attempt, failures and last error of the only one."""
        (row,) = self.world.rows("SELECT status, attempt, failures, last_error FROM notice")
        return tuple(row.values())


@pytest.fixture
def ours(world: World) -> Notices:
    world.join("dmn_teller", tells_operator=True)
    return Notices(world)


@pytest.fixture
def one(ours: Notices) -> Notices:
    """With one notice that is due."""
    ours.world.pending(want())
    ours.disable()
    return ours


class TestTurning:
    def test_a_pause_and_the_recovery_are_told(self, ours: Notices) -> None:
        ours.world.pending(*(want(str(number)) for number in range(3)))
        ours.fail(5)
        since = ours.world.column("SELECT failing_since FROM endpoint")
        ours.world.clock.advance(31)
        ours.probe(delivered())

        paused, recovered = ours.about()
        assert ours.told() == ["endpoint.paused", "endpoint.recovered"]
        (endpoint_id,) = ours.world.column("SELECT id FROM endpoint")
        assert (paused["id"], paused["endpoint"]) == (endpoint_id, "https://shop.example:443")
        assert paused["reason"] == "5 failures in a row, the last one: HTTP 500"
        assert (paused["failures"], paused["waiting"]) == (5, 3)
        assert since[0] is not None
        assert paused["failing_since"] == recovered["failing_since"] == "2026-11-22T08:00:15.000Z"
        assert recovered["waiting"] == 2, "those that go out now"

    def test_giving_up_is_told(self, ours: Notices) -> None:
        ours.world.pending(want())
        ours.fail(5)
        for _ in range(5):
            ours.world.clock.advance(DAY + 60)
            ours.probe(failed(None, error="timeout"))

        assert ours.told() == ["endpoint.paused", "endpoint.disabled"]
        assert ours.about()[1]["reason"] == "no success for 5 days and 10 failures, the last one: timeout"

    def test_the_end_of_the_last_callback_is_told(self, ours: Notices) -> None:
        ours.world.pending(want())

        ours.fail(1, outcome=failed(410))

        assert ours.told() == ["endpoint.disabled"]
        assert (ours.about()[0]["reason"], ours.about()[0]["waiting"]) == ("its last callback is gone (HTTP 410)", 0)

    def test_what_is_done_by_hand_is_told_once(self, ours: Notices) -> None:
        ours.world.pending(want())

        for act in (ours.disable, ours.disable, ours.enable, ours.enable):
            act()

        assert ours.told() == ["endpoint.disabled", "endpoint.recovered"]
        assert [about["reason"] for about in ours.about()] == ["by hand", "by hand"]

    def test_what_changes_no_state_is_not_told(self, ours: Notices) -> None:
        ours.world.pending(want())
        ours.fail(3)
        ours.fail(20, outcome=our_fault())

        assert ours.told() == []

    def test_without_a_daemon_that_tells_the_operator_nothing_is_written(self, world: World) -> None:
        ours = Notices(world)
        world.join("dmn_silent")
        world.pending(want())

        ours.disable()
        world.clock.advance(2 * DAY)

        assert (ours.remind(), ours.told()) == (0, [])

    def test_it_is_written_with_the_turn_or_not_at_all(self, ours: Notices) -> None:
        ours.world.pending(want())
        key, now = ours.key(), ours.world.clock()

        def broken(connection: Any) -> None:  # noqa: ANN401 - a connection
            endpoints.disable(connection, key, "by hand", now=now)
            raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError):
            ours.world.write(broken)

        assert (ours.told(), ours.world.column("SELECT state FROM endpoint")) == ([], ["active"])

    def test_the_count_of_what_waits_is_bounded(self, ours: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "MOST_COUNTED", 2)
        ours.world.pending(*(want(str(number)) for number in range(3)))

        ours.disable()

        assert (ours.about()[0]["waiting"], ours.about()[0]["waiting_is_exact"]) == (2, False)


class TestReminding:
    def test_once_a_day_while_messages_wait(self, one: Notices) -> None:
        said = []
        for _ in range(6):
            one.world.clock.advance(DAY / 2)
            said.append((one.remind(), one.remind()))

        assert said == [(0, 0), (1, 0), (0, 0), (1, 0), (0, 0), (1, 0)]
        assert one.told() == ["endpoint.disabled"] * 4
        assert one.about()[3] == one.about()[0]

    def test_not_where_nothing_waits(self, ours: Notices) -> None:
        ours.world.pending(want())
        ours.fail(1, outcome=failed(410))
        ours.world.clock.advance(2 * DAY)

        assert ours.remind() == 0

    def test_not_when_it_is_sent_to_again(self, one: Notices) -> None:
        one.enable()
        one.world.clock.advance(2 * DAY)

        assert one.remind() == 0

    def test_not_of_one_that_is_paused(self, ours: Notices) -> None:
        ours.world.pending(want())
        ours.fail(5)
        ours.world.clock.advance(2 * DAY)

        assert ours.remind() == 0

    def test_at_once_where_the_operator_has_never_been_told(self, world: World) -> None:
        ours = Notices(world)
        world.pending(want())
        ours.disable()
        world.join("dmn_teller", tells_operator=True)

        assert (ours.remind(), ours.remind()) == (1, 0)
        assert ours.told() == ["endpoint.disabled"]

    def test_forgetting_what_was_told_does_not_bring_it_back(self, one: Notices) -> None:
        one.settle(one.claim() or _none(), delivered())
        one.world.clock.advance(DAY / 2)
        forget = partial(retention.forget_notices, ended_before=one.world.clock(), limit=5)

        assert (one.world.write(forget), one.remind()) == (1, 0)

    def test_no_more_than_asked_for_at_a_time(self, ours: Notices) -> None:
        ours.world.pending(*(want(str(number), url=f"https://{number}.example/") for number in range(3)))
        for key in ours.world.column("SELECT key FROM endpoint"):
            ours.world.write(partial(endpoints.disable, key=key, reason="by hand", now=ours.world.clock()))
        ours.world.clock.advance(DAY)
        remind = partial(notices.remind, now=ours.world.clock(), limit=2)

        assert [ours.world.write(remind) for _ in range(3)] == [2, 1, 0]
        assert len(ours.told()) == 6


def _none() -> Notice:
    raise AssertionError("nothing was claimed")


class TestTelling:
    def test_the_claim_is_ours_until_it_runs_out(self, one: Notices) -> None:
        first = one.claim()
        assert first is not None
        assert first.id.startswith("msg_")
        assert (first.attempt, first.failures, first.body) == (1, 0, one.world.column("SELECT body FROM notice")[0])
        assert one.claim() is None
        one.world.clock.advance(50)

        again = one.claim()

        assert again is not None
        assert (again.id, again.body, again.attempt) == (first.id, first.body, 2)
        assert not one.settle(first, delivered()), "it has gone on without us"
        assert one.settle(again, delivered())
        assert one.row() == ("delivered", 2, 0, None)

    def test_what_is_due_longest_goes_first(self, one: Notices) -> None:
        one.enable()
        first, second = one.claim(), one.claim()

        assert first is not None
        assert second is not None
        assert (first.message_type, second.message_type) == ("endpoint.disabled", "endpoint.recovered")

    def test_a_failure_is_counted_once_however_often_it_is_written(self, one: Notices) -> None:
        claimed = one.claim()
        assert claimed is not None

        for _ in range(2):
            assert one.settle(claimed, failed(503), again_after=5)

        assert one.row() == ("pending", 1, 1, "HTTP 503")
        assert not one.world.database.read_now(partial(notices.is_due, now=one.world.clock()))
        one.world.clock.advance(5)
        assert one.world.database.read_now(partial(notices.is_due, now=one.world.clock()))

    def test_our_own_fault_is_no_failure(self, one: Notices) -> None:
        one.settle(one.claim() or _none(), our_fault(), again_after=5)

        assert one.row() == ("pending", 1, 0, "internal")

    def test_without_another_attempt_it_is_dead(self, one: Notices) -> None:
        one.settle(one.claim() or _none(), failed(None, error="refused"))

        assert one.row() == ("dead", 1, 1, "refused")
        assert one.world.column("SELECT count(*) FROM notice WHERE settled_at IS NOT NULL") == [1]

    def test_what_nobody_tells_for_a_week_is_given_up(self, one: Notices) -> None:
        one.world.clock.advance(7 * DAY)
        assert one.give_up() == 0
        one.world.clock.advance(1)

        assert one.give_up() == 1
        assert one.row()[0] == "dead"
        with statements() as sent:
            assert one.give_up() == 0
        assert writes(sent) == []

    def test_no_more_than_asked_for_are_given_up_at_a_time(self, one: Notices) -> None:
        one.enable()
        one.disable()
        one.world.clock.advance(7 * DAY + 1)

        assert [one.give_up(limit=2) for _ in range(3)] == [2, 1, 0]

    def test_only_what_is_settled_is_forgotten(self, one: Notices) -> None:
        one.enable()
        one.settle(one.claim() or _none(), delivered())
        one.world.clock.advance(1)
        forget = partial(retention.forget_notices, ended_before=one.world.clock(), limit=5)

        assert [one.world.write(forget) for _ in range(2)] == [1, 0]
        assert one.told() == ["endpoint.recovered"]


class TestSeveralDaemons:
    """On Postgres."""

    @pytest.fixture
    def worlds(self, worlds: list[World]) -> list[World]:
        worlds[0].join("dmn_teller", tells_operator=True)
        return worlds

    def test_one_of_them_reminds(self, worlds: list[World]) -> None:
        names = [str(number) for number in range(20)]
        worlds[0].pending(*(want(name, url=f"https://{name}.example/") for name in names))
        for key in worlds[0].column("SELECT key FROM endpoint"):
            worlds[0].write(partial(endpoints.disable, key=key, reason="by hand", now=worlds[0].clock()))
        worlds[0].clock.advance(DAY)

        for thread in [Thread(Notices(world).remind) for world in worlds]:
            thread.result()

        assert len(Notices(worlds[0]).told()) == 40

    def test_the_one_that_was_too_late_has_reminded_of_nothing(self, worlds: list[World]) -> None:
        first, second, _ = worlds
        first.pending(want())
        Notices(first).disable()
        first.clock.advance(DAY)
        reminding = HeldOpen(first.database, partial(notices.remind, now=first.clock(), limit=5))
        late = Thread(Notices(second).remind)
        wait_until_blocked(first.database)

        assert (reminding.commit(), late.result()) == (1, 0)
        assert len(Notices(first).told()) == 2

    def test_each_notice_is_claimed_by_one(self, worlds: list[World]) -> None:
        ours = Notices(worlds[0])
        worlds[0].pending(want())
        for _ in range(10):
            ours.disable()
            ours.enable()

        def claim_all(world: World) -> list[int]:
            return [claimed.key for claimed in iter(Notices(world).claim, None)]

        threads = [Thread(partial(claim_all, world)) for world in worlds]
        claimed = [key for thread in threads for key in thread.result()]

        assert sorted(claimed) == worlds[0].column("SELECT key FROM notice ORDER BY key")
        assert len(claimed) == 20
