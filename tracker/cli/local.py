"""A tracker reached through its database, whether a daemon runs or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from tracker.cli.protocol import Again, Document, Entry, Selection, checked
from tracker.config import Settings
from tracker.errors import InputError, TrackerError
from tracker.guard import Guard
from tracker.intake import LARGEST_BATCH, Intake, parse
from tracker.intake.callers import LOCAL
from tracker.intake.intake import visible
from tracker.model import DeliveryStatus, Status, Task
from tracker.moments import rfc3339
from tracker.store import endpoints, messages, receivers, tasks
from tracker.store.database import Connection, Database, sqlite_file
from tracker.store.redelivery import Matching, redeliver, redeliver_matching
from tracker.telling import tell_endpoint, tell_event, told_deliveries, told_tasks, told_upstreams, told_with_attempts

_PAGE = 500
"""Rows at a time: a statement takes only so many keys."""


class LocalTracker:
    """Does what the API does, as the admin who can open the database."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    @cached_property
    def _intake(self) -> Intake:
        # Brings the HTTP client along, which only those need who write.
        from tracker.webhooks.composer import Composer

        callbacks = self._settings.callbacks
        guard = Guard(allow_networks=callbacks.allow_networks, require_https=callbacks.require_https)
        return Intake(self._settings, guard, Composer(first_wait=callbacks.retry_schedule[0]), self._database.now)

    def register(self, entries: Sequence[Entry]) -> list[Document]:
        """Check all, then write them in batches."""
        wanted = checked(entries, lambda entry: self._intake.check(parse(entry.document)))
        self._make_schema()
        answers: list[Document] = []
        for start in range(0, len(wanted), LARGEST_BATCH):
            work = self._intake.register(wanted[start : start + LARGEST_BATCH], LOCAL)
            registered = self._database.write_now(work)
            documents = self._database.read_now(partial(_told, found=[one.task for one in registered]))
            answers += [
                {**document, "created": one.created} for document, one in zip(documents, registered, strict=True)
            ]
        return answers

    def _make_schema(self) -> None:
        """A friendly first use: whoever adds a task to an empty database gets its tables."""
        from tracker.store import migrate

        path = sqlite_file(self._database.url)
        is_there = path is None or path.exists()
        if not is_there or self._database.read_now(migrate.current) is None:
            migrate.upgrade(self._database.url)

    def tasks(self, wanted: Selection) -> list[Document]:
        """The newest tasks that match."""
        chosen = tasks.Filter(
            status=tuple(map(Status, wanted.status)) or None,
            upstream=wanted.upstream,
            task_id=wanted.task_id,
            q=wanted.q,
            since=wanted.since,
            until=wanted.until,
        )

        return self._database.read_now(partial(_newest_tasks, chosen=chosen, limit=wanted.limit))

    def task(self, id_: str) -> Document:
        """A task by its `tsk_…`."""

        def work(connection: Connection) -> Document:
            found = visible(connection, id_, LOCAL)
            return {**_told(connection, [found])[0], "task": tasks.last_object(connection, found.key)}

        return self._database.read_now(work)

    def history(self, id_: str) -> list[Document]:
        """The events of a task, first to last."""

        def work(connection: Connection) -> list[Document]:
            lines = tasks.history(connection, visible(connection, id_, LOCAL).key)
            return _documents([tell_event(line) for line in lines])

        return self._database.read_now(work)

    def deliveries(self, *, status: str | None, limit: int) -> list[Document]:
        """The newest deliveries of all tasks, each with its last attempt."""
        wanted = DeliveryStatus(status) if status else None
        return self._database.read_now(partial(_newest_deliveries, status=wanted, limit=limit))

    def task_deliveries(self, id_: str) -> list[Document]:
        """The deliveries of a task with every attempt, first to last."""

        def work(connection: Connection) -> list[Document]:
            lines = messages.of_task(connection, visible(connection, id_, LOCAL).key, owner=None)
            return _documents(told_with_attempts(connection, lines))

        return self._database.read_now(work)

    def refresh(self, id_: str) -> Document:
        """Leave a note for the daemon that watches it."""
        return self._document(self._database.write_now(self._intake.refresh(id_, LOCAL)))

    def drop(self, id_: str) -> Document:
        """Stop watching."""
        dropped = self._database.write_now(self._intake.drop(id_, LOCAL))
        return {**self._document(dropped.task), "stopped": dropped.stopped}

    def _document(self, task: Task) -> Document:
        return self._database.read_now(partial(_told, found=[task]))[0]

    def ping(self, url: str, owner: str | None) -> Document:
        """Send a test from here."""
        from tracker.cli.pinging import ping

        return ping(url, owner or LOCAL.owner, self._settings.callbacks, self._database)

    def redeliver(self, id_: str) -> Document:
        """Send a message again; a running daemon finds it within a second."""
        now = self._database.now()

        def work(connection: Connection) -> list[messages.DeliveryLine]:
            redeliver(connection, id_, owner=None, now=now)
            line = messages.get(connection, id_, owner=None)
            return [line] if line else []

        lines = self._database.write_now(work)
        return _documents(self._database.read_now(partial(told_with_attempts, found=lines)))[0] | {
            "body": lines[0].body
        }

    def redeliver_matching(self, wanted: Again) -> int:
        """Send all again that match, a bounded step at a time."""
        key = None
        if wanted.endpoint is not None:
            key = self._database.read_now(partial(receivers.get, given=wanted.endpoint, owner=None)).key
        status = DeliveryStatus(wanted.status or DeliveryStatus.DEAD)
        matching = Matching(endpoint_key=key, status=status, since=wanted.since, until=wanted.until)
        count = 0
        after: int | None = 0
        while after is not None:
            work = partial(redeliver_matching, matching=matching, owner=None, now=self._database.now(), after=after)
            step = self._database.write_now(work)
            count, after = count + step.redelivered, step.after
        return count

    def endpoints(self, *, limit: int) -> list[Document]:
        """How the newest receivers are doing."""
        found = self._database.read_now(partial(receivers.page, owner=None, limit=limit))
        return _documents([tell_endpoint(line) for line in found])

    def enable(self, endpoint: str) -> Document:
        """Send to an endpoint again."""
        return self._change(endpoint, partial(endpoints.enable, now=self._database.now()))

    def disable(self, endpoint: str) -> Document:
        """Send an endpoint nothing."""
        reason = f"disabled by {LOCAL.owner}"
        return self._change(endpoint, partial(endpoints.disable, reason=reason, now=self._database.now()))

    def _change(self, endpoint: str, change: Callable[[Connection, int], object]) -> Document:
        def work(connection: Connection) -> receivers.EndpointLine:
            change(connection, receivers.get(connection, endpoint, owner=None).key)
            return receivers.get(connection, endpoint, owner=None)

        return dict(tell_endpoint(self._database.write_now(work)))

    def link(self, owner: str | None, scope: str | None) -> Document:
        """An address where this configuration has a daemon listen: for the admin, or for an owner who may write."""
        from tracker.store import sessions

        by = sessions.SignIn(
            owner=owner or LOCAL.owner, scope=scope or ("write" if owner else LOCAL.scope), token_id=None
        )
        made, now = sessions.new_link(), self._database.now()
        self._database.write_now(partial(sessions.add_link, made=made, by=by, now=now))
        address = page_address(*self._settings.listen_address)
        return {"url": f"{address}/sign-in?link={made}", "expires_at": rfc3339(now + sessions.LINK_LASTS)}

    def upstreams(self) -> list[Document]:
        """How each upstream is doing, and those that tasks name but nobody configured."""
        told = partial(told_upstreams, configured=self._settings.upstreams, owner=LOCAL.only_owner)
        return _documents(self._database.read_now(told))

    def idleness(self) -> str | None:
        """That no daemon runs, by the rule of the doctor."""
        from tracker.doctor.findings import ago
        from tracker.doctor.running import SILENT
        from tracker.store import daemons

        try:
            found = self._database.read_now(partial(daemons.silences, now=self._database.now()))
        except TrackerError:
            return None  # a database that is none is told of by what was asked for, if that matters
        last, living = found or (None, None)
        if living is not None and living < SILENT:
            return None
        seen = f" (the last one was seen {ago(last.total_seconds())} ago)" if last is not None else ""
        return f"no daemon runs{seen}: nothing is looked at or told until one does; `tracker serve`"


def _documents(told: Sequence[Mapping[str, object]]) -> list[Document]:
    return [dict(one) for one in told]


def _told(connection: Connection, found: Sequence[Task]) -> list[Document]:
    return _documents(told_tasks(connection, found, owner=LOCAL.only_owner))


def _newest_tasks(connection: Connection, chosen: tasks.Filter, limit: int) -> list[Document]:
    found: list[Document] = []
    while len(found) < limit:
        chosen = replace(chosen, limit=min(limit - len(found), _PAGE))
        listed = tasks.page(connection, chosen, owner=None)
        found += _told(connection, listed)
        if len(listed) < chosen.limit:
            break
        chosen = replace(chosen, before=listed[-1].key)
    return found


def _newest_deliveries(connection: Connection, status: DeliveryStatus | None, limit: int) -> list[Document]:
    found: list[Document] = []
    before: int | None = None
    while len(found) < limit:
        size = min(limit - len(found), _PAGE)
        lines = messages.page(connection, owner=None, status=status, before=before, limit=size)
        found += _documents(told_deliveries(connection, lines))
        if len(lines) < size:
            break
        before = lines[-1].key
    return found


def page_address(host: str, port: int) -> str:
    """Where a browser on this machine finds a daemon that listens like this."""
    if port == 0:
        raise InputError("listen", "leaves the port open", "say by --url where the daemon listens")
    here = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"
