"""What is installed, by hand or as a package; what happens to it on a machine that boots is in tests/boot."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent
PACKAGING = SOURCE / "packaging"
SYSTEM_PYTHON = "/usr/bin/python3"
SCRIPTS = [*PACKAGING.glob("*.sh"), *(PACKAGING / "debian" / name for name in ("postinst", "prerm", "postrm"))]


def place(root: Path, program: str = "/usr/lib/tracker") -> None:
    subprocess.run([PACKAGING / "place.sh", root, program, "/usr"], check=True)


def files_of(root: Path) -> set[str]:
    return {f"/{path.relative_to(root)}" for path in root.rglob("*") if not path.is_dir()}


def enabled_units() -> set[str]:
    """The units that an installation enables: they say by whom they are wanted, and are no templates."""
    units = [path for path in (SOURCE / "systemd").glob("tracker*.*") if "[Install]" in path.read_text()]
    return {path.name for path in units if "@" not in path.name}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_is_one_that_a_plain_shell_reads(script: Path) -> None:
    subprocess.run(["/bin/dash" if Path("/bin/dash").exists() else "/bin/sh", "-n", script], check=True)


def test_units_run_the_program_where_it_lies(tmp_path: Path) -> None:
    place(tmp_path)

    for unit in (tmp_path / "usr/lib/systemd/system").iterdir():
        assert "/opt/tracker" not in unit.read_text()
    service = (tmp_path / "usr/lib/systemd/system/tracker.service").read_text()
    assert "\nExecStart=/usr/lib/tracker/bin/tracker serve\n" in service


def test_a_configuration_that_is_there_is_kept(tmp_path: Path) -> None:
    place(tmp_path)
    configuration = tmp_path / "etc/tracker/tracker.toml"
    assert configuration.read_bytes() == (SOURCE / "systemd/tracker.toml").read_bytes()
    assert configuration.stat().st_mode & 0o777 == 0o640

    configuration.write_text("# mine\n")
    place(tmp_path)

    assert configuration.read_text() == "# mine\n"


def test_a_package_keeps_every_configuration_file_that_it_brings(tmp_path: Path) -> None:
    place(tmp_path)

    conffiles = set((PACKAGING / "debian/conffiles").read_text().split())
    assert {path for path in files_of(tmp_path) if path.startswith("/etc/")} == conffiles


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh", "debian/postinst", "debian/postrm"])
def test_every_unit_that_can_be_enabled_is_looked_after(script: str) -> None:
    text = (PACKAGING / script).read_text()

    assert {unit for unit in enabled_units() if unit not in text} == set()


def test_purge_removes_every_folder_that_was_made() -> None:
    lines = (SOURCE / "systemd/tmpfiles.d/tracker.conf").read_text().splitlines()
    made = [line.split()[1] for line in lines if line.startswith("d ")]
    (removed,) = re.findall(r"rm -rf (/.*)", (PACKAGING / "debian/postrm").read_text())

    assert made
    for folder in made:
        assert any(Path(folder).is_relative_to(path) for path in removed.split()), folder


def test_every_override_of_lintian_has_a_reason() -> None:
    reasoned = False
    for line in (PACKAGING / "debian/lintian-overrides").read_text().splitlines():
        reasoned = reasoned or line.startswith("# ")
        assert reasoned, line
        assert line.startswith(("# ", "tracker: "))


def test_what_builds_the_wheel_is_locked() -> None:
    (builders,) = re.findall(r'^builders="(.*)"$', (PACKAGING / "venv.sh").read_text(), re.MULTILINE)
    lock = (SOURCE / "requirements-dev.lock").read_text()

    assert [name for name in builders.split() if f"\n{name}==" not in f"\n{lock}"] == []


def test_a_boot_that_cannot_be_had_says_what_is_missing_and_does_not_pass(tmp_path: Path) -> None:
    boot = [sys.executable, SOURCE / "tests/boot/boot.py"]
    ended = subprocess.run(boot, env={"PATH": str(tmp_path)}, check=False, capture_output=True, text=True)

    assert ended.returncode == 2
    assert "there is no systemd-nspawn: apt install systemd-container" in ended.stderr


def can_make_environments() -> bool:
    asks = [SYSTEM_PYTHON, "-c", "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"]
    return Path(SYSTEM_PYTHON).exists() and subprocess.run(asks, check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_make_environments(), reason="the system's Python is too old or cannot make environments")
def test_installing_twice_and_taking_away_twice_leaves_the_configuration(tmp_path: Path) -> None:
    """Into a folder, from the lock, by a root that keeps its files to itself; the program there runs."""
    environment = {**os.environ, "DESTDIR": str(tmp_path), "PREFIX": "/opt/tracker", "PYTHON": SYSTEM_PYTHON}
    environment.pop("PYTHONPATH", None)

    def run(script: str) -> None:
        subprocess.run([PACKAGING / script], env=environment, check=True, timeout=600, capture_output=True, umask=0o077)

    run("install.sh")
    (tmp_path / "etc/tracker/tracker.toml").write_text("# mine\n")
    first = files_of(tmp_path)
    run("install.sh")

    places = [*(tmp_path / "opt").rglob("*"), *(tmp_path / "usr").rglob("*")]
    assert [path for path in places if not path.is_symlink() and path.stat().st_mode & 0o044 != 0o044] == []
    assert {path for path in files_of(tmp_path) ^ first if "__pycache__" not in path} == set()
    assert (tmp_path / "usr/local/bin/tracker").readlink() == Path("/opt/tracker/bin/tracker")
    command = (tmp_path / "opt/tracker/bin/tracker").read_text()
    assert command.startswith("#!/opt/tracker/bin/python ")
    # The command names the place that it will have, which is not here yet.
    program = [tmp_path / "opt/tracker/bin/python", "-I", "-m", "tracker", "--version"]
    shown = subprocess.run(program, check=True, capture_output=True, text=True)
    assert shown.stdout.startswith("tracker ")
    texts = {path for path in (tmp_path / "opt").rglob("*") if path.is_file() and path.suffix not in {".so", ".pyc"}}
    assert [path for path in texts if bytes(tmp_path) in path.read_bytes()] == []

    run("uninstall.sh")
    run("uninstall.sh")

    assert files_of(tmp_path) == {"/etc/tracker/tracker.toml"}
    assert (tmp_path / "etc/tracker/tracker.toml").read_text() == "# mine\n"
