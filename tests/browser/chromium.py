"""Debian's Chromium, driven from a thread of its own: Playwright keeps an event loop running in whichever it is in."""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, Playwright, StorageState, expect, sync_playwright

T = TypeVar("T")
WITHIN_MS = 20_000
"""What does not come about in this time will not; machines that test are slow at times."""
# The first has no window and nothing that belongs to one: the same engine, at a third of the processor's time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# Nobody but this machine is to be found, also by the browser itself.
ARGUMENTS = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",)


@dataclass
class Chromium:
    """One browser process for all tests of a session."""

    thread: ThreadPoolExecutor
    states: dict[str, StorageState] = field(default_factory=dict)
    """What browsers of those who are signed in remember."""
    _browser: Browser | None = field(default=None)
    _playwright: Playwright | None = field(default=None)

    def run(self, work: Callable[[], T]) -> T:
        """Do it where the browser may be spoken to."""
        return self.thread.submit(work).result()

    @property
    def browser(self) -> Browser:
        """The browser; only for who runs in its thread."""
        assert self._browser is not None
        return self._browser

    def start(self, path: str) -> None:
        self._playwright = sync_playwright().start()
        expect.set_options(timeout=WITHIN_MS)
        # Chromium's own fence does not work for root.
        is_root = os.geteuid() == 0
        self._browser = self._playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, chromium_sandbox=not is_root
        )

    def stop(self) -> None:
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()


@contextmanager
def running_chromium() -> Iterator[Chromium]:
    """The browser; where there is none the test is skipped, or fails where the page must not go untested."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        missing = "no Chromium here: apt-get install chromium-headless-shell fonts-dejavu-core fonts-wqy-microhei"
        if os.environ.get("TRACKER_TEST_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with ThreadPoolExecutor(1, thread_name_prefix="chromium") as thread:
        chromium = Chromium(thread)
        try:
            chromium.run(lambda: chromium.start(path))
            yield chromium
        finally:
            chromium.run(chromium.stop)
