"""`tracker …` commands in any text, read as the command line would read them, and not run."""

import re
import shlex
from contextlib import suppress

import click

from tracker.cli import cli


def commands_in(text: str) -> list[str]:
    """Every command of ours in a piece of shell: after a prompt, a semicolon, in any pipe."""
    parts = re.split(r"&&|;|\|(?=\s)", text)
    found = [re.sub(r"^\s*(?:\$ )?(?:sudo )?(?:-u tracker )?", "", part).strip() for part in parts]
    return [part for part in found if part.startswith("tracker ")]


def check(typed: str) -> None:
    """Raise click's UsageError for what the command line would not understand."""
    words = shlex.split(typed.partition(" > ")[0])
    with suppress(click.exceptions.Exit):  # --help and --version end at once
        _read(cli, words[0], words[1:], None)


def _read(command: click.Command, name: str, words: list[str], parent: click.Context | None) -> None:
    context = command.make_context(name, words, parent=parent)
    if isinstance(command, click.Group):
        inner, found, rest = command.resolve_command(context, _rest(context))
        assert found is not None
        _read(found, str(inner), rest, context)


def _rest(context: click.Context) -> list[str]:
    """The words that a group leaves to its commands."""
    return [*context._protected_args, *context.args]  # noqa: SLF001 - what a group itself does with them
