"""Endpoints as the table remembers them: held, probed, let go, given up."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
from fakes import OWNER, HeldOpen, Thread, World, delivered, failed, moment_of, our_fault, statements, want, writes

from tracker.errors import NotFoundError
from tracker.model import Delivery, Outcome
from tracker.store import deliveries, endpoints, learning, receivers
from tracker.store.database import Connection
from tracker.store.endpoints import HELD_FOR, Turn
from tracker.store.learning import Lesson

ORIGIN = "https://shop.example:443"
_AGAIN_AT = """coalesce((SELECT claimed_until FROM attempt WHERE delivery_key = delivery.key AND outcome = 'sending'),
    next_attempt_at)"""


@dataclass
class Receivers:
    """A world in which outcomes are learned from."""

    world: World

    def learn(
        self, claimed: Delivery, outcome: Outcome, again_after: float | None = 5, *, is_probe: bool = False
    ) -> Turn | None:
        assert self.world.settle(claimed, outcome, None if outcome.delivered or outcome.gone else again_after)
        return self.world.write(partial(self.learning, claimed=claimed, outcome=outcome, is_probe=is_probe))

    def learning(
        self, connection: Connection, claimed: Delivery, outcome: Outcome, *, is_probe: bool = False
    ) -> Turn | None:
        now = self.world.clock()
        lesson = Lesson(delivery=claimed, outcome=outcome, now=now, dice=0.5, is_probe=is_probe)
        return learning.learn(connection, lesson)

    def fail(self, times: int, every: float = 15, outcome: Outcome | None = None) -> None:
        """So many attempts that fail, at intervals, each of whatever is due first."""
        for _ in range(times):
            self.world.clock.advance(every)
            # Those that are due at the same moment come in any order: the oldest is meant.
            first = f"SELECT key FROM delivery WHERE status = 'pending' ORDER BY {_AGAIN_AT}, key LIMIT 1"
            (claimed,) = self.world.claim(*self.world.column(first))
            self.learn(claimed, outcome or failed())

    def state(self) -> str:
        return str(self.world.column("SELECT state FROM endpoint")[0])

    def key(self) -> int:
        return int(self.world.column("SELECT key FROM endpoint")[0])

    def waits(self) -> list[float]:
        """In how many seconds each pending delivery is due, or its claim runs out."""
        due = self.world.column(f"SELECT {_AGAIN_AT} FROM delivery WHERE status = 'pending' ORDER BY key")
        return [(moment_of(value) - self.world.clock()).total_seconds() for value in due]

    def probe(self) -> int | None:
        now = self.world.clock()
        take = partial(endpoints.take_probe, key=self.key(), now=now, until=now + timedelta(seconds=50))
        return self.world.write(take)


@pytest.fixture
def ours(world: World) -> Receivers:
    return Receivers(world)


class TestPausing:
    def test_failures_pause_it_and_hold_everything_that_waits(self, ours: Receivers) -> None:
        ours.world.pending(*(want(str(number)) for number in range(8)))

        ours.fail(5)

        assert ours.state() == "paused"
        assert ours.waits() == [HELD_FOR.total_seconds()] * 8
        assert ours.world.due() == []
        assert ours.world.column("SELECT max(failures) FROM delivery") == [1], "holding spends no attempts"

    def test_a_message_made_meanwhile_is_held_as_well(self, ours: Receivers) -> None:
        ours.world.pending(want())
        ours.fail(5)

        ours.world.pending(want("2"))

        assert ours.waits() == [HELD_FOR.total_seconds()] * 2

    def test_our_own_faults_do_not_count(self, ours: Receivers) -> None:
        ours.world.pending(want())

        ours.fail(20, outcome=our_fault())

        assert ours.world.rows("SELECT state, failures FROM endpoint") == [{"state": "active", "failures": 0}]

    def test_what_is_out_while_it_is_paused_settles_and_is_held(self, ours: Receivers) -> None:
        first, _ = ours.world.pending(want("1"), want("2"))
        (out,) = ours.world.claim(first, for_seconds=500)
        ours.fail(5)
        assert ours.waits()[0] < 500, "its claim is left alone"

        ours.learn(out, failed())

        assert ours.waits() == [HELD_FOR.total_seconds()] * 2

    def test_what_a_crash_left_open_is_held_as_soon_as_its_claim_has_run_out(self, ours: Receivers) -> None:
        """Else it is due for as long as its endpoint is disabled, and each look and the alert go by it."""
        ours.world.pending(want())
        ours.world.claim(for_seconds=50)
        ours.world.write(partial(endpoints.disable, key=ours.key(), reason="", now=ours.world.clock()))
        holding = partial(endpoints.hold_again, limit=10)
        assert ours.world.write(partial(holding, now=ours.world.clock())) == 0, "it may be under way"
        ours.world.clock.advance(50)

        assert ours.world.write(partial(holding, now=ours.world.clock())) == 1

        overdue = partial(deliveries.oldest_due_seconds, now=ours.world.clock())
        assert ours.world.database.read_now(overdue) == 0
        ours.world.write(partial(endpoints.enable, key=ours.key(), now=ours.world.clock()))
        assert [again.attempt for again in ours.world.claim()] == [2]

    def test_a_success_of_a_healthy_endpoint_writes_nothing_about_it(self, ours: Receivers) -> None:
        ours.world.pending(want("1"), want("2"), want("3"))
        first, second, third = ours.world.claim()
        ours.learn(first, delivered())
        for claimed, after, expected in ((second, 59, 0), (third, 2, 1)):
            ours.world.clock.advance(after)
            ours.world.settle(claimed, delivered())
            with statements() as sent:
                ours.world.write(partial(ours.learning, claimed=claimed, outcome=delivered()))

            assert len(writes(sent)) == expected, "the time of the last success, once a minute"

    def test_the_janitor_holds_again_what_would_come_due(self, ours: Receivers) -> None:
        ours.world.pending(want("1"), want("2"), want("3"))
        ours.fail(5)
        ours.world.clock.advance(HELD_FOR.total_seconds())
        again = partial(endpoints.hold_again, now=ours.world.clock(), limit=2)

        assert [ours.world.write(again) for _ in range(3)] == [2, 1, 0]
        assert ours.waits() == [HELD_FOR.total_seconds()] * 3


def _text(ours: Receivers) -> str:
    return ours.world.clock().strftime("%Y-%m-%d %H:%M:%S.000Z")


class TestProbing:
    def test_the_oldest_of_those_least_tried_goes_when_the_pause_is_over_and_nobody_else_may(
        self, ours: Receivers
    ) -> None:
        _, second, _, _ = ours.world.pending(*(want(str(number)) for number in range(4)))
        ours.fail(5)
        assert ours.probe() is None, "not yet"
        ours.world.clock.advance(31)

        assert ours.probe() == second
        assert ours.probe() is None
        assert ours.world.claim(second)[0].key == second

    def test_a_single_dead_path_does_not_keep_its_endpoint_paused(self, ours: Receivers) -> None:
        names = [str(number) for number in range(21)]
        keys = ours.world.pending(*(want(name, url=f"https://shop.example/{name}") for name in names))
        ours.fail(5)
        dead = keys[5]
        probed = []
        while ours.state() == "paused" and len(probed) < 5:
            ours.world.clock.advance(400)
            (claimed,) = ours.world.claim(ours.probe() or 0)
            probed.append(claimed.key)
            ours.learn(claimed, failed(404) if claimed.key == dead else delivered(), is_probe=True)

        assert probed == [dead, keys[6]]
        assert ours.state() == "active"

    def test_a_probe_that_fails_waits_twice_as_long(self, ours: Receivers) -> None:
        ours.world.pending(want())
        ours.fail(5)
        ours.world.clock.advance(31)
        (claimed,) = ours.world.claim(ours.probe() or 0)

        ours.learn(claimed, failed(), is_probe=True)

        (until,) = ours.world.column("SELECT paused_until FROM endpoint")
        assert (moment_of(until) - ours.world.clock()).total_seconds() == 60
        assert ours.waits() == [HELD_FOR.total_seconds()]

    def test_what_was_under_way_when_it_was_paused_does_not_put_the_first_probe_off(self, ours: Receivers) -> None:
        names = [str(number) for number in range(8)]
        ours.world.pending(*(want(name) for name in names))
        *counted, late, later = ours.world.claim(for_seconds=500)
        for claimed in counted:
            ours.world.clock.advance(15)
            ours.learn(claimed, failed())
        (until,) = ours.world.column("SELECT paused_until FROM endpoint")

        for claimed in (late, later):
            ours.world.clock.advance(10)
            ours.learn(claimed, failed())

        assert ours.state() == "paused"
        assert ours.world.rows("SELECT probes, failures, paused_until FROM endpoint") == [
            {"probes": 0, "failures": 8, "paused_until": until}
        ]

    def test_what_is_out_is_not_sent_twice_as_a_probe(self, ours: Receivers) -> None:
        ours.world.pending(want())
        ours.fail(4)
        ours.world.clock.advance(15)
        (claimed,) = ours.world.claim(for_seconds=500)
        ours.world.sql("UPDATE endpoint SET state = 'paused', paused_until = :now", now=_text(ours))

        assert ours.probe() is None
        assert claimed.attempt == 5


class TestResting:
    def seen(self, ours: Receivers, *among: str, limit: int = 100) -> list[tuple[str, bool]]:
        """Origin, and whether it is to be probed now, of each that is shown."""
        look = partial(endpoints.resting, now=ours.world.clock(), among=among, limit=limit)
        return [(one.origin, one.probe_at is not None) for one in ours.world.database.read_now(look)]

    def paused(self, ours: Receivers, *names: str) -> None:
        """Endpoints, each with a message, whose pauses end a second after one another."""
        ours.world.pending(*(want(name, url=f"https://{name}.example/") for name in names))
        for number, name in enumerate(names):
            until = (ours.world.clock() + timedelta(seconds=30 + number)).strftime("%Y-%m-%d %H:%M:%S.000Z")
            rest = "UPDATE endpoint SET state = 'paused', paused_until = :until WHERE origin = :origin"
            ours.world.sql(rest, until=until, origin=f"https://{name}.example:443")

    def test_one_is_to_be_probed_when_its_pause_is_over(self, ours: Receivers) -> None:
        self.paused(ours, "a", "b")

        assert self.seen(ours) == [("https://a.example:443", False), ("https://b.example:443", False)]
        ours.world.clock.advance(30)
        assert self.seen(ours) == [("https://a.example:443", True), ("https://b.example:443", False)]

    def test_not_where_nothing_waits(self, ours: Receivers) -> None:
        self.paused(ours, "a")
        ours.world.sql("UPDATE delivery SET status = 'dead', next_attempt_at = NULL, settled_at = created_at")
        ours.world.clock.advance(30)

        assert self.seen(ours) == []

    def test_not_where_all_that_waits_is_out(self, ours: Receivers) -> None:
        ours.world.pending(want())
        ours.world.claim(for_seconds=50)
        ours.world.sql("UPDATE endpoint SET state = 'paused', paused_until = :now", now=_text(ours))

        assert (self.seen(ours), ours.probe()) == ([], None)
        ours.world.clock.advance(50)
        assert self.seen(ours) == [(ORIGIN, True)], "its claim has run out"
        assert ours.probe() is not None

    def test_those_that_nobody_can_take_keep_no_other_from_being_probed(self, ours: Receivers) -> None:
        self.paused(ours, "a", "b", "c", "d", "e")
        ours.world.sql(
            """UPDATE delivery SET status = 'dead', next_attempt_at = NULL, settled_at = created_at
               WHERE key IN (SELECT key FROM delivery ORDER BY key LIMIT 2)"""
        )
        ours.world.clock.advance(60)

        assert self.seen(ours, limit=2) == [("https://c.example:443", True), ("https://d.example:443", True)]

    def test_one_that_is_disabled_is_shown_to_whom_it_concerns(self, ours: Receivers) -> None:
        self.paused(ours, "a", "b", "c")
        ours.world.sql("UPDATE endpoint SET state = 'disabled', paused_until = NULL WHERE origin LIKE '%a.%'")
        ours.world.sql("UPDATE endpoint SET state = 'active', paused_until = NULL WHERE origin LIKE '%b.%'")

        assert self.seen(ours) == [("https://c.example:443", False)]
        asked = [f"https://{name}.example:443" for name in "abcx"]
        assert self.seen(ours, *asked) == [("https://c.example:443", False), ("https://a.example:443", False)]


class TestRecovering:
    def test_the_first_success_lets_all_go_at_once(self, ours: Receivers) -> None:
        ours.world.pending(*(want(str(number)) for number in range(4)))
        ours.fail(5)
        ours.world.clock.advance(31)
        (claimed,) = ours.world.claim(ours.probe() or 0)

        with statements() as sent:
            turn = ours.learn(claimed, delivered(), is_probe=True)

        assert turn is not None
        assert (turn.before.state, turn.after.state) == ("paused", "active")
        assert ours.waits() == [0] * 3
        assert len([one for one in writes(sent) if "UPDATE delivery SET next_attempt_at" in one]) == 1

    def test_what_is_out_is_not_made_due_a_second_time(self, ours: Receivers) -> None:
        ours.world.pending(want("1"), want("2"))
        first, second = ours.world.claim(for_seconds=500)
        ours.world.sql("UPDATE endpoint SET state = 'paused', failures = 5, paused_until = :now", now=_text(ours))

        ours.learn(first, delivered())

        assert ours.state() == "active"
        assert ours.world.due() == []
        assert ours.learn(second, delivered()) is None, "no news"


class TestGivingUp:
    def test_days_without_success_disable_it_and_its_messages_stay(self, ours: Receivers) -> None:
        ours.world.pending(want("1"), want("2"))
        ours.fail(5)
        for _ in range(5):
            ours.world.clock.advance(86400 + 60)
            (claimed,) = ours.world.claim(ours.probe() or 0)
            ours.learn(claimed, failed(None, error="timeout"), is_probe=True)

        assert ours.state() == "disabled"
        (reason,) = ours.world.column("SELECT reason FROM endpoint")
        assert reason == "no success for 5 days and 10 failures, the last one: timeout"
        assert ours.waits() == [HELD_FOR.total_seconds()] * 2
        assert ours.probe() is None

    def test_410_of_the_last_callback_disables_it(self, ours: Receivers) -> None:
        first, second = ours.world.pending(want("1"), want("2"))

        ours.learn(ours.world.claim(first)[0], failed(410))
        assert ours.state() == "active"
        ours.learn(ours.world.claim(second)[0], failed(410))

        assert ours.state() == "disabled"

    @pytest.mark.parametrize(
        ("url", "state"),
        [
            ("https://SHOP.example/other", "active"),
            ("https://shop.example.org/", "disabled"),
            ("https://shop.example:8443/", "disabled"),
        ],
    )
    def test_a_callback_that_was_told_nothing_yet_keeps_its_endpoint(
        self, ours: Receivers, url: str, state: str
    ) -> None:
        (key,) = ours.world.pending(want("1"))
        ours.world.register(want("2", url=url))

        ours.learn(ours.world.claim(key)[0], failed(410))

        assert ours.state() == state

    def test_by_hand_it_is_closed_and_opened(self, ours: Receivers) -> None:
        ours.world.pending(want("1"), want("2"))

        ours.world.write(partial(endpoints.disable, key=ours.key(), reason="by hand", now=ours.world.clock()))
        ours.world.register(want("3"))
        assert (ours.state(), ours.world.due()) == ("disabled", []), "registering does not open it"
        ours.world.write(partial(endpoints.enable, key=ours.key(), now=ours.world.clock()))

        assert ours.state() == "active"
        assert len(ours.world.due()) == 2

    def test_enabling_one_that_is_active_lets_go_what_waits_for_its_next_attempt(self, ours: Receivers) -> None:
        ours.world.pending(want("1"), want("2"), want("3"))
        out, first, second = ours.world.claim(for_seconds=500)
        for claimed, again_after in ((first, 300), (second, 7200)):
            ours.learn(claimed, failed(), again_after=again_after)

        turn = ours.world.write(partial(endpoints.enable, key=ours.key(), now=ours.world.clock()))

        assert not turn.is_new_state
        assert ours.waits() == [500, 0, 0], "the one that is out keeps its claim"
        assert ours.world.due() == [first.key, second.key]
        assert out.key not in ours.world.due()

    def test_a_success_that_comes_late_does_not_open_what_was_closed_by_hand(self, ours: Receivers) -> None:
        ours.world.pending(want())
        (claimed,) = ours.world.claim()
        ours.world.write(partial(endpoints.disable, key=ours.key(), reason="by hand", now=ours.world.clock()))

        ours.learn(claimed, delivered())

        assert ours.state() == "disabled"


class TestListing:
    def test_owners_see_the_endpoints_of_their_messages_and_count_their_own(self, world: World) -> None:
        world.pending(want("1"), want("2"))
        world.register(want("1"), want("3", url="https://b.example/"), owner="bob")
        world.adopt()
        world.end("3")

        def listed(owner: str | None) -> list[tuple[str, int]]:
            found = world.database.read_now(partial(receivers.page, owner=owner))
            return [(line.origin, line.waiting) for line in found]

        assert listed(None) == [("https://b.example:443", 1), (ORIGIN, 3)]
        assert listed(OWNER) == [(ORIGIN, 2)]
        assert listed("bob") == [("https://b.example:443", 1), (ORIGIN, 1)]

    @pytest.mark.parametrize("given", [ORIGIN, "https://shop.example", "https://shop.example/hook"])
    def test_an_endpoint_is_found_by_its_address(self, world: World, given: str) -> None:
        world.pending(want())

        assert world.database.read_now(partial(receivers.get, given=given, owner=None)).origin == ORIGIN

    def test_an_owner_finds_its_own_by_name_and_page_by_page(self, world: World) -> None:
        world.pending(want("1", url="https://old.example/x"))
        world.pending(want("2", url="https://new.example/x"))
        world.register(want("3", url="https://others.example/x"), owner="bob")
        world.adopt()
        world.end("3")

        def listed(owner: str, before: int | None = None) -> list[receivers.EndpointLine]:
            return world.database.read_now(partial(receivers.page, owner=owner, before=before, limit=1))

        def found(host: str) -> int:
            return world.database.read_now(partial(receivers.get, given=f"https://{host}.example", owner=OWNER)).key

        (new,) = listed(OWNER)
        (old,) = listed(OWNER, before=new.key)
        assert (new.key, old.key) == (found("new"), found("old"))
        assert listed(OWNER, before=old.key) == []
        assert [line.origin for line in listed("bob")] == ["https://others.example:443"]
        assert listed("nobody") == []
        with pytest.raises(NotFoundError):
            found("others")

    def test_an_endpoint_is_its_owners_when_all_its_messages_are_forgotten(self, world: World) -> None:
        world.pending(want())

        world.sql("DELETE FROM task")

        (line,) = world.database.read_now(partial(receivers.page, owner=OWNER))
        assert (line.origin, line.waiting) == (ORIGIN, 0)


class TestSeveralDaemons:
    """On Postgres."""

    def test_one_of_them_probes(self, worlds: list[World]) -> None:
        ours = Receivers(worlds[0])
        worlds[0].pending(*(want(str(number)) for number in range(5)))
        ours.fail(5)
        worlds[0].clock.advance(31)

        threads = [Thread(Receivers(world).probe) for world in worlds]

        assert len([key for thread in threads if (key := thread.result()) is not None]) == 1

    def test_a_message_made_while_it_recovers_is_not_held(self, worlds: list[World]) -> None:
        first, second, _ = worlds
        ours = Receivers(first)
        first.pending(want("1"))
        first.watched(want("2"))
        ours.fail(5)
        recovering = HeldOpen(first.database, partial(endpoints.enable, key=ours.key(), now=first.clock()))

        ending = Thread(partial(second.end, "2"))
        recovering.commit()
        ending.result()

        assert ours.waits() == [0, 0]

    def test_outcomes_of_one_endpoint_at_the_same_moment_all_count(self, worlds: list[World]) -> None:
        worlds[0].pending(*(want(str(number)) for number in range(60)))
        claimed = worlds[0].claim(*worlds[0].due(limit=60))

        def settle(world: World, mine: list[Delivery]) -> None:
            for one in mine:
                Receivers(world).learn(one, failed())

        threads = [Thread(partial(settle, world, claimed[place::3])) for place, world in enumerate(worlds)]
        for thread in threads:
            thread.result()

        assert worlds[0].column("SELECT failures FROM endpoint") == [60]
