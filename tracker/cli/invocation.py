"""One run of a command: what the shared options said, wherever on the line they stood."""

from dataclasses import dataclass
from pathlib import Path

import click

from tracker.cli.verbs import KEPT, TYPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The shared options of the command that click is running."""

    config: Path | None = None
    database_url: str | None = None
    url: str | None = None
    json: bool = False

    @classmethod
    def current(cls) -> "Invocation":
        """The one of now."""
        return cls.of(click.get_current_context())

    @classmethod
    def of(cls, context: click.Context) -> "Invocation":
        """The one of this context."""
        meta = context.meta
        return cls(**{name: meta[KEPT + name] for name in cls.__slots__ if KEPT + name in meta})

    def must_be_local(self) -> None:
        """Raise a usage error with --url, for what no API offers: the database, the settings, the daemon itself.

        TRACKER_URL says where the other commands go; here it means nothing.
        """
        context = click.get_current_context()
        if TYPED + "url" in context.meta:
            said = f"{context.command_path} works on this machine only: leave out --url"
            raise click.UsageError(f"{said}, and name its database with TRACKER_DATABASE_URL")
