"""Behind PgBouncer in transaction mode, which hands each transaction to another connection, everything works."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from clocks import FakeClock
from daemons import free_port
from databases import PostgresDatabases
from fakes import World, delivered, want
from several_daemons import SeveralDaemons
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from tracker.errors import ConfigError, UnavailableError
from tracker.model import Status
from tracker.store import hints, migrate
from tracker.store.database import Database

BOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_SETTINGS = """
[databases]
* = host={socket} user=postgres
[pgbouncer]
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
"""

needs_pgbouncer = pytest.mark.skipif(BOUNCER is None, reason="PgBouncer is not installed: apt-get install pgbouncer")


@dataclass
class Pooled:
    """A database, and how it is reached through the pooler."""

    direct: str
    url: str


@contextmanager
def bouncing(folder: Path, server: str) -> Iterator[int]:
    """A PgBouncer before this server; its port."""
    home, port = folder / "bouncer", free_port()
    home.mkdir()
    place = make_url(server).query["host"]
    config = home / "pgbouncer.ini"
    config.write_text(_SETTINGS.format(socket=place, port=port))
    # It refuses to run as root, and the socket is its owner's.
    owner = Path(str(place)).stat()
    command = [str(BOUNCER), "-q", "/dev/stdin"]
    as_owner = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with config.open("rb") as given, (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=given, stdout=log, stderr=log, **as_owner)  # type: ignore[call-overload]
    try:
        for _ in range(400):
            assert process.poll() is None, (home / "log").read_text()
            with closing(socket.socket()) as trying:
                if trying.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture
def pooled(postgres: PostgresDatabases, tmp_path: Path) -> Iterator[Pooled]:
    direct = postgres.empty()
    with bouncing(tmp_path, postgres.server) as port:
        yield Pooled(direct=direct, url=f"postgresql://postgres@127.0.0.1:{port}/{make_url(direct).database}")
    postgres.drop(direct)


@needs_pgbouncer
def test_migrations_and_everything_that_daemons_write_work(pooled: Pooled, clock: FakeClock) -> None:
    url = f"{pooled.url}?pooler=transaction"
    assert migrate.upgrade(url)[1] == migrate.newest()
    databases = [Database(url) for _ in range(2)]
    first, second = (World(database, clock) for database in databases)
    first.join()
    first.database.fence("dmn_me")
    for number in range(12):  # more often than it takes until statements are prepared
        first.register(want(str(number)), want(f"other {number}"))
        first.adopt()
        first.end(str(number), Status.FAILED)
        (claimed,) = second.claim()
        assert second.settle(claimed, delivered())
        first.write(partial(hints.say, me="dmn_me"))

    assert first.column("SELECT count(*) FROM delivery WHERE status = 'delivered'") == [12]
    assert first.column("SELECT count(*) FROM task WHERE watcher = 'dmn_me'") == [12]
    for database in databases:
        database.close()


@needs_pgbouncer
def test_nothing_is_left_in_a_connection_that_others_get(pooled: Pooled) -> None:
    url = f"{pooled.url}?pooler=transaction"
    migrate.upgrade(url)
    database = Database(url)
    shown = set()
    for _ in range(8):
        database.write_now(lambda connection: connection.execute(text("SELECT 1")).close())
        shown.add(database.read_now(lambda connection: str(connection.scalar(text("SHOW statement_timeout")))))

    assert shown == {"0"}
    database.close()


@needs_pgbouncer
def test_without_the_option_statements_are_prepared_where_others_get_them(pooled: Pooled) -> None:
    """What the option is for; and that this pooler does what poolers do."""
    migrate.upgrade(pooled.direct)
    databases = [Database(pooled.url) for _ in range(2)]

    def read_all() -> None:
        for _ in range(40):
            for database in databases:
                database.read_now(lambda connection: connection.execute(text("SELECT :n"), {"n": 1}).all())

    with pytest.raises((UnavailableError, DBAPIError), match="prepared statement"):
        read_all()
    for database in databases:
        database.close()


@needs_pgbouncer
@pytest.mark.anyio
async def test_two_daemons_behind_a_pooler_watch_and_tell(pooled: Pooled, tmp_path: Path) -> None:
    proof = SeveralDaemons(
        tmp_path,
        f"{pooled.url}?pooler=transaction",
        tasks=60,
        interval=0.5,
        speed=8,
        frozen_for=0,
        loses_none=True,
        settle_within=40,
        direct_url=pooled.direct,
    )

    tally = await proof.run(2)

    assert tally.is_clean, str(tally)


@pytest.mark.parametrize("option", ["pooler=session", "prepare_threshold=never", "prepare_threshold=-1"])
def test_an_option_that_nobody_understands_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="database_url"):
        Database(f"postgresql://me@127.0.0.1:1/tracker?{option}")
