"""The `tracker` command itself: what commands there are, and what becomes of errors."""

import importlib
import os
import sys
from collections.abc import Mapping

import click
from click.shell_completion import CompletionItem

import tracker
from tracker.cli.verbs import VerbGroup, shared_options
from tracker.errors import TrackerError, UnavailableError

INTERRUPTED = 130
STANDARD_ERROR = 2
_MOST_TOLD = 10
_COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Tasks": {
        "add": "Watch a task, and tell a URL when it ends.",
        "list": "List tasks, newest first.",
        "show": "Show a task: who is told of it or why not yet, and all that happened.",
        "history": "List everything that happened to a task.",
        "watch": "Follow tasks until they end.",
        "refresh": "Look at a task now.",
        "drop": "Stop watching a task; its history stays.",
    },
    "Telling": {
        "deliveries": "List messages, and what came of sending them.",
        "ping": "Send a signed test to a URL now, and tell what happened.",
        "redeliver": "Send messages again that were delivered or given up.",
        "endpoints": "List the receivers of messages, or open or close one.",
        "secret": "Print the secret that signs an owner's messages.",
    },
    "The daemon": {
        "serve": "Run the daemon.",
        "open": "Print a link that signs you in to the pages.",
        "upstreams": "Show how the upstreams are doing.",
        "token": "Make, list and revoke tokens of the API.",
        "db": "Migrate the database, tell how far it is, or copy it.",
        "config": "Show or check the configuration, or print a sample file.",
        "doctor": "Say what is wrong on this machine, and what to type.",
        "completion": "Print the script that completes commands in a shell.",
    },
    "Trying it out": {
        "demo": "Run everything at once on this machine, and prove that it works.",
        "listen": "Receive messages on this machine, verify each, and show it.",
        "simulate": "Serve a gateway whose tasks live and end by themselves.",
    },
}


class _Root(VerbGroup):
    """Knows its commands by name and line; a module is imported when its command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of all commands."""
        return [name for commands in _COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        found = importlib.import_module(f"tracker.cli.commands.{cmd_name}").command
        return found if isinstance(found, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; the one of almost this name is told where there is none."""
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing any."""
        for title, commands in _COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin like this, without importing any; or options."""
        told = {name: line for commands in _COMMANDS.values() for name, line in commands.items()}
        found = [CompletionItem(name, help=line) for name, line in told.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what a person can do something about becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except TrackerError as error:
            for line in _told(error):
                _complain(line)
            ctx.exit(error.exit_code)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and _has_no_reader():
                ctx.exit(0)  # whoever reads has seen enough, and that is no answer
            if error.filename is None:
                raise
            _complain(f"{error.filename}: {error.strerror}")
            ctx.exit(UnavailableError.exit_code)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _has_no_reader() -> bool:
    """Whether it is what we print that nobody reads; if so the rest is thrown away without a word."""
    import select

    out = sys.stdout.fileno()
    asked = select.poll()
    asked.register(out, 0)
    if not asked.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), out)
    return True


def _complain(line: str) -> None:
    """Say what went wrong; as an error, where the journal listens."""
    from tracker.systemd import PRIORITIES, journal_listens

    mark = f"<{PRIORITIES['error']}>" if journal_listens(os.environ, STANDARD_ERROR) else ""
    click.echo(f"{mark}tracker: {line}", err=True)


def _told(error: TrackerError) -> list[str]:
    """A line for each thing that is wrong; of very many the first."""
    from tracker.cli.protocol import BadEntriesError

    errors = error.errors if isinstance(error, BadEntriesError) else (error,)
    lines = [" ".join(str(one).split()) for one in errors[:_MOST_TOLD]]
    return lines + ([f"and {len(errors) - _MOST_TOLD} more"] if len(errors) > _MOST_TOLD else [])


@click.group(
    cls=_Root,
    params=shared_options(url_variable="TRACKER_URL"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(tracker.__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Turn the fetch-by-id calls of AI image and video gateways into signed webhooks.

    Commands work on the database that the configuration names, also while no daemon runs; with --url they go through
    a daemon's API, with the token in TRACKER_TOKEN.

    A terminal gets tables, a pipe gets tab-separated lines without a header, --json prints JSON.

    Exit codes: 0 done, 1 the answer is no, 2 bad usage, 3 not found, 69 the database or the daemon is out of reach,
    78 bad configuration, 124 not ended in time (`tracker watch --timeout`), 130 interrupted.
    """
