"""How commands name a task on their line, and the statuses and times that they filter by."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def names_a_task(function: Function) -> Function:
    """The TASK argument, and --upstream for an id that several upstreams have."""
    upstream = click.option("--upstream", metavar="NAME", help="The upstream, where several know the id.")
    return click.argument("task", metavar="TASK")(upstream(function))


def has_ended(task: Mapping[str, object]) -> str:
    """What to say of a task that nothing can happen to any more."""
    return f"{task['task_id']!r} has already ended: {task['status']}"


class Moment(click.ParamType[datetime]):
    """A time like `2026-11-22T08:00:00Z` (without a zone: local), or a duration like `2h`: that long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """Read it."""
        from tracker.clock import utc_now
        from tracker.config.durations import parse_duration

        if isinstance(value, datetime):
            return value
        try:
            return utc_now() - parse_duration(value)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a time like 2026-11-22T08:00:00Z nor a duration like 2h", param, ctx)


class Words(click.ParamType[tuple[str, ...]]):
    """Some of the words that there are, separated by commas."""

    name = "words"

    def __init__(self, *known: str) -> None:
        self._known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:  # noqa: ANN401
        """Read them."""
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word.strip() for word in value.split(",")))
        unknown = [word for word in words if word not in self._known]
        if unknown:
            self.fail(f"{unknown[0]!r} is none of {', '.join(self._known)}", param, ctx)
        return words
