"""What many tests need: a clock, and an empty database of each kind."""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from clocks import FakeClock
from couriers import Post
from databases import KINDS, PostgresDatabases, lent_database, postgres_server
from fakes import FakeProvider, FlakyDatabase, World
from lanes import Watch
from lending import lent_worlds
from once import compile_once

from tracker.store import migrate

# How wide a terminal is, a test says itself.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

# How long an example takes says something about the machine, not about us.
hypothesis.settings.register_profile("tracker", deadline=None)
hypothesis.settings.load_profile("tracker")

LIVING_IN_REAL_TIME = (
    "test_several_daemons",
    "test_scale",
    "test_kill_loop",
    "test_kill_delivery",
    "test_daemon",
    "test_demo",
)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """What tests start hears SIGINT, also where they run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Compiling the same again and again took a third of the time of tests of the store, the API and the pages."""
    with pytest.MonkeyPatch.context() as patch:
        compile_once(patch)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each process begins elsewhere in a folder: in a new checkout they compile its files for each other."""
    report = yield
    if isinstance(collector, pytest.Directory):
        ours, all_ = (os.environ.get(f"PYTEST_XDIST_{name}") for name in ("WORKER", "WORKER_COUNT"))
        begin = len(report.result) * int((ours or "gw0").removeprefix("gw")) // int(all_ or 1)
        report.result = report.result[begin:] + report.result[:begin]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits most, so that no process is left alone with it at the end; everywhere in one order."""
    items.sort(key=lambda item: (item.path.stem not in LIVING_IN_REAL_TIME, item.path))


def pytest_collection_finish() -> None:
    """What is there by now stays to the end: looking through it for garbage took a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabases]:
    with postgres_server() as server:
        databases = PostgresDatabases(server=server)
        yield databases
        databases.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tracker.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated, empty database, of each kind in turn."""
    with lent_database(request, request.param) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[FlakyDatabase]:
    """An open, migrated, empty database, of each kind in turn; it is out of reach when it is told to be."""
    opened = FlakyDatabase(database_url)
    yield opened
    opened.close()


@pytest.fixture
def world(database: FlakyDatabase, clock: FakeClock) -> World:
    """What happens in it."""
    return World(database, clock)


@pytest.fixture
def post(world: World) -> Post:
    """A courier over it."""
    return Post(world)


@pytest.fixture
def watch(world: World) -> Watch:
    """A lane over it."""
    return Watch(world, FakeProvider())


@pytest.fixture
def worlds(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[list[World]]:
    """Three programs that share one Postgres."""
    with lent_worlds(request, clock) as opened:
        yield opened
