"""A tracker reached through its daemon's API."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import quote

import tracker
from tracker.cli.protocol import Again, Document, Entry, Selection, at, checked
from tracker.errors import ConflictError, InputError, NotFoundError, RefusedError, TrackerError, UnavailableError
from tracker.http.plain import PlainClient
from tracker.intake import LARGEST_BATCH, parse
from tracker.moments import rfc3339
from tracker.origins import origin_of

_LARGEST_PAGE = 500
_MOST_ENDPOINTS = 100_000
_LARGEST_BODY = 3_000_000
"""Bytes of registrations in one call; the API takes a little more."""
_BATCH_PLACE = re.compile(r"\[(\d+)\]\.?")


class RemoteTracker:
    """Speaks to the API as the owner of a token."""

    def __init__(self, client: PlainClient, url: str) -> None:
        self._client = client
        self._url = url

    @classmethod
    @contextmanager
    def open(cls, url: str, token: str) -> Iterator["RemoteTracker"]:
        """One for the daemon at this address, while the context lasts."""
        with PlainClient(url, token, user_agent=f"tracker/{tracker.__version__}") as client:
            yield cls(client, url)

    def register(self, entries: Sequence[Entry]) -> list[Document]:
        """Check how all are written, then send them in batches; each batch is accepted or refused as a whole."""
        bodies = checked(entries, lambda entry: _body(entry.document))
        answers: list[Document] = []
        for batch in _batches(bodies):
            try:
                answers += _rows(self._call("POST", "/v1/tasks/batch", document=batch), "tasks")
            except InputError as error:
                raise _placed(error, entries, registered=len(answers)) from None
            except UnavailableError as error:
                raise UnavailableError(f"{error}{_so_far(len(answers))}") from None
        return answers

    def tasks(self, wanted: Selection) -> list[Document]:
        """The newest tasks that match."""
        query = {
            "status": ",".join(wanted.status) or None,
            "upstream": wanted.upstream,
            "task_id": wanted.task_id,
            "q": wanted.q,
            "since": rfc3339(wanted.since),
            "until": rfc3339(wanted.until),
        }
        return self._pages("/v1/tasks", "tasks", query, wanted.limit)

    def task(self, id_: str) -> Document:
        """A task by its `tsk_…`."""
        return self._task("GET", _path(id_))

    def history(self, id_: str) -> list[Document]:
        """The events of a task, first to last."""
        return _rows(self._call("GET", _path(id_, "/history")), "events")

    def deliveries(self, *, status: str | None, limit: int) -> list[Document]:
        """The newest deliveries of all tasks, each with its last attempt."""
        return self._pages("/v1/deliveries", "deliveries", {"status": status}, limit)

    def task_deliveries(self, id_: str) -> list[Document]:
        """The deliveries of a task with every attempt, first to last."""
        return _rows(self._call("GET", _path(id_, "/deliveries")), "deliveries")

    def refresh(self, id_: str) -> Document:
        """Have a look taken now."""
        return self._task("POST", _path(id_, "/refresh"))

    def drop(self, id_: str) -> Document:
        """Stop watching."""
        return self._task("DELETE", _path(id_), "stopped")

    def ping(self, url: str, owner: str | None) -> Document:
        """Have the daemon send a test, signed for the token's owner."""
        if owner is not None:
            raise InputError("--owner", "is the token's owner where the API is used", "leave it out")
        told = self._call("POST", "/v1/callbacks/test", document={"callback_url": url})
        if "delivered" not in told:
            raise _stranger()
        return {"url": url, **told}

    def redeliver(self, id_: str) -> Document:
        """Send a message again."""
        return self._thing("POST", f"/v1/deliveries/{quote(id_, safe='')}/redeliver", "status", "why")

    def redeliver_matching(self, wanted: Again) -> int:
        """Send all again that match."""
        given = {
            "endpoint": wanted.endpoint,
            "status": wanted.status,
            "since": rfc3339(wanted.since),
            "until": rfc3339(wanted.until),
        }
        document = {name: value for name, value in given.items() if value is not None}
        count = self._call("POST", "/v1/deliveries/redeliver", document=document).get("redelivered")
        if not isinstance(count, int):
            raise _stranger()
        return count

    def endpoints(self, *, limit: int) -> list[Document]:
        """How the newest receivers are doing."""
        return self._pages("/v1/endpoints", "endpoints", {}, limit)

    def enable(self, endpoint: str) -> Document:
        """Send to an endpoint again."""
        return self._thing("POST", self._endpoint_path(endpoint, "enable"), "state")

    def disable(self, endpoint: str) -> Document:
        """Send an endpoint nothing."""
        return self._thing("POST", self._endpoint_path(endpoint, "disable"), "state")

    def _endpoint_path(self, given: str, action: str) -> str:
        """The API knows endpoints by their ids; people also by their addresses, which no path can carry."""
        if "://" not in given:
            return f"/v1/endpoints/{quote(given, safe='')}/{action}"
        meant = [row["id"] for row in self.endpoints(limit=_MOST_ENDPOINTS) if row["endpoint"] == origin_of(given)]
        if not meant:
            raise NotFoundError(f"there is no endpoint {given!r}")
        return f"/v1/endpoints/{meant[0]}/{action}"

    def link(self, owner: str | None, scope: str | None) -> Document:
        """Have the daemon make an address that signs in with the token's owner and scope."""
        for option, given in (("--owner", owner), ("--scope", scope)):
            if given is not None:
                raise InputError(option, "is the token's where the API is used", "leave it out")
        told = self._call("POST", "/v1/links")
        if not {"path", "expires_at"} <= told.keys():
            raise _stranger()
        return {"url": self._url.rstrip("/") + told["path"], "expires_at": told["expires_at"]}

    def upstreams(self) -> list[Document]:
        """How each upstream is doing."""
        return _rows(self._call("GET", "/v1/upstreams"), "upstreams")

    def idleness(self) -> str | None:
        """Nothing: whoever answers is a daemon."""
        return None

    def _pages(self, path: str, name: str, query: Mapping[str, object], limit: int) -> list[Document]:
        """As many as asked for, a page at a time."""
        found: list[Document] = []
        given = {key: str(value) for key, value in query.items() if value is not None}
        cursor: str | None = None
        while len(found) < limit:
            page = {"limit": min(limit - len(found), _LARGEST_PAGE)} | ({"cursor": cursor} if cursor else {})
            answer = self._call("GET", path, query=given | page)
            found += _rows(answer, name)
            cursor = answer.get("next_cursor")
            if cursor is None:
                break
        return found

    def _task(self, method: str, path: str, *more: str) -> Document:
        return self._thing(method, path, "task_id", *more)

    def _thing(self, method: str, path: str, *fields: str) -> Document:
        answer = self._call(method, path)
        if not set(fields) <= answer.keys():
            raise _stranger()
        return answer

    def _call(
        self, method: str, path: str, *, query: Mapping[str, str | int] | None = None, document: object = None
    ) -> Document:
        status, answer = self._client.call(method, path, query=query, document=document)
        told = answer if isinstance(answer, dict) else {}
        if status == 404 and "title" not in told:  # noqa: PLR2004 - HTTP
            raise _stranger()  # ours says what it does not know, as a problem document
        if not 200 <= status < 300:  # noqa: PLR2004 - HTTP
            raise _explained(status, told)
        return told


def _rows(answer: Document, name: str) -> list[Document]:
    rows = answer.get(name)
    if not isinstance(rows, list):
        raise _stranger()
    return rows


def _stranger() -> UnavailableError:
    return UnavailableError("what answers at --url is no tracker daemon")


def _path(id_: str, rest: str = "") -> str:
    return f"/v1/tasks/{quote(id_, safe='')}{rest}"


def _body(document: object) -> Document:
    return parse(document).model_dump(exclude_unset=True)


def _batches(bodies: Sequence[Document]) -> Iterator[list[Document]]:
    """As many at a time as the API takes."""
    batch: list[Document] = []
    size = 0
    for body in bodies:
        length = len(json.dumps(body))
        if batch and (len(batch) >= LARGEST_BATCH or size + length > _LARGEST_BODY):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += length
    if batch:
        yield batch


def _placed(error: InputError, entries: Sequence[Entry], *, registered: int) -> InputError:
    """The API counts within the batch, people count lines."""
    place = _BATCH_PLACE.match(error.field)
    if place is None or registered + int(place[1]) >= len(entries):
        return error
    fix = f"{error.fix}{_so_far(registered)}"
    field = error.field[place.end() :] or "task"
    return at(entries[registered + int(place[1])].where, InputError(field, error.problem, fix))


def _so_far(registered: int) -> str:
    return f" (the first {registered} are registered; once more does no harm)" if registered else ""


def _explained(status: int, problem: Document) -> TrackerError:
    """The error that the daemon had, from the problem it told."""
    said = str(problem.get("detail") or problem.get("title") or f"the daemon answered HTTP {status}")
    match status:
        case 401:
            fix = "`tracker token create` makes one"
            return RefusedError(f"the token in TRACKER_TOKEN is missing, unknown or revoked: {fix}", http_status=status)
        case 403:
            return RefusedError(said, http_status=status)
        case 404:
            return NotFoundError(said)
        case 409:
            return ConflictError(said)
        case 400 | 413 | 422:
            first = next(iter(problem.get("errors") or ()), None)
            return InputError(first["field"], first["problem"], first["fix"]) if first else TrackerError(said)
        case _:
            return UnavailableError(said)
