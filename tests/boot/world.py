"""What surrounds the service on that machine: a gateway, a receiver, and somebody who registers tasks."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from machine import Machine, NotSoError, until

GATEWAY = "http://127.0.0.1:8642"
RECEIVER = "http://127.0.0.1:8643"
API = "http://127.0.0.1:8640"
GATEWAY_TOKEN = "sk-only-the-service-knows"
RECEIVED = "/var/log/received.jsonl"
CONFIGURATION = "/etc/tracker/tracker.toml"
SETTINGS = f"""\
database_url = "sqlite:////var/lib/tracker/tracker.db"

[upstreams.default]
base_url = "{GATEWAY}"
poll_interval = "1s"

[callbacks]
allow_networks = ["127.0.0.0/8"]
retry_schedule = ["0s", "1s", "2s", "2s", "5s", "5s", "10s", "10s", "30s", "30s", "30s", "30s"]
timeout = "20s"
"""

Json = dict[str, Any]


@dataclass
class World:
    """One machine and everything that talks with its service."""

    machine: Machine
    credential = "/etc/tracker/credentials/upstream-default-token"
    gateway_token = GATEWAY_TOKEN
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def call(self, method: str, url: str, body: object = None, *, token: str = "", within: float = 30) -> Json:
        """A call over HTTP and its JSON; HTTPError for another answer than 2xx."""
        request = urllib.request.Request(url, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=within) as answer:
            text = answer.read()
        try:
            found: Json = json.loads(text)
        except ValueError:
            found = {"text": text.decode()}
        return found

    def api(self, method: str, path: str, body: object = None) -> Json:
        """A call of the API, with the token that the first start wrote."""
        return self.call(method, API + path, body, token=self.token)

    @property
    def token(self) -> str:
        """The first admin token."""
        return self.machine.path("/var/lib/tracker/tracker.token").read_text().strip()

    def is_ready(self) -> bool:
        """Whether the API says so; no when nobody answers."""
        try:
            self.call("GET", f"{API}/readyz", within=2)
        except OSError:
            return False
        return True

    def configure(self, text: str = SETTINGS) -> None:
        """Write the configuration, in the file that is there: its owner and mode stay."""
        self.machine.path(CONFIGURATION).write_text(text)

    def drop_in(self, name: str, text: str) -> None:
        """What an administrator adds to the unit until the machine stops; empty takes it away."""
        folder = self.machine.path("/run/systemd/system/tracker.service.d")
        folder.mkdir(parents=True, exist_ok=True)
        if text:
            (folder / f"{name}.conf").write_text(text)
        else:
            (folder / f"{name}.conf").unlink()
        self.machine.run("systemctl", "daemon-reload")

    def submit(self, tasks: int) -> list[str]:
        """Begin tasks at the gateway; returns their ids."""
        jobs = ({"prompt": f"pig {next(self.numbers)}"} for _ in range(tasks))
        return [self.call("POST", f"{GATEWAY}/mj/submit/imagine", job, token=GATEWAY_TOKEN)["result"] for job in jobs]

    def register(self, task_id: str, *, callback: str = f"{RECEIVER}/hook") -> Json:
        """Register a task; an answer means that it was accepted."""
        return self.api("POST", "/v1/tasks", {"task_id": task_id, "callback_url": callback})

    def received(self) -> list[Json]:
        """What the receiver got, oldest first."""
        # The last line may be half written.
        lines = self.machine.path(RECEIVED).read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def told(self) -> set[str]:
        """The upstream's ids of the tasks whose end arrived and was genuine."""
        genuine = (json.loads(message["body"]) for message in self.received() if message["verdict"] != "forged")
        return {body["data"]["task_id"] for body in genuine}

    def wait_until_told(self, task_ids: Iterable[str], *, within: float = 90) -> None:
        """Return when the ends of all of them have arrived."""
        wanted = set(task_ids)
        until(lambda: wanted <= self.told(), within=within, what=f"the receiver is told of {len(wanted)} ends")

    def start_surroundings(self) -> None:
        """The gateway and the receiver, as services of their own; nothing where they run already."""
        run = self.machine.run
        if self.machine.try_to("systemctl", "is-active", "gateway", "receiver").returncode == 0:
            return
        secret = run("tracker", "secret")
        run(
            *("systemd-run", "--quiet", "--collect", "--unit=gateway"),
            *("tracker", "simulate", "--token", GATEWAY_TOKEN, "--speed", "5"),
        )
        run(
            *("systemd-run", "--quiet", "--collect", "--unit=receiver", f"--setenv=TRACKER_SECRET={secret}"),
            *("--setenv=PYTHONUNBUFFERED=1", "--property", f"StandardOutput=append:{RECEIVED}"),
            *("--property", "StandardError=journal"),
            *("tracker", "--json", "listen"),
        )
        for url in (f"{GATEWAY}/mj/task/0/fetch", RECEIVER):
            until(lambda url=url: self._answers(url), within=20, what=f"{url} answers")

    def last_words(self) -> str:
        """The end of the service's journal, for whoever asks why."""
        return self.machine.try_to("journalctl", "--unit=tracker", "--no-pager", "--lines=12", "--output=short").stdout

    def _answers(self, url: str) -> bool:
        try:
            self.call("GET", url, token=GATEWAY_TOKEN, within=2)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def expect(so: object, what: str) -> None:
    """NotSoError, unless it is."""
    if not so:
        raise NotSoError(what)


def expect_equal(found: object, wanted: object, what: str) -> None:
    """NotSoError, unless both are the same."""
    if found != wanted:
        raise NotSoError(f"{what}: {found!r}, not {wanted!r}")
