"""No text of the page is missing in any language, and none is left over."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import catalogues
import pytest
from babel.messages.catalog import Catalog, Message

from tracker.web.languages import CHINESE, ENGLISH, LANGUAGES, Language

TEXTS = catalogues.extracted()
TEMPLATES = sorted((catalogues.PROGRAM / "web" / "templates").rglob("*.html"))
EACH = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)


def names(catalog: Catalog) -> set[object]:
    return {(message.context, message.id) for message in catalog if message.id}


def translated(language: Language) -> list[tuple[Message, list[str]]]:
    """Every message that a catalogue says something for, with all of its forms."""
    found = [message for message in catalogues.read(language.locale) if message.id]
    forms = [[message.string] if isinstance(message.string, str) else list(message.string or ()) for message in found]
    return [(message, said) for message, said in zip(found, forms, strict=True) if any(said)]


class Spoken(HTMLParser):
    """What people see or hear of a template."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        spoken = {"title", "alt", "placeholder", "aria-label", "aria-description", "data-confirm", "data-copied"}
        self.texts += [value for name, value in attrs if name in spoken and value]
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            del self._inside[max(place for place, name in enumerate(self._inside) if name == tag) :]

    def handle_data(self, text: str) -> None:
        # What stands in code is typed or read by programs.
        if not {"code", "pre", "kbd"} & set(self._inside):
            self.texts.append(text)


def placeholders(text: str) -> set[str]:
    """What is to be filled in: `%(name)s` of templates and code, `{name}` of the daemon's sentences."""
    return set(re.findall(r"%\(\w+\)[a-z]", text)) | {
        f"{{{name}}}" for _, name, _, _ in Formatter().parse(text) if name
    }


def test_texts_are_found_in_templates_code_and_sentences() -> None:
    """An extraction that finds nothing would find nothing missing."""
    assert {(None, "Sign in"), (None, "This token is unknown or revoked."), (None, "no answer")} <= names(TEXTS)


def looked_up() -> set[str]:
    """What code looks up in a catalogue, read in another way than the program that fills catalogues does."""
    found = set()
    for path in (catalogues.PROGRAM / "web").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant):
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                found |= {call.args[0].value} if name in {"_", "N_", "gettext", "ngettext"} else set()
    return found


def test_no_text_hides_where_the_program_does_not_find_it() -> None:
    """It does not look between the braces of an f-string."""
    known = {id_ if isinstance(id_, str) else id_[0] for _, id_ in names(TEXTS)}

    assert looked_up() - known == set()


@EACH
def test_a_catalogue_has_every_text_and_no_other(language: Language) -> None:
    """`make messages` brings it there."""
    catalog = catalogues.read(language.locale)

    assert names(catalog) == names(TEXTS)
    assert not catalog.obsolete


@EACH
def test_a_catalogue_is_as_the_program_writes_it(language: Language) -> None:
    """So that a change shows what was changed."""
    written = catalogues.path_of(language.locale).read_text()

    assert written == catalogues.brought_up_to_date(language.locale, TEXTS)


@EACH
def test_nothing_waits_for_a_second_look(language: Language) -> None:
    assert [message.id for message in catalogues.read(language.locale) if message.id and message.fuzzy] == []


def test_everything_is_said_in_chinese() -> None:
    said = {(message.context, message.id) for message, forms in translated(CHINESE) if all(forms)}

    assert names(TEXTS) - said == set()


@pytest.mark.parametrize(("language", "forms"), [(ENGLISH, 2), (CHINESE, 1)])
def test_there_is_a_form_for_each_kind_of_number(language: Language, forms: int) -> None:
    for message in catalogues.read(language.locale):
        if message.pluralizable:
            assert len(message.string) == forms, message.id


@EACH
def test_a_translation_fills_in_what_the_text_does(language: Language) -> None:
    for message, forms in translated(language):
        # The form for one may leave out the number.
        wanted = placeholders(message.id if isinstance(message.id, str) else message.id[1])
        for form in forms[-1:] if message.pluralizable else forms:
            assert placeholders(form) == wanted, message.id
        for form in forms[:-1]:
            assert placeholders(form) <= wanted, message.id


@EACH
def test_no_text_is_markup(language: Language) -> None:
    """Templates take what a catalogue says for markup, also between the quotes of an attribute."""
    for message in catalogues.read(language.locale):
        for text in filter(None, (message.id, message.string)):
            forms = (text,) if isinstance(text, str) else text
            assert [form for form in forms if re.search('[<>&"]', form) and message.id] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_that_no_catalogue_has(template: Path) -> None:
    spoken = Spoken()
    spoken.feed(re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", template.read_text(), flags=re.DOTALL))
    # Addresses, names of headers, and attributes that a macro makes for a tag elsewhere.
    silent = re.compile(r"https?://\S+|\bwebhook-\w+|\b[\w-]+=\"[^\"]*\"")

    words = {word for text in spoken.texts for word in re.findall(r"[A-Za-z]{3,}", silent.sub("", text))}

    assert words - {"tracker", "trk", "UTC", "HTTP"} == set()


def test_chinese_is_set_in_chinese_punctuation() -> None:
    """No comma, colon, semicolon, question mark or bracket of the other script right after a Chinese character."""
    for message, forms in translated(CHINESE):
        for form in forms:
            assert not re.search(r"[\u4e00-\u9fff][,:;?!()]|[,;?!()][\u4e00-\u9fff]", form), message.id


GLOSSARY = (catalogues.PROGRAM.parent / "docs" / "translating.md").read_text()
THINGS, STATES = (table.splitlines()[2:] for table in re.findall(r"(?:^\|.*\n)+", GLOSSARY, re.MULTILINE))
FOR_PROGRAMS = re.compile(r"%\(\w+\)s|\{+\w+\}+|`[^`]*`|\b\w+[._]\w+|\btracker [a-z ]+|endpoint, status, since, until")


@pytest.mark.parametrize("row", THINGS)
def test_one_thing_has_one_word_in_chinese(row: str) -> None:
    english, chinese = (cell.strip() for cell in row.split("|")[1:3])
    names = re.compile(rf"\b(?:{'|'.join(english.split(', '))})s?\b", re.IGNORECASE)

    for message, forms in translated(CHINESE):
        text = message.id if isinstance(message.id, str) else message.id[1]
        if names.search(FOR_PROGRAMS.sub("", text)):
            assert chinese in forms[0], text


@pytest.mark.parametrize("row", STATES)
def test_statuses_are_called_as_the_glossary_has_them(row: str) -> None:
    english, chinese = (cell.strip().split(", ") for cell in row.split("|")[1:3])

    assert [CHINESE.word(word) for word in english] == chinese
