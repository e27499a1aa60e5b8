"""The short form of `make outage`."""

from pathlib import Path

from outage import QUICKLY, Outage


def test_no_outage_is_taken_for_a_daemon_that_is_stuck(tmp_path: Path) -> None:
    silences = Outage(tmp_path, limit=4.0, lasts=9.0, prelude=QUICKLY).run()

    assert silences.is_clean, silences
