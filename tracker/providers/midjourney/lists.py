"""The answer to a list call, read no further than it has news: what is there byte for byte as before is not decoded."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypedDict

import msgspec

from tracker.model import Miss, Seen, Snapshot
from tracker.providers.midjourney.answers import Reply, is_success, is_whole, tasks_in
from tracker.providers.midjourney.bodies import parse
from tracker.providers.midjourney.cleaning import clean
from tracker.providers.midjourney.entries import seen_in, told_by
from tracker.providers.midjourney.objects import Found, Unread, identity
from tracker.providers.midjourney.ordinary import ordinary

_STRICTER = (msgspec.MsgspecError, ValueError, RecursionError)
"""What the fast decoder raises, also for much that the patient one in `bodies` can read."""
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
digest_of: Callable[[bytes], int] = hash
"""A number that another text has too once in 2^64; only comparable inside one process."""


class _Envelope(msgspec.Struct, gc=False):
    data: msgspec.Raw
    code: Any = "success"
    success: Any = None


class _Entry(TypedDict, total=False):
    """The fields that decide what an object is and whether it has news; the others are passed over."""

    id: Any
    action: Any
    status: Any
    progress: Any
    prompt: msgspec.Raw
    submitTime: Any
    startTime: Any
    finishTime: Any
    failReason: Any
    imageUrl: Any
    imageUrls: Any
    videoUrl: Any
    videoUrls: Any


_open = msgspec.json.Decoder(_Envelope).decode
_begin = msgspec.json.Decoder(_Entry).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a list says about the ids that were asked for; one that it leaves out is nowhere in it."""

    seen: Mapping[str, Seen]
    unchanged: AbstractSet[str] = frozenset()
    """Ids whose entry is what it was when its digest was taken."""
    digests: Mapping[str, int] = field(default_factory=dict)
    """By which to know the same entry again, for those seen whose return would be no news."""


def listed(reply: Reply, asked: Sequence[str], known: Mapping[int, str]) -> Listed | Miss:
    """The entries in the answer to a list call; `known` has task ids by the digest of an earlier entry."""
    found = _sifted(reply, frozenset(asked), known)
    if found is not None:
        return found
    entries = tasks_in(reply)
    return entries if isinstance(entries, Miss) else Listed(seen=seen_in(entries, asked))


def is_calm(seen: Seen) -> bool:
    """Whether the same answer once more would be no news at all, and need not be counted either."""
    return isinstance(seen, Snapshot) and not seen.implies_failure and not (seen.status and seen.status.is_end)


def _sifted(reply: Reply, wanted: AbstractSet[str], known: Mapping[int, str]) -> Listed | None:
    """None where the list must be read whole: it is no plain list, or an id comes twice."""
    unchanged: set[str] = set()
    seen: dict[str, Seen] = {}
    digests: dict[str, int] = {}
    try:
        for raw in _entries(reply):
            text = bytes(raw)
            digest = digest_of(text)
            entry = None
            task_id = known.get(digest)
            if task_id is None:
                entry = _begin(text)
                task_id = identity(entry)
            if task_id is None or task_id not in wanted:
                continue
            if task_id in unchanged or task_id in seen:
                return None
            if entry is None:
                unchanged.add(task_id)
                continue
            one = seen[task_id] = told_by(task_id, entry, Unread(_kept, text, entry))
            if is_calm(one):
                digests[task_id] = digest
    except _STRICTER:
        return None
    return Listed(seen=seen, unchanged=unchanged, digests=digests)


def _entries(reply: Reply) -> list[msgspec.Raw]:
    """Raises one of _STRICTER for anything but a list, or a list in the envelope of a success."""
    if not is_whole(reply):
        raise ValueError("not a whole answer")
    if reply.body[:1] != b"{":
        return _split(reply.body)
    envelope = _open(reply.body)
    if not is_success({"code": envelope.code, "success": envelope.success}):
        raise ValueError("not a success")
    return _split(envelope.data)


def _kept(text: bytes, entry: Found) -> Found:
    found = ordinary(text)
    return clean(_whole(text, entry)) if found is None else found


def _whole(text: bytes, entry: Found) -> Found:
    """All of an object; where only the patient decoder could tell that it is broken, what was read of it."""
    value = parse(text, "").value
    return value if isinstance(value, dict) else {**entry, "prompt": None} if "prompt" in entry else entry
