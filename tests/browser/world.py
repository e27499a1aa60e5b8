"""What the pages show: a real daemon, the simulated gateway that it watches, and a receiver that it tells."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from daemons import DaemonProcess

from tracker.simulate import Ending, Gateway, Receiver, serve_app

SPEED = 20
"""A simulated life of half a minute passes in little more than a second."""
WITHIN = 20.0
ENDED = {"succeeded", "failed", "cancelled", "lost", "expired", "dropped"}


@dataclass
class World:
    """Everything runs, and nothing of it has to be waited for but facts."""

    portal: BlockingPortal
    gateway: Gateway
    gateway_url: str
    receiver: Receiver
    receiver_url: str
    daemon: DaemonProcess
    api: httpx.Client
    tokens: dict[str, str] = field(default_factory=dict)
    """By scope, of one owner; `stranger` is another's."""

    @property
    def origin(self) -> str:
        return self.daemon.url

    def register(
        self, prompt: str = "a pig", *, ending: Ending = Ending.SUCCESS, path: str | None = "/done", **more: object
    ) -> dict[str, Any]:
        """Have a job begin at the gateway, and watch it; tells the task."""
        task_id = self.gateway.submit(prompt, ending=ending)
        url = None if path is None else path if path.startswith("http") else f"{self.receiver_url}{path}"
        body = {"task_id": task_id, **({"callback_url": url} if url else {}), **more}
        return self._said(self.api.post("/v1/tasks", json=body))

    def register_many(self, prompts: Sequence[str]) -> None:
        """Have jobs begin and watch them, without telling anybody."""
        body = [{"task_id": self.gateway.submit(prompt, ending=Ending.SUCCESS)} for prompt in prompts]
        self._said(self.api.post("/v1/tasks/batch", json=body))

    def let_end(self, task: Mapping[str, Any], ending: Ending = Ending.SUCCESS) -> None:
        """Have a job that would never end begin anew, and end soon."""
        self.gateway.submit(task["prompt"] if task.get("prompt") else "a pig", task_id=task["task_id"], ending=ending)

    def task(self, id_: str) -> dict[str, Any]:
        return self._said(self.api.get(f"/v1/tasks/{id_}"))

    def deliveries(self, id_: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._said(self.api.get(f"/v1/tasks/{id_}/deliveries"))["deliveries"]
        return found

    def endpoints(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._said(self.api.get("/v1/endpoints"))["endpoints"]
        return found

    def wait_for(self, what: str, fact: Callable[[], bool]) -> None:
        """Return when it is so."""

        async def wait() -> None:
            with anyio.fail_after(WITHIN):
                while not await anyio.to_thread.run_sync(fact):
                    await anyio.sleep(0.05)

        try:
            self.portal.call(wait)
        except TimeoutError:
            raise AssertionError(
                f"{what} did not come about; the daemon said:\n{self.daemon.log.read_text()[-3000:]}"
            ) from None

    def wait_until_ended(self, task: Mapping[str, Any]) -> None:
        self.wait_for(f"the end of {task['id']}", lambda: self.task(task["id"])["status"] in ENDED)

    def wait_until_told(self, task: Mapping[str, Any], status: str = "delivered") -> dict[str, Any]:
        """Return the first delivery of a task, as soon as it is in this status."""
        self.wait_for(f"a {status} delivery", lambda: status in [one["status"] for one in self.deliveries(task["id"])])
        return next(one for one in self.deliveries(task["id"]) if one["status"] == status)

    def _said(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def running_world(folder: Path, **settings: str) -> Iterator[World]:
    """A fresh one on SQLite."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        secrets: list[str] = []
        gateway, receiver = Gateway(token="simulated", speed=SPEED), Receiver(secrets=lambda: secrets)
        gateway_url = stack.enter_context(portal.wrap_async_context_manager(serve_app(gateway)))
        receiver_url = stack.enter_context(portal.wrap_async_context_manager(serve_app(receiver)))
        daemon = DaemonProcess(folder, f"sqlite:///{folder}/tracker.db", {**_settings(gateway_url), **settings})
        stack.callback(daemon.end)
        daemon.start()
        portal.call(daemon.wait_until_ready)
        secrets.append(daemon.tell("secret").stdout.strip())
        api = stack.enter_context(
            httpx.Client(base_url=daemon.url, headers={"authorization": f"Bearer {daemon.token}"}, trust_env=False)
        )
        world = World(portal, gateway, gateway_url, receiver, receiver_url, daemon, api)
        world.tokens = {"admin": daemon.token, **_tokens(daemon)}
        yield world


def _settings(gateway_url: str) -> dict[str, str]:
    return {
        "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": gateway_url,
        "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "simulated",
        "TRACKER_UPSTREAMS__DEFAULT__POLL_INTERVAL": "200ms",
        "TRACKER_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8",
        "TRACKER_CALLBACKS__RETRY_SCHEDULE": "0s,1s,1h",
        "TRACKER_LOG__FORMAT": "json",
    }


def _tokens(daemon: DaemonProcess) -> dict[str, str]:
    wanted = {"read": ("admin", "read"), "write": ("admin", "write"), "stranger": ("ann", "write")}
    return {
        name: daemon.tell("token", "create", "--owner", owner, "--scope", scope).stdout.strip()
        for name, (owner, scope) in wanted.items()
    }
