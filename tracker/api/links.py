"""Links to the pages that sign somebody in, for programs that open a browser."""

from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.security.utils import get_authorization_scheme_param

from tracker.api.answer import Answer
from tracker.api.auth import Reader
from tracker.api.openapi import answers
from tracker.api.ports import Ports, desk_of
from tracker.api.shapes import Link
from tracker.errors import RefusedError
from tracker.moments import rfc3339
from tracker.store import access, sessions
from tracker.store.sessions import LINK_LASTS, SignIn

router = APIRouter(prefix="/v1/links", tags=["links"], default_response_class=Answer)


@router.post(
    "",
    summary="Make a link that signs in to the pages",
    status_code=201,
    responses=answers(Link, 201, description="Made.", fails=(429,)),
)
async def make_link(request: Request, ports: Ports, caller: Reader) -> Response:
    """Whoever opens it first, within five minutes, is signed in with the owner and the scope of this call's token.

    The session ends when the token is revoked. Thirty at once, then one in two seconds.
    """
    desk_of(request).links.take(caller.owner)
    _, shown = get_authorization_scheme_param(request.headers.get("authorization"))
    token = await ports.database.ask(partial(access.check_token, presented=shown))
    if token is None:
        raise RefusedError("this token is unknown or revoked", http_status=401)
    made, now = sessions.new_link(), ports.clock()
    by = SignIn(owner=token.owner, scope=token.scope, token_id=token.id)
    await ports.database.write(partial(sessions.add_link, made=made, by=by, now=now))
    told: Link = {"path": f"/sign-in?link={made}", "expires_at": rfc3339(now + LINK_LASTS)}
    return Answer(told, status_code=201, headers={"cache-control": "no-store"})
