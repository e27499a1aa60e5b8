"""The unit files: what systemd finds wrong with them, how exposed they are, what must be the same in several."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tracker import config

UNITS = Path(__file__).parent.parent / "systemd"
SERVICES = ["tracker.service", "tracker@.service", "tracker-backup.service"]
MOST_EXPOSED = 13
"""Tenths: 1.3, where a service without a sandbox has 9.6."""
PROGRAM = "/opt/tracker/bin/tracker"

analyzed = pytest.mark.skipif(
    # Where the tests decide on a change (`.ci/run`) it has to be there: then this fails, and does not skip.
    shutil.which("systemd-analyze") is None and "TRACKER_TEST_SYSTEMD" not in os.environ,
    reason="needs systemd-analyze",
)


def settings(unit: str, section: str) -> list[tuple[str, str]]:
    """The lines of a section, in order; a key may come several times."""
    text = (UNITS / unit).read_text()
    body = text.split(f"[{section}]\n", 1)[1] if f"[{section}]" in text else ""
    lines = re.split(r"^\[", body, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return [(key, value) for key, _, value in pairs]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they are on a server: with an instance of each template, and a program that is there."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS.glob("tracker*.*"):
        if unit.suffix in {".service", ".socket", ".timer"}:
            text = unit.read_text().replace(PROGRAM, "/bin/true")
            (folder / unit.name.replace("@", "@8641")).write_text(text)
    return folder


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],  # noqa: S607 - the machine's own
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C"},
    )


@analyzed
def test_systemd_finds_nothing_wrong_with_them(installed: Path) -> None:
    units = sorted(map(str, installed.iterdir()))
    assert len(units) == 6

    found = analyze("verify", "--man=no", *units)

    ours = [line for line in found.stderr.splitlines() if "tracker" in line]
    assert ours == []
    assert found.returncode == 0, found.stderr


@analyzed
@pytest.mark.parametrize("unit", SERVICES)
def test_none_is_more_exposed_than_it_has_to_be(installed: Path, unit: str) -> None:
    path = installed / unit.replace("@", "@8641")

    found = analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", str(path))

    assert found.returncode == 0, found.stdout
    assert "Overall exposure level" in found.stdout


@analyzed
@pytest.mark.parametrize("drop_in", sorted((UNITS / "drop-ins").iterdir()), ids=lambda path: path.name)
def test_a_drop_in_leaves_it_right_and_closed(installed: Path, tmp_path: Path, drop_in: Path) -> None:
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    added = tmp_path / "tracker.service.d"
    added.mkdir()
    shutil.copy(drop_in, added)
    service = str(tmp_path / "tracker.service")

    verified = analyze("verify", "--man=no", service)
    weighed = analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", service)

    assert [line for line in verified.stderr.splitlines() if "tracker" in line] == []
    assert weighed.returncode == 0, weighed.stdout


@analyzed
def test_the_threshold_would_notice_a_service_without_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / "open.service").write_text("[Service]\nExecStart=/bin/true\n")

    found = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(tmp_path / "open.service"))

    assert found.returncode != 0


def test_all_run_in_the_same_sandbox() -> None:
    """systemd has no include: whoever closes one of them has to close all."""
    sandboxes = [sandbox(unit) for unit in SERVICES]

    assert len(sandboxes[0]) > 25
    assert sandboxes[0] == sandboxes[1] == sandboxes[2]


def sandbox(unit: str) -> list[tuple[str, str]]:
    """What a service may touch: everything from the mode of its files on."""
    service = settings(unit, "Service")
    return service[[key for key, _ in service].index("UMask") :]


def test_the_instances_are_the_service_but_for_their_ports() -> None:
    one, several = settings("tracker.service", "Service"), settings("tracker@.service", "Service")

    assert [pair for pair in several if pair not in one] == [("ExecStart", f"{PROGRAM} serve --listen 127.0.0.1:%i")]
    assert [pair for pair in one if pair not in several] == [("ExecStart", f"{PROGRAM} serve")]


def test_a_mistake_in_the_configuration_is_not_tried_again() -> None:
    service = dict(settings("tracker.service", "Service"))

    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "78")


def test_starts_after_an_outage_never_come_to_an_end() -> None:
    """A start that fails takes time too: even at once, fewer fit into the interval than are allowed."""
    service, unit = dict(settings("tracker.service", "Service")), dict(settings("tracker.service", "Unit"))

    starts = int(unit["StartLimitIntervalSec"]) / int(service["RestartSec"].rstrip("s"))
    assert starts < int(unit["StartLimitBurst"])


def test_the_socket_is_at_the_address_that_everybody_knows() -> None:
    socket = dict(settings("tracker.socket", "Socket"))

    assert socket["ListenStream"] == config.Settings().listen
    assert socket["FileDescriptorName"] == "api"


def test_the_configuration_names_every_setting() -> None:
    """It is what `tracker config example` prints, with the database where the service and people both find it."""
    text = (UNITS / "tracker.toml").read_text()
    preface, _, rest = text.partition("\n# Every setting")

    expected = config.example().replace(
        '#database_url = "sqlite:///./tracker.db"', 'database_url = "sqlite:////var/lib/tracker/tracker.db"'
    )
    assert f"# Every setting{rest}" == expected
    assert all(line.startswith("#") for line in preface.splitlines())
    assert tomllib.loads(text)["database_url"] == "sqlite:////var/lib/tracker/tracker.db"


@pytest.mark.parametrize("name", ["database-url", "upstream-default-token"])
@pytest.mark.parametrize("folder", ["LoadCredential", "LoadCredentialEncrypted"])
def test_a_file_in_a_folder_of_credentials_is_found(folder: str, name: str, tmp_path: Path) -> None:
    """systemd puts the name that the unit gives to the folder before the file's."""
    identifier = dict(settings("tracker.service", "Service"))[folder].partition(":")[0]
    value = {"database-url": "postgresql://db.example/tracker", "upstream-default-token": "sk-secret"}[name]
    (tmp_path / identifier).write_text("none")
    (tmp_path / f"{identifier}_{name}").write_text(f"{value}\n")

    loaded = config.load(
        config_path=None,
        overrides={"upstreams.default.base_url": "https://gateway.example"},
        environ={"CREDENTIALS_DIRECTORY": str(tmp_path)},
        cwd=tmp_path,
        system_path=tmp_path / "none.toml",
    )

    token = loaded.settings.upstreams["default"].token
    found = loaded.settings.database_url if name == "database-url" else token and token.get_secret_value()
    assert found == value


def test_the_folders_are_made_before_they_are_needed() -> None:
    lines = [
        line.split() for line in (UNITS / "tmpfiles.d" / "tracker.conf").read_text().splitlines() if line[0] != "#"
    ]
    made = {path: (mode, user, group) for kind, path, mode, user, group, _ in lines if kind == "d"}

    assert made["/etc/tracker/credentials"] == ("0700", "root", "root")
    assert made["/etc/tracker/credentials.encrypted"] == ("0700", "root", "root")
    backup = dict(settings("tracker-backup.service", "Service"))
    assert backup["ReadWritePaths"] in made
    assert backup["ReadWritePaths"] in backup["ExecStart"]
