"""A bare Debian 12 in a folder."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from machine import NotSoError

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# What makes it boot. Everything else comes with the package, or is not needed.
BOOTS = "systemd,systemd-sysv,dbus"
BY_HAND = ("make", "python3-venv")
DOWNLOAD = ("apt-get", "install", "--yes", "--download-only", "--option=Acquire::Retries=3")
MADE_WITHIN = 900.0
MADE = "etc/made-for-boots"
EXIT_CANNOT_BOOT = 2
CLEAN = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def bare_root(root: Path, cache: Path | None) -> None:
    """Make it in the folder `root`; with a `cache`, from the one that is kept there."""
    if cache is None:
        _debootstrap(root)
        return
    kept = cache / f"{SUITE}-bare"
    if not (kept / MADE).exists():
        shutil.rmtree(kept, ignore_errors=True)
        _debootstrap(kept)
    subprocess.run(["cp", "-a", "--reflink=auto", kept, root], check=True)


def bring_dependencies(root: Path, package: Path, *, by_hand: bool) -> None:
    """Put Debian's own packages that `package` needs into apt's cache, and an installation by hand; install none."""
    deb = root / "root" / "tracker.deb"
    shutil.copy(package, deb)
    _in(root, *DOWNLOAD, "/root/tracker.deb")
    if by_hand:
        _in(root, *DOWNLOAD, "--no-install-recommends", *BY_HAND)
    deb.unlink()


def cannot_boot(why: str) -> NoReturn:
    """No machine, so nothing is known about the service."""
    print(f"THE SERVICE WAS NOT BOOTED: {why}", file=sys.stderr, flush=True)
    raise SystemExit(EXIT_CANNOT_BOOT)


def _debootstrap(root: Path) -> None:
    print("making a bare Debian 12 …", flush=True)
    # A machine of one hour needs nothing safe on disk.
    unsafe = root / "etc" / "dpkg" / "dpkg.cfg.d" / "unsafe"
    unsafe.parent.mkdir(parents=True)
    unsafe.write_text("force-unsafe-io\n")
    log = root.with_name(f"{root.name}.log")
    command = ["debootstrap", "--variant=minbase", f"--include={BOOTS}", SUITE, root, MIRROR]
    try:
        with log.open("wb") as output:
            subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=True, timeout=MADE_WITHIN)
    except subprocess.SubprocessError as error:
        cannot_boot(f"{error}\n{log.read_text()[-2000:]}")
    (root / MADE).touch()


def _in(root: Path, *command: str) -> None:
    done = subprocess.run(
        ["chroot", root, *command], env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise NotSoError(f"{' '.join(command)} in {root}:\n{done.stdout}")
