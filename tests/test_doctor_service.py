"""What systemd tells of our units, and what it means."""

import pytest

from tracker.doctor.service import Unit, judge_journal, judge_units, judge_watchdog, read_span, read_units


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ({"ActiveState": "active"}, "ok", "is active"),
        ({"ActiveState": "active", "NRestarts": "3"}, "warning", "had to be started anew 3 times"),
        ({"ActiveState": "active", "UnitFileState": "disabled"}, "warning", "will not start with the machine"),
        ({"ActiveState": "active", "NeedDaemonReload": "yes"}, "warning", "has changed"),
        ({"ActiveState": "activating", "SubState": "start"}, "warning", "activating (start)"),
        ({"ActiveState": "inactive"}, "problem", "is stopped"),
        ({"ActiveState": "failed", "Result": "watchdog"}, "problem", "the watchdog killed it"),
        ({"ActiveState": "failed", "Result": "oom-kill"}, "problem", "no memory left"),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code", "ExecMainStatus": "69"},
            "problem",
            "exit code 69, the database or the address out of reach",
        ),
    ],
)
def test_states_of_the_service(told: dict[str, str], state: str, words: str) -> None:
    (found,) = judge_units([Unit(name="tracker.service", told={"LoadState": "loaded", **told})])

    assert found.state == state
    assert words in found.cause


def test_companions_are_judged_too() -> None:
    backup = Unit(name="tracker-backup.service", told={"LoadState": "loaded", "ActiveState": "failed"})
    timer = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "enabled"}
    absent = Unit(name="tracker.socket", told={"LoadState": "not-found", "ActiveState": "inactive"})

    found = list(judge_units([backup, Unit(name="tracker-backup.timer", told=timer), absent]))

    assert [one.state for one in found] == ["ok", "problem", "problem"]
    assert found[1].command == "journalctl -u tracker-backup.service -n 50"
    assert found[2].command == "systemctl start tracker-backup.timer"


def test_a_socket_that_does_not_hold_the_port_is_noticed() -> None:
    """The service was started before its socket, and keeps the port to itself."""
    service = Unit(name="tracker.service", told={"LoadState": "loaded", "ActiveState": "active"})
    idle = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "enabled"}

    found = list(judge_units([service, Unit(name="tracker.socket", told=idle)]))

    assert [one.state for one in found] == ["ok", "warning"]
    assert found[1].command == "systemctl stop tracker.service && systemctl start tracker.socket tracker.service"


def test_a_single_service_may_rest_where_several_run() -> None:
    single = Unit(name="tracker.service", told={"LoadState": "loaded", "ActiveState": "inactive"})
    one = Unit(name="tracker@one.service", told={"LoadState": "loaded", "ActiveState": "active"})

    assert [found.state for found in judge_units([single, one])] == ["ok", "ok"]
    assert [found.state for found in judge_units([single])] == ["problem"]


def test_several_units_are_read() -> None:
    shown = "Id=tracker.service\nListen=\nEnvironment=A=1 B=2\n\nId=tracker.socket\nListen=[::1]:8640 (Stream)\n"

    service, socket = read_units(shown)

    assert (service["Environment"], service.address) == ("A=1 B=2", None)
    assert (socket.name, socket.address) == ("tracker.socket", ("::1", 8640))
    assert read_units("") == []


@pytest.mark.parametrize(
    ("shown", "seconds"), [("30s", 30), ("1min 30s", 90), ("250ms", 0.25), ("30000000", 30), ("infinity", 0), ("", 0)]
)
def test_spans_of_systemd(shown: str, seconds: float) -> None:
    assert read_span(shown) == seconds


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"WatchdogUSec": "0"}, "warning"),
        ({"WatchdogUSec": "30s", "WatchdogTimestampMonotonic": "90000000"}, "ok"),
        ({"WatchdogUSec": "30s", "WatchdogTimestampMonotonic": "70000000"}, "warning"),
        ({"WatchdogUSec": "30s", "WatchdogTimestampMonotonic": "0"}, "ok"),
    ],
)
def test_the_watchdog(told: dict[str, str], state: str) -> None:
    unit = Unit(name="tracker.service", told={"LoadState": "loaded", "ActiveState": "active", **told})

    assert [one.state for one in judge_watchdog([unit], 100.0)] == [state]


def test_the_watchdog_of_a_stopped_service_says_nothing() -> None:
    """systemd tells none before the first start."""
    stopped = Unit(name="tracker.service", told={"LoadState": "loaded", "ActiveState": "inactive", "WatchdogUSec": "0"})

    assert list(judge_watchdog([stopped], 100.0)) == []


def test_the_journal() -> None:
    assert judge_journal(None).state == judge_journal([]).state == "ok"
    assert judge_journal(["first", "step_failed"]).cause == "2 errors within a day, the last: step_failed"
