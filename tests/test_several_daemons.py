"""The short form of `make several`."""

from pathlib import Path

import pytest
from databases import PostgresDatabases
from several_daemons import SeveralDaemons

pytestmark = pytest.mark.anyio


async def test_a_killed_and_a_frozen_daemon_are_replaced_and_what_wakes_up_writes_nothing(
    postgres: PostgresDatabases, tmp_path: Path
) -> None:
    url = postgres.empty()
    proof = SeveralDaemons(
        tmp_path, url, tasks=300, interval=1, speed=1.2, frozen_for=18, is_short=True, settle_within=60
    )

    tally = await proof.run(3)

    assert tally.is_clean, str(tally)
    assert set(tally.takeovers) == {"killed", "frozen"}
    shares = tally.shares["at first"]
    assert max(shares) <= 1.2 * sum(shares) / 3
    postgres.drop(url)
