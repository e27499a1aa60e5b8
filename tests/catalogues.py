"""The catalogues of the pages, made to hold every text that templates and code have; `make messages`.

What is new is added empty, what is gone is taken out. No dates and no line numbers: a change shows what was changed.
"""

import sys
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

from tracker.web.languages import DOMAIN, FOLDER, LANGUAGES

PROGRAM = Path(__file__).parent.parent / "tracker"
TEMPLATES = "web/templates/**.html"
_METHODS = [("web/**.py", "python"), ("telling/**.py", "python"), (TEMPLATES, "jinja2")]
_OPTIONS = {TEMPLATES: {"silent": "false", "trimmed": "true"}}
_KEYWORDS = DEFAULT_KEYWORDS | {"Template": None}
_WIDTH = 120


def extracted() -> Catalog:
    """Every text that is to be translated, without translations."""
    catalog = Catalog()
    found = extract_from_dir(PROGRAM, _METHODS, _OPTIONS, _KEYWORDS)
    for _, _, text, _, context in found:
        catalog.add(text, context=context)
    return catalog


def path_of(locale: Locale) -> Path:
    """Where the catalogue of a language is."""
    return FOLDER / str(locale) / "LC_MESSAGES" / f"{DOMAIN}.po"


def read(locale: Locale) -> Catalog:
    """The catalogue of a language as it is."""
    with path_of(locale).open("rb") as file:
        return read_po(file, locale=locale, abort_invalid=True)


def brought_up_to_date(locale: Locale, texts: Catalog) -> str:
    """The catalogue with these texts and no others, as it is to be written."""
    before, after = read(locale), Catalog(locale=locale)
    for text in texts:
        if text.id:
            after.add(text.id, _translated(text, before), context=text.context)
    written = BytesIO()
    write_po(written, after, width=_WIDTH, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True)
    return written.getvalue().decode()


def _translated(text: Message, before: Catalog) -> str | tuple[str, ...]:
    found = before.get(text.id, text.context)
    if found is None or found.pluralizable != text.pluralizable or not found.string:
        return ("",) * before.num_plurals if text.pluralizable else ""
    return found.string if isinstance(found.string, str) else tuple(found.string)


def main() -> None:
    """Bring all of them up to date, and say what is left to translate."""
    texts = extracted()
    for language in LANGUAGES.values():
        path = path_of(language.locale)
        path.write_text(brought_up_to_date(language.locale, texts))
        empty = sum(1 for message in read(language.locale) if message.id and not any(message.string or ()))
        sys.stdout.write(f"{path.relative_to(PROGRAM)}: {len(texts)} texts, {empty} of them as in the code\n")


if __name__ == "__main__":
    main()
