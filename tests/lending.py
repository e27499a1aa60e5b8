"""Empty databases of one kind, and several programs on one of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from conftest import FakeClock
from databases import KINDS, lent_database
from fakes import World

from tracker.store.database import Database

__all__ = ["KINDS", "lent_database", "lent_worlds"]


@contextmanager
def lent_worlds(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[list[World]]:
    """Three programs that share one Postgres."""
    with lent_database(request, "postgres") as url, ExitStack() as closing:
        opened = [Database(url) for _ in range(3)]
        for database in opened:
            closing.callback(database.close)
        yield [World(database, clock) for database in opened]
