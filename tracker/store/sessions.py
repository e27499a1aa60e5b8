"""Sessions of the pages, and links that begin one; of what is shown for either only a hash is kept."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, or_, select

from tracker.store.rows import new_id
from tracker.store.schema import token
from tracker.store.session_table import session

LASTS = timedelta(days=14)
"""How long somebody stays signed in."""
LINK_LASTS = timedelta(minutes=5)
"""How long a link that was made can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Who is signed in, and by which token; by none where somebody at the machine's command line let them in."""

    owner: str
    scope: str
    token_id: str | None


def new_session() -> str:
    """What a browser shows for a session that nobody has begun yet."""
    return f"ses_{secrets.token_urlsafe(32)}"


def new_link() -> str:
    """What a link carries that signs nobody in yet."""
    return f"lnk_{secrets.token_urlsafe(32)}"


def begin(connection: Connection, *, made: str, by: SignIn, now: datetime, before: str | None = None) -> None:
    """Begin a session for whoever shows what was `made`, and end the one that was shown before."""
    if before is not None:
        end(connection, before)
    _add(connection, made, by, now=now, until=now + LASTS, is_link=False)


def add_link(connection: Connection, *, made: str, by: SignIn, now: datetime) -> None:
    """Let whoever shows what was `made` in, once and soon."""
    _add(connection, made, by, now=now, until=now + LINK_LASTS, is_link=True)


def find(connection: Connection, presented: str, *, now: datetime) -> SignIn | None:
    """Who is signed in by this; None where nobody is: it is unknown, over, or its token was revoked."""
    query = select(*_SIGN_IN).join_from(session, token, session.c.token_id == token.c.id, isouter=True)
    is_this = (session.c.hash == _hash(presented), session.c.expires_at > now, session.c.is_link.is_(False))
    row = connection.execute(query.where(*is_this, _STANDS)).one_or_none()
    return SignIn(owner=row.owner, scope=row.scope, token_id=row.token_id) if row else None


def use_link(
    connection: Connection, presented: str, *, made: str, now: datetime, before: str | None = None
) -> SignIn | None:
    """Begin a session by a link, which is used up by it; None for one that was used, is too old or never was."""
    is_this = (session.c.hash == _hash(presented), session.c.expires_at > now, session.c.is_link.is_(True))
    row = connection.execute(delete(session).where(*is_this).returning(*_SIGN_IN)).one_or_none()
    if row is None or not _token_stands(connection, row.token_id):
        return None
    by = SignIn(owner=row.owner, scope=row.scope, token_id=row.token_id)
    begin(connection, made=made, by=by, now=now, before=before)
    return by


def end(connection: Connection, presented: str) -> None:
    """Sign out."""
    connection.execute(delete(session).where(session.c.hash == _hash(presented)))


_SIGN_IN = (session.c.owner, session.c.scope, session.c.token_id)
_STANDS = or_(session.c.token_id.is_(None), token.c.revoked_at.is_(None))


def _token_stands(connection: Connection, id_: str | None) -> bool:
    if id_ is None:
        return True
    query = select(token.c.id).where(token.c.id == id_, token.c.revoked_at.is_(None))
    return connection.execute(query).one_or_none() is not None


def _add(connection: Connection, made: str, by: SignIn, *, now: datetime, until: datetime, is_link: bool) -> None:
    """Those that are over are forgotten by the way."""
    connection.execute(delete(session).where(session.c.expires_at <= now))
    row = {
        "id": new_id("ses", now),
        "hash": _hash(made),
        "owner": by.owner,
        "scope": by.scope,
        "token_id": by.token_id,
        "is_link": is_link,
        "created_at": now,
        "expires_at": until,
    }
    connection.execute(insert(session).values(row))


def _hash(presented: str) -> str:
    return hashlib.sha256(presented.encode()).hexdigest()
