"""What pages make of what they are given."""

import pytest

from tracker.web.languages import CHINESE, ENGLISH
from tracker.web.rendering import Renderer


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def said(renderer: Renderer, text: str) -> str:
    environment = renderer._environments[ENGLISH.code]  # noqa: SLF001 - as its templates are made
    return environment.from_string("{{ text|said }}").render(text=text)


def test_a_command_stands_out_in_a_sentence(renderer: Renderer) -> None:
    text = "dead: the schedule of 3 attempts is used up; tracker redeliver msg_1"

    assert said(renderer, text).endswith("; <code>tracker redeliver msg_1</code>")


@pytest.mark.parametrize("text", ["disabled by <script>", "<b>tracker redeliver msg_1</b>", 'x" onload="y'])
def test_what_others_wrote_is_never_markup(renderer: Renderer, text: str) -> None:
    shown = said(renderer, text)

    assert "<script" not in shown
    assert "<b>" not in shown
    assert '"' not in shown


def test_each_language_has_its_own_filters(renderer: Renderer) -> None:
    template = "{{ 'queued'|word }}"

    texts = [renderer._environments[one.code].from_string(template).render() for one in (ENGLISH, CHINESE)]  # noqa: SLF001

    assert texts == ["queued", CHINESE.word("queued")]
