"""Every page, in each language, light and dark, wide and on a phone, with script and without."""

import re
from itertools import product

import pytest

from browser.reading import is_dark, texts_of
from browser.scene import PAGES, Scene
from browser.visiting import Language, Visiting
from browser.visitor import PHONE, WIDE, Visitor
from tracker.web.app import _routes

LANGUAGES: tuple[Language, ...] = ("en", "zh-CN")
NOT_OF = {
    "en": re.compile(r"[\u3400-\u9fff]"),
    # Names and commands may stay: three words in a row are a sentence.
    "zh-CN": re.compile(r"(?<!\w)[A-Za-z']{2,}[,;:]? [A-Za-z']{2,}[,;:]? [A-Za-z']{2,}(?!\w)"),
}


SIZES = {"wide": WIDE, "phone": PHONE}
LOOKS = {"en": {("light", "wide"), ("dark", "phone")}, "zh-CN": {("dark", "wide"), ("light", "phone")}}
"""From where a page is looked at with axe as well, which takes a while: everything in two ways."""


def look_through(visitor: Visitor, address: str, language: Language) -> None:
    """Read a page, and see it light and dark, wide and on a phone, without asking for it again."""
    answer = visitor.go(address)
    assert answer.status == 200, visitor.text("body")
    for scheme, size in product(("light", "dark"), SIZES):
        visitor.page.emulate_media(color_scheme=scheme)
        visitor.page.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
        assert is_dark(visitor) == (scheme == "dark")
        if (scheme, size) in LOOKS[language]:
            visitor.look()
        else:
            visitor.look_at_width()
    foreign = [text for text in texts_of(visitor) if NOT_OF[language].search(text)]
    assert not foreign, "\n".join(foreign)


def test_no_page_is_forgotten() -> None:
    """Whoever adds a page adds it to PAGES."""
    served = {route.path for route in _routes() if "GET" in (route.methods or ())}

    assert served - {"/sign-in", "/live"} == {page.partition(" ")[0] for page in PAGES}


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_sound(page: str, language: Language, *, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, language=language, script=script)

    look_through(visitor, scene.address(page), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_signing_in_is_sound(language: Language, scene: Scene, visiting: Visiting) -> None:
    look_through(visiting.open(scene.world.origin, language=language), "/sign-in", language)
