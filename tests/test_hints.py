"""Hints between daemons: heard at once where they can be, and never needed."""

import asyncio

import psycopg
import pytest
from databases import PostgresDatabases

from tracker.store import hints
from tracker.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "can"),
    [
        ("sqlite:////var/lib/tracker.db", False),
        ("postgresql://me@host/tracker", True),
        ("postgresql://me@host/tracker?pooler=transaction", False),
    ],
)
def test_hints_are_heard_on_a_connection_of_our_own(url: str, can: bool) -> None:  # noqa: FBT001
    assert hints.can_be_heard(url) is can


async def test_a_hint_of_another_is_heard_and_our_own_is_not(postgres: PostgresDatabases) -> None:
    with postgres.lent() as url:
        heard: asyncio.Queue[None] = asyncio.Queue()
        listener = hints.Listener(url, me=lambda: "dmn_me", heard=lambda: heard.put_nowait(None))
        database = Database(url)
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            group.create_task(listener.run())
            await heard.get()  # it listens now: what was said before is looked for
            for name in ("dmn_me", "dmn_me", "dmn_other"):
                await database.write_apart(lambda connection, name=name: hints.say(connection, me=name))
            await heard.get()
            listener.stop()
        assert heard.empty()
        database.close()


async def test_a_listener_whose_connection_breaks_listens_again(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "_AGAIN_AFTER", (0.01, 0.01))
    with postgres.lent() as url:
        heard: asyncio.Queue[None] = asyncio.Queue()
        listener = hints.Listener(url, me=lambda: "dmn_me", heard=lambda: heard.put_nowait(None))
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            group.create_task(listener.run())
            await heard.get()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN tracker'"
                    " AND datname = current_database()"
                )
            await heard.get()
            listener.stop()
