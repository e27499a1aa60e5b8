"""Notes that say who did something, and what of them others may read."""

DROPPED_BY = "dropped by"
REGISTERED_AGAIN_BY = "registered again by"


def signed_note(did: str, owner: str) -> str:
    """What an owner did."""
    return f"{did} {owner}"


def as_read_by(reader: str, note: str | None) -> str | None:
    """A note as an owner may read it: it does not name other owners."""
    for did in (DROPPED_BY, REGISTERED_AGAIN_BY):
        if note is not None and note.startswith(did) and note != signed_note(did, reader):
            return f"{did} another owner"
    return note
