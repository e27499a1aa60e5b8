"""A Debian 12 that boots with tracker's package in it, and what happens to the service there.

Run as root: `python3 tests/boot/boot.py [--only WORDS] [--brief] [--package FILE] [--cache FOLDER] [--keep]`.
Standard library only. The exit code is 0 when all facts held, 1 when one did not, 2 when something to run it with is
missing. Nothing of it is left afterwards, however it ends.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import running
from contained import cover, run_contained, why_impossible
from machine import Machine
from packages import build, copy_sources, fetch_wheels, next_of
from roots import bare_root, bring_dependencies, cannot_boot

PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "dpkg-deb": "dpkg",
}
FILES = {
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/lib/python3.11/ensurepip/__init__.py": "python3.11 python3-venv, of Debian 12, which the package is made for",
}
SOURCE = Path(__file__).resolve().parents[2]
# What systemd-nspawn notes of its machines.
NOTES = "/run/systemd/nspawn"


def main() -> int:
    """Boot, look, and say what was seen."""
    arguments = _arguments()
    if arguments.inside:
        return _boot(arguments, arguments.inside)
    if missing := _missing():
        cannot_boot("; ".join(missing))
    with tempfile.TemporaryDirectory(prefix="tracker-boot-") as name:
        folder = Path(name)
        try:
            return run_contained([sys.executable, *sys.argv, "--inside", folder])
        except KeyboardInterrupt:
            return 130
        finally:
            if arguments.keep:
                kept = tempfile.mkdtemp(prefix="tracker-boot-kept-")
                folder.rename(f"{kept}/boot")
                folder.mkdir()
                print(f"kept in {kept}")


def _boot(arguments: argparse.Namespace, folder: Path) -> int:
    cover(NOTES)
    began = time.monotonic()
    root = folder / "root"
    with ThreadPoolExecutor() as both:
        making = both.submit(bare_root, root, arguments.cache)
        luggage = _pack(arguments, folder)
        making.result()
    bring_dependencies(root, luggage / "tracker.deb", by_hand=not arguments.brief)
    shutil.copytree(luggage, root / "root", dirs_exist_ok=True)
    print(f"a bare Debian 12 and the package after {time.monotonic() - began:.0f} s", flush=True)
    # Nobody waits for it to power off: what runs in there ends with this process.
    machine = Machine(root=root, console=folder / "console")
    held = running.run(machine, arguments.only, is_brief=arguments.brief)
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0 if held else 1


def _pack(arguments: argparse.Namespace, folder: Path) -> Path:
    """What the machine finds in root's home."""
    luggage = folder / "luggage"
    luggage.mkdir()
    wheels = None if arguments.brief else fetch_wheels(SOURCE, luggage / "wheels")
    package = arguments.package or build(SOURCE, folder, wheels=wheels, as_draft=arguments.brief)
    shutil.copy(package, luggage / "tracker.deb")
    if not arguments.brief:
        next_of(package, folder).rename(luggage / "tracker-next.deb")
        copy_sources(SOURCE, luggage / "source")
    return luggage


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", metavar="WORDS", help="only facts with these words in their names")
    parser.add_argument(
        "--brief", action="store_true", help="what one package and one boot suffice for, at every change"
    )
    parser.add_argument("--package", type=Path, help="this package instead of one made now")
    parser.add_argument("--cache", type=Path, help="keep a bare Debian in this folder, for the next time")
    parser.add_argument("--keep", action="store_true", help="keep the machine's files and its console")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
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
    elif not missing and (why := why_impossible()):
        missing.append(f"a process here gets no namespaces of its own: {why}")
    return missing


if __name__ == "__main__":
    sys.exit(main())
