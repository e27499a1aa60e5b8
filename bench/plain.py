"""The straightforward alternative: a FastAPI route, its models, and one ORM transaction for each registration.

`python -m bench.plain DATABASE_URL` prints the port on 127.0.0.1 that it serves until its standard input is closed.
It has the same tables, tokens and answers, as far as they are needed, and none of the guard, limits or group commit.
"""

import asyncio
import hashlib
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, event, make_url, select
from sqlalchemy.orm import DeclarativeBase, Session, relationship

from tracker.daemon.server import bind
from tracker.store import schema


class _Base(DeclarativeBase):
    metadata = schema.metadata


class Task(_Base):
    """A row of that table, as are the next three."""

    __table__ = schema.task
    callbacks = relationship("Callback")
    events = relationship("Event")
    registrations = relationship("Registration")


class Callback(_Base):
    """See above."""

    __table__ = schema.callback
    said = schema.callback.c.metadata


class Event(_Base):
    """See above."""

    __table__ = schema.event


class Registration(_Base):
    """See above."""

    __table__ = schema.registration


class Wish(BaseModel):
    """What is asked for."""

    task_id: str
    callback_url: str
    metadata: Any = None


class Told(BaseModel):
    """A callback, as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    url: str
    events: str
    format: str


class Answer(BaseModel):
    """A task, as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    task_id: str
    upstream: str
    status: str
    registered_at: datetime
    callbacks: list[Told]


def make_app(url: str) -> FastAPI:
    """The app over a migrated database."""
    engine = create_engine(make_url(url).set(drivername=_DRIVERS[make_url(url).get_backend_name()]))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
    app = FastAPI()

    def session() -> Iterator[Session]:
        with Session(engine) as opened:
            yield opened

    def owner(opened: Annotated[Session, Depends(session)], authorization: Annotated[str, Header()]) -> str:
        presented = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
        found = opened.scalar(select(schema.token.c.owner).where(schema.token.c.hash == presented))
        if found is None:
            raise HTTPException(401)
        return str(found)

    @app.post("/v1/tasks", status_code=201, response_model=Answer)
    def register(
        wish: Wish, opened: Annotated[Session, Depends(session)], caller: Annotated[str, Depends(owner)]
    ) -> Task:
        return _write(opened, wish, caller)

    @app.post("/v1/tasks/batch", response_model=list[Answer])
    def register_many(
        wishes: list[Wish], opened: Annotated[Session, Depends(session)], caller: Annotated[str, Depends(owner)]
    ) -> list[Task]:
        return [_write(opened, wish, caller) for wish in wishes]

    return app


_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's own connection
    for pragma in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _write(opened: Session, wish: Wish, owner: str) -> Task:
    now = datetime.now(UTC)
    named = select(Task).where(schema.task.c.upstream == "default", schema.task.c.task_id == wish.task_id)
    found = opened.scalar(named)
    if found is None:
        found = Task(id=f"tsk_{secrets.token_hex(16)}", upstream="default", task_id=wish.task_id)
        found.registered_at, found.sequence = now, 1
        found.events.append(Event(sequence=1, event="registered", observed_at=now, to_status="queued"))
        found.registrations.append(Registration(owner=owner, registered_at=now))
        opened.add(found)
    told = Callback(owner=owner, url=wish.callback_url, events="ended", format="standard", created_at=now)
    told.said = json.dumps(wish.metadata)
    found.callbacks.append(told)
    opened.commit()
    return found


async def _serve(url: str) -> None:
    listening = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(url), log_config=None, access_log=False, lifespan="off"))
    print(listening.getsockname()[1], flush=True)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1]))
