"""A Debian 12 that boots with tracker's package in it, and what happens to the service there.

Run as root: `python3 tests/boot/boot.py [--only WORDS] [--brief] [--package FILE] [--keep]`. Standard library only.
The exit code is 0 when all facts held, 1 when one did not, 2 when something to run it with is missing.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import running
from machine import Machine
from packages import build, copy_sources, fetch_wheels, next_of
from roots import EXIT_CANNOT_BOOT, bare_root, bring_dependencies

PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "dpkg-deb": "dpkg",
}
FILES = {
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/lib/python3.11/ensurepip/__init__.py": "python3.11 python3-venv, of Debian 12, which the package is made for",
}
SOURCE = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("TRACKER_BOOT_CACHE") or SOURCE / ".cache" / "boot")


def main() -> int:
    """Boot, look, and say what was seen."""
    arguments = _arguments()
    missing = _missing()
    if missing:
        print("test-systemd cannot run here:", *missing, sep="\n  ", file=sys.stderr)
        return EXIT_CANNOT_BOOT
    began = time.monotonic()
    with ThreadPoolExecutor() as both:
        making = both.submit(bare_root, CACHE)
        package = arguments.package or build(SOURCE, CACHE)
        wheels = fetch_wheels(SOURCE, CACHE / "wheels")
        root = making.result()
    bring_dependencies(root, package)
    print(f"a bare Debian 12 and the package after {time.monotonic() - began:.0f} s")
    with tempfile.TemporaryDirectory(prefix="tracker-boot-") as folder:
        installed = Path(folder) / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", f"{root}/.", installed], check=True)
        shutil.copy(package, installed / "root" / "tracker.deb")
        shutil.copy(next_of(package, Path(folder)), installed / "root" / "tracker-next.deb")
        shutil.copytree(wheels, installed / "root" / "wheels")
        copy_sources(SOURCE, installed / "root" / "source")
        machine = Machine(root=installed, console=Path(folder) / "console")
        try:
            held = running.run(machine, arguments.only, is_brief=arguments.brief)
        finally:
            machine.stop()
            if arguments.keep:
                kept = tempfile.mkdtemp(prefix="tracker-boot-kept-")
                Path(folder).rename(f"{kept}/boot")
                Path(folder).mkdir()
                print(f"kept in {kept}")
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0 if held else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", metavar="WORDS", help="only facts with these words in their names")
    parser.add_argument("--brief", action="store_true", help="a quarter of the facts, for every change")
    parser.add_argument("--package", type=Path, help="this package instead of one made now")
    parser.add_argument("--keep", action="store_true", help="keep the machine's files and its console")
    return parser.parse_args()


def _missing() -> list[str]:
    """What a person has to do before this can run."""
    if platform.system() != "Linux":
        return ["it boots a Linux container: run it on Linux"]
    missing = [
        f"there is no {name}: apt install {package}" for name, package in PROGRAMS.items() if not shutil.which(name)
    ]
    for path, package in FILES.items():
        if not Path(path).exists():
            missing.append(f"there is no {path}: apt install {package}")
    if os.geteuid() != 0:
        missing.append("containers are made by root: sudo make test-systemd")
    return missing


if __name__ == "__main__":
    sys.exit(main())
