"""What a list of upstream objects says about the ids that were asked for."""

from collections.abc import Callable, Iterable, Sequence

from tracker.model import Miss, MissKind, Seen, Snapshot
from tracker.providers.midjourney.objects import Found, identity, is_task, snapshot


def seen_in(entries: Iterable[object], asked: Sequence[str]) -> dict[str, Seen]:
    """What the list has of the ids asked for, in whatever order and number; an id that it leaves out has no entry.

    Of several entries for one id the first that is an end counts, else
    the last. Entries for other ids, and entries that are no objects, are passed over.
    """
    wanted = frozenset(asked)
    seen: dict[str, Seen] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        task_id = identity(entry)
        if task_id in wanted and not _is_end(seen.get(task_id)):
            before = seen.get(task_id)
            one = told_by(task_id, entry)
            seen[task_id] = before if isinstance(one, Miss) and isinstance(before, Snapshot) else one
    return seen


def told_by(task_id: str, entry: Found, kept: Callable[[], Found] | None = None) -> Seen:
    """What one entry says about the id that it carries; `kept` gives its object, where `entry` is but a part."""
    if is_task(entry, task_id):
        return snapshot(task_id, entry, kept)
    return Miss(kind=MissKind.UNUSABLE, detail="the upstream lists this id with something that is no task")


def _is_end(seen: Seen | None) -> bool:
    return isinstance(seen, Snapshot) and seen.status is not None and seen.status.is_end
