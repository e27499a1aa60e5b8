"""Who may use the API: making tokens, each shown in one answer only, and revoking them."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

import structlog
from starlette.responses import Response

from tracker.errors import NotFoundError
from tracker.intake import SCOPES
from tracker.intake.callers import LONGEST_OWNER, is_owner_name
from tracker.store import access
from tracker.web.forms import Form
from tracker.web.visit import Visit

LONGEST_NAME = 200
"""Characters."""
_log = structlog.get_logger()


async def show(visit: Visit) -> Response:
    """Every token, never the tokens themselves."""
    return await _page(visit)


async def create(visit: Visit, form: Form) -> Response:
    """Make a token, and show it in this answer: it is kept nowhere."""
    given = {name: form.text(name) or "" for name in ("owner", "scope", "name")}
    problems = _problems(visit, given)
    if problems:
        return await _page(visit, given=given, problems=problems, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    made = access.new_token()
    owner, scope, name = given["owner"], given["scope"], given["name"]
    add = partial(access.add_token, made=made, owner=owner, scope=scope, name=name, now=visit.now)
    await visit.write(add)
    _log.info("token_created", owner=owner, scope=scope, by=visit.caller.owner)
    return await _page(visit, made=made, made_for=given)


async def revoke(visit: Visit, _form: Form) -> Response:
    """Let a token in no more; whoever signed in with it is signed out."""
    id_ = visit.request.path_params["id"]
    if not await visit.write(partial(access.revoke_token, id_=id_, now=visit.now)):
        raise NotFoundError(f"there is no token {id_!r}")
    _log.info("token_revoked", token=id_, by=visit.caller.owner)
    return visit.back("/tokens", visit.language.gettext("Revoked %(id)s.") % {"id": id_})


async def _page(
    visit: Visit,
    *,
    given: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
    made: str | None = None,
    made_for: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    tokens = await visit.ask(access.list_tokens)
    return visit.render(
        "tokens.html",
        status=status,
        tokens=tokens[::-1],
        given=given or {"owner": "", "scope": SCOPES[1], "name": ""},
        problems=problems or {},
        made=made,
        made_for=made_for,
    )


def _problems(visit: Visit, given: Mapping[str, str]) -> dict[str, str]:
    """What cannot be used, by field, in the words of the reader."""
    _ = visit.language.gettext
    problems: dict[str, str] = {}
    if not is_owner_name(given["owner"]):
        problems["owner"] = _("An owner has 1 to %(most)s visible characters.") % {"most": LONGEST_OWNER}
    if given["scope"] not in SCOPES:
        problems["scope"] = _("Choose one of the scopes.")
    if len(given["name"]) > LONGEST_NAME or not given["name"].isprintable():
        problems["name"] = _("A name has at most %(most)s visible characters.") % {"most": LONGEST_NAME}
    return problems
