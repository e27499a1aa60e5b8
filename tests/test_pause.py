"""Leaving an upstream alone, and when that ends."""

from datetime import timedelta

import pytest

from tracker.model import Miss, MissKind
from tracker.poller.pause import Pause


def miss(kind: MissKind, retry_after: float | None = None) -> Miss:
    return Miss(kind=kind, detail="no", retry_after=None if retry_after is None else timedelta(seconds=retry_after))


@pytest.mark.parametrize("kind", [MissKind.REFUSED, MissKind.THROTTLED, MissKind.UNUSABLE])
def test_a_refusal_pauses_at_once(kind: MissKind) -> None:
    pause = Pause()

    assert pause.trouble(miss(kind), 100.0)

    assert pause.is_on
    assert pause.until == 105.0
    assert pause.reason == f"{kind}: no"


def test_an_upstream_out_of_reach_pauses_at_the_third_time() -> None:
    pause = Pause()

    told = [pause.trouble(miss(MissKind.TRANSIENT), float(now)) for now in (1, 2, 3)]

    assert told == [False, False, True]


def test_an_answer_that_was_out_when_the_pause_began_does_not_end_it() -> None:
    pause = Pause()
    pause.trouble(miss(MissKind.THROTTLED, retry_after=600), 100.0)

    assert not pause.over(101.0)

    assert pause.until == 700.0
    assert pause.is_on


def test_the_probe_that_succeeds_ends_it() -> None:
    pause = Pause()
    pause.trouble(miss(MissKind.REFUSED), 100.0)

    assert pause.over(105.0)

    assert not pause.is_on
    assert not pause.over(106.0)
