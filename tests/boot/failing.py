"""What is left when it is killed, frozen, restarted and stopped with its hands full."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from machine import until
from world import World, expect, expect_equal

TASKS = 40
WATCHDOG_SECONDS = 6
STOPS_WITHIN = 10.0
RESTARTS = 3
CLIENTS = 4


def after_sigkill_it_is_back_and_nothing_is_lost(world: World) -> str:
    """Killed with forty tasks in flight; systemd starts it again, and all of them end at the receiver."""
    before, restarts = _life(world)
    tasks = world.submit(TASKS)
    for task in tasks:
        world.register(task)

    world.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "tracker.service")

    took = _wait_for_another(world, before, within=30)
    expect_equal(_life(world)[1], restarts + 1, "restarts")
    world.wait_until_told(tasks)
    return f"ready again after {took:.1f} s"


def a_frozen_daemon_is_replaced_by_the_watchdog(world: World) -> str:
    """SIGSTOP: nothing feeds the watchdog, so systemd ends it and starts another."""
    # The unit's own limit would only take longer.
    world.drop_in("watchdog", f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\nTimeoutAbortSec=5\n")
    world.machine.run("systemctl", "restart", "tracker.service")
    before, _ = _life(world)
    # Fed all the while, it stays.
    time.sleep(WATCHDOG_SECONDS * 1.5)
    expect_equal(_life(world)[0], before, "process after one and a half times the limit")
    tasks = world.submit(5)
    for task in tasks:
        world.register(task)

    world.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "tracker.service")

    took = _wait_for_another(world, before, within=60)
    journal = world.machine.run("journalctl", "--unit=tracker", "--no-pager", "--since=-2min")
    expect("Watchdog timeout" in journal, f"it was not the watchdog:\n{journal[-1500:]}")
    world.wait_until_told(tasks)
    world.drop_in("watchdog", "")
    world.machine.run("systemctl", "restart", "tracker.service")
    return f"ready again {took:.1f} s after it froze, with a limit of {WATCHDOG_SECONDS} s"


def registrations_during_restarts_are_all_answered(world: World) -> str:
    """Four clients register without a pause while it restarts three times: the socket holds them, none is refused."""
    with registering(world) as clients:
        for _ in range(RESTARTS):
            world.machine.run("systemctl", "restart", "tracker.service")
            clients.wait_for_more(CLIENTS)
    expect_equal(clients.problems, [], "registrations that were not answered with 2xx")
    clients.must_be_known(world)
    return f"{len(clients.accepted)} registrations, the longest took {clients.longest:.1f} s"


def without_the_socket_some_would_be_refused(world: World) -> str:
    """The same without the socket, so that the fact above is known to be able to fail."""
    world.machine.run("systemctl", "stop", "tracker.socket", "tracker.service")
    world.machine.run("systemctl", "start", "tracker.service")
    with registering(world) as clients:
        world.machine.run("systemctl", "restart", "tracker.service")
    expect(clients.problems, "none was refused: the clients do not notice a restart")
    clients.must_be_known(world)
    world.machine.run("systemctl", "stop", "tracker.service")
    world.machine.run("systemctl", "start", "tracker.socket", "tracker.service")
    return f"{len(clients.problems)} refused"


def it_stops_within_ten_seconds_with_messages_under_way(world: World) -> str:
    """A receiver that takes the connection and never answers is no reason to stay."""
    with socket.create_server(("127.0.0.1", 8644), backlog=100) as silent:
        task, *others = world.submit(8)
        world.register(task, callback="http://127.0.0.1:8644/silent")
        for other in others:
            world.register(other)
        silent.settimeout(60)
        connection, _ = silent.accept()
        began = time.monotonic()
        world.machine.run("systemctl", "stop", "tracker.socket", "tracker.service")
        took = time.monotonic() - began
        connection.close()
    expect(took <= STOPS_WITHIN, f"it took {took:.1f} s to stop")
    expect_equal(world.machine.show("tracker", "Result"), "success", "result of the stop")
    world.machine.run("systemctl", "start", "tracker.socket", "tracker.service")
    world.wait_until_told(others)
    return f"{took:.1f} s"


class Clients:
    """Several that register one task after the other."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.accepted: list[str] = []
        self.problems: list[str] = []
        self.longest = 0.0
        self._lock = threading.Lock()

    def register(self, world: World, token: str, client: int) -> None:
        """Until told to stop; the calls are not tried again."""
        number = 0
        while not self.stop.is_set():
            number += 1
            task = f"{time.time_ns()}{client}{number}"
            began = time.monotonic()
            try:
                world.call("POST", "http://127.0.0.1:8640/v1/tasks", {"task_id": task}, token=token, within=60)
            except OSError as error:
                with self._lock:
                    self.problems.append(f"{task}: {error!r}")
            else:
                with self._lock:
                    self.accepted.append(task)
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.02)

    def wait_for_more(self, registrations: int) -> None:
        """Return when so many more were answered."""
        wanted = len(self.accepted) + len(self.problems) + registrations
        until(
            lambda: len(self.accepted) + len(self.problems) >= wanted,
            within=60,
            what=f"{registrations} more registrations are answered",
        )

    def must_be_known(self, world: World) -> None:
        """NotSoError unless every registration that was accepted is in the database."""
        known = world.machine.run(
            *("/usr/lib/tracker/bin/python", "-c"),
            "import sqlite3; c = sqlite3.connect('file:/var/lib/tracker/tracker.db?mode=ro', uri=True);"
            "print(*(row[0] for row in c.execute('SELECT task_id FROM task_overview')))",
        )
        lost = set(self.accepted) - set(known.split())
        expect(not lost, f"{len(lost)} registrations were accepted and are not there")


@contextmanager
def registering(world: World) -> Iterator[Clients]:
    """Clients that register until the block ends."""
    clients = Clients()
    token = world.token
    threads = [threading.Thread(target=clients.register, args=(world, token, client)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: clients.accepted, within=30, what="the first registration is answered")
        yield clients
    finally:
        clients.stop.set()
        for thread in threads:
            thread.join()


def _life(world: World) -> tuple[str, int]:
    return world.machine.show("tracker", "MainPID"), int(world.machine.show("tracker", "NRestarts"))


def _wait_for_another(world: World, before: str, *, within: float) -> float:
    def is_another() -> bool:
        serves = world.machine.show("tracker", "ActiveState") == "active"
        return serves and world.machine.show("tracker", "MainPID") not in {before, "0"}

    took = until(is_another, within=within, what="another process serves")
    expect(world.is_ready(), "it is active, and /readyz does not say so")
    return took
