"""Several programs on one database."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from clocks import FakeClock
from databases import lent_database
from fakes import World

from tracker.store.database import Database


@contextmanager
def lent_worlds(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[list[World]]:
    """Three programs that share one Postgres."""
    with lent_database(request, "postgres") as url, ExitStack() as closing:
        opened = [Database(url) for _ in range(3)]
        for database in opened:
            closing.callback(database.close)
        yield [World(database, clock) for database in opened]
