"""One task: all that happened to it, what became of its messages, and what can be done with it."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from shlex import quote

from starlette.responses import Response

from tracker.errors import InputError, ThrottledError
from tracker.intake import parse
from tracker.intake.intake import visible
from tracker.model import EVENT_WORDS
from tracker.store import messages, tasks, upstreams
from tracker.store.audience import concerning
from tracker.store.database import Connection
from tracker.store.upstreams import Health
from tracker.telling import (
    DeliveryWithAttempts,
    EventAnswer,
    TaskWithObject,
    tell_event,
    told_tasks,
    told_with_attempts,
)
from tracker.web.forms import Form
from tracker.web.pages.pictures import are_shown, can_be_asked_for
from tracker.web.pages.registering import Filled, document_of
from tracker.web.pages.tasks import prompt_of, redeliver_all_of
from tracker.web.sessions import is_over_tls
from tracker.web.timeline import HEIGHT, WIDTH, progress_points, timeline
from tracker.web.visit import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    task: TaskWithObject
    events: list[EventAnswer]
    deliveries: list[DeliveryWithAttempts]
    health: Health | None


_SILENT_AFTER = timedelta(minutes=1)


async def show(visit: Visit) -> Response:
    """Everything about a task."""
    return await _shown(visit, Filled())


async def _shown(visit: Visit, filled: Filled) -> Response:
    id_ = visit.request.path_params["id"]
    read = await visit.ask(partial(_read, visit=visit, id_=id_))
    ended = read.task["ended_at"]
    points = progress_points(read.events, datetime.fromisoformat(ended) if ended else visit.now)
    return visit.render(
        "task.html",
        status=filled.problem.http_status if filled.problem else 200,
        images=are_shown(visit),
        can_ask_for_images=can_be_asked_for(visit),
        task=read.task,
        prompt=prompt_of(read.task["task"]),
        said=json.dumps(read.task["task"], ensure_ascii=False, indent=2) if read.task["task"] is not None else None,
        deliveries=read.deliveries,
        hindrance=_hindrance(visit, read),
        health=read.health,
        timeline=timeline(read.events, read.deliveries)[::-1],
        points=" ".join(f"{point.x},{point.y}" for point in points),
        width=WIDTH,
        height=HEIGHT,
        curl=_curl(visit, read.task["id"]),
        event_words=EVENT_WORDS,
        filled=filled,
    )


def _read(connection: Connection, visit: Visit, id_: str) -> _Read:
    caller = visit.caller
    task = visible(connection, id_, caller)
    told: TaskWithObject = {
        **told_tasks(connection, [task], owner=caller.only_owner)[0],
        "task": tasks.last_object(connection, task.key),
    }
    lines = concerning(connection, tasks.history(connection, task.key), owner=caller.only_owner)
    found = messages.of_task(connection, task.key, owner=caller.only_owner)
    return _Read(
        task=told,
        events=[tell_event(line) for line in lines],
        deliveries=told_with_attempts(connection, found),
        health=upstreams.read(connection).get(task.upstream),
    )


def _hindrance(visit: Visit, read: _Read) -> str | None:
    """Why nothing is seen of a task that goes on, where that is so."""
    task = read.task
    if task["ended_at"] is not None:
        return None
    if task["upstream"] not in visit.ports.settings.upstreams:
        return "not_configured"
    if read.health is not None and read.health.state == "paused":
        return "paused"
    is_new = visit.now - datetime.fromisoformat(task["registered_at"]) < _SILENT_AFTER
    return None if task["upstream_status"] or is_new else "silent"


def _curl(visit: Visit, id_: str) -> str:
    """The same read through the API; the token is for the reader to fill in."""
    scheme = "https" if is_over_tls(visit.request) else "http"
    url = visit.request.url.replace(scheme=scheme, path=f"/v1/tasks/{id_}", query="")
    return f'curl -s {quote(str(url))} -H "Authorization: Bearer $TRACKER_TOKEN"'


async def refresh(visit: Visit, _form: Form) -> Response:
    """Look at it now."""
    id_ = visit.request.path_params["id"]
    await visit.write(visit.ports.intake.refresh(id_, visit.caller))
    visit.ports.wake()
    return visit.back(_address(id_), visit.language.gettext("It will be looked at now."))


async def drop(visit: Visit, _form: Form) -> Response:
    """Stop watching it; its history stays."""
    _, id_ = visit.language.gettext, visit.request.path_params["id"]
    dropped = await visit.write(visit.ports.intake.drop(id_, visit.caller))
    visit.ports.wake()
    if dropped.withdrawn:
        return visit.back("/tasks", _("Your part of it has ended; others registered it too, and it goes on for them."))
    text = _("It is not watched any more.") if dropped.stopped else _("It had ended already.")
    return visit.back(_address(id_), text)


async def redeliver(visit: Visit, _form: Form) -> Response:
    """Send all its messages again that were delivered or given up."""
    id_ = visit.request.path_params["id"]
    count = await redeliver_all_of(visit, id_)
    text = visit.language.ngettext("%(num)s message will be sent again.", "%(num)s messages will be sent again.", count)
    return visit.back(_address(id_), text % {"num": count}, "done" if count else "problem")


async def add_callback(visit: Visit, form: Form) -> Response:
    """Have another URL told about it."""
    id_ = visit.request.path_params["id"]
    task = await visit.ask(lambda connection: visible(connection, id_, visit.caller))
    try:
        document = document_of(form)
        if "callback_url" not in document:
            raise InputError("callback_url", "is empty", "write where to POST the messages")  # noqa: TRY301 - as the others
        wanted = visit.ports.intake.check(parse({**document, "task_id": task.task_id, "upstream": task.upstream}))
        written = await visit.desk.registrar.register(wanted, visit.caller)
    except (InputError, ThrottledError) as error:
        return await _shown(visit, Filled(fields=form, problem=error))
    visit.ports.wake_for([written.task])
    return visit.back(_address(id_), visit.language.gettext("This URL will be told."))


def _address(id_: str) -> str:
    return f"/tasks/{id_}"
