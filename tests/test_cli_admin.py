"""Commands of whoever runs the daemon: tokens, secrets, schema, configuration, and starting it."""

import json
import os
import re
import signal
import sqlite3
from functools import partial
from pathlib import Path

import httpx
import pytest
from command_line import CommandLine
from standardwebhooks import Webhook

from tracker import config
from tracker.cli.commands.serve import token_file
from tracker.clock import utc_now
from tracker.daemon.exclusive import exclusive
from tracker.intake import SCOPES
from tracker.store import access, migrate
from tracker.store.database import Database


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    command_line = CommandLine(tmp_path)
    command_line("db", "upgrade")
    return command_line


def test_a_new_token_is_all_that_is_printed(run: CommandLine) -> None:
    printed = run("token", "create", "--owner", "ann", "--scope", "write", "--name", "web shop").stdout

    assert re.fullmatch(r"trk_[\w-]{43}\n", printed)
    database = Database(f"sqlite:///{run.database_path}")
    found = database.read_now(partial(access.check_token, presented=printed.strip()))
    database.close()
    assert found is not None
    assert (found.owner, found.scope, found.name) == ("ann", "write", "web shop")


def test_tokens_are_listed_and_revoked(run: CommandLine) -> None:
    made = run.json("token", "create", "--owner", "ann", "--scope", "read")["token"]
    ((id_, owner, scope, _name, prefix, created_at, last_used_at, revoked_at),) = run.lines("token", "list")

    assert (owner, scope, last_used_at, revoked_at) == ("ann", "read", "", "")
    assert made.startswith(prefix)
    assert made not in run("token", "list", "--json").stdout
    assert created_at.endswith("Z")
    first, again = run("token", "revoke", id_), run("token", "revoke", id_)
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.stdout.split("\t")[:4] == [id_, "ann", "read", ""]
    assert first.stdout == again.stdout == run("token", "list").stdout
    assert (first.stderr, again.stderr) == ("", f"tracker: {id_} was revoked before\n")
    assert run.json("token", "revoke", id_)["id"] == id_
    assert run("token", "revoke", "tok_nope").exit_code == 3
    assert run.json("token", "list")[0]["revoked_at"] is not None


@pytest.mark.parametrize("options", [("--owner", "ann"), ("--scope", "read"), ("--owner", "ann", "--scope", "root")])
def test_a_token_needs_an_owner_and_a_scope(run: CommandLine, options: tuple[str, ...]) -> None:
    assert run("token", "create", *options).exit_code == 2


def test_the_scopes_are_told_as_they_are(run: CommandLine) -> None:
    refused = run("token", "create", "--owner", "ann", "--scope", "root")

    assert f"--scope {'|'.join(SCOPES)}" in run("token", "create", "--help").stdout
    assert "'root' is none of read, write, admin" in refused.stderr


@pytest.mark.parametrize("owner", ["", " ", " ann", "ann\nbob", "ann\x1b[2J", "a" * 129])
def test_an_owner_that_nobody_could_name_again_is_bad_usage(run: CommandLine, owner: str) -> None:
    refused = run("token", "create", "--owner", owner, "--scope", "write")

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--owner" in refused.stderr


def test_the_secret_of_an_owner_without_a_token_is_printed_with_a_warning(run: CommandLine) -> None:
    run("token", "create", "--owner", "ann", "--scope", "write")

    known, stranger, ours = run("secret", "--owner", "ann"), run("secret", "--owner", "anne"), run("secret")

    assert (known.stderr, ours.stderr) == ("", "")
    assert "'anne' has no token" in stranger.stderr
    assert stranger.stdout.startswith("whsec_")


def test_the_secret_is_made_once_and_printed_alone(run: CommandLine) -> None:
    first = run("secret").stdout

    assert re.fullmatch(r"whsec_[\w+/=]{44}\n", first)
    assert Webhook(first.strip())
    assert run("secret", "show").stdout == first
    assert run("secret", "--owner", "ann").stdout != first
    assert run.json("secret") == {"owner": "admin", "secret": first.strip()}


def test_a_rotated_secret_is_another_one_and_both_sign(run: CommandLine) -> None:
    before, rotated = run("secret").stdout, run("secret", "rotate").stdout

    assert rotated != before
    assert run("secret").stdout == rotated
    database = Database(f"sqlite:///{run.database_path}")
    signing = database.read_now(partial(access.signing_secrets, owners=["admin"], now=utc_now()))
    database.close()
    assert signing["admin"] == [rotated.strip(), before.strip()]


@pytest.mark.parametrize(
    "words",
    ["token list", "secret", "db current", "db upgrade", "serve", "config show", "config check", "config example"],
)
def test_what_no_api_offers_is_bad_usage_with_url(run: CommandLine, words: str) -> None:
    result = run(*words.split(), "--url", "http://127.0.0.1:1")

    assert result.exit_code == 2
    assert f"tracker {words} works on this machine only: leave out --url" in result.stderr


def test_a_url_in_the_environment_means_nothing_to_them(run: CommandLine) -> None:
    run.settings["TRACKER_URL"] = "http://127.0.0.1:1"

    assert run("config", "check").exit_code == 0


def test_the_schema_goes_up_and_down(tmp_path: Path) -> None:
    run, newest = CommandLine(tmp_path), migrate.newest()

    assert run("db", "current").exit_code == 1
    assert not run.database_path.exists()
    assert run.lines("db", "upgrade") == [["none", newest]]
    assert run.lines("db", "upgrade") == [[newest, newest]]
    assert run.lines("db", "current") == [[newest, newest, "up to date"]]
    assert run.json("db", "current") == {"revision": newest, "newest": newest, "up_to_date": True}
    assert run.lines("db", "downgrade", "base", "--yes") == [[newest, "none"]]
    assert run("db", "current").exit_code == 1
    assert run.json("db", "upgrade") == {"before": None, "after": newest}
    assert set(run.json("db", "vacuum")) == {"before", "after"}


def test_a_vacuum_beside_a_daemon_says_what_to_stop(run: CommandLine) -> None:
    with exclusive(run.database_path):
        result = run("db", "vacuum")

    assert result.exit_code == 69
    assert f"{run.database_path} is served by a daemon; stop it first" in result.stderr
    assert "PostgreSQL" not in result.stderr


@pytest.mark.parametrize("words", ["list", "db upgrade", "db current", "add 1"])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, words: str) -> None:
    run = CommandLine(tmp_path)
    run.database_path.write_text("dear diary\n" * 1000)

    result = run(*words.split())

    assert result.exit_code == 69
    assert f"{run.database_path}: " in result.stderr


def test_a_command_that_is_misspelled_is_guessed(run: CommandLine) -> None:
    guessed, group, unknown = run("histroy", "1"), run("token", "creat"), run("zzz")

    assert (guessed.exit_code, group.exit_code, unknown.exit_code) == (2, 2, 2)
    assert "Did you mean 'history'?" in guessed.stderr
    assert "Did you mean 'create'?" in group.stderr
    assert "Did you mean" not in unknown.stderr


def test_going_down_asks_first(run: CommandLine) -> None:
    assert run("db", "downgrade", "base", stdin="n\n").exit_code == 1
    assert run("db", "current").exit_code == 0
    assert run("db", "downgrade", "base", stdin="y\n").exit_code == 0
    assert run("db", "current").exit_code == 1


def test_going_down_to_nowhere_is_bad_usage(run: CommandLine) -> None:
    result = run("db", "downgrade", "9999", "--yes")

    assert result.exit_code == 2
    assert "base, 0001" in result.stderr


def test_the_configuration_in_force_is_shown_without_secrets(run: CommandLine) -> None:
    shown = {key: (value, origin) for key, value, origin in run.lines("config", "show")}

    assert shown["upstreams.default.base_url"][0] == "https://gateway.example/mj"
    assert shown["upstreams.default.base_url"][1] == "environment TRACKER_UPSTREAMS__DEFAULT__BASE_URL"
    assert shown["callbacks.timeout"] == ("20s", "default")
    assert "sk-hidden" not in run("config", "show", "--json").stdout
    assert run.json("config", "show")[0]["key"] == "database_url"


def test_the_example_is_the_whole_file(run: CommandLine) -> None:
    assert run("config", "example").stdout == config.example()
    assert run.json("config", "example") == {"toml": config.example()}


def test_check_says_ok_or_what_is_wrong(run: CommandLine) -> None:
    file = run.folder / "mine.toml"
    file.write_text('listen = "127.0.0.1:9"\n')

    assert run.lines("config", "check", "--config", str(file)) == [["ok", str(file)]]
    assert run.json("config", "check", "--config", str(file)) == {"ok": True, "path": str(file)}
    file.write_text("listen = 9\n")
    broken = run("config", "check", "--config", str(file))
    assert broken.exit_code == 78
    assert broken.stdout == ""
    assert broken.stderr.startswith("tracker: listen: ")
    assert run("config", "check", "--config", "nowhere.toml").exit_code == 78
    run.settings["TRACKER_UPSTREAMS__DEFAULT__DIALECT"] = "klingon"
    unknown = run("config", "check")
    assert unknown.exit_code == 78
    assert unknown.stderr.startswith("tracker: upstreams.default.dialect: ")


def test_serving_needs_an_upstream_and_says_how_to_name_one(tmp_path: Path) -> None:
    result = CommandLine(tmp_path, settings={})("serve")

    assert result.exit_code == 78
    assert "TRACKER_UPSTREAMS__DEFAULT__BASE_URL and TRACKER_UPSTREAMS__DEFAULT__TOKEN" in result.stderr


def test_a_bad_address_to_listen_on_is_bad_configuration(run: CommandLine) -> None:
    assert run("serve", "--listen", "everywhere").exit_code == 78


def test_serving_tells_the_journal_how_grave_a_line_is(run: CommandLine) -> None:
    reading, writing = os.pipe()
    journal = os.fstat(writing)
    run.settings |= {"JOURNAL_STREAM": f"{journal.st_dev}:{journal.st_ino}", "TRACKER_LOG__FORMAT": "json"}

    with run.start("serve", "--listen", "127.0.0.1:0", stderr=writing) as process:
        os.close(writing)
        process.stderr = os.fdopen(reading)
        events = iter(process.stderr.readline, "")
        ready = next(line for line in events if '"ready"' in line)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert ready.startswith("<6>{")
    assert process.returncode == 0
    assert (run.folder / "tracker.token").read_text().startswith("trk_")


def test_a_terminal_that_is_closed_ends_what_was_served_from_it(run: CommandLine) -> None:
    """Elsewhere the same signal asks to read the configuration again."""
    ours, theirs = os.openpty()

    with run.start("serve", "--listen", "127.0.0.1:0", stderr=theirs) as process, os.fdopen(ours) as screen:
        os.close(theirs)
        assert any("ready" in line for line in iter(screen.readline, ""))
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=30) == 0


def test_the_first_token_lies_beside_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert token_file(tmp_path / "tracker.db") == tmp_path / "tracker.token"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/tracker:/var/lib/other")
    assert token_file(None) == Path("/var/lib/tracker/tracker.token")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert token_file(None) == Path("tracker.token")


def test_the_simulated_gateway_serves_until_it_is_told_to_stop(run: CommandLine) -> None:
    with run.start("simulate", "--listen", "127.0.0.1:0", "--token", "t", "--no-batch", "--json") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url, trust_env=False, headers={"authorization": "Bearer t"}) as client:
            task_id = client.post("/mj/submit/imagine", json={"prompt": "a pig"}).json()["result"]
            fetched = client.get(f"/mj/task/{task_id}/fetch").json()
            listed = client.post("/mj/task/list-by-condition", json={"ids": [task_id]})
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert fetched["id"] == task_id
    assert listed.status_code == 404
    assert process.returncode == 0


def test_the_simulated_gateway_says_how_to_use_it(run: CommandLine) -> None:
    with run.start("simulate", "--listen", "localhost:0") as process:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "  tracker serve\n"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert "/mj/submit/imagine" in said
    assert "TRACKER_UPSTREAMS__DEFAULT__BASE_URL=http://127.0.0.1:" in said
    assert "TRACKER_CALLBACKS__ALLOW_NETWORKS=127.0.0.0/8" in said
    assert process.returncode == 0


@pytest.mark.parametrize("listen", ["0.0.0.0:8642", "8642x", "127.0.0.1:99999", "127.0.0.1"])
def test_the_simulated_gateway_stays_on_this_machine(run: CommandLine, listen: str) -> None:
    assert run("simulate", "--listen", listen).exit_code == 2


def test_an_address_in_use_is_out_of_reach(run: CommandLine) -> None:
    with run.start("simulate", "--listen", "127.0.0.1:0", "--json") as process:
        assert process.stdout is not None
        taken = json.loads(process.stdout.readline())["url"].removeprefix("http://")
        result = run("simulate", "--listen", taken)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert result.exit_code == 69
    assert "in use" in result.stderr


def test_a_missing_table_is_one_line(run: CommandLine) -> None:
    with sqlite3.connect(run.database_path) as connection:
        connection.execute("DROP TABLE secret")
    connection.close()

    result = run("secret")

    assert result.exit_code == 69
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("token", "list"), ("secret",)])
def test_what_works_on_the_database_says_so_where_an_address_is_given(tmp_path: Path, words: tuple[str, ...]) -> None:
    run = CommandLine(tmp_path, settings={"TRACKER_URL": "http://127.0.0.1:1"})

    result = run(*words)

    assert result.exit_code == 69
    assert f"there is no database {run.database_path}: this command works on the database itself" in result.stderr
    assert "not through --url or TRACKER_URL" in result.stderr
    assert "TRACKER_DATABASE_URL" in result.stderr
    assert "tracker serve" not in result.stderr


@pytest.mark.parametrize("words", [("doctor",), ("db", "current")])
def test_what_judges_a_database_says_that_an_address_means_nothing_to_it(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    run = CommandLine(tmp_path, settings={"TRACKER_URL": "http://127.0.0.1:1"})

    assert "not through --url or TRACKER_URL" in run(*words).stderr
