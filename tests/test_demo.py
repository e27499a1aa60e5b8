"""The demo proves the product to people; here it is proved that it would notice a failure."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from command_line import CommandLine

from tracker.cli.demo.play import Outcome
from tracker.cli.demo.process import DaemonProcess
from tracker.cli.demo.score import Score
from tracker.cli.demo.screen import Bars, counts
from tracker.cli.demo.words import conclusion, document
from tracker.errors import UnavailableError

SUMMARY = re.compile(r"demo: 5 tasks ended \(4 succeeded, 1 failed\), 5 delivered and verified in \d+\.\d s")


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """A demo that keeps its files where we can see that none are left."""
    (tmp_path / "files").mkdir()
    return CommandLine(tmp_path, settings={"TMPDIR": str(tmp_path / "files"), "TRACKER_LISTEN": "127.0.0.1:1"})


def start(run: CommandLine, *options: str) -> subprocess.Popen[str]:
    return run.start("demo", "--tasks", "5", "--speed", "20", *options)


def left_behind(run: CommandLine) -> list[Path]:
    return list((run.folder / "files").iterdir())


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout.readline, "")


def test_it_ends_by_itself_with_one_line(run: CommandLine) -> None:
    with start(run) as process:
        told, said = process.communicate(timeout=120)

    assert process.returncode == 0, told + said
    assert said == ""
    assert SUMMARY.fullmatch(told.splitlines()[-1])
    assert "3 refused at first" in told
    assert left_behind(run) == []


def test_it_tells_json(run: CommandLine) -> None:
    with start(run, "--json") as process:
        told, _ = process.communicate(timeout=120)

    summary = json.loads(told)
    assert (summary["ended"], summary["delivered"], summary["verified"], summary["missing"]) == (5, 5, 5, [])


def test_it_is_left_running_until_ctrl_c(run: CommandLine) -> None:
    with start(run, "--keep") as process:
        seen = []
        for line in lines_of(process):
            seen.append(line.strip())
            if "TRACKER_DATABASE_URL=" in line:
                break
        url = re.findall(r"TRACKER_URL=(\S+) TRACKER_TOKEN=\$\(cat (\S+)\)", seen[-2])[0][0]
        (path,) = re.findall(r"TRACKER_DATABASE_URL=sqlite:///(\S+)", seen[-1])
        is_there = Path(path).is_file()
        links = [found for line in seen for found in re.findall(r"http://\S+/sign-in\?link=\S+", line)]
        pages = [httpx.get(link, trust_env=False) for link in links]
        health = httpx.get(f"{url}/healthz", trust_env=False)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert any(SUMMARY.fullmatch(line) for line in seen)
    assert is_there
    assert health.status_code == 200
    assert len(links) == 2
    assert all(page.status_code == 200 and "tracker_session" in page.cookies for page in pages)
    assert process.returncode == 0
    assert left_behind(run) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_halfway_it_leaves_nothing_behind(run: CommandLine, number: signal.Signals) -> None:
    with start(run) as process:
        for line in lines_of(process):
            if "queued" in line:
                break
        assert left_behind(run) != []
        process.send_signal(number)
        _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said == ""
    assert left_behind(run) == []


def task(number: int, status: str) -> dict[str, object]:
    return {"id": f"tsk_{number}", "task_id": str(number), "status": status, "progress": 70}


def delivery(number: int, status: str = "delivered") -> dict[str, object]:
    return {"id": f"msg_{number}", "task": f"tsk_{number}", "status": status, "attempt": 2}


def score(**changes: object) -> Score:
    """Two tasks of which all is told, but for the changes."""
    whole: dict[str, object] = {
        "submitted": 2,
        "tasks": [task(1, "succeeded"), task(2, "failed")],
        "deliveries": [delivery(1), delivery(2)],
        "verified": {"tsk_1": "task.succeeded", "tsk_2": "task.failed"},
    }
    return Score(**{**whole, **changes})  # type: ignore[arg-type]


def test_nothing_is_missing_from_a_whole_demo() -> None:
    assert score().missing() == []
    assert score().is_complete
    assert score().summary(1.25) == "demo: 2 tasks ended (1 succeeded, 1 failed), 2 delivered and verified in 1.2 s"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"submitted": 3}, "3 tasks were submitted, 2 are known"),
        ({"tasks": [task(1, "succeeded"), task(2, "running")]}, "1 tasks have not ended: 2"),
        ({"verified": {"tsk_1": "task.succeeded"}}, "1 tasks ended without a verified message: 2"),
        (
            {"verified": {"tsk_1": "task.succeeded", "tsk_2": "task.succeeded"}},
            "1 tasks ended without a verified message: 2",
        ),
        ({"deliveries": [delivery(1), delivery(2, "pending")]}, "1 messages are not delivered: msg_2"),
        ({"deliveries": [delivery(1), delivery(2, "dead")]}, "1 messages are not delivered: msg_2"),
        ({"forged": 1}, "1 messages had no valid signature"),
    ],
)
def test_what_is_missing_is_noticed(changes: dict[str, object], told: str) -> None:
    assert score(**changes).missing() == [told]
    assert not score(**changes).is_complete


def test_what_is_missing_is_told_before_the_last_line() -> None:
    outcome = Outcome(score=score(), seconds=3.0, problems=["the daemon ended with exit code 1"])

    first, last = conclusion(outcome).splitlines()

    assert first == "demo: missing: the daemon ended with exit code 1"
    assert last.startswith("demo: 2 tasks ended")
    assert document(outcome)["missing"] == outcome.problems


@pytest.mark.anyio
async def test_a_daemon_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "tracker.toml").touch()
    settings = {"TRACKER_CONFIG": str(tmp_path / "tracker.toml")}
    daemon = await DaemonProcess.start(settings, tmp_path / "daemon.log")

    with pytest.raises(UnavailableError, match="ended at once: tracker: upstreams: none is configured"):
        await daemon.ready()
    await daemon.stop()
    assert daemon.exit_code == 78


def test_progress_is_told_in_counts() -> None:
    assert counts(score(refused=1)) == "1 succeeded, 1 failed; 2 delivered, 2 verified, 1 refused at first"
    assert counts(score(tasks=[], deliveries=[], verified={})) == "nothing yet; 0 delivered, 0 verified"


def test_bars_tell_of_each_task_whether_its_message_has_arrived(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as bars:
        bars.show(score(deliveries=[delivery(1), delivery(2, "pending")]), 1.0)

    drawn = capsys.readouterr().out
    assert re.search(r"…1 ━{10} succeeded +✓ 2", drawn)
    assert re.search(r"…2 ━{10} failed +… 2", drawn)
