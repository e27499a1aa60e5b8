"""One run of a command: what the shared options said, wherever on the line they stood."""

from dataclasses import dataclass
from pathlib import Path

import click

from tracker.cli.verbs import KEPT


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
        meta = click.get_current_context().meta
        return cls(**{name: meta[KEPT + name] for name in cls.__slots__ if KEPT + name in meta})

    def must_be_local(self) -> None:
        """Raise a usage error with --url, for what no API offers."""
        if self.url is not None:
            name = click.get_current_context().command_path
            raise click.UsageError(f"{name} works on the database only: leave out --url (and TRACKER_URL)")
