"""Who calls: bearer tokens."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from tracker.api.ports import desk_of
from tracker.errors import RefusedError
from tracker.intake import Caller

_bearer = HTTPBearer(
    scheme_name="token",
    bearerFormat="trk_…",
    description="Made by `tracker token create`; has an owner and a scope: read, write or admin.",
    auto_error=False,
)


async def caller_of(
    request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller:
    """Who makes a request; raises RefusedError without a good token."""
    if shown is None:
        raise RefusedError("a token is needed: send the header Authorization: Bearer trk_…", http_status=401)
    found = await desk_of(request).tokens.caller(shown.credentials)
    if found is None:
        raise RefusedError("this token is unknown or revoked", http_status=401)
    return found


async def must_be(request: Request, scope: str) -> None:
    """Raise RefusedError unless the request's token allows this, for calls that need one only where configured."""
    (await caller_of(request, await _bearer(request))).must_be(scope)


async def is_still(request: Request, caller: Caller) -> bool:
    """Whether the token that a request came with still says the same of its caller."""
    _, shown = get_authorization_scheme_param(request.headers.get("authorization"))
    return await desk_of(request).tokens.caller(shown) == caller


_AnyCaller = Annotated[Caller, Depends(caller_of)]


async def _reader(caller: _AnyCaller) -> Caller:
    caller.must_be("read")
    return caller


async def _writer(caller: _AnyCaller) -> Caller:
    caller.must_be("write")
    return caller


async def _admin(caller: _AnyCaller) -> Caller:
    caller.must_be("admin")
    return caller


Reader = Annotated[Caller, Depends(_reader)]
"""A caller who may look."""
Writer = Annotated[Caller, Depends(_writer)]
"""A caller who may change things."""
Admin = Annotated[Caller, Depends(_admin)]
"""A caller who may change what concerns everybody."""
