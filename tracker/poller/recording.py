"""Writing what a look brought: all of it at once, or one by one where something cannot be written."""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from tracker.errors import UnavailableError
from tracker.store.changes import Decide, Recorded

log = structlog.get_logger()

Write = Callable[[Mapping[int, Decide]], Awaitable[dict[int, Recorded]]]


async def write_all(decisions: Mapping[int, Decide], write: Write) -> tuple[dict[int, Recorded], set[int]]:
    """What was recorded, by task key, and the keys of those that cannot be: a bad row must not stop the good ones."""
    try:
        return await write(decisions) if decisions else {}, set()
    except UnavailableError:
        raise
    except Exception:
        if len(decisions) == 1:
            log.exception("record_failed", task=next(iter(decisions)))
            return {}, set(decisions)
    recorded: dict[int, Recorded] = {}
    bad: set[int] = set()
    for key, decide in decisions.items():
        one, failed = await write_all({key: decide}, write)
        recorded |= one
        bad |= failed
    return recorded, bad
