"""The first tenth of a second: help without weight, options anywhere, errors on one line."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from command_line import NO_DAEMON, CommandLine

import tracker
from tracker.cli import cli

NAMES = cli.list_commands(click.Context(cli))
GROUPS = [("token",), ("db",), ("config",)]
HEAVY = ("pydantic", "sqlalchemy", "alembic", "rich", "structlog", "httpx", "aiohttp", "fastapi", "asyncio")


def commands() -> list[tuple[str, ...]]:
    """Every command there is, by the words that call it."""
    found: list[tuple[str, ...]] = []
    for name in NAMES:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


def test_help_imports_nothing_heavy() -> None:
    """What --help of any command needs is click and ourselves, which is why it answers at once."""
    program = f"""
import sys
from tracker.__main__ import main
for words in {[(), *commands()]!r}:
    sys.argv = ["tracker", *words, "--help"]
    try:
        main()
    except SystemExit as exit:
        assert not exit.code, words
print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"
    assert done.stdout.count("Usage:") == 1 + len(commands())


def test_the_overview_imports_no_command() -> None:
    program = """
import sys
sys.argv = ["tracker", "--help"]
from tracker.__main__ import main
try:
    main()
finally:
    print([name for name in sys.modules if name.startswith("tracker.cli.commands")], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_the_overview_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    overview = CliRunner().invoke(cli, ["--help"], terminal_width=200).stdout
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.help is not None
    assert re.search(rf"^  {name} +{re.escape(command.help.splitlines()[0])}$", overview, re.MULTILINE)


@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_a_group_says_of_each_command_a_whole_sentence(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*words, "--help"], terminal_width=100).stdout

    told = re.findall(r"^  \w+ +(.*)$", shown.partition("Commands:")[2], re.MULTILINE)
    assert told
    assert all(re.search(r"[^.]\.$", sentence) for sentence in told), told


@pytest.mark.parametrize("words", [words for words in commands() if words not in GROUPS], ids=" ".join)
def test_every_command_takes_the_shared_options(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*words, "--help"]).stdout

    assert all(option in shown for option in ("--config", "--database-url", "--url", "--json"))


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"], prog_name="tracker").stdout == f"tracker {tracker.__version__}\n"


def test_an_unknown_command_is_bad_usage(tmp_path: Path) -> None:
    assert CommandLine(tmp_path)("lst").exit_code == 2


def test_options_stand_before_or_after_the_command(tmp_path: Path) -> None:
    run = CommandLine(tmp_path)
    run("add", "1")
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"

    assert json.loads(run("--json", "list").stdout) == json.loads(run("list", "--json").stdout)
    assert run("--database-url", elsewhere, "list").exit_code == 69
    assert run("list", "--database-url", elsewhere).exit_code == 69


def test_what_stands_later_wins(tmp_path: Path) -> None:
    run = CommandLine(tmp_path)
    run("add", "1")

    nowhere = f"sqlite:///{tmp_path}/nowhere.db"
    assert run("--database-url", nowhere, "list", "--database-url", f"sqlite:///{run.database_path}").exit_code == 0


def test_the_line_wins_over_the_environment(tmp_path: Path) -> None:
    run = CommandLine(tmp_path)
    run.settings["TRACKER_URL"] = "http://127.0.0.1:1"

    assert "127.0.0.1:1 is" in run("list").stderr
    assert "127.0.0.1:2 is" in run("--url", "http://127.0.0.1:2", "list").stderr


def test_a_configuration_file_is_named_on_the_line(tmp_path: Path) -> None:
    run = CommandLine(tmp_path, settings={})
    file = tmp_path / "mine.toml"
    file.write_text('[upstreams.default]\nbase_url = "https://gateway.example"\n')

    assert run("add", "1").exit_code == 78
    assert run("add", "1", "--config", str(file)).exit_code == 0


def test_an_expected_error_is_one_line(tmp_path: Path) -> None:
    result = CommandLine(tmp_path)("list")

    assert result.exit_code == 69
    assert result.stdout == ""
    assert re.fullmatch(r"tracker: there is no database .*\n", result.stderr)


def test_looking_for_a_database_makes_none(tmp_path: Path) -> None:
    run = CommandLine(tmp_path)

    for words in (("list",), ("token", "list"), ("secret",), ("db", "current"), ("show", "1")):
        assert run(*words).exit_code != 0
    assert not run.database_path.exists()


def test_bad_configuration(tmp_path: Path) -> None:
    result = CommandLine(tmp_path, settings={"TRACKER_LISTEN": "nowhere"})("list")

    assert result.exit_code == 78
    assert result.stderr.startswith("tracker: listen: ")


def test_a_folder_that_takes_no_file_is_one_line(tmp_path: Path) -> None:
    result = CommandLine(tmp_path)("add", "1", "--database-url", "sqlite:////proc/tracker.db")

    assert result.exit_code == 69
    assert result.stderr.startswith("tracker: ")


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    run = CommandLine(tmp_path)
    lines = "".join(json.dumps({"task_id": f"task-{number:05}" * 20}) + "\n" for number in range(1000))
    run("add", "-", stdin=lines)

    process = run.start("list", "--limit", "1000")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    assert process.stderr.read() == f"tracker: {NO_DAEMON}\n"
    process.stderr.close()
    assert process.wait(timeout=30) == 0


def test_an_interrupt_ends_quietly_with_130(tmp_path: Path) -> None:
    run = CommandLine(tmp_path)
    run("add", "1")

    with run.start("watch", "1") as process:
        assert process.stdout is not None
        assert "\t1\tqueued\t" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert said == f"tracker: {NO_DAEMON}\n"
