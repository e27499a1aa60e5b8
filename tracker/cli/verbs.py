"""What all commands share: the options that may stand before or after a command's name."""

from pathlib import Path

import click
from click.core import ParameterSource

KEPT = "tracker.cli."
TYPED = "tracker.cli.typed."
"""The prefix under which the shared options are kept in a context's `meta`."""


def shared_options(*, url_variable: str | None = None) -> list[click.Parameter]:
    """Fresh parameters for the options that every command takes; what stands later on the line wins."""
    return [
        click.Option(
            ["--config"],
            type=click.Path(dir_okay=False, path_type=Path),
            help="The configuration file.",
            expose_value=False,
            callback=_keep,
        ),
        click.Option(["--database-url"], metavar="URL", help="The database.", expose_value=False, callback=_keep),
        click.Option(
            ["--url"],
            metavar="URL",
            envvar=url_variable,
            show_envvar=True,
            help="A daemon's address: go through its API.",
            expose_value=False,
            callback=_keep,
        ),
        click.Option(["--json"], is_flag=True, help="Print JSON.", expose_value=False, callback=_keep),
    ]


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value:
        ctx.meta[KEPT + str(param.name)] = value
        if ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
            ctx.meta[TYPED + str(param.name)] = True


class Verb(click.Command):
    """A command that takes the shared options too, and lists them apart from its own."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        self._own = tuple(self.params)
        self.params += shared_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options first."""
        shared = [param for param in self.params if param not in self._own]
        own = [param for param in self.get_params(ctx) if param not in shared and isinstance(param, click.Option)]
        for title, params in (("Options", own), ("Options of every command", shared)):
            records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
            with formatter.section(title):
                formatter.write_dl(records)


class VerbGroup(click.Group):
    """A group of such commands."""

    command_class = Verb
