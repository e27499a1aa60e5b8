"""What a shell completes, and the manual: both made of the commands themselves."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from command_line import CommandLine

from tracker import __version__
from tracker.cli import cli
from tracker.cli.commands.completion import SHELLS
from tracker.cli.manual import pages
from tracker.model import EVENT_WORDS, Status

SOURCE = Path(__file__).parent.parent
NOW = datetime(2026, 11, 22, tzinfo=UTC)
NAMES = cli.list_commands(click.Context(cli))
NEEDS = {
    name: pytest.mark.skipif(shutil.which(name) is None, reason=f"there is no {name}") for name in (*SHELLS, "man")
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Configured by its environment; there is no database."""
    command_line = CommandLine(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    for name, value in command_line.variables.items():
        monkeypatch.setenv(name, value)
    return command_line


def completed(*words: str) -> list[str]:
    """What the last of these words may become."""
    *before, begun = words
    completion = ShellComplete(cli, {}, "tracker", "_TRACKER_COMPLETE")
    return [item.value for item in completion.get_completions(list(before), begun)]


def test_commands_are_completed_and_told(run: CommandLine) -> None:
    told = ShellComplete(cli, {}, "tracker", "_TRACKER_COMPLETE").get_completions([], "")

    assert [item.value for item in told] == NAMES
    assert all(item.help for item in told)
    assert completed("wat") == ["watch"]
    assert completed("db", "up") == ["upgrade"]
    assert completed("completion", "") == list(SHELLS)
    assert not run.database_path.exists()


@pytest.mark.usefixtures("run")
def test_options_and_their_choices_are_completed() -> None:
    assert completed("watch", "--t") == ["--timeout"]
    assert {"--limit", "--url", "--json"} <= set(completed("list", "-"))
    assert completed("list", "--status", "") == list(Status)
    assert completed("add", "1", "--events", "") == list(EVENT_WORDS)
    assert completed("add", "1", "--format", "u") == ["upstream"]
    assert completed("deliveries", "--status", "de") == ["delivered", "dead"]


@pytest.mark.usefixtures("run")
def test_each_word_of_several_is_completed_once() -> None:
    assert completed("list", "--status", "queued,r") == ["queued,running"]
    assert completed("list", "--status", "queued,q") == []


@pytest.mark.parametrize("words", [("add", "1"), ("list",), ("show", "1"), ("watch",), ("deliveries", "1")])
def test_upstreams_are_completed_from_the_configuration(run: CommandLine, words: tuple[str, ...]) -> None:
    assert completed(*words, "--upstream", "") == ["default", "spare"]
    assert completed(*words, "--upstream", "s") == ["spare"]
    assert not run.database_path.exists()


def test_upstreams_of_the_file_that_the_line_names_are_completed(run: CommandLine) -> None:
    file = run.folder / "mine.toml"
    file.write_text('[upstreams.mine]\nbase_url = "https://gateway.example"\n')

    assert completed("list", "--config", str(file), "--upstream", "m") == ["mine"]


def test_nothing_that_is_wrong_is_told_while_somebody_types(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completed("nonsense", "") == NAMES
    assert completed("list", "--url", "http://127.0.0.1:1", "--upstream", "") == []
    monkeypatch.setenv("TRACKER_LISTEN", "nowhere")
    assert completed("list", "--upstream", "") == []
    monkeypatch.setenv("TRACKER_CONFIG", str(run.folder / "nowhere.toml"))
    assert completed("list", "--upstream", "") == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=NEEDS[shell]) for shell in SHELLS])
def test_each_script_is_one_that_its_shell_reads(run: CommandLine, shell: str) -> None:
    script = run.folder / shell
    script.write_text(run("completion", shell).stdout)

    subprocess.run([shell, "-n", script], check=True)


def test_a_script_is_made_without_a_database(tmp_path: Path) -> None:
    result = CommandLine(tmp_path, settings={"TRACKER_LISTEN": "nowhere"})("completion", "zsh")

    assert result.exit_code == 0
    assert result.stdout.startswith("#compdef tracker\n")
    assert CommandLine(tmp_path)("completion", "tcsh").exit_code == 2


@NEEDS["bash"]
def test_bash_completes(run: CommandLine) -> None:
    """The script in a real bash, which calls the program as it does when somebody presses the key."""
    program = run.folder / "tracker"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tracker "$@"\n')
    program.chmod(0o755)
    script = run.folder / "script"
    script.write_text(run("completion", "bash").stdout)
    presses = f"""
    . {script}
    COMP_WORDS=(tracker list --status queued,r) COMP_CWORD=3
    _tracker_completion tracker
    echo "${{COMPREPLY[@]}}"
    """
    path = f"{run.folder}:{os.environ['PATH']}"

    done = subprocess.run(
        [shutil.which("bash") or "bash", "--norc", "-c", presses],
        capture_output=True,
        text=True,
        check=True,
        cwd=SOURCE,
        env={**os.environ, "PATH": path},
    )

    assert (done.stdout, done.stderr) == ("queued,running\n", "")


def test_the_manual_has_a_page_for_each_command_with_all_of_its_options() -> None:
    made = pages(NOW)

    assert list(made) == ["tracker.1", *(f"tracker-{name}.1" for name in NAMES)]
    for name in NAMES:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        within = list(command.commands.values()) if isinstance(command, click.Group) else []
        options = [option for one in (command, *within) for param in one.params for option in param.opts]
        page = made[f"tracker-{name}.1"].replace(r"\-", "-")
        assert [option for option in options if option.startswith("-") and option not in page] == []
        assert f"tracker-{name}" in made["tracker.1"].replace(r"\-", "-")


def test_a_page_names_its_version_and_the_day_of_its_sources() -> None:
    head = pages(NOW)["tracker.1"].splitlines()[0]

    assert head == f'.TH "TRACKER" 1 "2026-11-22" "tracker {__version__}" "User Commands"'


@NEEDS["man"]
@pytest.mark.parametrize("name", ["tracker.1", *(f"tracker-{name}.1" for name in NAMES)])
def test_man_finds_nothing_wrong_with_a_page(tmp_path: Path, name: str) -> None:
    page = tmp_path / name
    page.write_text(pages(NOW)[name])
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}

    asks = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page]
    shown = subprocess.run(asks, check=True, capture_output=True, text=True, env=environment)

    assert shown.stderr == ""
    assert f"{page.stem.replace('tracker-', 'tracker ')}" in re.sub(r"\x1b\[[\d;]*m|.\x08", "", shown.stdout)


@pytest.mark.parametrize(("under", "zsh"), [("/usr", "zsh/vendor-completions"), ("/usr/local", "zsh/site-functions")])
def test_the_manual_and_completions_are_placed_where_they_are_looked_for(tmp_path: Path, under: str, zsh: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1795305600", "PYTHONPATH": str(SOURCE)}

    def describe() -> dict[str, bytes]:
        script = [SOURCE / "packaging/describe.sh", tmp_path, sys.executable, under]
        subprocess.run(script, check=True, env=environment, umask=0o077)
        share = tmp_path / under.lstrip("/") / "share"
        return {str(path.relative_to(share)): path.read_bytes() for path in share.rglob("*") if path.is_file()}

    placed = describe()

    assert {f"man/man1/tracker-{name}.1.gz" for name in NAMES} | {"man/man1/tracker.1.gz"} <= placed.keys()
    assert {
        "bash-completion/completions/tracker",
        f"{zsh}/_tracker",
        "fish/vendor_completions.d/tracker.fish",
    } <= placed.keys()
    assert gzip.decompress(placed["man/man1/tracker.1.gz"]) == pages(NOW)["tracker.1"].encode()
    assert describe() == placed
    assert [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o044 != 0o044] == []
