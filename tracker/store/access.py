"""Tokens, of which only hashes are kept, and the secrets that sign an owner's messages."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Text, bindparam, insert, or_, select, text, update

from tracker.store.dialect import insert_into
from tracker.store.given import given, plain_rows
from tracker.store.rows import new_id
from tracker.store.schema import secret, token

OVERLAP = timedelta(hours=24)
"""How long a rotated secret still signs beside the new one."""
_PREFIX_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLine:
    """A token, as told to people: never the token itself."""

    id: str
    owner: str
    scope: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_LINE = [token.c[name] for name in TokenLine.__slots__]


def new_token() -> str:
    """A token that opens nothing yet."""
    return f"trk_{secrets.token_urlsafe(32)}"


def add_token(connection: Connection, *, made: str, owner: str, scope: str, name: str, now: datetime) -> None:
    """Let a token in; only its hash and its first characters are kept."""
    row = {
        "id": new_id("tok", now),
        "owner": owner,
        "scope": scope,
        "name": name,
        "prefix": made[:_PREFIX_LENGTH],
        "hash": _hash(made),
        "created_at": now,
    }
    connection.execute(insert(token).values(row))


def has_tokens(connection: Connection) -> bool:
    """Whether any token was ever made."""
    return connection.execute(select(token.c.id).limit(1)).one_or_none() is not None


def check_token(connection: Connection, presented: str) -> TokenLine | None:
    """The token somebody presents, unless it is unknown or revoked. Looked up by hash: nothing secret is compared."""
    query = select(*_LINE).where(token.c.hash == _hash(presented), token.c.revoked_at.is_(None))
    row = connection.execute(query).one_or_none()
    return _line(row) if row else None


def list_tokens(connection: Connection) -> list[TokenLine]:
    """Every token, oldest first."""
    return [_line(row) for row in connection.execute(select(*_LINE).order_by(token.c.id))]


def revoke_token(connection: Connection, id_: str, *, now: datetime) -> bool:
    """End a token; False when there is none of that id."""
    connection.execute(update(token).where(token.c.id == id_, token.c.revoked_at.is_(None)).values(revoked_at=now))
    return connection.execute(select(token.c.id).where(token.c.id == id_)).one_or_none() is not None


def touch_tokens(connection: Connection, ids: Collection[str], *, now: datetime) -> None:
    """Note that tokens were used."""
    connection.execute(update(token).where(token.c.id.in_(ids)).values(last_used_at=now))


def current_secret(connection: Connection, owner: str, *, now: datetime, fresh: str) -> str:
    """The owner's secret; `fresh` becomes it when there is none yet."""
    query = select(secret.c.secret).where(secret.c.owner == owner, secret.c.expires_at.is_(None))
    while True:
        found = connection.scalar(query)
        if found is not None:
            return str(found)
        if _make_current(connection, owner, now=now, fresh=fresh):
            return fresh


def rotate_secret(connection: Connection, owner: str, *, now: datetime, fresh: str) -> str:
    """Make `fresh` the owner's secret; the one before signs beside it for another 24 hours."""
    before = update(secret).where(secret.c.owner == owner, secret.c.expires_at.is_(None))
    while True:
        connection.execute(before.values(expires_at=now + OVERLAP))
        if _make_current(connection, owner, now=now, fresh=fresh):
            return fresh


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretLine:
    """That an owner has a secret, as told to people: never the secret itself."""

    owner: str
    created_at: datetime
    expires_at: datetime | None
    """Of one that was rotated: until then it signs beside the new one."""


def list_secrets(connection: Connection, *, owner: str | None, now: datetime) -> list[SecretLine]:
    """What signs just now, by owner and newest first; with an owner, only what is that owner's."""
    query = select(secret.c.owner, secret.c.created_at, secret.c.expires_at).where(
        or_(secret.c.expires_at.is_(None), secret.c.expires_at > now)
    )
    if owner is not None:
        query = query.where(secret.c.owner == owner)
    found = connection.execute(query.order_by(secret.c.owner, secret.c.key.desc()))
    return [SecretLine(**row._mapping) for row in found]  # noqa: SLF001 - the documented name of a row's mapping


def _make_current(connection: Connection, owner: str, *, now: datetime, fresh: str) -> bool:
    """False where somebody else made one at the same moment; by now it is committed, and seen."""
    made = insert_into(connection, secret).values(owner=owner, secret=fresh, created_at=now)
    only_one = made.on_conflict_do_nothing(index_elements=["owner"], index_where=text("expires_at IS NULL"))
    return connection.execute(only_one.returning(secret.c.key)).one_or_none() is not None


@cache
def _signing(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    owners = given(dialect, "given", owner=Text())
    signing = select(secret.c.owner, secret.c.secret).where(secret.c.owner.in_(select(owners.c.owner)))
    signing = signing.where(or_(secret.c.expires_at.is_(None), secret.c.expires_at > bindparam("now")))
    return signing.order_by(secret.c.key.desc())


def signing_secrets(connection: Connection, owners: Collection[str], *, now: datetime) -> dict[str, list[str]]:
    """The secrets that sign for each owner just now, newest first."""
    found: dict[str, list[str]] = {}
    asked = {"given": plain_rows({"owner": owner} for owner in owners), "now": now}
    for owner, signing in connection.execute(_signing(connection.dialect.name), asked):
        found.setdefault(owner, []).append(signing)
    return found


def secrets_of(connection: Connection, owner: str, *, now: datetime, fresh: str) -> list[str]:
    """What signs for an owner just now, newest first; `fresh` becomes its secret when there is none yet."""
    current_secret(connection, owner, now=now, fresh=fresh)
    return signing_secrets(connection, [owner], now=now)[owner]


def _hash(presented: str) -> str:
    return hashlib.sha256(presented.encode()).hexdigest()


def _line(row: Any) -> TokenLine:  # noqa: ANN401 - a row of _LINE
    return TokenLine(**row._mapping)  # noqa: SLF001 - the documented name of a row's mapping
