"""Registering tasks, one or a thousand: answered only after the commit."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from tracker.api.answer import Answer
from tracker.api.auth import Writer
from tracker.api.bodies import read_json
from tracker.api.openapi import MANY_REGISTRATIONS, ONE_REGISTRATION, answer_in, answers
from tracker.api.ports import Ports, desk_of
from tracker.api.problems import MOST_ERRORS, unusable
from tracker.api.shapes import Batch, RegisteredTask
from tracker.desk.registrar import Written
from tracker.errors import InputError
from tracker.intake import LARGEST_BATCH, Intake, RegistrationRequest, explain
from tracker.store.registrations import Wanted
from tracker.telling import TaskAnswer

router = APIRouter(tags=["tasks"], default_response_class=Answer)
_LOCATION = {"Location": {"description": "The task's own address.", "schema": {"type": "string"}}}


@router.post(
    "/v1/tasks",
    summary="Register a task, and a callback for it",
    status_code=201,
    openapi_extra=ONE_REGISTRATION,
    responses={
        **answers(TaskAnswer, 201, description="New, and on disk.", headers=_LOCATION, fails=(413, 422, 429)),
        200: answer_in(TaskAnswer, "Known already; what was given anew is updated.", headers=_LOCATION),
    },
)
async def register_task(request: Request, ports: Ports, caller: Writer) -> Response:
    """Sending the same registration twice is harmless; a task that has ended already is told about at once."""
    checked = _check(ports.intake, [await read_json(request)], is_batch=False)
    if checked.errors:
        return unusable(checked.errors)
    is_new, told, _ = await desk_of(request).registrar.register(checked.wanted[0], caller)
    ports.wake_for([told])
    ports.metrics.events.labels("registered").inc(is_new)
    return Answer(told, status_code=201 if is_new else 200, headers={"Location": f"/v1/tasks/{told['id']}"})


@router.post(
    "/v1/tasks/batch",
    summary=f"Register up to {LARGEST_BATCH} tasks, all or none",
    openapi_extra=MANY_REGISTRATIONS,
    responses=answers(Batch, description="All of them are on disk.", fails=(413, 422, 429)),
)
async def register_tasks(request: Request, ports: Ports, caller: Writer) -> Response:
    """Takes a list of registrations, bare or as `tasks`. If one of them is bad, nothing is written."""
    checked = _check(ports.intake, _rows(await read_json(request)), is_batch=True)
    if checked.errors:
        return unusable(checked.errors)
    written = await desk_of(request).registrar.register_all(checked.wanted, caller)
    return Answer(told_batch(ports, written))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    wanted: list[Wanted]
    errors: list[InputError]


def _check(intake: Intake, rows: Sequence[object], *, is_batch: bool) -> _Checked:
    """Check every row before anything is written, so that all that is wrong is told at once."""
    checked = _Checked(wanted=[], errors=[])
    for number, row in enumerate(rows):
        where = f"[{number}]" if is_batch else ""
        try:
            checked.wanted.append(intake.check(RegistrationRequest.model_validate(row), where=where))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            checked.errors.extend(explain(problem, where=where) for problem in found)
        except InputError as error:
            checked.errors.append(error)
        if len(checked.errors) >= MOST_ERRORS:
            break
    return checked


def _rows(document: object) -> list[object]:
    """The registrations of a batch."""
    shape = 'send a list of registrations, or {"tasks": [...]}'
    if isinstance(document, dict):
        if extra := [name for name in document if name != "tasks"]:
            raise InputError(extra[0], "is not a known field", shape)
        document = document.get("tasks")
    if not isinstance(document, list):
        raise InputError("body", "is not a list of registrations", shape)
    if not document:
        raise InputError("body", "is empty", "send at least one registration")
    if len(document) > LARGEST_BATCH:
        raise InputError("body", f"has {len(document)} registrations", f"send at most {LARGEST_BATCH} at a time")
    return document


def told_batch(ports: Ports, written: Sequence[Written]) -> Batch:
    """What became of a batch that was written just now, after telling everybody whom it concerns."""
    ports.wake_for([entry.task for entry in written])
    rows: list[RegisteredTask] = [{"created": entry.is_new, **entry.task} for entry in written]
    answer: Batch = {"tasks": rows, "created": sum(entry.is_new for entry in written)}
    ports.metrics.events.labels("registered").inc(answer["created"])
    return answer
