"""What each fact means: the tables behind the doctor's words."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from tracker.doctor.clocks import judge_clock
from tracker.doctor.exposure import ListenFacts, judge_guard, judge_listen
from tracker.doctor.findings import ago
from tracker.doctor.gateways import GatewayFacts, judge_gateway, judge_watching
from tracker.doctor.mending import Mending
from tracker.doctor.permissions import Account, Kind, Standing, judge_files
from tracker.doctor.running import PulseFacts, judge_daemon, judge_deliveries, judge_receivers
from tracker.doctor.storage import DatabaseFacts, Room, judge_database, judge_room
from tracker.model import MissKind
from tracker.store.inspection import DaemonLine, Inspection
from tracker.store.upstreams import Health

LINE = DaemonLine(host="here", pid=7, version="1", silent_for=timedelta(seconds=2), is_gone=False)
FOUND = Inspection(revision="0001", daemons=(LINE,), endpoints={"active": 2}, upstreams={}, live_tasks={"default": 3})
TRACKER = Account(name="tracker", user=990, groups=frozenset({990}))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (119, "119 seconds"), (120, "2 minutes"), (7200, "2 hours"), (172800, "2 days")],
)
def test_spans_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert ago(seconds) == words


@pytest.mark.parametrize(
    ("ahead", "state"),
    [
        ({}, "ok"),
        ({"a": 4}, "ok"),
        ({"a": 6}, "warning"),
        ({"a": 61}, "problem"),
        ({"a": -300}, "problem"),
        ({"a": 300, "b": 1}, "warning"),
        ({"a": 300, "b": 299}, "problem"),
        ({"a": 300, "b": 20}, "warning"),
    ],
)
def test_clocks(ahead: dict[str, int], state: str) -> None:
    assert judge_clock({name: timedelta(seconds=by) for name, by in ahead.items()}).state == state


@pytest.mark.parametrize(
    ("network", "state"),
    [
        ("10.0.0.0/8", "ok"),
        ("192.168.7.0/24", "ok"),
        ("fd12:3456::/32", "ok"),
        ("127.0.0.0/8", "warning"),
        ("::1/128", "warning"),
        ("169.254.0.0/16", "warning"),
        ("fc00::/7", "warning"),
        ("8.0.0.0/6", "warning"),
        ("0.0.0.0/0", "problem"),
        ("::/0", "problem"),
    ],
)
def test_openings_of_the_guard(network: str, state: str) -> None:
    (found,) = judge_guard([ip_network(network)], change="sudoedit it")

    assert found.state == state
    assert network in found.cause


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "ok"),
        ({"is_ours": True, "is_taken": True}, "ok"),
        ({"is_held_by_systemd": True, "is_taken": True}, "ok"),
        ({"is_taken": True}, "problem"),
        ({"bind_error": "Cannot assign requested address"}, "problem"),
        ({"address": "::1"}, "ok"),
        ({"address": "10.0.0.7"}, "ok"),
        ({"address": "localhost"}, "ok"),
        ({"address": "0.0.0.0"}, "problem"),  # noqa: S104 - it is only judged
        ({"address": "::"}, "problem"),
        ({"address": "8.8.8.8", "metrics_need_token": True}, "warning"),
        ({"address": "tracker.example"}, "problem"),
    ],
)
def test_addresses_to_listen_on(facts: dict[str, object], state: str) -> None:
    given = ListenFacts(address="127.0.0.1", port=8640)

    assert judge_listen(replace(given, **facts)).state == state


@pytest.mark.parametrize(
    ("miss", "state"),
    [
        (None, "ok"),
        (MissKind.UNKNOWN, "ok"),
        (MissKind.THROTTLED, "warning"),
        (MissKind.REFUSED, "problem"),
        (MissKind.TRANSIENT, "problem"),
        (MissKind.UNUSABLE, "problem"),
    ],
)
def test_what_gateways_say(miss: MissKind | None, state: str) -> None:
    facts = GatewayFacts(name="g", base_url="https://g.example/hidden-path/mj", has_token=True, miss=miss, detail="why")

    found = judge_gateway(facts)

    assert found.state == state
    assert "hidden-path" not in found.cause + (found.command or "")


@pytest.mark.parametrize(
    ("kind", "mode", "owner", "causes"),
    [
        (Kind.CONFIG, 0o644, 0, []),
        (Kind.CONFIG, 0o600, 0, ["cannot read"]),
        (Kind.SECRET_CONFIG, 0o640, 990, []),
        (Kind.SECRET_CONFIG, 0o644, 0, ["open to others"]),
        (Kind.TOKEN, 0o600, 990, []),
        (Kind.TOKEN, 0o640, 990, ["open to others than its owner"]),
        (Kind.CREDENTIAL, 0o600, 0, []),
        (Kind.DATABASE, 0o640, 990, []),
        (Kind.DATABASE, 0o640, 0, ["cannot write"]),
        (Kind.DATABASE, 0o666, 0, ["open to others"]),
        (Kind.FOLDER, 0o750, 990, []),
        (Kind.FOLDER, 0o755, 0, ["cannot write"]),
    ],
)
def test_modes_of_files(kind: Kind, mode: int, owner: int, causes: list[str]) -> None:
    file = Standing(path="/var/lib/a file", kind=kind, mode=mode, owner=owner, group=0)

    found = [one for one in judge_files([file], TRACKER) if one.state != "ok"]

    assert len(found) == len(causes)
    assert all(cause in one.cause for cause, one in zip(causes, found, strict=True))
    assert all(one.command and "'/var/lib/a file'" in one.command for one in found)


def test_group_counts_before_others() -> None:
    file = Standing(path="/db", kind=Kind.DATABASE, mode=0o660, owner=0, group=990)

    assert [one.state for one in judge_files([file], TRACKER)] == ["ok"]
    assert [one.state for one in judge_files([replace(file, mode=0o606)], TRACKER)] == ["problem", "problem"]


ENCRYPTED = "/etc/tracker/credentials.encrypted/upstream-a-token"
ORIGINS = {
    "upstreams.a.token": "credential encrypted_upstream-a-token",
    "upstreams.b.token": "credential tracker_upstream-b-token",
    "upstreams.c.token": "environment TRACKER_UPSTREAMS__C__TOKEN",
    "upstreams.d.token": "file /etc/tracker/tracker.toml",
}


@pytest.mark.parametrize(
    ("upstream", "typed"),
    [
        (
            "a",
            f"systemd-creds encrypt --name=encrypted_upstream-a-token - {ENCRYPTED} && systemctl restart tracker",
        ),
        ("b", "sudoedit /etc/tracker/credentials/upstream-b-token && systemctl restart tracker"),
        ("c", "systemctl edit tracker"),
        ("d", "sudoedit /etc/tracker/tracker.toml && systemctl restart tracker"),
        ("e", "sudoedit /etc/tracker/tracker.toml && systemctl restart tracker"),
    ],
)
def test_a_setting_is_changed_where_it_is_set(upstream: str, typed: str) -> None:
    file = Path("/etc/tracker/tracker.toml")
    mending = Mending(origins=ORIGINS, file=file, folder=file.parent, is_unit=True)

    assert mending.of(f"upstreams.{upstream}.token") == typed


def test_without_systemd_a_setting_is_changed_by_hand() -> None:
    by_hand = Mending(origins=ORIGINS, file=None, folder=Path("/etc/tracker"), is_unit=False)

    assert by_hand.of("upstreams.c.token") == "export TRACKER_UPSTREAMS__C__TOKEN=VALUE"
    assert by_hand.of("listen") == "tracker config example > tracker.toml"


SILENT = replace(LINE, silent_for=timedelta(hours=2))


@pytest.mark.parametrize(
    ("pulse", "daemons", "state", "words"),
    [
        ({}, (LINE,), "ok", "1 run on here"),
        ({}, (), "problem", "no daemon runs"),
        ({}, (SILENT,), "problem", "seen 2 hours ago on here"),
        ({"answers": True}, (SILENT,), "problem", "has not written to this database for 2 hours"),
        ({"answers": True}, (), "problem", "a daemon answers, but has not written to this database"),
        ({"late": "late: deliver (silent for 90 s)"}, (LINE,), "problem", "late: deliver"),
        ({"version": "1", "installed": "2"}, (LINE,), "warning", "version 1 runs, 2 is installed"),
    ],
)
def test_daemons(pulse: dict[str, object], daemons: tuple[DaemonLine, ...], state: str, words: str) -> None:
    found = judge_daemon(replace(PulseFacts(), **pulse), replace(FOUND, daemons=daemons))

    assert (found.state, words in found.cause) == (state, True), found


def test_messages_that_are_late_or_were_given_up() -> None:
    assert [one.state for one in judge_deliveries(FOUND)] == ["ok"]
    late = replace(FOUND, overdue=timedelta(minutes=6), dead_lately=10_000)
    assert [one.state for one in judge_deliveries(late)] == ["problem", "warning"]
    assert [one.cause for one in judge_deliveries(late)][1] == "10000 or more messages were given up within a day"


def test_receivers_that_rest() -> None:
    assert judge_receivers(FOUND).cause == "all 2 are sent to"
    resting = judge_receivers(replace(FOUND, endpoints={"active": 2, "paused": 1, "disabled": 3}))
    assert (resting.state, resting.cause) == ("warning", "3 disabled and 1 paused: their messages wait")


def test_upstreams_that_are_left_alone() -> None:
    paused = {"default": Health(name="default", state="paused", reason="refused: no balance")}

    (found,) = judge_watching(replace(FOUND, upstreams=paused), frozenset({"default"}))

    assert (found.state, found.cause) == ("warning", "upstream default is left alone: refused: no balance")


@pytest.mark.parametrize(
    ("error", "is_server", "state", "typed"),
    [
        ("it cannot be read: Permission denied", False, "warning", "sudo tracker doctor"),
        ('FATAL: Peer authentication failed for user "root"', True, "warning", "sudo -u tracker tracker doctor"),
        ("timeout expired", True, "problem", "systemctl status postgresql; sudoedit it"),
        ("there is no file /x", False, "problem", "tracker db upgrade"),
        ("file is not a database", False, "problem", "sudoedit it"),
    ],
)
def test_databases_that_do_not_answer(error: str, *, is_server: bool, state: str, typed: str) -> None:
    facts = DatabaseFacts(place="p", revisions=["0001"], is_server=is_server, error=error, change="sudoedit it")

    found = judge_database(facts)

    assert (found.state, found.command) == (state, typed)


@pytest.mark.parametrize(
    ("room", "state"),
    [
        ({}, "ok"),
        ({"is_read_only": True}, "problem"),
        ({"free_files": 3}, "problem"),
        ({"free_bytes": 2**30 + 1, "held_bytes": 2**31}, "warning"),
    ],
)
def test_room(room: dict[str, int], state: str) -> None:
    assert judge_room(replace(Room(folder="/var/lib/tracker", free_bytes=2**34), **room)).state == state
