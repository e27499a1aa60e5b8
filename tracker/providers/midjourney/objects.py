"""One upstream object, and what it says in the tracker's terms."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tracker.model import Snapshot
from tracker.providers.midjourney.cleaning import LONGEST_TEXT, clean, clean_text
from tracker.vocabulary import parse_progress, parse_status, parse_time

LONGEST_WORD = 64
LONGEST_ID = 255
LONGEST_URL = 4096
Found = Mapping[str, object]
"""An upstream's object."""


class Unread(partial[Found]):
    """Makes an object when it is wanted; shows nothing of what from, which is as it was sent, secrets and all."""

    def __repr__(self) -> str:
        """The same for all."""
        return "Unread(...)"


_TASK_FIELDS = ("action", "progress", "submitTime", "prompt", "imageUrl", "failReason")


def is_task(found: Mapping[str, object], asked: str | None = None) -> bool:
    """Whether an object is a task, not an error that happens to have a `status` or an `id`.

    An `id` beside any other field of a task will do, so will a `status` beside two; a bare pair of both
    must carry the id that was asked for, and a word as its status.
    """
    fields = sum(name in found for name in _TASK_FIELDS)
    if "id" in found and fields:
        return True
    status = found.get("status")
    is_word = status is None or isinstance(status, str)
    if "id" in found:
        return "status" in found and is_word and asked in (None, identity(found))
    return "status" in found and is_word and fields > 1


def identity(found: Mapping[str, object]) -> str | None:
    """The id that an object carries, as text; some servers send it as a number."""
    value = found.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def snapshot(asked: str, found: Found, kept: Callable[[], Found] | None = None) -> Snapshot:
    """What the object says about the task that was asked for.

    Of `found` only the fields that are named here are read; where it is but a part, `kept` gives all, cleaned.
    """
    status = parse_status(found.get("status"))
    progress = parse_progress(found.get("progress"))
    fail_reason = _text(found.get("failReason"), LONGEST_TEXT)
    carried = identity(found)
    is_end = status is not None and status.is_end
    return Snapshot(
        task_id=asked,
        status=status,
        upstream_status=_text(found.get("status"), LONGEST_WORD) or "",
        progress=progress,
        action=_text(found.get("action"), LONGEST_WORD),
        submitted_at=parse_time(found.get("submitTime")),
        started_at=parse_time(found.get("startTime")),
        finished_at=parse_time(found.get("finishTime")),
        image_url=next(_addresses(found), None),
        fail_reason=fail_reason,
        reported_id=None if carried in (None, asked.strip()) else _text(carried, LONGEST_ID),
        implies_failure=progress == 100 and fail_reason is not None and not is_end,  # noqa: PLR2004, percent
        kept=kept or Unread(clean, found),
    )


def _text(value: object, longest: int) -> str | None:
    """Bounded text; None for what is empty or no text. Numbers are shown as they are."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return clean_text(value.strip())[:longest].strip() or None


def _addresses(found: Mapping[str, object]) -> Iterator[str]:
    """The addresses of results, the best first: videos and uploads leave `imageUrl` empty."""
    images, videos = found.get("imageUrls"), found.get("videoUrls")
    for value in (found.get("imageUrl"), *_of_each(images), found.get("videoUrl"), *_of_each(videos)):
        if not isinstance(value, str):
            continue
        address = clean_text(value.strip())
        # A cut address leads nowhere, so one that is too long is left out whole.
        if address.lower().startswith(("http://", "https://")) and len(address) <= LONGEST_URL:
            yield address


def _of_each(entries: object) -> Iterator[object]:
    """The addresses in a list of `{url, thumbnail}` or of plain text."""
    if isinstance(entries, list):
        for entry in entries:
            yield entry.get("url") if isinstance(entry, dict) else entry
