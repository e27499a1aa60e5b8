"""Proof that no message is lost and none told twice without need: a daemon that is killed while it delivers.

`make kill` runs it in full on both databases; a test runs it short. Everything is on loopback and bounded.
"""

import argparse
import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemons import DaemonProcess
from databases import PostgresDatabases, postgres_server
from sqlalchemy import text, update

from bench.ends import Ends
from bench.receivers import Arrival, Manners, Receivers
from tracker.clock import utc_now
from tracker.store import migrate
from tracker.store.database import Database
from tracker.store.schema import attempt

SETTINGS = {
    "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": "http://127.0.0.1:9/mj",
    "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
    "TRACKER_CALLBACKS__RETRY_SCHEDULE": "0s," + ",".join(["1s"] * 60),
    "TRACKER_CALLBACKS__TIMEOUT": "5s",
    "TRACKER_LOG__LEVEL": "warning",
}
_ENDPOINTS = 20
"""Four at once for each are more than there are slots."""
_MANNERS = Manners(slowest=0.05, failing=0.05)
_SETTLE_WITHIN = 240.0


@dataclass
class Tally:
    """What was to be told, what arrived, and every way in which they differ."""

    messages: int = 0
    kills: int = 0
    in_flight: set[tuple[str, int]] = field(default_factory=set)
    """Message and attempt of all that was being sent at a kill."""
    missing: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    """Those that the database does not call delivered in the end."""
    repeats: int = 0
    """Requests for a message whose last one had been answered 2xx."""
    unexplained: list[str] = field(default_factory=list)
    """Repeated messages that no kill interrupted."""
    changed_bodies: list[str] = field(default_factory=list)
    unknown_ids: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        wrong = (self.missing, self.unsettled, self.unexplained, self.changed_bodies, self.unknown_ids)
        return not any(wrong) and self.repeats <= len(self.in_flight)

    def __str__(self) -> str:
        return (
            f"{self.messages} messages, {self.kills} kills: missing {len(self.missing)}, "
            f"unsettled {len(self.unsettled)}, in flight at the kills {len(self.in_flight)}, "
            f"repeats after a 2xx {self.repeats} (without a kill {len(self.unexplained)}), "
            f"changed bodies {len(self.changed_bodies)}, unknown ids {len(self.unknown_ids)}"
        )


@dataclass
class KillDelivery:
    """One run of the proof."""

    folder: Path
    database_url: str
    kills: int
    seed: int
    waiting: int = 2000
    """How many messages wait each time that the daemon starts."""
    claims_run_out: bool = False
    """Make the claims that kills left behind run out at once, instead of waiting for that."""
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - a simulation

    async def run(self) -> Tally:
        """Kill under load, wait for the rest, compare."""
        migrate.upgrade(self.database_url)
        self._database = Database(self.database_url)
        self._ends = Ends(self._database)
        daemon = DaemonProcess(self.folder, self.database_url, SETTINGS)
        with Receivers(self.seed) as receivers:
            self._urls = receivers.open([_MANNERS] * _ENDPOINTS)
            try:
                for _ in range(self.kills):
                    await self._live_and_die(daemon)
                await self._deliver_the_rest(daemon, receivers)
                self._compare(receivers.arrivals())
            finally:
                daemon.end()
                self._database.close()
        return self.tally

    async def _live_and_die(self, daemon: DaemonProcess) -> None:
        self._top_up()
        daemon.start()
        await daemon.wait_until_ready()
        await asyncio.sleep(self._dice.uniform(0.0, 1.5))
        daemon.kill()
        self.tally.kills += 1
        self.tally.in_flight |= {(row["id"], row["attempt"]) for row in self._rows(_SENDING)}

    def _top_up(self) -> None:
        pending = self._rows("SELECT count(*) AS number FROM delivery WHERE status = 'pending'")[0]["number"]
        urls = [f"{self._dice.choice(self._urls)}/hook" for _ in range(max(self.waiting - pending, 0))]
        now = utc_now()
        self._ends.end_now(self._ends.register(urls, now), now)

    async def _deliver_the_rest(self, daemon: DaemonProcess, receivers: Receivers) -> None:
        if self.claims_run_out:
            self._run_out()
        self.tally.messages = self._rows("SELECT count(*) AS number FROM delivery")[0]["number"]
        daemon.start()
        await daemon.wait_until_ready()
        await asyncio.to_thread(receivers.wait_for, self.tally.messages, _SETTLE_WITHIN)
        ends_at = time.monotonic() + _SETTLE_WITHIN
        # A message that had arrived before a kill is sent again when its claim has run out.
        while self._rows(_PENDING) and time.monotonic() < ends_at:
            await asyncio.sleep(0.2)
        code = await asyncio.to_thread(daemon.terminate)
        assert code == 0, f"exit {code} after SIGTERM"

    def _run_out(self) -> None:
        over = update(attempt).where(attempt.c.outcome == "sending").values(claimed_until=utc_now())
        self._database.write_now(lambda connection: connection.execute(over).close())

    def _rows(self, query: str) -> list[dict[str, Any]]:
        found = self._database.read_now(lambda connection: connection.execute(text(query)).mappings().all())
        return [dict(row) for row in found]

    def _compare(self, arrivals: list[Arrival]) -> None:
        stored = {row["id"]: row for row in self._rows("SELECT id, body, status FROM delivery")}
        accepted: set[str] = set()
        last: dict[str, int] = {}
        repeated: set[str] = set()
        bodies: dict[str, set[str]] = defaultdict(set)
        for arrival in arrivals:
            bodies[arrival.message_id].add(arrival.body)
            if last.get(arrival.message_id, 503) < 300:
                self.tally.repeats += 1
                repeated.add(arrival.message_id)
            last[arrival.message_id] = arrival.status
            if arrival.status < 300:
                accepted.add(arrival.message_id)
        self.tally.missing = sorted(stored.keys() - accepted)
        self.tally.unsettled = [message for message, row in stored.items() if row["status"] != "delivered"]
        self.tally.unexplained = sorted(repeated - {message for message, _ in self.tally.in_flight})
        self.tally.unknown_ids = sorted(bodies.keys() - stored.keys())
        self.tally.changed_bodies = [
            message
            for message, row in stored.items()
            if bodies[message] - {hashlib.sha256(row["body"].encode()).hexdigest()}
        ]


_SENDING = """SELECT d.id, a.attempt FROM attempt a JOIN delivery d ON d.key = a.delivery_key
              WHERE a.outcome = 'sending'"""
_PENDING = "SELECT key FROM delivery WHERE status = 'pending' LIMIT 1"


def main() -> None:
    """Run in full and print one line for each database."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--waiting", type=int, default=2000)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311 - a simulation
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)  # noqa: T201 - a program
    is_clean = True
    with tempfile.TemporaryDirectory(prefix="tracker-kill-") as folder, postgres_server() as server:
        databases = PostgresDatabases(server=server)
        for kind, url in (("sqlite", f"sqlite:///{folder}/sqlite/tracker.db"), ("postgres", databases.empty())):
            home = Path(folder) / kind
            home.mkdir()
            tally = asyncio.run(KillDelivery(home, url, chosen.kills, chosen.seed, chosen.waiting).run())
            is_clean = is_clean and tally.is_clean
            print(f"{kind}: {tally}", flush=True)  # noqa: T201 - a program
            for line in (*tally.missing, *tally.unsettled, *tally.unexplained, *tally.changed_bodies)[:20]:
                print(f"  {line}")  # noqa: T201 - a program
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
