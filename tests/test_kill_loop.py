"""The short form of `make kill`."""

from pathlib import Path

import pytest
from kill_loop import KillLoop

from tracker.poller.place import this_place

pytestmark = pytest.mark.anyio


async def test_nothing_acknowledged_is_lost_or_told_twice_when_the_daemon_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    tally = await KillLoop(tmp_path, database_url, tasks=120, kills=3, seed=7, expire_after=12).run()

    assert tally.is_clean, str(tally)
    assert tally.acknowledged == 120
    if this_place() and "postgresql" in database_url:
        said = (tmp_path / "daemon.log").read_text().count("daemons_taken_for_dead")
        assert said == tally.kills, "each sees that the process of the one before has ended, and waits for no silence"
