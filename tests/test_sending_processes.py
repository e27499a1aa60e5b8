"""Attempts that another process makes: the same outcomes, and what happens when that process does not live."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from clocks import until
from daemons import environment_of, runs, sending_processes_of
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook
from test_sender import BODY, SECRET, answer, delivery, receiving

from tracker.model import Outcome, Phase
from tracker.webhooks.processes import Equipment, SendingProcesses, parent
from tracker.webhooks.processes.wire import Frames, framed

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def sending(
    count: int = 1, longest: float = 30, networks: tuple[str, ...] = ("127.0.0.0/8",)
) -> AsyncIterator[SendingProcesses]:
    equipment = Equipment(
        version="1.2.3",
        timeout=timedelta(seconds=longest),
        max_connections=8,
        max_per_endpoint=4,
        allow_networks=networks,
        require_https=False,
        log_format="json",
        log_level="error",
        journal=False,
    )
    processes = SendingProcesses(count, equipment)
    await processes.start()
    try:
        yield processes
    finally:
        await processes.stop()


async def send(processes: SendingProcesses, url: str) -> Outcome:
    return await processes.send(delivery(url), [SECRET])


def children() -> list[int]:
    return sending_processes_of(os.getpid())


class TestAnAttempt:
    async def test_reaches_the_receiver_as_it_would_from_here(self) -> None:
        async with receiving(answer(204)) as receiver, sending() as processes:
            outcome = await send(processes, receiver.url)
        headers, body = receiver.requests[0]
        assert (outcome.delivered, outcome.status_code, outcome.spent) == (True, 204, True)
        assert outcome.duration > timedelta(0)
        assert body.decode() == BODY
        assert headers["user-agent"] == "tracker/1.2.3"
        Webhook(SECRET).verify(body, headers)

    async def test_that_fails_tells_how(self) -> None:
        async with receiving(answer(503, "Retry-After: 7\r\n", b"busy")) as receiver, sending() as processes:
            outcome = await send(processes, receiver.url)
        assert (outcome.error, outcome.response, outcome.retry_after) == ("status", "busy", timedelta(seconds=7))
        async with sending() as processes:
            refused = await send(processes, receiver.url)
        assert (refused.phase, refused.error, refused.spent) == (Phase.CONNECT, "refused", True)

    async def test_is_guarded_there(self) -> None:
        async with receiving(answer(204)) as receiver, sending(networks=()) as processes:
            outcome = await send(processes, receiver.url)
        assert (outcome.error, receiver.connections) == ("blocked", 0)

    async def test_among_many_gets_its_own_outcome(self) -> None:
        codes = [200 + number for number in range(20)]
        async with receiving(*(answer(code) for code in codes)) as receiver, sending(count=3) as processes:
            outcomes = await asyncio.gather(*(send(processes, receiver.url) for _ in codes))
        assert sorted(outcome.status_code or 0 for outcome in outcomes) == codes


class TestAProcess:
    async def test_that_is_killed_costs_the_receiver_nothing_and_is_replaced(self) -> None:
        async with receiving(b"", answer(204), stays=True) as receiver, sending() as processes:
            attempt = asyncio.create_task(send(processes, receiver.url))
            await until(lambda: len(receiver.requests) == 1, within=30)
            (first,) = children()
            os.kill(first, signal.SIGKILL)
            lost = await attempt
            assert (lost.delivered, lost.error, lost.spent) == (False, "internal", False)
            assert (await send(processes, receiver.url)).delivered
            assert children() != [first]

    async def test_that_is_stuck_is_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parent, "_GRACE", -27)
        monkeypatch.setattr(parent, "_LOOK_EVERY", 0.05)
        async with receiving(answer(204), answer(204)) as receiver, sending() as processes:
            assert (await send(processes, receiver.url)).delivered
            (first,) = children()
            os.kill(first, signal.SIGSTOP)
            assert (await send(processes, receiver.url)).error == "internal"
            await until(lambda: children() not in ([], [first]), within=30)
            assert (await send(processes, receiver.url)).delivered

    async def test_that_cannot_be_started_makes_its_attempts_wait_and_then_fail_as_ours(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        async with sending(longest=0.2) as processes:
            outcome = await send(processes, "http://127.0.0.1:9/hook")
        assert (outcome.error, outcome.spent) == ("internal", False)

    async def test_outlives_the_signals_that_a_service_manager_sends_to_all(self) -> None:
        async with receiving(answer(204), answer(204)) as receiver, sending() as processes:
            await send(processes, receiver.url)
            (first,) = children()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(first, number)
            assert (await send(processes, receiver.url)).delivered
            assert children() == [first]

    async def test_ends_with_its_daemon(self) -> None:
        async with sending(count=2):
            await until(lambda: len(children()) == 2, within=30)
            mine = children()
        assert not any(map(runs, mine))

    async def test_inherits_none_of_the_daemons_secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRACKER_UPSTREAMS__DEFAULT__TOKEN", "upstream-token")
        async with sending():
            await until(lambda: len(children()) == 1, within=30)
            environment = environment_of(children()[0])
        assert b"upstream-token" not in environment


@given(st.lists(st.binary(max_size=40)), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(contents: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(framed(content) for content in contents)
    frames, arrived = Frames(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        arrived += frames.feed(stream[:cut])
        stream = stream[cut:]
    assert arrived == contents
