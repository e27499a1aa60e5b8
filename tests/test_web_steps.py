"""How far a test of a URL came, part by part."""

from datetime import timedelta

import pytest

from tracker.model import Outcome, Phase, Trial
from tracker.telling import tell_trial
from tracker.web.pages.trials import steps_of

MILLISECOND = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("url", "broke_at", "states"),
    [
        ("https://a.example", Phase.DNS, "problem unreached unreached unreached unreached unreached"),
        ("https://a.example", Phase.HEADERS, "ok ok ok ok problem unreached"),
        ("http://a.example", Phase.CONNECT, "ok problem unreached unreached unreached"),
        ("http://a.example", None, "ok ok ok ok ok"),
    ],
)
def test_steps_before_the_one_that_broke_went_well(url: str, broke_at: Phase | None, states: str) -> None:
    outcome = Outcome(delivered=False, duration=MILLISECOND, phase=broke_at, status_code=None if broke_at else 500)
    trial = Trial(message_id="msg_1", outcome=outcome, clock_skew=None, certificate_left=None)

    assert " ".join(step.state for step in steps_of(url, tell_trial(trial))) == states
