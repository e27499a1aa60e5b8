"""The short form of `make kill`."""

from pathlib import Path

import pytest
from kill_loop import KillLoop

pytestmark = pytest.mark.anyio


async def test_nothing_acknowledged_is_lost_or_told_twice_when_the_daemon_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    tally = await KillLoop(tmp_path, database_url, tasks=120, kills=3, seed=7, expire_after=12).run()

    assert tally.is_clean, str(tally)
    assert tally.acknowledged == 120
