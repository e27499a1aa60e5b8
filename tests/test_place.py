"""Where a process runs, and whether one there has ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.poller import place
from tracker.poller.place import has_ended, this_place


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    this_place.cache_clear()
    yield
    this_place.cache_clear()


def test_a_process_that_lives_has_not_ended_and_one_that_was_killed_has() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as sleeping:
        assert not has_ended(sleeping.pid)
        sleeping.kill()
    assert has_ended(sleeping.pid)
    assert not has_ended(os.getpid())


def test_one_of_somebody_else_may_live(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError(pid, number)

    monkeypatch.setattr("os.kill", refuse)
    assert not has_ended(1)


def test_machines_and_names_are_different_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = set()
    for machine, name in (("a", "x"), ("b", "x"), ("a", "y")):
        (tmp_path / "machine-id").write_text(f"{machine * 32}\n")
        monkeypatch.setattr(place, "_MACHINE", tmp_path / "machine-id")
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        this_place.cache_clear()
        seen.add(this_place())

    assert len(seen) == 3
    assert "" not in seen


@pytest.mark.parametrize("text", ["", "\n", "uninitialized\n", None])
def test_where_a_machine_has_no_id_its_place_is_not_known(
    text: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "machine-id").write_text(text)
    monkeypatch.setattr(place, "_MACHINE", tmp_path / "machine-id")

    assert this_place() == ""
