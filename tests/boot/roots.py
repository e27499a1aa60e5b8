"""A bare Debian 12 in a folder, made once and copied from then on."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# What makes it boot. Everything else comes with the package, or is not needed.
BOOTS = "systemd,systemd-sysv,dbus"
BY_HAND = ("make", "python3-venv")
EXIT_CANNOT_BOOT = 2
CLEAN = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def bare_root(cache: Path) -> Path:
    """Its folder; it is made where it is not there yet."""
    root = cache / f"{SUITE}-bare"
    if not (root / "etc" / "made-for-boots").exists():
        _debootstrap(root)
    return root


def bring_dependencies(root: Path, package: Path) -> None:
    """Put Debian's own packages that `package` needs, and an installation by hand, into apt's cache; install none."""
    deb = root / "root" / "tracker.deb"
    shutil.copy(package, deb)
    _in(root, "apt-get", "install", "--yes", "--download-only", "/root/tracker.deb")
    _in(root, "apt-get", "install", "--yes", "--no-install-recommends", "--download-only", *BY_HAND)
    deb.unlink()


def _debootstrap(root: Path) -> None:
    print("making a bare Debian 12, a minute; the next run takes it from the cache …", flush=True)
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    log = root.with_suffix(".log")
    with log.open("wb") as output:
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={BOOTS}", SUITE, root, MIRROR],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if made.returncode != 0:
        _give_up(f"debootstrap failed, {log} says why:\n{log.read_text()[-2000:]}")
    (root / "etc" / "made-for-boots").touch()


def _in(root: Path, *command: str) -> None:
    done = subprocess.run(
        ["chroot", root, *command], env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        _give_up(f"{' '.join(command)} in {root}:\n{done.stdout}")


def _give_up(why: str) -> NoReturn:
    """No machine, so nothing is known about the service."""
    print(why, file=sys.stderr)
    raise SystemExit(EXIT_CANNOT_BOOT)
