"""Registering a task by hand."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from tracker.errors import InputError, ThrottledError
from tracker.intake import parse
from tracker.model import EVENT_WORDS
from tracker.web.forms import Form
from tracker.web.visit import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A form as somebody filled it in, and what is wrong with it."""

    fields: Form = field(default_factory=Form)
    problem: InputError | ThrottledError | None = None

    def text(self, name: str) -> str:
        """What was typed into a field."""
        return self.fields.text(name) or ""

    def has(self, name: str, value: str) -> bool:
        """Whether a box was ticked, or a choice made."""
        return value in self.fields.all(name)

    def is_wrong(self, name: str) -> bool:
        """Whether the problem is this field's."""
        return isinstance(self.problem, InputError) and self.problem.field.partition(".")[0].partition("[")[0] == name

    def is_wrong_elsewhere(self, names: Collection[str]) -> bool:
        """Whether something is wrong, but with none of these fields."""
        return self.problem is not None and not any(map(self.is_wrong, names))


def document_of(form: Form) -> dict[str, Any]:
    """What was filled in, as the API takes it; raises InputError for metadata that is no JSON."""
    texts = {name: form.text(name) for name in ("task_id", "callback_url", "upstream", "format")}
    document: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    if events := list(form.all("events")):
        document["events"] = events
    if (written := form.text("metadata")) is not None:
        try:
            document["metadata"] = json.loads(written)
        except (ValueError, RecursionError):
            raise InputError("metadata", "is not JSON", 'write something like {"order": 17}') from None
    return document


async def show(visit: Visit) -> Response:
    """The form."""
    return _shown(visit, Filled(fields=Form(fields={"task_id": [visit.request.query_params.get("task_id", "")]})))


def _shown(visit: Visit, filled: Filled, status: int = 200) -> Response:
    settings = visit.ports.settings
    return visit.render(
        "register.html",
        status=status,
        filled=filled,
        upstreams=list(settings.upstreams),
        default_upstream=settings.upstream_default,
        event_words=EVENT_WORDS,
    )


async def register(visit: Visit, form: Form) -> Response:
    """Register what was filled in, and show the task."""
    try:
        wanted = visit.ports.intake.check(parse(document_of(form)))
        written = await visit.desk.registrar.register(wanted, visit.caller)
    except (InputError, ThrottledError) as error:
        return _shown(visit, Filled(fields=form, problem=error), error.http_status)
    visit.ports.wake_for([written.task])
    visit.ports.metrics.events.labels("registered").inc(written.is_new)
    _ = visit.language.gettext
    text = _("It is watched from now on.") if written.is_new else _("It was registered already; what is new was added.")
    return visit.back(f"/tasks/{written.task['id']}", text)
