"""The play: jobs are submitted and registered, their tasks live and end, every message is verified."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tracker.cli.demo.score import Score
from tracker.cli.demo.screen import Screen
from tracker.cli.demo.stage import Stage, set_stage
from tracker.cli.protocol import Entry, Selection
from tracker.simulate import Ending

_WAVES = 8
_TICK_SECONDS = 0.4
_LONGEST_LIFE_SECONDS = 34.0
"""Of a simulated task at speed 1."""
_SLACK_SECONDS = 25.0
_REFUSALS = (500, 503, 500)
"""What the receiver answers first, so that retries are seen."""
_PROMPTS = (
    "a pig",
    "a lighthouse at dusk",
    "paper cranes over Kyoto",
    "猫在月球上",
    "a city of glass",
    "one red chair",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a demo went."""

    score: Score
    seconds: float
    problems: list[str]


async def perform(
    *,
    count: int,
    speed: float,
    screen: Screen,
    greet: Callable[[Stage], None],
    linger: Callable[[Stage, Outcome], None] | None,
) -> Outcome:
    """Set the stage, play, and clear it away; with `linger`, that is told first and Ctrl-C is waited for."""
    _treat_as_interrupt(signal.SIGTERM, signal.SIGHUP)
    async with set_stage(speed=speed) as stage:
        greet(stage)
        started = time.monotonic()
        score = await _play(stage, screen, count=count, patience=_LONGEST_LIFE_SECONDS / speed + _SLACK_SECONDS)
        outcome = Outcome(score=score, seconds=time.monotonic() - started, problems=score.missing())
        if linger is not None:
            linger(stage, outcome)
            await _interrupted()
    if stage.daemon.exit_code != 0:
        outcome.problems.append(f"the daemon ended with exit code {stage.daemon.exit_code}")
    return outcome


def _treat_as_interrupt(*numbers: signal.Signals) -> None:
    """However we are told to stop, the stage is cleared away first."""
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, signal.raise_signal, signal.SIGINT)


async def _interrupted() -> None:
    """Return at Ctrl-C, which is no failure here."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _play(stage: Stage, screen: Screen, *, count: int, patience: float) -> Score:
    """Submit in waves and look on until all is told, or until it has taken too long."""
    stage.receiver.answer_next(*_REFUSALS)
    started = time.monotonic()
    submitted = 0
    with screen:
        while True:
            if submitted < count:
                wave = min(-(-count // _WAVES), count - submitted)
                await _submit(stage, range(submitted, submitted + wave))
                submitted += wave
            score = await _look(stage, submitted)
            screen.show(score, time.monotonic() - started)
            if (submitted == count and score.is_complete) or time.monotonic() - started > patience:
                return score
            await asyncio.sleep(_TICK_SECONDS)


async def _submit(stage: Stage, numbers: range) -> None:
    """Begin jobs at the gateway, and register them with a callback to the receiver."""
    ids = [stage.gateway.submit(_PROMPTS[number % len(_PROMPTS)], ending=_ending(number)) for number in numbers]
    documents = [
        {"task_id": task_id, "callback_url": f"{stage.receiver_url}/done", "metadata": {"order": number}}
        for number, task_id in zip(numbers, ids, strict=True)
    ]
    await asyncio.to_thread(stage.tracker.register, [Entry(document=document) for document in documents])


def _ending(number: int) -> Ending:
    """One in eight fails and one in thirteen is cancelled, so that every demo has some of each."""
    if number % 8 == 3:  # noqa: PLR2004 - any but the first
        return Ending.FAILURE
    return Ending.CANCEL if number % 13 == 12 else Ending.SUCCESS  # noqa: PLR2004


async def _look(stage: Stage, submitted: int) -> Score:
    """What the API tells and the receiver knows just now."""
    # One more than there should be, so that too many would be seen as well.
    tasks = await asyncio.to_thread(stage.tracker.tasks, Selection(limit=submitted + 1))
    deliveries = await asyncio.to_thread(stage.tracker.deliveries, status=None, limit=2 * submitted)
    arrivals = list(stage.receiver.arrivals)
    return Score(
        submitted=submitted,
        tasks=tasks,
        deliveries=deliveries,
        verified=dict(_told(arrival.content) for arrival in stage.receiver.messages.values()),
        forged=sum(arrival.problem is not None for arrival in arrivals),
        refused=sum(arrival.problem is None and arrival.answered in _REFUSALS for arrival in arrivals),
    )


def _told(content: dict[str, object]) -> tuple[str, str]:
    data = content.get("data")
    return str(data.get("id") if isinstance(data, dict) else ""), str(content.get("type"))
