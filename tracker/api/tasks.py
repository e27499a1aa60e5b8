"""Looking at tasks, asking for a look now, and ending the watch."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from tracker.api.answer import Answer
from tracker.api.auth import Reader, Writer
from tracker.api.openapi import answers
from tracker.api.ports import Ports
from tracker.api.shapes import DroppedTask, History, TaskDeliveries, TaskPage
from tracker.desk.queries import TaskId, TaskQuery, next_cursor
from tracker.intake import Caller
from tracker.intake.intake import visible
from tracker.model import Task
from tracker.store import messages, tasks
from tracker.store.audience import concerning
from tracker.store.database import Connection
from tracker.telling import TaskAnswer, TaskWithObject, tell_event, told_tasks, told_with_attempts

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], default_response_class=Answer)


@router.get("", summary="List tasks, newest first", responses=answers(TaskPage, fails=(422,)))
async def list_tasks(query: Annotated[TaskQuery, Query()], ports: Ports, caller: Reader) -> Response:
    """All filters given must match."""
    wanted = query.filter()

    def work(connection: Connection) -> TaskPage:
        found = tasks.page(connection, wanted, owner=caller.only_owner)
        return {
            "tasks": told_tasks(connection, found[: query.limit], owner=caller.only_owner),
            "next_cursor": next_cursor("t", [task.key for task in found], query.limit),
        }

    return Answer(await ports.database.ask(work))


@router.get("/{id}", summary="Show a task", responses=answers(TaskWithObject, fails=(404, 422)))
async def show_task(id_: Annotated[TaskId, Path(alias="id")], ports: Ports, caller: Reader) -> Response:
    """With the caller's callbacks, and `task`: the upstream's own object as last seen."""

    def work(connection: Connection) -> TaskWithObject:
        task = visible(connection, id_, caller)
        return {**_tell(connection, task, caller), "task": tasks.last_object(connection, task.key)}

    return Answer(await ports.database.ask(work))


@router.get("/{id}/history", summary="Tell a task's history", responses=answers(History, fails=(404, 422)))
async def task_history(id_: Annotated[TaskId, Path(alias="id")], ports: Ports, caller: Reader) -> Response:
    """Every change of the task, first to last, and what became of the caller's deliveries."""

    def work(connection: Connection) -> History:
        task = visible(connection, id_, caller)
        lines = concerning(connection, tasks.history(connection, task.key), owner=caller.only_owner)
        return {"events": [tell_event(line) for line in lines]}

    return Answer(await ports.database.ask(work))


@router.get("/{id}/deliveries", summary="List a task's deliveries", responses=answers(TaskDeliveries, fails=(404, 422)))
async def task_deliveries(id_: Annotated[TaskId, Path(alias="id")], ports: Ports, caller: Reader) -> Response:
    """The messages for the caller's callbacks, with every attempt."""

    def work(connection: Connection) -> TaskDeliveries:
        task = visible(connection, id_, caller)
        found = messages.of_task(connection, task.key, owner=caller.only_owner)
        return {"deliveries": told_with_attempts(connection, found)}

    return Answer(await ports.database.ask(work))


@router.post(
    "/{id}/refresh",
    summary="Look at a task now",
    status_code=202,
    responses=answers(TaskAnswer, 202, description="It will be looked at.", fails=(404, 422)),
)
async def refresh_task(id_: Annotated[TaskId, Path(alias="id")], ports: Ports, caller: Writer) -> Response:
    """Leaves a note for whoever watches the task."""
    refresh = ports.intake.refresh(id_, caller)

    def work(connection: Connection) -> TaskAnswer:
        return _tell(connection, refresh(connection), caller)

    told = await ports.database.write(work)
    ports.wake()
    return Answer(told, status_code=202)


@router.delete(
    "/{id}",
    summary="Stop watching a task",
    responses=answers(DroppedTask, description="As it is now.", fails=(404, 422)),
)
async def drop_task(id_: Annotated[TaskId, Path(alias="id")], ports: Ports, caller: Writer) -> Response:
    """Its history stays. `stopped` is false for a task that had ended.

    It is false too for a task that other owners registered: only your own part ends, the task goes on for them. The
    answer shows it as it is then, without your callbacks, and you do not see it any more. An admin ends it for all.
    """
    drop = ports.intake.drop(id_, caller)

    def work(connection: Connection) -> DroppedTask:
        dropped = drop(connection)
        told = _tell(connection, dropped.task, caller)
        # Taken back, they are kept for the history of their deliveries only.
        callbacks = [] if dropped.withdrawn else told["callbacks"]
        return {**told, "callbacks": callbacks, "stopped": dropped.stopped}

    told = await ports.database.write(work)
    ports.wake()
    return Answer(told)


def _tell(connection: Connection, task: Task, caller: Caller) -> TaskAnswer:
    return told_tasks(connection, [task], owner=caller.only_owner)[0]
