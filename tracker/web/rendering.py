"""Templates into pages, in each language; nothing of a person's text is ever taken for markup."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

import tracker
from tracker.moments import rfc3339
from tracker.web import wording
from tracker.web.languages import LANGUAGES, Language

STATIC = Path(__file__).parent / "static"


class Renderer:
    """Makes pages out of templates and values."""

    def __init__(self) -> None:
        self._assets = {path.name: _address(path) for path in STATIC.iterdir() if path.suffix in _SERVED}
        self._environments = {language.code: self._environment(language) for language in LANGUAGES}

    def page(self, language: Language, template: str, values: Mapping[str, object]) -> str:
        """A whole page."""
        return self._environments[language.code].get_template(template).render(values)

    def live(self, language: Language, template: str, values: Mapping[str, object]) -> str:
        """Only the block `live` of a page: what the script puts in the place of what is there."""
        found = self._environments[language.code].get_template(template)
        return "".join(found.blocks["live"](found.new_context(dict(values))))

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
        made.install_gettext_callables(language.gettext, language.ngettext, newstyle=True)  # type: ignore[attr-defined]
        made.globals |= {"version": tracker.__version__, "languages": LANGUAGES, "asset": self._assets.__getitem__}
        made.filters |= {
            "relative": lambda moment, now: language.relative(_moment(moment), now),
            "exact": lambda moment: language.exact(_moment(moment)),
            "number": language.number,
            "duration": language.duration,
            "word": lambda value: wording.word(language, value),
            "machine_time": _machine_time,
        }
        return made


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
