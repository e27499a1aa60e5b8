"""The short form of the second half of `make kill`."""

import shutil
from pathlib import Path

import pytest
from kill_delivery import KillDelivery

pytestmark = pytest.mark.anyio


async def test_no_message_is_lost_or_repeated_without_need_when_the_daemon_is_killed(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "tracker.db")
    proof = KillDelivery(
        tmp_path, f"sqlite:///{tmp_path}/tracker.db", kills=2, seed=7, waiting=300, claims_run_out=True
    )

    tally = await proof.run()

    assert tally.is_clean, str(tally)
    assert tally.messages >= 300
