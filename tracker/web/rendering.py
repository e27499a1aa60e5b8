"""Templates into pages, in each language; nothing of a person's text is ever taken for markup."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import tracker
from tracker.moments import rfc3339
from tracker.web.languages import LANGUAGES, Language

STATIC = Path(__file__).parent / "static"


class Renderer:
    """Makes pages out of templates and values."""

    def __init__(self) -> None:
        self._assets = {path.name: _address(path) for path in STATIC.iterdir() if path.suffix in _SERVED}
        self._environments = {code: self._environment(language) for code, language in LANGUAGES.items()}

    def page(self, language: Language, template: str, values: Mapping[str, object]) -> str:
        """A whole page."""
        environment = self._environments[language.code]
        return environment.get_template(template).render(_with_parts(environment, values))

    def live(self, language: Language, template: str, values: Mapping[str, object]) -> str:
        """Only the block `live` of a page: what the script puts in the place of what is there; all where none lives."""
        environment = self._environments[language.code]
        found = environment.get_template(template)
        if "live" not in found.blocks:
            return self.page(language, template, values)
        return "".join(found.blocks["live"](found.new_context(_with_parts(environment, values))))

    def _environment(self, language: Language) -> Environment:
        made = Environment(
            loader=PackageLoader("tracker.web"),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        # The extension adds this one.
        made.install_gettext_callables(  # type: ignore[attr-defined]
            language.gettext, language.ngettext, newstyle=True, pgettext=language.pgettext
        )
        made.globals |= {
            "version": tracker.__version__,
            "languages": list(LANGUAGES.values()),
            "asset": self._assets.__getitem__,
        }
        made.filters |= {
            "relative": lambda moment, now: language.relative(_moment(moment), now),
            "exact": lambda moment: language.exact(_moment(moment)),
            "number": language.number,
            "percent": language.percent,
            "duration": language.duration,
            "milliseconds": lambda count: language.duration(timedelta(milliseconds=count)),
            "word": language.word,
            "said": lambda told: _with_commands(language.said(told)),
            "problem": language.problem,
            "advice": language.advice,
            "machine_time": _machine_time,
            "json": _json,
        }
        return made


def _with_commands(text: str) -> Markup:
    """A sentence in which what can be typed is shown as that."""
    return Markup(_COMMAND.sub(r"<code>\g<0></code>", str(escape(text))))  # noqa: S704 - escaped a moment ago


_COMMAND = re.compile(r"tracker (?:redeliver msg|endpoints enable end)_\w+", re.ASCII)


def _json(value: object) -> str:
    """JSON as people read it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _with_parts(environment: Environment, values: Mapping[str, object]) -> dict[str, object]:
    """The values, and what all pages are made of; a part of a page has it too, which is made without its beginning."""
    return {**values, "parts": environment.get_template("parts.html").make_module(dict(values))}


_SERVED = {".css", ".js", ".svg"}


def _address(path: Path) -> str:
    """Where a file is served; its content is part of that, so that a browser may keep it for ever."""
    return f"/static/{path.name}?{sha256(path.read_bytes()).hexdigest()[:12]}"


def _moment(told: datetime | str) -> datetime:
    """A moment, also as the API tells it."""
    return datetime.fromisoformat(told) if isinstance(told, str) else told


def _machine_time(told: datetime | str) -> str:
    """As HTML's `time` wants it."""
    return rfc3339(_moment(told)) or ""
