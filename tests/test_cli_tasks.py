"""Commands about tasks, on the database itself."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from api_harness import HOOK, Api
from clocks import FakeClock
from command_line import NO_DAEMON, CommandLine

from tracker.cli.commands import deliveries, history, upstreams
from tracker.cli.commands import list as list_command
from tracker.model import EVENT_WORDS
from tracker.store import upstreams as upstream_store
from tracker.store.database import Database
from tracker.store.upstreams import Health


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@contextmanager
def world(run: CommandLine) -> Iterator[Api]:
    """What a daemon would do to this database meanwhile."""
    database = Database(f"sqlite:///{run.database_path}")
    try:
        yield Api(database, FakeClock(now=datetime.now(UTC)))
    finally:
        database.close()


def succeed(run: CommandLine, task_id: str) -> None:
    with world(run) as api:
        api.see(task_id, progress=100, image_url="https://images.example/1.png")


def test_the_first_add_makes_the_database(run: CommandLine) -> None:
    ((id_, *rest),) = run.lines("add", "1730621826053455", "--callback", HOOK)

    assert id_.startswith("tsk_")
    assert rest == ["1730621826053455", "default", "queued", "yes"]


def test_a_refused_add_makes_no_database(run: CommandLine) -> None:
    assert run("add", "1", "--upstream", "nope").exit_code == 2
    assert not run.database_path.exists()


def test_all_bad_lines_are_told_at_once(run: CommandLine) -> None:
    result = run("add", "-", stdin='{"task_id": 5}\n{"task_id": "a"}\nnonsense\n{"task_id": "c", "urgent": true}\n')

    assert result.exit_code == 2
    assert all(said in result.stderr for said in ("line 1, task_id", "line 3: is not JSON", "line 4, urgent"))
    assert not run.database_path.exists()


def test_of_very_many_bad_lines_the_first_are_told(run: CommandLine) -> None:
    result = run("add", "-", stdin="nonsense\n" * 50)

    assert result.exit_code == 2
    assert "line 10: " in result.stderr
    assert "line 11: " not in result.stderr
    assert "40 more" in result.stderr


def test_add_fills_a_database_without_tables(run: CommandLine) -> None:
    run("db", "upgrade")
    run("db", "downgrade", "base", "--yes")

    assert run("add", "1").exit_code == 0


def test_reading_a_database_without_tables_says_what_to_do(run: CommandLine) -> None:
    run("db", "upgrade")
    run("db", "downgrade", "base", "--yes")

    result = run("list")

    assert result.exit_code == 69
    assert "`tracker db upgrade`" in result.stderr


def test_adding_twice_is_adding_once(run: CommandLine) -> None:
    first, second = run.lines("add", "1"), run.lines("add", "1")

    assert first[0][0] == second[0][0]
    assert (first[0][-1], second[0][-1]) == ("yes", "no")


def test_add_hands_everything_on(run: CommandLine) -> None:
    options = ("--events", "progress,ended", "--format", "upstream", "--metadata", '{"order": 17}')

    added = run.json("add", "1", "--upstream", "spare", "--callback", HOOK, *options)

    assert added["created"] is True
    assert added["upstream"] == "spare"
    assert added["callbacks"] == [
        {"url": HOOK, "events": ["progress", "ended"], "format": "upstream", "metadata": {"order": 17}, "gone_at": None}
    ]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--callback", "http://10.0.0.1/"), "callback_url"),
        (("--callback", "ftp://receiver.example/"), "callback_url"),
        (("--upstream", "nope"), "upstream"),
        (("--events", "sunset"), "events"),
        (("--format", "xml"), "format"),
        (("--metadata", "{"), "--metadata"),
        (("--metadata", "[" * 200_000), "--metadata: is nested too deep"),
        (("--metadata", "1"), "metadata: needs a callback_url"),
        (("--events", "ended"), "events: needs a callback_url"),
        (("--format", "upstream"), "format: needs a callback_url"),
    ],
)
def test_add_names_what_it_refuses(run: CommandLine, options: tuple[str, str], field: str) -> None:
    result = run("add", "1", *options)

    assert result.exit_code == 2
    assert re.match(rf"tracker: {field}[:;] ", result.stderr)


def test_adding_without_any_upstream_says_how_to_name_one(tmp_path: Path) -> None:
    result = CommandLine(tmp_path, settings={})("add", "1")

    assert result.exit_code == 78
    assert "TRACKER_UPSTREAMS__DEFAULT__BASE_URL and TRACKER_UPSTREAMS__DEFAULT__TOKEN" in result.stderr


def test_add_says_which_events_there_are(run: CommandLine) -> None:
    told = " ".join(run("add", "--help").stdout.split())

    assert f"some of {', '.join(EVENT_WORDS)}" in told


def test_add_reads_many_lines(run: CommandLine) -> None:
    written = [{"task_id": "a", "callback_url": HOOK}, {"task_id": "b", "upstream": "spare"}, {"task_id": "a"}]
    lines = "\n\n".join(json.dumps(line) for line in written)

    added = run.lines("add", "-", stdin=lines)

    assert [line[1:] for line in added] == [
        ["a", "default", "queued", "yes"],
        ["b", "spare", "queued", "yes"],
        ["a", "default", "queued", "no"],
    ]


def test_add_reads_more_than_fit_one_batch(run: CommandLine) -> None:
    lines = "".join(f'{{"task_id": "{number}"}}\n' for number in range(2001))

    assert len(run.json("add", "-", stdin=lines)) == 2001
    assert len(run.lines("list", "--limit", "5000")) == 2001
    assert [line[1] for line in run.lines("list", "--limit", "2")] == ["2000", "1999"]


def test_add_of_nothing_adds_nothing(run: CommandLine) -> None:
    assert run.json("add", "-", stdin="\n") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"task_id": 5}', "line 3, task_id: is not text"),
        ('{"task_id": "c", "upstream": "nope"}', "line 3, upstream: 'nope' is not configured"),
        ('{"task_id": "c", "callback_url": "http://127.0.0.1/"}', "line 3, callback_url: "),
        ('{"task_id": "c", "urgent": true}', "line 3, urgent: is not a known field"),
        ("[]", "line 3, body: is not an object"),
        ("task c", "line 3: is not JSON"),
        ("\udcff", "line 3: is not JSON"),
        ("[" * 200_000, "line 3: is nested too deep"),
        ('{"task_id": "c", "metadata": 1}', "line 3, metadata: needs a callback_url"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(run: CommandLine, line: str, told: str) -> None:
    text = f'{{"task_id": "a"}}\n\n{line}\n{{"task_id": "d"}}\n'.encode(errors="surrogateescape")

    result = run("add", "-", stdin=text)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"tracker: {told}")
    assert not run.database_path.exists()


def test_options_do_not_mix_with_lines(run: CommandLine) -> None:
    assert run("add", "-", "--callback", HOOK, stdin="{}").exit_code == 2


def test_list_filters(run: CommandLine) -> None:
    for words in (("pig-1",), ("pig-2", "--upstream", "spare"), ("owl-1",)):
        run("add", *words)
    succeed(run, "pig-1")

    def listed(*options: str) -> list[str]:
        return [line[1] for line in run.lines("list", *options)]

    assert listed() == ["owl-1", "pig-2", "pig-1"]
    assert listed("--status", "succeeded") == ["pig-1"]
    assert listed("--status", "queued,running") == ["owl-1", "pig-2"]
    assert listed("--upstream", "spare") == ["pig-2"]
    assert listed("--q", "pig") == ["pig-2", "pig-1"]
    assert listed("--limit", "1") == ["owl-1"]
    assert listed("--since", "1h") == ["owl-1", "pig-2", "pig-1"]
    assert listed("--until", "1h") == []
    assert listed("--since", (datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []


@pytest.mark.parametrize("options", [("--status", "asleep"), ("--since", "yesterday"), ("--limit", "0")])
def test_list_refuses_filters_that_match_nothing_ever(run: CommandLine, options: tuple[str, str]) -> None:
    assert run("list", *options).exit_code == 2


def test_a_line_has_the_documented_columns(run: CommandLine) -> None:
    run("add", "1", "--callback", HOOK)
    succeed(run, "1")

    documented = {"list": list_command, "history 1": history, "deliveries": deliveries, "upstreams": upstreams}
    for words, module in documented.items():
        names = [column.name for column in module.COLUMNS]
        assert len(run.lines(*words.split())[0]) == len(names)
        told = " ".join(run(words.split()[0], "--help").stdout.split())
        assert f"Columns in a pipe: {', '.join(names)}." in told


def test_show_tells_everything(run: CommandLine) -> None:
    id_ = run.json("add", "1", "--callback", HOOK)["id"]
    succeed(run, "1")

    lines = run.lines("show", "1")
    shown = run.json("show", id_)

    assert lines[0] == ["id", id_]
    assert ["status", "succeeded"] in lines
    assert [line[0] for line in lines[-4:]] == ["callback", "delivery", "event", "event"]
    assert shown["callbacks"][0]["url"] == HOOK
    assert shown["deliveries"][0]["type"] == "task.succeeded"
    assert [event["event"] for event in shown["events"]] == ["registered", "status"]


def test_show_tells_a_delivery_as_deliveries_does(run: CommandLine) -> None:
    run("add", "1", "--callback", HOOK)
    succeed(run, "1")
    with world(run) as api:
        api.attempt(delivered=False)

    (shown,) = (line[1:] for line in run.lines("show", "1") if line[0] == "delivery")

    assert shown == run.lines("deliveries", "1")[0]
    assert shown[7:9] == ["failed", "500"]


def test_history_is_told_first_to_last(run: CommandLine) -> None:
    run("add", "1")
    succeed(run, "1")

    first, last = run.json("history", "1")

    assert (first["event"], first["to_status"]) == ("registered", "queued")
    assert (last["event"], last["from_status"], last["to_status"]) == ("status", "queued", "succeeded")


def test_deliveries_tell_their_attempts(run: CommandLine) -> None:
    run("add", "-", stdin="".join(json.dumps({"task_id": name, "callback_url": HOOK}) + "\n" for name in "ab"))
    succeed(run, "a")
    succeed(run, "b")
    with world(run) as api:
        api.attempt(delivered=False)

    of_a, newest = run.json("deliveries", "a"), run.json("deliveries")

    assert [one["task_id"] for one in newest] == ["b", "a"]
    (attempt,) = of_a[0].pop("attempts")
    assert of_a == newest[1:]
    assert attempt == of_a[0]["last_attempt"]
    assert attempt["status_code"] == 500
    assert of_a[0]["status"] == "pending"
    assert run.lines("deliveries", "a")[0][7:10] == ["failed", "500", ""]
    assert run.lines("deliveries", "--status", "delivered") == []
    assert run.lines("deliveries", "a", "--status", "delivered") == []
    assert len(run.lines("deliveries", "--limit", "1")) == 1


def test_a_task_of_several_upstreams_has_to_be_chosen(run: CommandLine) -> None:
    run("add", "1")
    run("add", "1", "--upstream", "spare")

    result = run("show", "1")

    assert result.exit_code == 2
    assert "default, spare" in result.stderr
    assert run.json("show", "1", "--upstream", "spare")["upstream"] == "spare"


def test_an_upstream_may_choose_ids_like_ours(run: CommandLine) -> None:
    run("add", "tsk_1")

    assert run.json("show", "tsk_1")["task_id"] == "tsk_1"


@pytest.mark.parametrize("command", ["show", "history", "watch", "refresh", "drop", "deliveries"])
def test_what_is_not_there_is_not_found(run: CommandLine, command: str) -> None:
    id_ = run.json("add", "1")["id"]

    assert run(command, "2").exit_code == 3
    assert run(command, "tsk_2").exit_code == 3
    assert run(command, id_, "--upstream", "spare").exit_code == 3


def test_refresh_leaves_a_note(run: CommandLine) -> None:
    run("add", "1")

    assert run.lines("refresh", "1")[0][1] == "1"
    assert run.json("refresh", "1")["task_id"] == "1"
    with world(run) as api:
        noted = api.database.read_now(
            lambda connection: connection.exec_driver_sql("SELECT refresh_at FROM task").scalar()
        )
    assert noted is not None


def test_drop_stops_watching_once(run: CommandLine) -> None:
    run("add", "1")

    assert run.lines("drop", "1")[0][3] == "dropped"
    again = run("drop", "1", "--json")
    assert again.exit_code == 1
    assert (json.loads(again.stdout)["status"], json.loads(again.stdout)["stopped"]) == ("dropped", False)
    assert again.stderr == "tracker: '1' has already ended: dropped\n"


def test_a_refresh_of_what_has_ended_says_what_it_can_do(run: CommandLine) -> None:
    run("add", "1")
    assert run("refresh", "1").stderr == f"tracker: {NO_DAEMON}\n"
    succeed(run, "1")

    result = run("refresh", "1")

    assert result.exit_code == 0
    assert "'1' has already ended: succeeded" in result.stderr
    assert "only a contradiction is noted" in result.stderr


def test_a_list_of_an_upstream_that_nobody_configured_says_so(run: CommandLine) -> None:
    run("add", "1")

    assert run("list", "--upstream", "spare").stderr == f"tracker: {NO_DAEMON}\n"
    result = run("list", "--upstream", "nope")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"tracker: {NO_DAEMON}\ntracker: the upstream 'nope' is not configured\n"


def test_upstreams_tell_their_state(run: CommandLine) -> None:
    run("add", "1")
    assert [line[:2] for line in run.lines("upstreams")] == [["default", "unknown"], ["spare", "unknown"]]
    run("add", "2", "--upstream", "spare")
    health = Health(name="default", state="paused", reason="refused: HTTP 401")
    with world(run) as api:
        api.database.write_now(partial(upstream_store.write, health=health))
    del run.settings["TRACKER_UPSTREAMS__SPARE__BASE_URL"]
    del run.settings["TRACKER_UPSTREAMS__SPARE__POLL_INTERVAL"]

    told = run.lines("upstreams")

    assert [line[:5] for line in told] == [
        ["default", "paused", "refused: HTTP 401", "1", "https://gateway.example/mj"],
        ["spare", "not_configured", "", "1", ""],
    ]


def test_commands_work_on_each_kind_of_database(run: CommandLine, database_url: str) -> None:
    run.settings["TRACKER_DATABASE_URL"] = database_url

    (added,) = run.lines("add", "1", "--callback", HOOK)

    assert run.lines("list")[0][0] == added[0]
    assert run.json("show", "1")["callbacks"][0]["url"] == HOOK
    assert run.lines("drop", "1")[0][3] == "dropped"
    assert run.lines("db", "current")[0][2] == "up to date"
    assert run.lines("token", "list") == []


def test_a_database_that_is_away_is_one_line(run: CommandLine) -> None:
    run.settings["TRACKER_DATABASE_URL"] = "postgresql://somebody:hidden@127.0.0.1:1/tracker"

    for words in (("list",), ("add", "1"), ("db", "current"), ("secret",)):
        result = run(*words)
        assert result.exit_code == 69, words
        assert result.stderr.startswith("tracker: the database is out of reach: ")
        assert result.stderr.count("\n") == 1
        assert "hidden" not in result.stderr
