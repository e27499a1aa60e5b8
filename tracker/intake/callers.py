"""Who asks: an owner with a scope. An owner sees what it registered, an admin sees all."""

from dataclasses import dataclass

from tracker.errors import RefusedError

SCOPES = ("read", "write", "admin")
"""Each allows what the ones before it allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody with a valid token, or the person at this machine's command line."""

    owner: str
    scope: str

    @property
    def sees_all(self) -> bool:
        """Whether other owners' tasks are visible."""
        return self.scope == "admin"

    @property
    def only_owner(self) -> str | None:
        """The owner whose things are visible; None for everybody's."""
        return None if self.sees_all else self.owner

    def may(self, scope: str) -> bool:
        """Whether the scope allows at least this."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def must_be(self, scope: str) -> None:
        """Raise RefusedError unless the scope allows at least this."""
        if not self.may(scope):
            raise RefusedError(f"a token of the scope {self.scope} may not do this; use one with the scope {scope}")


LOCAL = Caller(owner="admin", scope="admin")
"""Whoever can open the database may do everything."""

LONGEST_OWNER = 128
"""Characters."""


def is_owner_name(text: str) -> bool:
    """Whether it can name an owner: something that people see, and can type again."""
    return text.isprintable() and text == text.strip() and 0 < len(text) <= LONGEST_OWNER
