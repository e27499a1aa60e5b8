"""Makes the pictures of the README: the page and the terminal, as they are while `tracker demo --keep` runs.

`make screenshots` runs it; what it changed in docs/images is to be looked at and committed.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from browser.chromium import running_chromium
from browser.small_pictures import smaller
from browser.terminal_picture import picture, typed
from browser.visiting import Visiting, sign_in

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
MOST_BYTES = 150_000
TASKS, SPEED = "40", "3"
SIZES = {"overview": {"width": 1200, "height": 880}, "task": {"width": 1200, "height": 985}}
COLUMNS = 112
INVITATION = re.compile(r"export TRACKER_URL=(\S+) TRACKER_TOKEN=\$\(cat (\S+)\)")
GATEWAY = re.compile(r"authorization: Bearer (\w+)' .* (http://\S+/mj/submit/imagine)")
RECEIVER = re.compile(r"--callback (http://\S+)")
PROMPTS = ("paper cranes over Kyoto", "one red chair", "a city of glass", "猫在月球上", "a lighthouse at dusk")
WITHIN = 60.0


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A demo that is left running."""

    api: httpx.Client
    url: str
    token: str
    submit: str
    gateway_token: str
    receiver: str

    @property
    def variables(self) -> dict[str, str]:
        """With which the command line talks to it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        return {**kept, "TRACKER_URL": self.url, "TRACKER_TOKEN": self.token, "TERM": "xterm-256color"}

    def begin(self, prompt: str) -> str:
        """Submit a job and have it watched, as the demo invites to; tells the tracker's id of it."""
        headers = {"authorization": f"Bearer {self.gateway_token}"}
        submitted = httpx.post(self.submit, json={"prompt": prompt}, headers=headers, trust_env=False).json()
        body = {"task_id": submitted["result"], "callback_url": self.receiver, "metadata": {"order": 17}}
        return str(self.api.post("/v1/tasks", json=body).raise_for_status().json()["id"])

    def begin_some(self) -> None:
        """Return when some tasks run, one further on than the other."""
        for prompt in PROMPTS:
            latest = self.begin(prompt)
            self.wait_for(latest, lambda task: task["status"] == "running")

    def told_again(self) -> str:
        """A task whose message its receiver refused at first: there is more to see."""
        told = self.api.get("/v1/deliveries", params={"status": "delivered", "limit": 500}).json()["deliveries"]
        return str(next(one["task"] for one in told if one["attempt"] > 1))

    def wait_for(self, id_: str, fact: Callable[[dict[str, Any]], bool]) -> None:
        """Return when this is so of a task."""
        until = time.monotonic() + WITHIN
        while not fact(self.api.get(f"/v1/tasks/{id_}").json()):
            if time.monotonic() > until:
                raise TimeoutError(id_)
            time.sleep(0.1)


@contextmanager
def kept_demo() -> Iterator[Demo]:
    """`tracker demo --keep`, when all of its tasks have ended."""
    command = [sys.executable, "-m", "tracker", "demo", "--keep", "--tasks", TASKS, "--speed", SPEED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _invited(process)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def _invited(process: "subprocess.Popen[str]") -> Demo:
    told = ""
    for line in iter(process.stdout.readline, "") if process.stdout else ():
        told += line
        if "daemon.log" in line:
            break
    (url, path), (gateway_token, submit), (receiver,) = (
        _found(INVITATION, told),
        _found(GATEWAY, told),
        _found(RECEIVER, told),
    )
    token = Path(path).read_text().strip()
    api = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, trust_env=False)
    return Demo(api=api, url=url, token=token, submit=submit, gateway_token=gateway_token, receiver=receiver)


def _found(pattern: re.Pattern[str], told: str) -> tuple[str, ...]:
    found = pattern.search(told)
    if found is None:
        raise RuntimeError(f"the demo did not say {pattern.pattern}:\n{told}")
    return found.groups()


def take_pages(visiting: Visiting, demo: Demo, addresses: dict[str, str]) -> None:
    """Each in light and dark."""
    visitor = visiting.open(demo.url)
    sign_in(visitor, demo.token)
    for name, address in addresses.items():
        visitor.page.set_viewport_size(SIZES[name])  # type: ignore[arg-type]
        visitor.go(address)
        for scheme in ("light", "dark"):
            visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            taken = smaller(visitor.context.new_page(), visitor.page.screenshot(animations="disabled"))
            if len(taken) > MOST_BYTES:
                raise RuntimeError(f"{name} in {scheme} has {len(taken)} bytes")
            (IMAGES / f"{name}-{scheme}.png").write_bytes(taken)


def take_terminal(demo: Demo, id_: str) -> None:
    """What the commands print, in one picture."""
    commands = (("list", "--limit", "8"), ("show", id_))
    shown = {f"tracker {' '.join(command)}": typed(command, demo.variables, COLUMNS) for command in commands}
    (IMAGES / "terminal.svg").write_text(picture(shown, COLUMNS))


def main() -> None:
    """Make them all: the terminal first, while tasks still run."""
    IMAGES.mkdir(exist_ok=True)
    with kept_demo() as demo, running_chromium() as chromium:
        told = demo.told_again()
        demo.begin_some()
        take_terminal(demo, told)
        demo.begin_some()
        visiting = Visiting(chromium)
        pages = {"overview": "/?range=1h", "task": f"/tasks/{told}"}
        chromium.run(lambda: take_pages(visiting, demo, pages))
        problems = chromium.run(visiting.close)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
