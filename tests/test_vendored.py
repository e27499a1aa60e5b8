"""Files of others are the ones that they published, and it is written down which."""

import hashlib
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent
FOLDERS = [SOURCE / "tracker/web/static", SOURCE / "tests/browser/vendored"]
LISTED = re.compile(r"^\| `([^`]+)` \| .+ \| (\S+) \| .+ \| .+ \| `([0-9a-f]{64})` \|$", re.MULTILINE)
OURS = re.compile(r"^Ours, .*: (.+)\.$", re.MULTILINE)


def checksums_in(folder: Path) -> dict[str, str]:
    """By file, what VENDORED.md says of those of others."""
    return {name: checksum for name, _, checksum in LISTED.findall((folder / "VENDORED.md").read_text())}


def our_own_in(folder: Path) -> set[str]:
    lines = OURS.findall((folder / "VENDORED.md").read_text())
    return {name for line in lines for name in re.findall("`([^`]+)`", line)}


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"VENDORED.md"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_file_is_the_one_that_was_published(folder: Path) -> None:
    """Nobody has changed it since, and git has not touched the ends of its lines."""
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in checksums_in(folder)}

    assert found != {}
    assert found == checksums_in(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_there_is_no_file_of_unknown_origin(folder: Path) -> None:
    """What is served is either ours or listed with its version; add what is new to VENDORED.md."""
    assert files_in(folder) - our_own_in(folder) == set(checksums_in(folder))


def test_what_is_ours_is_not_what_somebody_else_minified() -> None:
    """A vendored file cannot pass as our own: ours have lines that people read."""
    folder = FOLDERS[0]

    for name in our_own_in(folder) & files_in(folder):
        assert max(map(len, (folder / name).read_text().splitlines())) <= 500, name
