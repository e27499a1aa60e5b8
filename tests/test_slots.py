"""What may be claimed and sent just now: room by endpoint, and turns."""

import random
from collections import Counter, deque
from datetime import timedelta
from itertools import count
from typing import TypeVar

import pytest
from clocks import START
from couriers import out_to
from hypothesis import given
from hypothesis import strategies as st

from tracker.config import CallbackSettings
from tracker.courier.backlog import Backlog, Waiting
from tracker.courier.slots import Pace, Slots
from tracker.courier.turns import Turns
from tracker.model import Delivery
from tracker.store.due import Due, Seen

T = TypeVar("T")


class TestSlots:
    def test_of_a_swift_endpoint_that_is_full_there_is_hope(self) -> None:
        slots = self.slots(max_in_flight_per_endpoint=1)
        slots.time("swift", timedelta(seconds=0.1))
        slots.time("slow", timedelta(seconds=3))
        for number, endpoint in enumerate(("swift", "slow", "unknown")):
            slots.take(out_to(endpoint, number))

        assert sorted(slots.saturated()) == ["slow", "swift", "unknown"]
        assert sorted(slots.hopeless()) == ["slow", "unknown"]

    def slots(self, **settings: object) -> Slots:
        return Slots(CallbackSettings(**settings), lambda: 0.0)  # type: ignore[arg-type]

    def test_slow_ones_share_half_of_the_room(self) -> None:
        slots = self.slots(max_in_flight=8)
        for number in range(4):
            slots.time(f"slow {number}", timedelta(seconds=2.1))
        slots.time("swift", timedelta(seconds=1.9))
        taken = [out_to(f"slow {number}", number) for number in range(3)]

        for delivery in taken:
            slots.take(delivery)

        assert [slots.room(f"slow {number}") for number in (0, 3)] == [1, 1]
        assert slots.room("slow 3", {Pace.SLOW: 1}) == 0
        assert slots.room("swift") == 4
        slots.give_back(taken[0])
        assert slots.room("slow 3") == 2

    def test_one_that_turns_swift_gets_its_whole_share(self) -> None:
        slots = self.slots()

        assert slots.room("new") == 1
        slots.time("new", timedelta(seconds=30))
        slots.time("new", timedelta(seconds=0.1))

        assert slots.room("new") == 4

    def test_room_doubles_with_each_round_that_was_delivered(self) -> None:
        slots = self.slots(max_in_flight_per_endpoint=6)
        slots.time("e", timedelta(seconds=0.1))
        slots.start_slowly("e")
        rooms = []
        for _ in range(8):
            rooms.append(slots.room("e"))
            slots.learn("e", delivered=True)

        assert rooms == [1, 2, 2, 4, 4, 4, 4, 6]

    def test_a_failure_on_the_way_back_starts_it_again(self) -> None:
        slots = self.slots()
        slots.start_slowly("e")
        slots.learn("e", delivered=True)
        slots.learn("e", delivered=False)

        assert slots.room("e") == 1

    def test_whoever_woke_it_it_starts_slowly(self) -> None:
        slots = self.slots()
        for endpoint in "eg":
            slots.time(endpoint, timedelta(seconds=0.1))
        slots.see_resting(["e", "f"])
        slots.see_resting(["f"])

        assert (slots.room("e"), slots.room("g")) == (1, 4)

    def test_of_a_brisk_one_more_are_claimed_than_it_gets_at_a_time(self) -> None:
        slots = self.slots()
        for endpoint, seconds, delivered in (("brisk", 0.05, True), ("refuses", 0.001, False), ("swift", 0.06, True)):
            slots.time(endpoint, timedelta(seconds=seconds), delivered=delivered)

        assert [slots.room(endpoint) for endpoint in ("brisk", "refuses", "swift")] == [16, 4, 4]
        slots.time("brisk", timedelta(seconds=0.06), delivered=True)
        assert slots.room("brisk") == 4

    def test_one_that_keeps_others_waiting_is_brisk_no_longer_and_slow_still(self) -> None:
        slots = self.slots()
        slots.time("brisk", timedelta(seconds=0.01), delivered=True)
        slots.time("slow", timedelta(seconds=3))
        for endpoint in ("brisk", "slow"):
            slots.keep_none_waiting(endpoint)

        assert [slots.pace(endpoint) for endpoint in ("brisk", "slow")] == [Pace.SWIFT, Pace.SLOW]

    def test_for_one_that_has_not_answered_for_a_second_nothing_waits(self) -> None:
        """Else those that are black holes now would have messages waiting one after the other, a second each."""
        now = 0.0
        slots = Slots(CallbackSettings(), lambda: now)
        slots.time("brisk", timedelta(seconds=0.01), delivered=True)
        for number in range(4):
            slots.take(out_to("brisk", number))

        assert slots.room("brisk") == 12
        now = 1.0
        assert slots.room("brisk") == 0
        slots.time("brisk", timedelta(seconds=0.01), delivered=True)
        assert slots.room("brisk") == 12

    def test_a_brisk_one_that_comes_back_or_may_be_called_seldom_gets_no_more(self) -> None:
        slots, seldom = self.slots(), self.slots(max_per_second_per_endpoint=10.0)
        for each in (slots, seldom):
            each.time("e", timedelta(seconds=0.01), delivered=True)
        slots.start_slowly("e")

        assert (slots.room("e"), seldom.room("e")) == (1, 1)

    def test_what_waits_for_brisk_ones_takes_no_room_of_others(self) -> None:
        slots = self.slots(max_in_flight=4)
        for endpoint in ("a", "b", "c", "swift"):
            slots.time(endpoint, timedelta(seconds=0.01), delivered=endpoint != "swift")
        rooms = []
        for endpoint in ("a", "b", "c"):
            rooms.append(slots.room(endpoint))
            for number in range(rooms[-1]):
                slots.take(out_to(endpoint, 100 * len(rooms) + number))

        assert rooms == [16, 4, 4], "twelve more wait for one; for the others none, though they are called"
        assert (slots.free, slots.free_for_all) == (0, 0)
        slots.give_back(out_to("c", 300))
        assert (slots.room("swift"), slots.free) == (1, 1)
        for number in range(8):
            slots.give_back(out_to("a", 100 + number))
        assert (slots.room("swift"), slots.room("a")) == (1, 8)
        assert slots.free == 9

    def test_what_waits_for_others_is_no_room_of_a_brisk_one_that_is_not_called(self) -> None:
        slots = self.slots(max_in_flight=2, max_in_flight_per_endpoint=2)
        for endpoint in ("a", "b", "c", "d", "swift"):
            slots.time(endpoint, timedelta(seconds=0.01), delivered=endpoint != "swift")
        for number, endpoint in enumerate("aabbcc"):
            slots.take(out_to(endpoint, number))

        assert (slots.free, slots.free_for_all) == (6, 0)
        assert (slots.room("a"), slots.room("d"), slots.room("swift")) == (6, 0, 0)
        assert not slots.are_taken, "more may wait for those that are called"
        for endpoint in "abc":
            slots.time(endpoint, timedelta(seconds=0.1))
        assert slots.are_taken
        for endpoint in "abc":
            slots.time(endpoint, timedelta(seconds=0.01), delivered=True)
        slots.give_back(out_to("a", 0))
        assert (slots.room("a"), slots.room("d"), slots.room("swift")) == (7, 1, 1)

    @pytest.mark.parametrize(("most", "each"), [(64, 4), (1, 4), (8, 64)])
    def test_however_many_wait_at_brisk_ones_everybody_has_their_turn(self, most: int, each: int) -> None:
        slots, backlog = self.slots(max_in_flight=most, max_in_flight_per_endpoint=each), Backlog()
        brisk = deque(f"brisk {number}" for number in range(100))
        for endpoint in (*brisk, "swift"):
            slots.time(endpoint, timedelta(0), delivered=endpoint != "swift")
        keys, out = count(), list[Delivery]()

        def endpoints_called_when_due(*endpoints: str) -> set[str]:
            due = [Due(key=next(keys), endpoint=endpoint) for endpoint in endpoints for _ in range(2)]
            where = {one.key: one.endpoint for one in due}
            backlog.forget()
            backlog.see(Waiting(seen=Seen(due=due, is_all=True), resting=()), now=START, took=timedelta(0))
            claimed = [out_to(where[key], key) for key in backlog.choose(slots, START).deliveries]
            for delivery in claimed:
                slots.take(delivery)
            out.extend(claimed)
            return {delivery.endpoint for delivery in claimed}

        for _ in range(2):
            endpoints_called_when_due(*brisk)
        called = set[str]()
        for _ in range(2 * len(out)):
            back = out.pop(0)
            slots.give_back(back)
            brisk.rotate(-1)
            called |= endpoints_called_when_due("swift", "unknown", *brisk)

        assert {"swift", "unknown"} <= called


class TestTurns:
    def test_who_waits_for_its_endpoint_takes_no_place_of_anybody_else(self) -> None:
        turns = Turns[str](2, 1)
        for who in ("a1", "a2", "b1"):
            turns.wait(who[0], who, 0.0)

        assert called(turns) == ["a1", "b1"]
        turns.give_back("b")
        assert called(turns) == []
        turns.give_back("a")
        assert called(turns) == ["a2"]

    def test_they_are_called_in_the_order_in_which_their_endpoints_have_a_turn(self) -> None:
        turns = Turns[str](1, 1)
        for who in ("a1", "a2", "b1", "c1"):
            turns.wait(who[0], who, 0.0)

        order = called(turns)
        while turns.waiting or len(order) < 4:
            turns.give_back(order[-1][0])
            order += called(turns)

        assert order == ["a1", "b1", "c1", "a2"]

    def test_who_waits_too_long_is_sent_away_and_leaves_nothing(self) -> None:
        turns = Turns[str](2, 1)
        for at, who in ((0.0, "a1"), (1.0, "a2"), (2.0, "a3")):
            turns.wait("a", who, at)
        assert called(turns) == ["a1"]

        assert turns.take_late(1.5) == ["a2"]

        assert turns.waiting == 1
        turns.give_back("a")
        assert called(turns) == ["a3"]
        turns.give_back("a")
        turns.wait("a", "a4", 3.0)
        assert called(turns) == ["a4"]

    def test_who_waits_where_nobody_is_called_for_want_of_places_goes_on_waiting(self) -> None:
        """Its endpoint is not at fault: given back, it would be claimed and given back again and again."""
        turns = Turns[str](1, 1)
        for who in ("a1", "b1", "b2"):
            turns.wait(who[0], who, 0.0)
        assert called(turns) == ["a1"]

        assert turns.take_late(10.0) == []

        turns.give_back("a")
        assert called(turns, 9.5) == ["b1"]
        assert turns.take_late(9.0) == [], "it has been called for half a second"
        assert turns.take_late(9.5) == ["b2"], "now it is its endpoint that takes so long"

    @given(st.integers(1, 3), st.integers(1, 3), st.lists(st.sampled_from("abc"), max_size=30), st.randoms())
    def test_bounds_hold_and_everybody_is_called_once(
        self, most: int, each: int, endpoints: list[str], dice: random.Random
    ) -> None:
        turns = Turns[int](most, each)
        out: list[int] = []
        seen: list[int] = []
        waiting = list(enumerate(endpoints))
        while waiting or out or turns.waiting:
            if waiting and dice.random() < 0.6:
                number, endpoint = waiting.pop()
                turns.wait(endpoint, number, 0.0)
            elif out:
                turns.give_back(endpoints[out.pop(dice.randrange(len(out)))])
            now = called(turns)
            out += now
            seen += now
            at_each = Counter(endpoints[number] for number in out)
            assert len(out) <= most
            assert max(at_each.values(), default=0) <= each

        assert sorted(seen) == list(range(len(endpoints)))


def called(turns: Turns[T], now: float = 0.0) -> list[T]:
    """Everybody whose turn it is."""
    return list(iter(lambda: turns.next(now), None))
