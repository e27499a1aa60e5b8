"""How commands name a task on their line, and the statuses and times that they filter by."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])


def names_a_task(function: Function) -> Function:
    """The TASK argument, and --upstream for an id that several upstreams have."""
    return click.argument("task", metavar="TASK")(
        names_an_upstream("The upstream, where several know the id.")(function)
    )


def names_an_upstream(said: str) -> Callable[[Function], Function]:
    """The option --upstream, with what it means there."""
    return click.option("--upstream", metavar="NAME", type=Upstream(), help=said)


class Upstream(click.ParamType[str]):
    """The name of an upstream; whether there is one, the command finds out."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401, ARG002
        """Take it as it is."""
        return str(value)

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Those that the configuration names; none where it cannot be read, or where a daemon elsewhere has its own."""
        from tracker.cli.opening import configured_upstreams

        return [CompletionItem(name) for name in configured_upstreams(ctx) if name.startswith(incomplete)]


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


class Duration(click.ParamType[timedelta]):
    """A span of time like `90s` or `2h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401
        """Read it."""
        from tracker.config.durations import EXAMPLES, parse_duration

        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError:
            self.fail(f"{value!r} is no duration like {EXAMPLES}", param, ctx)


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

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The word that is begun, after those that are there."""
        return begun(self._known, incomplete)


def completed(*known: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What completes an option that takes some of these words, separated by commas."""
    return lambda _ctx, _param, incomplete: begun(known, incomplete)


def begun(known: Sequence[str], incomplete: str) -> list[CompletionItem]:
    """The words that the last one may become, each after those that stand before it."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [CompletionItem(before + comma + word) for word in known if word.startswith(last) and word not in taken]
