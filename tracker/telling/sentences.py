"""Sentences for people as values: a template and what is named in it, so that a page can say them in its language.

Programs and the command line get the English text. What is kept as text is recognised by its template.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from string import Formatter
from typing import NewType, Union

from tracker.moments import rfc3339

Template = NewType("Template", str)
"""English, with named fields in braces: the name under which a catalogue has its translation.

A field whose name ends with `_at` is a moment. Those of `NESTED` hold sentences, those of `NUMBERS` whole numbers,
those of `NAMES` no space.
"""
NESTED = frozenset({"cause", "reason", "detail", "problem", "fix"})
NUMBERS = frozenset(
    {"attempt", "bytes", "characters", "count", "days", "failures", "looks", "megabytes", "port", "room", "seconds"}
    | {"status_code"}
)
NAMES = frozenset({"endpoint", "endpoint_id", "field", "id", "message_type", "phase", "scope", "state", "wanted_scope"})
UNKNOWN_MOMENT = Template("an unknown time")
_LONGEST_RECOGNISED = 500
"""Characters."""

Part = Union[str, int, datetime, None, "Sentence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What is said, before it is said in a language."""

    template: Template
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def english(self) -> str:
        """As programs, the command line and the log have it."""
        return self.template.format_map({name: _english(name, part) for name, part in self.parts.items()})


def sentence(template: Template, /, **parts: Part) -> Sentence:
    """A template with what is named in it."""
    return Sentence(template=template, parts=parts)


def _english(name: str, part: Part) -> object:
    if isinstance(part, Sentence):
        return part.english
    if name.endswith("_at") and not isinstance(part, str):
        return rfc3339(part) if isinstance(part, datetime) else UNKNOWN_MOMENT
    return part


class Recogniser:
    """Finds the sentence that a text is, among those it knows; where several fit, the one it was given first."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._patterns = [(template, _pattern(template)) for template in templates]

    def recognise(self, text: str) -> Sentence | None:
        """The sentence that reads like this in English; None where there is none."""
        if len(text) > _LONGEST_RECOGNISED:
            return None
        for template, pattern in self._patterns:
            if found := pattern.fullmatch(text):
                parts = {name: self._part(name, said) for name, said in found.groupdict().items()}
                return Sentence(template=template, parts=parts)
        return None

    def _part(self, name: str, said: str) -> Part:
        if name in NESTED:
            return self.recognise(said) or said
        return _moment(said) if name.endswith("_at") else said


def _pattern(template: Template) -> re.Pattern[str]:
    pieces = ((re.escape(text), name) for text, name, _, _ in Formatter().parse(template))
    return re.compile("".join(text + (_field(name) if name else "") for text, name in pieces))


def _field(name: str) -> str:
    if name.endswith("_at"):
        fits = f"[0-9T:.-]+Z|{UNKNOWN_MOMENT}"
    elif name in NUMBERS:
        fits = "[0-9]+"
    else:
        fits = "[^ ]+?" if name in NAMES else ".+?"
    return f"(?P<{name}>{fits})"


def _moment(said: str) -> Part:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        return None if said == UNKNOWN_MOMENT else said
