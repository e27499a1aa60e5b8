"""Writing what came of an attempt: what the receiver has is known only here, so it is kept until it is written."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from tracker.errors import UnavailableError

log = structlog.get_logger()

T = TypeVar("T")

CLAIM_MARGIN = timedelta(seconds=30)
"""How far beyond an attempt's deadline a claim reaches, for the outcome to be written."""
_AGAIN_AFTER = 1.0
"""Seconds from a write that failed to the next."""


async def written(write: Callable[[], Awaitable[T]], **about: object) -> T:
    """What `write` returns, begun anew for as long as the database is away; `about` is for the log."""
    while True:
        try:
            # A write that has begun is finished even when we are told to stop.
            return await asyncio.shield(write())
        except UnavailableError as error:
            log.warning("outcome_postponed", **about, reason=str(error))
            await asyncio.sleep(_AGAIN_AFTER)
