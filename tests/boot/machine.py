"""A container that boots: commands run in it, and this process looks at its network from within."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CLONE_NEWNET = 0x40000000
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
POWER_OFF = signal.SIGRTMIN + 4
BOOTS_WITHIN = 60.0


class NotSoError(AssertionError):
    """Something is not as it should be."""


def until(question: Callable[[], object], *, within: float, what: str) -> float:
    """Wait for a yes; returns the seconds it took, raises NotSoError when it takes too long."""
    began = time.monotonic()
    while not question():
        if time.monotonic() - began > within:
            raise NotSoError(f"not within {within:g} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


@dataclass
class Machine:
    """A folder with an operating system, and the processes it became."""

    root: Path
    console: Path
    nspawn: subprocess.Popen[bytes] | None = field(default=None)
    leader: int = 0

    def boot(self) -> None:
        """Return when its systemd has started everything; this process is in its network from then on."""
        with self.console.open("ab") as console:
            self.nspawn = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--boot", "--private-network", "--register=no", "--keep-unit"),
                    *("--machine=tracker-boot", "--console=read-only", f"--directory={self.root}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        until(self._has_booted, within=BOOTS_WITHIN, what=f"the container boots; its console is {self.console}")
        self._enter_network()

    def stop(self) -> None:
        """Power it off, as an administrator would; by force when it does not go."""
        if self.nspawn is None:
            return
        if self.leader:
            os.kill(self.leader, POWER_OFF)
        try:
            self.nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        self.nspawn, self.leader = None, 0

    def run(self, *command: str, text: str = "", wrong: bool = False) -> str:
        """Its standard output and errors; NotSoError unless it ends well, or with `wrong` unless it does not."""
        done = self.try_to(*command, text=text)
        if (done.returncode != 0) is not wrong:
            raise NotSoError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout.strip()

    def try_to(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run it, however it ends."""
        return subprocess.run(
            [*("nsenter", f"--target={self.leader}", "-m", "-u", "-i", "-n", "-p", "-C", "--"), *command],
            env=ENVIRONMENT,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    def path(self, path: str) -> Path:
        """A file of its, as it is seen from here."""
        return Path(f"/proc/{self.leader}/root{path}")

    def show(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", key, "--value", unit)

    def _has_booted(self) -> bool:
        assert self.nspawn is not None
        if self.nspawn.poll() is not None:
            raise NotSoError(f"systemd-nspawn ended with {self.nspawn.returncode}:\n{self.console.read_text()[-3000:]}")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        self.leader = int(children[0]) if children else 0
        # Before it has mounted its own, commands would run in the wrong place.
        return bool(children) and self.try_to("systemctl", "is-system-running").stdout.strip() in {
            "running",
            "degraded",
        }

    def _enter_network(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{self.leader}/ns/net").open("rb") as network:
            if libc.setns(network.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "the network of the container cannot be entered")
