"""Proof that nothing acknowledged is lost: a daemon that is killed again and again under load.

`make kill` runs it in full on both databases; a test runs it short. Everything is on loopback and bounded.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from daemons import DaemonProcess
from databases import PostgresDatabases, postgres_server
from starlette.types import Receive, Scope, Send

from tracker.clock import utc_now
from tracker.model import Status
from tracker.simulate import Gateway, Receiver, serve_app
from tracker.simulate.lives import Ending, Life
from tracker.webhooks.signing import new_secret

SETTINGS = {
    "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "sk-simulated",
    "TRACKER_UPSTREAMS__DEFAULT__POLL_INTERVAL": "500ms",
    # Shorter than the five looks take, or what nobody knows would expire when these begin anew after the last kill.
    "TRACKER_UPSTREAMS__DEFAULT__LOST_AFTER": "1s",
    "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
    "TRACKER_CALLBACKS__RETRY_SCHEDULE": "0s," + ",".join(["1s"] * 60),
    "TRACKER_CALLBACKS__TIMEOUT": "5s",
    "TRACKER_CALLBACKS__MAX_IN_FLIGHT_PER_ENDPOINT": "32",
    "TRACKER_LOG__LEVEL": "warning",
}
_ENDINGS = {
    "succeeded": 0.60,
    "failed": 0.15,
    "cancelled": 0.10,
    "lost": 0.05,
    "expired": 0.05,
    "dropped": 0.05,
}
_OF_GATEWAY = {"succeeded": Ending.SUCCESS, "failed": Ending.FAILURE, "cancelled": Ending.CANCEL}
_SPEED = 3.0
"""How much faster tasks live than real ones: 3 to 12 seconds."""
_ANSWERS = (204, 204, 204, 204, 204, 204, 204, 500, 503, 204)
"""What the receiver answers, in turn: every fifth message has to be sent again."""


@dataclass
class Tally:
    """What was promised, what arrived, and every way in which they differ."""

    acknowledged: int = 0
    missing: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    second_ids: list[str] = field(default_factory=list)
    changed_bodies: list[str] = field(default_factory=list)
    forged: int = 0
    repeats: int = 0
    kills: int = 0
    by_status: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return not (self.missing or self.early or self.wrong or self.second_ids or self.changed_bodies or self.forged)

    def __str__(self) -> str:
        counts = ", ".join(f"{status} {count}" for status, count in sorted(self.by_status.items()))
        return (
            f"{self.acknowledged} acknowledged, {self.kills} kills: missing {len(self.missing)}, "
            f"early {len(self.early)}, wrong {len(self.wrong)}, second ids {len(self.second_ids)}, "
            f"changed bodies {len(self.changed_bodies)}, forged {self.forged} "
            f"({self.repeats} repeats of the same id; {counts})"
        )


class FickleReceiver(Receiver):
    """A receiver that fails now and then."""

    answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.answer_next(_ANSWERS[self.answered % len(_ANSWERS)])
        self.answered += 1
        await super().__call__(scope, receive, send)


@dataclass
class KillLoop:
    """One run of the proof."""

    folder: Path
    database_url: str
    tasks: int
    kills: int
    seed: int
    expire_after: float = 20.0
    """Longer than the longest life."""
    settle_within: float = 240.0
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - a simulation
        self._secret = new_secret()
        self._gateway = Gateway(token="sk-simulated", speed=_SPEED)
        self._receiver = FickleReceiver(secrets=lambda: [self._secret], most_remembered=100_000)
        names, weights = list(_ENDINGS), list(_ENDINGS.values())
        self._expected = {
            f"t{number}-{self.seed}": self._dice.choices(names, weights)[0] for number in range(self.tasks)
        }
        self._ends_at: dict[str, datetime] = {}
        self._ids: dict[str, str] = {}

    async def run(self) -> Tally:
        """Register, kill, wait for the rest, compare."""
        async with serve_app(self._gateway) as gateway_url, serve_app(self._receiver) as receiver_url:
            daemon = DaemonProcess(
                self.folder,
                self.database_url,
                {
                    **SETTINGS,
                    "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": f"{gateway_url}/mj",
                    "TRACKER_UPSTREAMS__DEFAULT__EXPIRE_AFTER": f"{int(self.expire_after)}s",
                },
            )
            try:
                daemon.start()
                await daemon.wait_until_ready()
                self._secret = daemon.tell("secret").stdout.strip()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._register_all(daemon, receiver_url))
                    group.create_task(self._kill_again_and_again(daemon))
                await self._wait_for_the_rest()
                code = await asyncio.to_thread(daemon.terminate)
                assert code == 0, f"exit {code} after SIGTERM"
            finally:
                daemon.end()
        self._compare()
        return self.tally

    async def _kill_again_and_again(self, daemon: DaemonProcess) -> None:
        for _ in range(self.kills):
            await asyncio.sleep(self._dice.uniform(0.3, 3.0))
            daemon.kill()
            self.tally.kills += 1
            daemon.start()
            await daemon.wait_until_ready()

    async def _register_all(self, daemon: DaemonProcess, receiver_url: str) -> None:
        waiting = list(self._expected)
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client, asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(self._register_some(client, daemon, receiver_url, waiting))

    async def _register_some(
        self, client: httpx.AsyncClient, daemon: DaemonProcess, receiver_url: str, waiting: list[str]
    ) -> None:
        while waiting:
            task_id = waiting.pop()
            self._begin(task_id)
            document = {
                "task_id": task_id,
                "callback_url": f"{receiver_url}/hook",
                "metadata": {"expected": self._expected[task_id]},
            }
            answer = await self._insist(client, daemon, "POST", "/v1/tasks", document)
            self.tally.acknowledged += 1
            self._ids[task_id] = answer["id"]
            if self._expected[task_id] == "dropped":
                await self._insist(client, daemon, "DELETE", f"/v1/tasks/{answer['id']}", None)
            await asyncio.sleep(self._dice.uniform(0, 16 * self.kills / self.tasks))

    def _begin(self, task_id: str) -> None:
        expected = self._expected[task_id]
        if expected == "lost":
            return
        ending = _OF_GATEWAY.get(expected, Ending.NEVER)
        began_at = utc_now()
        self._gateway.submit(task_id=task_id, ending=ending)
        if ending is not Ending.NEVER:
            life = Life.of(task_id, began_at=began_at, ending=ending)
            self._ends_at[task_id] = began_at + life.finished_after / _SPEED

    async def _insist(
        self, client: httpx.AsyncClient, daemon: DaemonProcess, method: str, path: str, document: object
    ) -> dict[str, str]:
        """Call until it is acknowledged: the daemon may be dead just now."""
        async with asyncio.timeout(120):
            while True:
                try:
                    headers = {"authorization": f"Bearer {daemon.token}"}
                    answer = await client.request(method, f"{daemon.url}{path}", json=document, headers=headers)
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if answer.is_success:
                    found: dict[str, str] = answer.json()
                    return found
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)

    async def _wait_for_the_rest(self) -> None:
        promised = {task_id for task_id, expected in self._expected.items() if expected != "dropped"}

        def has_all(receiver: Receiver) -> bool:
            return len(receiver.messages) >= len(promised) and promised <= self._told(receiver)

        try:
            async with asyncio.timeout(self.settle_within):
                await self._receiver.wait_for(has_all)
        except TimeoutError:
            return
        # A second message for the same end would come now.
        await asyncio.sleep(3)

    def _told(self, receiver: Receiver) -> set[str]:
        return {str(json.loads(arrival.body)["data"]["task_id"]) for arrival in receiver.messages.values()}

    def _compare(self) -> None:
        ids: dict[str, set[str]] = defaultdict(set)
        bodies: dict[str, set[bytes]] = defaultdict(set)
        told: dict[str, Status] = {}
        for arrival in self._receiver.arrivals:
            if arrival.problem is not None:
                self.tally.forged += 1
                continue
            data = arrival.content["data"]
            assert isinstance(data, dict)
            task_id = str(data["task_id"])
            ids[task_id].add(arrival.message_id)
            bodies[arrival.message_id].add(arrival.body)
            self.tally.repeats += arrival.is_repeat
            if 200 <= arrival.answered < 300:
                told.setdefault(task_id, Status(str(data["status"])))
            # The gateway rounds its times to milliseconds.
            if arrival.arrived_at < self._ends_at.get(task_id, arrival.arrived_at) - timedelta(milliseconds=20):
                self.tally.early.append(task_id)
        for task_id, expected in self._expected.items():
            status = told.get(task_id)
            self.tally.by_status[str(status or "untold")] += 1
            if expected == "dropped":
                # It may have ended before the wish to drop it arrived.
                continue
            if status is None:
                self.tally.missing.append(task_id)
            elif status != expected:
                self.tally.wrong.append(f"{task_id}: {status} instead of {expected}")
        self.tally.second_ids = [task_id for task_id, known in ids.items() if len(known) > 1]
        self.tally.changed_bodies = [message for message, known in bodies.items() if len(known) > 1]


def main() -> None:
    """Run in full and print one line for each database."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=2000)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311 - a simulation
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)  # noqa: T201 - a program
    is_clean = True
    with tempfile.TemporaryDirectory(prefix="tracker-kill-") as folder, postgres_server() as server:
        databases = PostgresDatabases(server=server)
        for kind, url in (("sqlite", f"sqlite:///{folder}/sqlite/tracker.db"), ("postgres", databases.empty())):
            home = Path(folder) / kind
            home.mkdir()
            tally = asyncio.run(KillLoop(home, url, chosen.tasks, chosen.kills, chosen.seed).run())
            is_clean = is_clean and tally.is_clean
            print(f"{kind}: {tally}", flush=True)  # noqa: T201 - a program
            for line in (*tally.missing, *tally.wrong, *tally.early, *tally.second_ids)[:20]:
                print(f"  {line}")  # noqa: T201 - a program
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
