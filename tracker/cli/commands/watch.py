"""`tracker watch`: follow tasks."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import click

from tracker.cli.invocation import Invocation
from tracker.cli.naming import Duration, names_an_upstream
from tracker.cli.output import columns, documented, has_terminal, print_json_line, print_line, print_note
from tracker.cli.protocol import Document, Tracker, resolve
from tracker.cli.verbs import Verb
from tracker.errors import UnavailableError

COLUMNS = columns(
    "seen_at",
    "id",
    "task_id",
    "status",
    "progress",
    "upstream_status",
    "fail_reason",
    "image_url",
    "upstream",
)
TIMED_OUT = 124
"""What timeout(1) ends with: the answer is neither yes nor no."""
_EVERY = timedelta(milliseconds=500)
_MOST_IN_A_PIPE = 500


@click.command("watch", cls=Verb, epilog=documented(COLUMNS))
@click.argument("task", metavar="[TASK]...", nargs=-1)
@names_an_upstream("The upstream, where several know the id; without TASK: only this one's.")
@click.option("--timeout", metavar="DURATION", type=Duration(), help="End after this long, like 90s or 10m.")
def command(task: tuple[str, ...], upstream: str | None, timeout: timedelta | None) -> None:
    """Follow tasks until they end.

    TASK is tracker's tsk_… or the upstream's id; without any, the newest live tasks are followed, until somebody
    interrupts. A pipe gets one line for each task as it is and one for each change, --json one JSON document on each
    line.

    So a script can wait: the exit code is 0 when every TASK has succeeded, 1 when all have ended and one otherwise, and
    124 when --timeout was over before. A daemon that restarts meanwhile is waited for.
    """
    from tracker.cli.opening import open_tracker

    invocation = Invocation.current()
    with open_tracker(invocation) as tracker:
        last = _follow(tracker, task, upstream, timeout, as_json=invocation.json)
        outcome = _outcome(last, tracker) if task else 0
    click.get_current_context().exit(outcome)


def _follow(
    tracker: Tracker, chosen: Sequence[str], upstream: str | None, timeout: timedelta | None, *, as_json: bool
) -> Sequence[Document]:
    """Show each look until the end; returns the tasks as they were last."""
    from tracker.cli.watching import Chosen, Deadline, Live, Patient, Watched, follow, warned

    is_drawn = has_terminal() and not as_json
    watched: Watched
    if chosen:
        watched = Chosen(tracker, [resolve(tracker, name, upstream) for name in chosen])
    else:
        watched = Live(tracker, upstream, _screen if is_drawn else _pipe)
    looks = warned(follow(Patient(watched), Deadline(timeout, _EVERY)), watched, tracker.idleness, print_note)
    if is_drawn:
        from tracker.cli.live import draw

        return draw(looks)
    return _print(looks, print_json_line if as_json else _print_change)


def _screen() -> int:
    from tracker.cli.live import room

    return room()


def _pipe() -> int:
    return _MOST_IN_A_PIPE


def _print(looks: Iterator[list[Document]], show: Callable[[Document], None]) -> Sequence[Document]:
    from tracker.cli.watching import News

    news = News()
    last: list[Document] = []
    for last in looks:
        for change in news.of(last):
            show(change)
    return last


def _print_change(change: Document) -> None:
    from tracker.clock import utc_now
    from tracker.moments import rfc3339

    row = {**change, "seen_at": rfc3339(utc_now())}
    print_line(*(row[column.name] for column in COLUMNS))


def _outcome(last: Sequence[Document], tracker: Tracker) -> int:
    left = sum(task["ended_at"] is None for task in last)
    if left:
        print_note(f"the time is up, and {left} of {len(last)} had not ended{_why(last, tracker)}")
        return TIMED_OUT
    return 0 if all(task["status"] == "succeeded" for task in last) else 1


def _why(last: Sequence[Document], tracker: Tracker) -> str:
    """What is known to be in the way, each thing once."""
    from tracker.cli.reasons import standstill
    from tracker.cli.terminal import spoken
    from tracker.clock import utc_now

    now = utc_now()
    try:
        upstreams = tracker.upstreams()
    except UnavailableError:
        return ""
    said = dict.fromkeys(why for task in last if (why := standstill(task, upstreams, now)) is not None)
    return f": {spoken('; '.join(said), now)}" if said else ""
