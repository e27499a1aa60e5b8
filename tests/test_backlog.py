"""What was due when the courier last looked: what is taken from it, and when the next look has to be made."""

from dataclasses import replace
from datetime import timedelta

from clocks import START
from couriers import out_to

from tracker.config import CallbackSettings
from tracker.courier.backlog import MOST_REMEMBERED, Backlog, Waiting
from tracker.courier.slots import Slots
from tracker.store.due import Due, Seen


def test_what_is_in_hand_is_no_reason_to_look_again() -> None:
    """Its claim may have run out while its outcome waits to be written; looks without pause would not help that."""
    slots, backlog = Slots(CallbackSettings(), lambda: 0.0), Backlog()
    slots.take(out_to("e", 1))
    seen = Seen(due=[Due(key=1, endpoint="e"), Due(key=2, endpoint="other")], is_all=True)
    backlog.see(Waiting(seen=seen, resting=()), now=START, took=timedelta(0))
    slots.give_back(out_to("e", 1))

    assert backlog.choose(slots, START).deliveries == [2]
    backlog.see(Waiting(seen=replace(seen, due=seen.due[:1]), resting=()), now=START, took=timedelta(0))
    assert not backlog.choose(slots, START)
    assert not backlog.may_have_more


def test_what_was_handed_out_while_a_look_was_under_way_is_not_taken_from_it() -> None:
    """The look began before its claim was written, and so shows it as due."""
    slots, backlog = Slots(CallbackSettings(), lambda: 0.0), Backlog()
    first, second = Due(key=1, endpoint="e"), Due(key=2, endpoint="f")
    seen = Seen(due=[first, second], is_all=False)
    backlog.see(Waiting(seen=replace(seen, due=[first]), resting=()), now=START, took=timedelta(0))
    assert backlog.choose(slots, START).deliveries == [1]
    backlog.begin_to_see_beside_a_claim()
    backlog.see(Waiting(seen=seen, resting=()), now=START, took=timedelta(0))

    assert backlog.choose(slots, START).deliveries == [2]
    backlog.begin_to_see()
    backlog.see(Waiting(seen=seen, resting=()), now=START, took=timedelta(0))
    assert backlog.choose(slots, START).deliveries == [1, 2], "no claim of theirs is under way, and they are due"


def test_after_a_look_that_showed_much_the_next_one_goes_further() -> None:
    backlog = Backlog()
    usual = backlog.most_to_see(64)
    seen = Seen(due=[Due(key=1, endpoint="e")], is_all=False, is_rich=True)
    backlog.see(Waiting(seen=seen, resting=()), now=START, took=timedelta(0))

    assert backlog.most_to_see(64) > usual
    assert backlog.most_to_see(10_000) == MOST_REMEMBERED, "however many may be in flight"
    backlog.see(Waiting(seen=replace(seen, is_rich=False), resting=()), now=START, took=timedelta(0))
    assert backlog.most_to_see(64) == usual


def test_after_a_look_that_showed_as_much_as_may_be_remembered_there_may_be_more() -> None:
    backlog = Backlog()
    due = [Due(key=key, endpoint="e") for key in range(2 * MOST_REMEMBERED)]
    for first, may_have_more in ((0, True), (MOST_REMEMBERED, False)):
        seen = Seen(due=due[first : first + MOST_REMEMBERED], is_all=False)
        backlog.see(Waiting(seen=seen, resting=()), now=START, took=timedelta(0))
        assert backlog.may_have_more is may_have_more


def test_what_can_be_sent_at_once_is_chosen_before_what_would_wait() -> None:
    slots, backlog = Slots(CallbackSettings(max_in_flight=16), lambda: 0.0), Backlog()
    for endpoint in ("brisk", "other"):
        slots.time(endpoint, timedelta(seconds=0.01), delivered=True)
    due = [Due(key=key, endpoint="brisk" if key < 20 else "other") for key in (*range(1, 20), *range(20, 23))]
    backlog.see(Waiting(seen=Seen(due=due, is_all=True), resting=()), now=START, took=timedelta(0))

    chosen = backlog.choose(slots, START).deliveries

    assert chosen == [1, 2, 3, 4, 20, 21, 22, *range(5, 17)]
