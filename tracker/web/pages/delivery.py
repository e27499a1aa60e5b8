"""One message: why it has not arrived, what is sent, and what came of every attempt."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from starlette.responses import Response

import tracker
from tracker.errors import ConflictError, NotFoundError
from tracker.model import DeliveryStatus
from tracker.store import messages
from tracker.store.database import Connection
from tracker.store.messages import AttemptLine, DeliveryLine
from tracker.store.redelivery import redeliver as send_again
from tracker.telling.waiting import next_attempt_at, standing
from tracker.web import snippets
from tracker.web.forms import Form
from tracker.web.visit import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """An attempt as the page tells it."""

    line: AttemptLine
    duration: timedelta | None
    timestamp: int
    """The `webhook-timestamp` that it was sent with, or the second before."""


async def show(visit: Visit) -> Response:
    """Every attempt in full, and the request as it is sent."""
    id_ = visit.request.path_params["id"]
    line, attempts = await visit.ask(partial(_read, id_=id_, owner=visit.caller.only_owner))
    last = attempts[-1] if attempts else None
    tries = [_try(one) for one in reversed(attempts)]
    headers = _headers(line)
    return visit.render(
        "delivery.html",
        line=line,
        why=standing(line, last),
        next_attempt_at=next_attempt_at(line, last) if line.status == DeliveryStatus.PENDING else None,
        tries=tries,
        forgotten=max(line.attempt - len(attempts), 0),
        headers=headers,
        body=_readable(line.body),
        posting=snippets.posting(line.url, headers, line.body) if line.body else None,
        signing=_signing(visit, line, tries),
        goes_again=line.body is not None and line.status != DeliveryStatus.SUPERSEDED,
    )


async def redeliver(visit: Visit, _form: Form) -> Response:
    """Send it again, or now where it waits."""
    id_ = visit.request.path_params["id"]
    back, owner = f"/deliveries/{id_}", visit.caller.only_owner
    try:
        await visit.write(partial(send_again, id_=id_, owner=owner, now=visit.ports.clock()))
    except ConflictError as error:
        return visit.back(back, visit.language.problem(error), "problem")
    visit.ports.wake_courier()
    return visit.back(back, visit.language.gettext("It is sent now, with the same id and the same body."))


def _read(connection: Connection, id_: str, owner: str | None) -> tuple[DeliveryLine, Sequence[AttemptLine]]:
    line = messages.get(connection, id_, owner=owner)
    if line is None:
        raise NotFoundError(f"there is no delivery {id_!r}")
    return line, messages.attempts(connection, [line.key]).get(line.key, [])


def _try(line: AttemptLine) -> Try:
    duration = None if line.duration_ms is None else timedelta(milliseconds=line.duration_ms)
    return Try(line=line, duration=duration, timestamp=int(line.attempted_at.timestamp()))


def _headers(line: DeliveryLine) -> dict[str, str]:
    """Those that are the same in every attempt."""
    return {
        "content-type": "application/json",
        "user-agent": f"tracker/{tracker.__version__}",
        "webhook-id": line.id,
    }


def _signing(visit: Visit, line: DeliveryLine, tries: Sequence[Try]) -> str | None:
    if line.body is None:
        return None
    timestamp = tries[0].timestamp if tries else int(visit.now.timestamp())
    secret = snippets.secret_of(line.owner) if visit.caller.sees_all else snippets.UNTOLD
    return snippets.signing(line.id, timestamp, line.body, secret=secret)


def _readable(body: str | None) -> str | None:
    """JSON with a line for each field; anything else as it is."""
    if body is None:
        return None
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body
