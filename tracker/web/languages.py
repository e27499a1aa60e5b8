"""The languages of the page: what it says, and how it writes numbers, moments and spans in each."""

import gettext
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import format_timedelta
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit

from tracker.errors import InputError, TrackerError
from tracker.telling.kept import recognise
from tracker.telling.refusals import ADVICE, FIELD
from tracker.telling.sentences import NESTED, UNKNOWN_MOMENT, Part, Sentence, sentence
from tracker.web.words import WORDS

DOMAIN = "tracker"
FOLDER = Path(__file__).parent / "locale"
_SPANS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_NOW = timedelta(seconds=1)
_EXACTLY_BELOW_SECONDS = 10
_WORDED = frozenset({"phase", "scope", "state", "status", "wanted_scope"})
"""Parts of sentences that hold a word of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One of the languages; the English text is the name under which a catalogue has its translation."""

    code: str
    """As HTML's `lang`, the cookie and the switch have it."""
    name: str
    """In the language itself."""
    locale: Locale = field(repr=False)
    texts: gettext.NullTranslations = field(repr=False)

    def gettext(self, text: str) -> str:
        """What is said for this English text; the text itself where the catalogue has nothing."""
        # The empty text is where a catalogue keeps its own headers.
        return self.texts.gettext(text) if text else ""

    def ngettext(self, one: str, many: str, count: int) -> str:
        """What is said for so many."""
        return self.texts.ngettext(one, many, count)

    def pgettext(self, context: str, text: str) -> str:
        """What is said for a word that means different things in different places."""
        return self.texts.pgettext(context, text)

    def word(self, word: str) -> str:
        """What one of the words that we use everywhere is called; another word as it is."""
        return self.gettext(word) if word in WORDS else word

    def said(self, told: Sentence | str | None) -> str:
        """A sentence of the daemon; also one that comes as English text. What others wrote stays as it is."""
        if not told:
            return ""
        found = recognise(told) if isinstance(told, str) else told
        if found is None:
            return str(told)
        parts = {name: self._part(name, part) for name, part in found.parts.items()}
        return self.gettext(found.template).format_map(parts)

    def problem(self, error: TrackerError) -> str:
        """What an error tells whoever asked for something that cannot be."""
        if isinstance(error, InputError):
            return self.said(sentence(FIELD, field=error.field, problem=error.problem, fix=error.fix))
        text = str(error)
        return self.said(text) if recognise(text) else self.gettext(text)

    def advice(self, error: InputError) -> str:
        """The same beside the field itself, which needs no naming."""
        return self.said(sentence(ADVICE, problem=error.problem, fix=error.fix))

    def _part(self, name: str, part: Part) -> str:
        if isinstance(part, datetime):
            return self.exact(part)
        if isinstance(part, Sentence) or name in NESTED:
            return self.said(part if isinstance(part, Sentence) else str(part))
        if name.endswith("_at"):
            return self.gettext(UNKNOWN_MOMENT) if part is None else str(part)
        return self.word(str(part)) if name in _WORDED else str(part)

    def number(self, number: float) -> str:
        """1,234,567."""
        return format_decimal(number, locale=self.locale)

    def percent(self, share: float) -> str:
        """A share from 0 to 1, with one decimal where it has one; what is not all is never told as 100 %."""
        cut = min(share, 0.999) if share < 1 else share
        return format_percent(cut, format="#,##0.#%", locale=self.locale)

    def duration(self, span: timedelta | None) -> str:
        """A span in its two largest units: 350 ms, 1.42 sec, 2 min 5 sec, 3 days 4 hr; nothing for None."""
        if span is None:
            return ""
        parts = [
            format_unit(count, f"duration-{unit}", length="short", locale=self.locale) for count, unit in _counted(span)
        ]
        return _apart(format_list(parts, style="unit-narrow", locale=self.locale))

    def relative(self, moment: datetime | None, now: datetime) -> str:
        """How long ago, or how soon: 3 minutes ago; nothing for None."""
        if moment is None:
            return ""
        if abs(moment - now) < _NOW:
            return self.gettext("now")
        return _apart(format_timedelta(moment - now, add_direction=True, threshold=1, locale=self.locale))

    def exact(self, moment: datetime | None) -> str:
        """A moment in UTC to the second, the same in each language; nothing for None."""
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""


_CHINESE = "[\u4e00-\u9fff]"
_JOINTS = re.compile(f"(?<=[0-9])(?={_CHINESE})|(?<={_CHINESE})(?=[0-9])")


def _apart(text: str) -> str:
    """With a space between digits and Chinese characters, as in all of our sentences."""
    return _JOINTS.sub(" ", text)


def _counted(span: timedelta) -> Iterator[tuple[float, str]]:
    seconds = abs(span.total_seconds())
    if seconds < 1:
        yield round(seconds * 1000), "millisecond"
        return
    if seconds < _EXACTLY_BELOW_SECONDS:
        yield round(seconds, 2), "second"
        return
    left, counts = round(seconds), []
    for unit, length in _SPANS:
        count, left = divmod(left, length)
        counts.append((count, unit))
    largest = next(place for place, (count, _) in enumerate(counts) if count)
    yield from ((count, unit) for count, unit in counts[largest : largest + 2] if count)


def _read(locale: Locale) -> gettext.NullTranslations:
    with (FOLDER / str(locale) / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        catalog = read_po(file, locale=locale, domain=DOMAIN)
    for message in list(catalog):
        if not any(message.string or ()):
            catalog.delete(message.id, message.context)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _language(locale: Locale, name: str) -> Language:
    return Language(code=str(locale).replace("_", "-"), name=name, locale=locale, texts=_read(locale))


ENGLISH = _language(Locale("en"), "English")
CHINESE = _language(Locale("zh", script="Hans"), "简体中文")
LANGUAGES = {language.code: language for language in (ENGLISH, CHINESE)}
"""By code, in the order in which the switch offers them; the first is spoken where nobody asked for another."""
_BY_TONGUE = {language.locale.language: language for language in LANGUAGES.values()}


def choose(cookie: str | None, accept_language: str | None) -> Language:
    """The language that was switched to, else the first of ours that the browser prefers, else English.

    Every Chinese gets the simplified one: who reads the traditional one reads it more easily than English.
    """
    if cookie in LANGUAGES:
        return LANGUAGES[cookie]
    for tag in _preferred(accept_language or ""):
        if language := _BY_TONGUE.get(tag.split("-")[0]):
            return language
    return ENGLISH


def _preferred(header: str) -> list[str]:
    """The tags of an Accept-Language, the most wanted first; those that are refused or make no sense are left out."""
    parts = [part.partition(";") for part in header.split(",")]
    weighed = [(_weight(parameter), tag.strip().lower()) for tag, _, parameter in parts]
    return [tag for weight, tag in sorted(weighed, key=lambda each: -each[0]) if weight > 0]


def _weight(parameter: str) -> float:
    """From 0 to 1; 1 where none is told, 0 for what is none."""
    name, _, value = parameter.partition("=")
    if not parameter.strip():
        return 1.0
    try:
        weight = float(value) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
