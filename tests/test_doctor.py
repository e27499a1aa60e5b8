"""Broken hosts: the doctor names the cause and what to type, and its exit code is 1. And a host that is well: 0."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import FakeClock
from daemons import free_port
from databases import PostgresDatabases
from doctors import BASE_URL, KEY, TOKEN, Patient, beat, gateway_of_another_time, served
from fakes import World

from tracker.simulate.gateway import Gateway
from tracker.store import migrate
from tracker.store.database import Database


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served(Gateway(token=TOKEN)) as url:
        yield url


@pytest.fixture
def patient(tmp_path: Path, gateway: str, sqlite_template: Path) -> Patient:
    return Patient.well(tmp_path, gateway, sqlite_template)


def test_a_host_that_is_well(patient: Patient) -> None:
    rows = patient.examined(exit_code=0)

    assert {row["state"] for row in rows} == {"ok"}, rows
    told = "database disk files listen guard clock daemon watching deliveries receivers unit journal"
    assert {"config", "upstream default", *told.split()} == {row["check"] for row in rows}


def test_a_pipe_gets_a_line_for_each_check(patient: Patient) -> None:
    lines = patient.run.lines("doctor")

    assert lines[0][:2] == ["config", "ok"]
    assert {len(cells) for cells in lines} == {4}


def test_a_key_that_is_no_setting(patient: Patient) -> None:
    file = patient.folder / "wrong.toml"
    file.write_text("[callbacks]\nretry_shedule = []\n")
    patient.settings["TRACKER_CONFIG"] = str(file)

    ill = patient.illness()

    assert ill["check"] == "config"
    assert ill["cause"].startswith("callbacks.retry_shedule: is not a setting; did you mean callbacks.retry_schedule?")
    assert ill["command"] == f"sudoedit {file} && tracker config check"


def test_no_upstream(patient: Patient) -> None:
    for name in (BASE_URL, KEY):
        del patient.settings[name]

    ill = patient.illness()

    assert (ill["check"], ill["cause"].partition(" (")[0]) == ("config", "no upstream is configured")


def test_an_old_schema(patient: Patient, postgres: PostgresDatabases) -> None:
    """On a real PostgreSQL, as an upgrade of the program leaves it."""
    url, (*_, before, newest) = postgres.empty(), migrate.revisions()
    migrate.upgrade(url, before)
    patient.use(url)

    ill = patient.illness()

    assert ill["check"] == "database"
    assert ill["cause"].endswith(f"has schema {before}, this program needs {newest}")
    assert ill["command"] == "tracker db upgrade"
    migrate.upgrade(url)
    beat(url)
    assert "the database" in {row["check"]: row["cause"] for row in patient.examined(exit_code=0)}["clock"]
    postgres.drop(url)


def test_a_schema_of_the_future(patient: Patient) -> None:
    with closing(Database(f"sqlite:///{patient.run.database_path}")) as database:
        World(database, FakeClock()).sql("UPDATE alembic_version SET version_num = '9999'")

    ill = patient.illness()

    assert "made by a newer tracker than this one" in ill["cause"]
    assert ill["command"] == "tracker --version"


def test_a_server_that_is_not_there(patient: Patient) -> None:
    patient.use(f"postgresql://tracker:{TOKEN}@127.0.0.1:{free_port()}/tracker")

    ill = patient.illness()

    assert ill["check"] == "database"
    assert "Connection refused" in ill["cause"]
    assert "systemctl status postgresql" in ill["command"]


def test_a_database_that_the_server_does_not_have(patient: Patient, postgres: PostgresDatabases) -> None:
    patient.use(postgres.url("tracker_nowhere"))

    assert 'database "tracker_nowhere" does not exist' in patient.illness()["cause"]


def test_a_file_that_is_not_there(patient: Patient) -> None:
    patient.run.database_path.unlink()

    ill = patient.illness()

    assert (ill["check"], ill["command"]) == ("database", "tracker db upgrade")
    assert not patient.run.database_path.exists()


def test_a_file_that_is_no_database(patient: Patient) -> None:
    patient.run.database_path.write_bytes(b"not a database" * 1000)

    assert "file is not a database" in patient.illness()["cause"]


def test_a_token_that_the_gateway_refuses(patient: Patient) -> None:
    patient.settings[KEY] = "sk-wrong-9876543210"

    ill = patient.illness()

    assert ill["check"] == "upstream default"
    assert "refuses the token (HTTP 401" in ill["cause"]
    assert "upstreams.default.token" in ill["cause"]
    assert "9876543210" not in str(ill)
    assert ill["command"] == f"export {KEY}=VALUE"


def test_a_token_that_is_missing(patient: Patient) -> None:
    del patient.settings[KEY]

    assert patient.illness()["cause"].endswith("wants a token, and none is configured: upstreams.default.token")


def test_a_gateway_that_is_not_there(patient: Patient) -> None:
    patient.settings[BASE_URL] = f"http://127.0.0.1:{free_port()}/mj"

    ill = patient.illness()

    assert ill["check"] == "upstream default"
    assert ill["cause"].endswith("is out of reach: the connection was refused (connect)")
    assert ill["command"].startswith("curl -sv")


@pytest.mark.parametrize(("minutes", "word"), [(10, "ahead"), (-10, "behind")])
def test_a_clock_that_is_off(patient: Patient, minutes: int, word: str) -> None:
    with gateway_of_another_time(timedelta(minutes=minutes)) as url:
        patient.settings[BASE_URL] = url
        ill = patient.illness()

    assert ill["check"] == "clock"
    assert ill["cause"] == f"this machine's clock is off: upstream default is 10 minutes {word} of it"
    assert "timedatectl" in ill["command"]


def test_a_gateway_whose_clock_is_off_while_another_agrees(patient: Patient) -> None:
    with gateway_of_another_time(timedelta(minutes=10)) as url:
        patient.settings["TRACKER_UPSTREAMS__ODD__BASE_URL"] = url
        symptom = patient.symptom("clock")

    assert "the clock of upstream odd is 10 minutes ahead" in symptom["cause"]
