"""The pictures of the README are there, small, and ask nobody for anything."""

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent
IMAGES = SOURCE / "docs" / "images"
READMES = ("README.md", "README.zh-CN.md")
MOST_BYTES = 150_000


@pytest.mark.parametrize("readme", READMES)
def test_each_readme_shows_them_all(readme: str) -> None:
    shown = set(re.findall(r'(?:src|srcset)="docs/images/([^"]+)"', (SOURCE / readme).read_text()))

    assert shown == {path.name for path in IMAGES.iterdir()}


@pytest.mark.parametrize("picture", sorted(IMAGES.iterdir()), ids=lambda path: path.name)
def test_none_is_large(picture: Path) -> None:
    assert picture.stat().st_size <= MOST_BYTES


def test_the_picture_of_the_terminal_loads_nothing() -> None:
    drawing = (IMAGES / "terminal.svg").read_text()

    assert "url(http" not in drawing
    assert "<script" not in drawing
