"""`tracker completion`: what a shell needs to complete commands."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.verbs import Verb

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Verb)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that completes commands in a shell.

    Packages install it. Otherwise, in bash: eval "$(tracker completion bash)", best in ~/.bashrc; in zsh the same with
    zsh in ~/.zshrc, after compinit; in fish: tracker completion fish > ~/.config/fish/completions/tracker.fish.
    Commands, options and their choices are completed, and the names of configured upstreams.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    Invocation.current().must_be_local()
    root = click.get_current_context().find_root()
    found = get_completion_class(shell)
    if found is not None:
        # Not `source` of bash's own class: that runs a bash to see how old it is.
        script = ShellComplete.source(found(root.command, {}, "tracker", "_TRACKER_COMPLETE"))
        # Words that are separated by commas stay whole, and so does what is told of an option.
        click.echo(script.strip().replace('string split ","', 'string split -m 1 ","'))
