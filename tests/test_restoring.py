"""What docs/operations.md says about restoring SQLite: typed as it stands there, but for whose files they are."""

import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from command_line import CommandLine

PAGE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
BLOCK = re.search(r"^Restoring SQLite.*?```console\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


def typed() -> list[str]:
    """The commands of the page, in their order."""
    assert BLOCK is not None
    return re.findall(r"^\$ sudo (.*)$", BLOCK[1], re.MULTILINE)


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """A database with a task, of which there is a copy."""
    run = CommandLine(tmp_path)
    run("add", "before")
    backups = tmp_path / "backups"
    backups.mkdir()
    Path(run.json("db", "backup", str(backups))["path"]).rename(tmp_path / "COPY")
    return run


def restore(run: CommandLine) -> None:
    for line in typed():
        if line.startswith("-u tracker tracker "):
            result = run(*line.removeprefix("-u tracker tracker ").split())
            assert result.exit_code == 0, result.stderr
        elif line.startswith(("rm ", "install ")):
            here = line.replace("/var/backups/tracker/", f"{run.folder}/").replace(
                "/var/lib/tracker/", f"{run.folder}/"
            )
            subprocess.run(["/bin/sh", "-c", here.replace("-o tracker -g tracker ", "")], check=True)
        else:
            assert line.startswith(("systemctl ", "tracker doctor")), line


def test_what_was_in_the_copy_is_back(run: CommandLine) -> None:
    run("add", "after")
    assert [row["task_id"] for row in run.json("list")] == ["after", "before"]

    restore(run)

    assert [row["task_id"] for row in run.json("list")] == ["before"]
    assert run.database_path.stat().st_mode & 0o777 == 0o640


def test_what_lay_beside_a_lost_database_does_no_harm(run: CommandLine, tmp_path: Path) -> None:
    """A daemon that was killed leaves its last changes beside the file; put to another file they would break it."""
    holder = sqlite3.connect(run.database_path)
    holder.execute("SELECT count(*) FROM task").fetchall()  # or the last to close would tidy up
    run("add", "after")
    beside = {end: (tmp_path / f"tracker.db{end}").read_bytes() for end in ("-wal", "-shm")}
    holder.close()
    for end, content in beside.items():
        (tmp_path / f"tracker.db{end}").write_bytes(content)
    run.database_path.unlink()

    restore(run)

    assert [row["task_id"] for row in run.json("list")] == ["before"]
    with closing(sqlite3.connect(run.database_path)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_programs_of_the_page_are_there() -> None:
    assert {line.split()[0] for line in typed()} == {"systemctl", "rm", "install", "-u", "tracker"}
    assert shutil.which("install")
