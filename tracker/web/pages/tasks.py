"""All tasks: looking for some, and doing something with those that were ticked."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.responses import Response

from tracker.desk.queries import TaskQuery, cursor_below
from tracker.desk.redelivering import redeliver_some
from tracker.errors import InputError, NotFoundError
from tracker.intake import explain
from tracker.intake.intake import visible
from tracker.model import DeliveryStatus, Status, Task
from tracker.store import messages, searching, tasks
from tracker.store.database import Connection
from tracker.store.searching import Look
from tracker.telling import TaskAnswer, told_tasks
from tracker.web.forms import Form
from tracker.web.pages.pictures import are_shown, can_be_asked_for
from tracker.web.visit import Visit

PAGE = 50
MOST_AT_ONCE = 500
_FILTERS = ("status", "upstream", "q", "since", "until", "cursor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A task in the list, and what it was asked to make."""

    task: TaskAnswer
    prompt: str | None


async def show(visit: Visit) -> Response:
    """The newest tasks that match; a search goes back so far and says how far that was."""
    given = _given(visit.request.query_params)
    problem, look, rows = None, None, list[Row]()
    try:
        wanted = TaskQuery.model_validate({**given, "limit": PAGE})
    except ValidationError as error:
        problem = explain(error.errors(include_url=False)[0])
    else:
        look, rows = await visit.ask(partial(_read, wanted=wanted, owner=visit.caller.only_owner))
    return visit.render(
        "tasks.html",
        status=200 if problem is None else 422,
        images=are_shown(visit),
        can_ask_for_images=can_be_asked_for(visit),
        rows=rows,
        look=look,
        given={name: given.get(name, "") for name in _FILTERS},
        problem=problem,
        is_filtered=bool(given.keys() - {"cursor"}),
        statuses=list(Status),
        several=_several(visit, given.get("status", "")),
        upstreams=list(visit.ports.settings.upstreams),
        older=_older(visit, look),
    )


_NOT_ENDED = "queued,running,needs_input"


def _several(visit: Visit, status: str) -> str | None:
    """The statuses of a condition that names more than one, in words, where no choice of the form says the same."""
    if "," not in status or status == _NOT_ENDED:
        return None
    return ", ".join(visit.language.word(one.strip()) for one in status.split(","))


def _given(query: QueryParams) -> dict[str, str]:
    """The conditions that were filled in; a form sends the empty ones too."""
    return {name: query[name].strip() for name in _FILTERS if query.get(name, "").strip()}


def _read(connection: Connection, wanted: TaskQuery, owner: str | None) -> tuple[Look[Task], list[Row]]:
    look = searching.look(connection, replace(wanted.filter(), limit=PAGE), owner=owner)
    told = told_tasks(connection, look.found, owner=owner)
    objects = tasks.last_objects(connection, [task.key for task in look.found])
    prompts = [prompt_of(objects.get(task.key)) for task in look.found]
    return look, [Row(task=task, prompt=prompt) for task, prompt in zip(told, prompts, strict=True)]


def prompt_of(said: object) -> str | None:
    """What a task was asked to make, where its upstream says so."""
    prompt = said.get("prompt") if isinstance(said, Mapping) else None
    return prompt if isinstance(prompt, str) and prompt.strip() else None


def _older(visit: Visit, look: Look[Task] | None) -> str | None:
    if look is None or look.before is None:
        return None
    return visit.link(cursor=cursor_below("t", look.before))


async def act(visit: Visit, form: Form) -> Response:
    """Refresh, drop or redeliver what was ticked; what is not there any more is passed over."""
    ids = list(dict.fromkeys(form.all("id")))[:MOST_AT_ONCE]
    deed = _DEEDS.get(form.text("do") or "")
    back = form.text("next") or "/tasks"
    back = back if back.startswith("/tasks") else "/tasks"
    if deed is None:
        raise InputError("do", "is nothing that can be done here", f"send one of: {', '.join(_DEEDS)}")
    if not ids:
        return visit.back(back, visit.language.gettext("No task was ticked."), "problem")
    # Each by itself: rows of several in one transaction would be locked in the order in which they were ticked.
    count = sum([await _unless_gone(deed(visit, id_)) for id_ in ids])
    visit.ports.wake()
    visit.ports.wake_courier()
    ngettext = visit.language.ngettext
    told = {
        "refresh": ngettext("%(num)s task will be looked at now.", "%(num)s tasks will be looked at now.", count),
        "drop": ngettext("%(num)s task is not watched any more.", "%(num)s tasks are not watched any more.", count),
        "redeliver": ngettext("%(num)s message will be sent again.", "%(num)s messages will be sent again.", count),
    }
    return visit.back(back, told[form.text("do") or ""] % {"num": count})


async def _unless_gone(done: Awaitable[int]) -> int:
    try:
        return await done
    except NotFoundError:
        return 0


async def _refresh(visit: Visit, id_: str) -> int:
    await visit.write(visit.ports.intake.refresh(id_, visit.caller))
    return 1


async def _drop(visit: Visit, id_: str) -> int:
    dropped = await visit.write(visit.ports.intake.drop(id_, visit.caller))
    return int(dropped.stopped or dropped.withdrawn)


async def redeliver_all_of(visit: Visit, id_: str) -> int:
    """Send every message about a task again that was delivered or given up; tells how many. Raises NotFoundError."""

    def work(connection: Connection) -> list[str]:
        task = visible(connection, id_, visit.caller)
        lines = messages.of_task(connection, task.key, owner=visit.caller.only_owner)
        return [line.id for line in lines if line.status in {DeliveryStatus.DELIVERED, DeliveryStatus.DEAD}]

    again = await redeliver_some(visit.ports, await visit.ask(work), visit.caller)
    return again.sent


_Deed = Callable[[Visit, str], Awaitable[int]]
_DEEDS: Mapping[str, _Deed] = {"refresh": _refresh, "drop": _drop, "redeliver": redeliver_all_of}
