"""What tests of the page need: a browser, and visitors who notice what must not be."""

from collections.abc import Iterator

import pytest

from browser.chromium import Chromium, running_chromium
from browser.scene import Scene, set_scene
from browser.visiting import Visiting


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as found:
        yield found


@pytest.fixture(scope="session")
def scene(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One for all tests; each changes only what it has registered itself."""
    assert chromium
    with set_scene(tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.fixture
def visiting(chromium: Chromium) -> Iterator[Visiting]:
    """Opens windows; at the end none of them may have noticed a problem."""
    visiting = Visiting(chromium)
    yield visiting
    problems = chromium.run(visiting.close)
    assert not problems, "\n".join(problems)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test of the browser in the browser's thread."""
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}  # noqa: SLF001
    chromium = pyfuncitem.funcargs.get("chromium")
    if chromium is None:
        return None
    assert isinstance(chromium, Chromium)
    chromium.run(lambda: pyfuncitem.obj(**arguments))
    return True
