"""Proof that several daemons on one Postgres are one tracker: one is killed, one is frozen and woken, nothing is lost.

`make several` runs it in full; a test runs it short. Everything is on loopback and bounded.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from daemons import DaemonProcess
from databases import PostgresDatabases, postgres_server

from tracker.model import Status
from tracker.simulate import Gateway, Receiver, serve_app
from tracker.simulate.lives import Ending
from tracker.webhooks.signing import new_secret

SETTINGS = {
    "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "sk-simulated",
    "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
    "TRACKER_CALLBACKS__RETRY_SCHEDULE": "0s," + ",".join(["2s"] * 60),
    "TRACKER_CALLBACKS__TIMEOUT": "10s",
    "TRACKER_CALLBACKS__MAX_IN_FLIGHT_PER_ENDPOINT": "32",
    "TRACKER_LOG__LEVEL": "warning",
}
TAKEOVER_WITHIN = 20.0
_STATUS = {Ending.SUCCESS: Status.SUCCEEDED, Ending.FAILURE: Status.FAILED, Ending.CANCEL: Status.CANCELLED}
_ENDINGS = (Ending.SUCCESS, Ending.SUCCESS, Ending.SUCCESS, Ending.FAILURE, Ending.CANCEL)
_BATCH = 500

_LOG = """
CREATE TABLE written (at timestamptz NOT NULL, changed text NOT NULL, by text NOT NULL);
CREATE FUNCTION note_writing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT 1 FROM touched) THEN
    INSERT INTO written VALUES (clock_timestamp(), TG_TABLE_NAME, current_setting('application_name'));
  END IF;
  RETURN NULL; END $$;
"""
"""Which process wrote to which table: a line for each statement that touched a row, gone with it where it is undone."""
_LOGGED = ("task", "event", "delivery", "attempt", "snapshot", "upstream", "endpoint", "callback", "registration")


@dataclass
class Tally:
    """What was promised, what came of it, and how long it took."""

    tasks: int
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    second_ids: list[str] = field(default_factory=list)
    zombie_writes: list[str] = field(default_factory=list)
    takeovers: dict[str, float] = field(default_factory=dict)
    shares: dict[str, list[int]] = field(default_factory=dict)
    repeats: int = 0
    polls: int = 0

    @property
    def is_clean(self) -> bool:
        in_time = all(seconds <= TAKEOVER_WITHIN for seconds in self.takeovers.values())
        return in_time and not (self.missing or self.wrong or self.second_ids or self.zombie_writes)

    def __str__(self) -> str:
        taken = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in self.takeovers.items())
        shares = "; ".join(f"{when} {counts}" for when, counts in self.shares.items())
        return (
            f"{self.tasks} tasks: missing {len(self.missing)}, wrong {len(self.wrong)}, second ids "
            f"{len(self.second_ids)}, repeats of the same id {self.repeats}, written by the zombie "
            f"{len(self.zombie_writes)}; takeover: {taken or 'none'}; shares: {shares or 'none'}; polls {self.polls}"
        )


class CountingGateway(Gateway):
    """Counts how often it was asked about a task."""

    polls = 0

    def body(self, task_id: str, images: str = "") -> dict[str, object] | None:
        self.polls += 1
        return super().body(task_id, images)


@dataclass
class SeveralDaemons:
    """One run of the proof."""

    folder: Path
    database_url: str
    tasks: int
    interval: float
    speed: float
    """Of the tasks' lives; at 1 they take 7 to 34 seconds."""
    frozen_for: float
    is_short: bool = False
    """One is killed and one is frozen at the same moment, instead of one after the other."""
    loses_none: bool = False
    """None is killed or frozen."""
    settle_within: float = 600.0
    direct_url: str | None = None
    """Past a pooler, where there is one."""

    def __post_init__(self) -> None:
        self.tally = Tally(tasks=self.tasks)
        self._secret = new_secret()
        self._gateway = CountingGateway(token="sk-simulated", speed=self.speed)
        self._receiver = Receiver(secrets=lambda: [self._secret], most_remembered=200_000)
        self._expected = {f"t{number}": _ENDINGS[number % len(_ENDINGS)] for number in range(self.tasks)}

    async def run(self, daemons: int) -> Tally:
        """Register, kill and freeze where there are several, wait for the rest, compare."""
        with (
            psycopg.connect(self.direct_url or self.database_url, autocommit=True) as self._sql,
            ExitStack() as closing,
        ):
            async with serve_app(self._gateway) as gateway_url, serve_app(self._receiver) as receiver_url:
                crew = [self._daemon(number, gateway_url) for number in range(daemons)]
                for daemon in crew:
                    closing.callback(daemon.end)
                await self._live(crew, receiver_url)
            self._compare()
        return self.tally

    def _daemon(self, number: int, gateway_url: str) -> DaemonProcess:
        home = self.folder / f"daemon-{number}"
        home.mkdir(parents=True)
        upstream = {
            "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": f"{gateway_url}/mj",
            "TRACKER_UPSTREAMS__DEFAULT__POLL_INTERVAL": f"{int(self.interval * 1000)}ms",
        }
        return DaemonProcess(home, self.database_url, {**SETTINGS, **upstream})

    async def _live(self, crew: list[DaemonProcess], receiver_url: str) -> None:
        first, *others = crew
        first.start()
        await first.wait_until_ready()
        self._secret = first.tell("secret").stdout.strip()
        self._keep_a_log()
        late = others.pop() if others and not (self.is_short or self.loses_none) else None
        for daemon in others:
            daemon.start()
        for daemon in others:
            await daemon.wait_until_ready()
        await self._register_all(first, receiver_url)
        await self._until(self._all_are_watched, 60)
        self.tally.shares["at first"] = self._shares()
        if late is not None:
            late.start()
            await late.wait_until_ready()
            await self._until(lambda: self._is_even(len(crew)), 120)
            self.tally.shares["when another joined"] = self._shares()
        if len(crew) > 1 and not self.loses_none:
            await self._kill_and_freeze(crew[0], crew[1])
        await self._wait_for_the_rest()
        for daemon in crew:
            if daemon.process is not None and daemon.process.poll() is None:
                code = await asyncio.to_thread(daemon.terminate)
                assert code == 0, f"exit {code} after SIGTERM"

    async def _kill_and_freeze(self, victim: DaemonProcess, zombie: DaemonProcess) -> None:
        killed, frozen = self._names(victim), self._names(zombie)
        victim.kill()
        killed_at = time.monotonic()
        if not self.is_short:
            await self._taken_over("killed", killed, killed_at)
        assert zombie.process is not None
        zombie.process.send_signal(signal.SIGSTOP)
        # A thread that has no processor just now has yet to hear of it, and the others go on until then.
        await self._until(lambda: zombie.is_frozen, 5)
        frozen_at = time.monotonic()
        (stopped,) = self._row("SELECT clock_timestamp()")
        try:
            if self.is_short:
                await self._taken_over("killed", killed, killed_at)
            await self._taken_over("frozen", frozen, frozen_at)
            await asyncio.sleep(max(self.frozen_for - (time.monotonic() - frozen_at), 0))
        finally:
            zombie.process.send_signal(signal.SIGCONT)
        await self._until(lambda: bool(self._names(zombie, but=frozen)), 30)
        (again,) = self._row(
            "SELECT min(started_at) FROM daemon WHERE pid = %s AND started_at > %s", zombie.process.pid, stopped
        )
        self.tally.zombie_writes = [
            f"{changed} at {at}"
            for at, changed in self._rows(
                "SELECT at, changed FROM written WHERE by = %s AND at BETWEEN %s AND %s",
                f"tracker {zombie.process.pid}",
                stopped,
                again,
            )
        ]

    async def _taken_over(self, how: str, names: set[str], since: float) -> None:
        await self._until(lambda: not self._watched_by(names), 60)
        self.tally.takeovers[how] = time.monotonic() - since

    def _keep_a_log(self) -> None:
        self._sql.execute(_LOG)
        for table in _LOGGED:
            for kind, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                self._sql.execute(
                    f"CREATE TRIGGER log_{kind} AFTER {kind} ON {table} REFERENCING {rows} TABLE AS touched "
                    "FOR EACH STATEMENT EXECUTE FUNCTION note_writing()"
                )

    async def _register_all(self, daemon: DaemonProcess, receiver_url: str) -> None:
        names = list(self._expected)
        headers = {"authorization": f"Bearer {daemon.token}"}
        async with httpx.AsyncClient(trust_env=False, timeout=30, headers=headers) as client:
            for start in range(0, len(names), _BATCH):
                some = names[start : start + _BATCH]
                for task_id in some:
                    self._gateway.submit(task_id=task_id, ending=self._expected[task_id])
                wanted = [{"task_id": task_id, "callback_url": f"{receiver_url}/hook"} for task_id in some]
                answer = await client.post(f"{daemon.url}/v1/tasks/batch", json={"tasks": wanted})
                assert answer.is_success, answer.text

    async def _wait_for_the_rest(self) -> None:
        try:
            async with asyncio.timeout(self.settle_within):
                await self._receiver.wait_for(lambda receiver: len(receiver.messages) >= self.tasks)
        except TimeoutError:
            return
        # A second message for the same end would come now.
        await asyncio.sleep(2)

    async def _until(self, is_so: Callable[[], bool], within: float) -> None:
        try:
            async with asyncio.timeout(within):
                while not is_so():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            print(f"not so within {within:.0f} s; shares {self._shares()}", flush=True)  # noqa: T201 - a program

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._sql.execute(query, values).fetchall()

    def _row(self, query: str, *values: object) -> tuple[Any, ...]:
        return self._rows(query, *values)[0]

    def _names(self, daemon: DaemonProcess, but: set[str] | frozenset[str] = frozenset()) -> set[str]:
        """Under which names a process is in the table and alive."""
        assert daemon.process is not None
        found = self._rows("SELECT id FROM daemon WHERE pid = %s AND NOT is_gone", daemon.process.pid)
        return {name for (name,) in found} - but

    def _watched_by(self, names: set[str]) -> int:
        query = "SELECT count(*) FROM task WHERE watcher = ANY(%s) AND ended_at IS NULL"
        return int(self._row(query, list(names))[0])

    def _all_are_watched(self) -> bool:
        return not self._row("SELECT count(*) FROM task WHERE watcher IS NULL AND ended_at IS NULL")[0]

    def _shares(self) -> list[int]:
        query = """SELECT count(task.key) FROM daemon LEFT JOIN task ON watcher = daemon.id AND ended_at IS NULL
                   WHERE NOT is_gone GROUP BY daemon.id ORDER BY 1"""
        return [int(number) for (number,) in self._rows(query)]

    def _is_even(self, daemons: int) -> bool:
        shares = self._shares()
        return len(shares) == daemons and max(shares) <= 1.15 * sum(shares) / daemons

    def _compare(self) -> None:
        ids: dict[str, set[str]] = defaultdict(set)
        told: dict[str, Status] = {}
        for arrival in self._receiver.arrivals:
            data: Mapping[str, Any] = json.loads(arrival.body)["data"]
            ids[data["task_id"]].add(arrival.message_id)
            self.tally.repeats += arrival.is_repeat
            told.setdefault(data["task_id"], Status(data["status"]))
        self.tally.missing = [task_id for task_id in self._expected if task_id not in told]
        self.tally.wrong = [
            f"{task_id}: {told[task_id]}"
            for task_id, ending in self._expected.items()
            if task_id in told and told[task_id] is not _STATUS[ending]
        ]
        self.tally.second_ids = [task_id for task_id, known in ids.items() if len(known) > 1]
        self.tally.polls = self._gateway.polls


def main() -> None:
    """Run in full, with three daemons and with one, and print a line for each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=30_000)
    options.add_argument("--interval", type=float, default=10.0)
    options.add_argument("--frozen-for", type=float, default=60.0)
    chosen = options.parse_args()
    tallies: dict[int, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="tracker-several-") as folder, postgres_server() as server:
        databases = PostgresDatabases(server=server)
        for daemons in (3, 1):
            run = SeveralDaemons(
                Path(folder) / str(daemons),
                databases.empty(),
                chosen.tasks,
                interval=chosen.interval,
                speed=0.12,
                frozen_for=chosen.frozen_for,
            )
            tallies[daemons] = tally = asyncio.run(run.run(daemons))
            print(f"{daemons} daemon(s): {tally}", flush=True)  # noqa: T201 - a program
            for line in (*tally.missing, *tally.wrong, *tally.second_ids, *tally.zombie_writes)[:20]:
                print(f"  {line}")  # noqa: T201 - a program
    ratio = tallies[3].polls / tallies[1].polls
    print(f"polls of three, two of them lost on the way: {ratio:.3f} times one daemon's")  # noqa: T201 - a program
    sys.exit(0 if all(tally.is_clean for tally in tallies.values()) and ratio <= 1.05 else 1)


if __name__ == "__main__":
    main()
