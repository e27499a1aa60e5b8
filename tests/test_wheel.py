"""The wheel works outside the checkout, migrations included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from databases import PostgresDatabases

from tracker.store import migrate
from tracker.store.database import Database

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel holds; what tracker depends on comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    python = [sys.executable, "-m"]
    build = [*python, "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("tracker-*.whl")
    target = folder / "site"
    install = [*python, "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    return target


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_the_installed_package_is_the_one_in_use(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import tracker; print(tracker.__file__)")

    assert Path(where.stdout.strip()).is_relative_to(installed)


def test_it_brings_what_its_pages_say_in_each_language(installed: Path, tmp_path: Path) -> None:
    say = "from tracker.web.languages import CHINESE; print(CHINESE.gettext('no answer'))"

    assert run(installed, tmp_path, "-X", "utf8", "-c", say).stdout.strip() == "无响应"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_it_brings_its_own_migrations(
    kind: str, installed: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    databases: PostgresDatabases = request.getfixturevalue("postgres")
    url = f"sqlite:///{tmp_path}/tracker.db" if kind == "sqlite" else databases.empty()

    run(installed, tmp_path, "-m", "tracker", "--database-url", url, "db", "upgrade")

    database = Database(url)
    revision = database.read_now(migrate.current)
    database.close()
    assert revision == migrate.newest()
