"""`tracker demo`: all of it at once, on this machine."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import has_terminal, print_json
from tracker.cli.verbs import Verb


@click.command("demo", cls=Verb)
@click.option("--tasks", type=click.IntRange(1, 500), default=40, show_default=True, help="How many.")
@click.option("--speed", type=click.FloatRange(0.1, 20), default=2.0, show_default=True, help="How fast tasks live.")
@click.option("--keep", is_flag=True, help="Leave all of it running until Ctrl-C.")
def command(tasks: int, speed: float, *, keep: bool) -> None:
    """Run everything at once on this machine, and prove that it works.

    A simulated gateway, the real daemon on a fresh SQLite file, and a receiver that verifies signatures and refuses
    the first few messages. Nothing outside this machine is called, and nothing is left behind. The exit code is 0
    only if all tasks ended and every end was delivered and verified.
    """
    import asyncio

    from tracker.cli.demo import screen, words
    from tracker.cli.demo.play import Outcome, perform
    from tracker.cli.demo.stage import Stage

    as_json = Invocation.current().json
    shown = screen.Screen() if as_json else screen.Bars() if has_terminal() else screen.Lines()

    def greet(stage: Stage) -> None:
        if not as_json:
            click.echo(words.greeting(stage))

    def conclude(outcome: Outcome) -> None:
        if as_json:
            print_json(words.document(outcome))
        else:
            click.echo(words.conclusion(outcome))

    def linger(stage: Stage, outcome: Outcome) -> None:
        conclude(outcome)
        if not as_json:
            click.echo(words.invitation(stage))

    play = perform(count=tasks, speed=speed, screen=shown, greet=greet, linger=linger if keep else None)
    outcome = asyncio.run(play)
    if not keep:
        conclude(outcome)
    click.get_current_context().exit(1 if outcome.problems else 0)
