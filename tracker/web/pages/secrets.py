"""What signs an owner's messages: making a new secret, shown in one answer only; the one before goes on for a day."""

import shlex
from functools import partial
from http import HTTPStatus

import structlog
from starlette.responses import Response

from tracker.errors import RefusedError
from tracker.intake.callers import LOCAL
from tracker.store import access
from tracker.store.database import Connection
from tracker.web.forms import Form
from tracker.web.visit import Visit
from tracker.webhooks import new_secret

_log = structlog.get_logger()


async def show(visit: Visit) -> Response:
    """Whose messages are signed, and since when with this secret; never the secret itself."""
    return await _page(visit)


async def rotate(visit: Visit, form: Form) -> Response:
    """Make a secret, and show it in this answer."""
    owner = form.text("owner") or visit.caller.owner
    if not visit.caller.sees_all and owner != visit.caller.owner:
        raise RefusedError("this is the secret of another owner; only an admin may make a new one")
    if owner not in await visit.ask(partial(_known, visit)):
        problem = visit.language.gettext("No owner of this name has a token or a secret.")
        return await _page(visit, owner=owner, problem=problem, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    made = new_secret()
    await visit.write(partial(access.rotate_secret, owner=owner, now=visit.now, fresh=made))
    _log.info("secret_rotated", owner=owner, by=visit.caller.owner)
    return await _page(visit, owner=owner, made=made)


def _known(visit: Visit, connection: Connection) -> list[str]:
    """Those whose secret the caller may make anew."""
    if not visit.caller.sees_all:
        return [visit.caller.owner]
    tokens = {line.owner for line in access.list_tokens(connection)}
    secrets = {line.owner for line in access.list_secrets(connection, owner=None, now=visit.now)}
    # The operator's own messages are signed too, whoever has tokens.
    return sorted({LOCAL.owner, visit.caller.owner, *tokens, *secrets})


async def _page(
    visit: Visit, *, owner: str | None = None, problem: str | None = None, made: str | None = None, status: int = 200
) -> Response:
    def work(connection: Connection) -> tuple[list[access.SecretLine], list[str]]:
        found = access.list_secrets(connection, owner=visit.caller.only_owner, now=visit.now)
        return found, _known(visit, connection)

    secrets, owners = await visit.ask(work)
    return visit.render(
        "secrets.html",
        status=status,
        secrets=secrets,
        owners=owners,
        owner=owner or visit.caller.owner,
        typed_owner=shlex.quote(visit.caller.owner),
        problems={"owner": problem} if problem else {},
        made=made,
        overlap=access.OVERLAP,
    )
