"""Who is at the browser: a cookie that stands for a session in the database."""

from functools import partial

from starlette.requests import HTTPConnection
from starlette.responses import Response

from tracker.desk import Desk, Ports
from tracker.intake import Caller
from tracker.store import access, sessions
from tracker.store.sessions import LASTS, SignIn

COOKIE = "tracker_session"
_LONGEST = 128


def presented_by(connection: HTTPConnection) -> str | None:
    """What a browser shows, where it can be a session at all."""
    shown = connection.cookies.get(COOKIE, "")
    return shown if shown.startswith("ses_") and shown.isascii() and len(shown) <= _LONGEST else None


async def caller_of(ports: Ports, presented: str) -> Caller | None:
    """Who is signed in; None where the session is over, or its token was revoked."""
    found = await ports.database.ask(partial(sessions.find, presented=presented, now=ports.clock()))
    return Caller(owner=found.owner, scope=found.scope) if found else None


async def sign_in(ports: Ports, desk: Desk, token: str, *, before: str | None) -> str | None:
    """Begin a session with a token of the API; what the browser is to show, or None where the token is no good.

    The one that it showed `before` is over then.
    """
    if await desk.tokens.caller(token) is None:
        return None
    line = await ports.database.ask(partial(access.check_token, presented=token))
    if line is None:
        return None
    made, by = sessions.new_session(), SignIn(owner=line.owner, scope=line.scope, token_id=line.id)
    await ports.database.write(partial(sessions.begin, made=made, by=by, now=ports.clock(), before=before))
    return made


async def follow_link(ports: Ports, link: str, *, before: str | None) -> str | None:
    """The same by a link, which is used up by it; None for one that is no good any more."""
    if len(link) > _LONGEST or not link.isascii():
        return None
    made = sessions.new_session()
    work = partial(sessions.use_link, presented=link, made=made, now=ports.clock(), before=before)
    return made if await ports.database.write(work) else None


async def sign_out(ports: Ports, presented: str) -> None:
    """End a session."""
    await ports.database.write(partial(sessions.end, presented=presented))


def give(response: Response, connection: HTTPConnection, session: str) -> None:
    """Have the browser show this session from now on, to us alone and to no script."""
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=is_over_tls(connection),
    )


def take_back(response: Response, connection: HTTPConnection) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=is_over_tls(connection))


def is_over_tls(connection: HTTPConnection) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy that says so; who lies gets a stricter cookie."""
    return connection.url.scheme == "https" or connection.headers.get("x-forwarded-proto", "").lower() == "https"
