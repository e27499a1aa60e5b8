"""The short form of `make million` and `make soak`, and of the benchmark of idle daemons: that they go on working."""

import math

import pytest

from bench import __main__ as table
from bench import idle, million, soak
from bench.growth import Tolerances, judge


def test_many_tasks_are_measured_from_their_adoption_to_their_cost() -> None:
    scale = million.Scale(tasks=2000, few=500, interval=1.5, batch_size=100, rounds=1)

    rows = list(million.measure("sqlite", scale))

    assert len(rows) == 9
    # What adopting costs is told from what starting costs only where there are many.
    told = [row for row in rows if "lateness" not in row.what and "adopting one" not in row.what]
    assert all(row.ratio > 0 and math.isfinite(row.ratio) for row in told)


def test_idle_daemons_are_measured_beside_loading_everything() -> None:
    rows = list(idle.measure(idle.Scale(tasks=2000, seconds=1, settle=0.5), ["sqlite"]))

    assert [(row.what, row.against.split()[0]) for row in rows] == [
        ("idle, 2,000 live tasks, sqlite", "asked:"),
        ("idle, 2,000 live tasks, sqlite", "loading"),
        ("idle, empty, sqlite", "asked:"),
    ]


def test_a_soak_ends_tasks_replaces_them_and_has_a_verdict(database_url: str) -> None:
    plan = soak.Plan(seconds=8, tasks=60, life=4, interval=0.5, sample_every=0.5, retention="2s")

    samples = soak.soak(database_url, plan)

    last = samples[-1]
    assert last.ended > 60
    assert last.resident > 20
    assert 5 < last.descriptors < 200
    verdicts = {verdict.what.split(",")[0]: verdict for verdict in judge(samples, Tolerances())}
    assert {"descriptors", "dead tuples", "messages that wait"} <= verdicts.keys()
    assert ("a row of task" in verdicts) is database_url.startswith("postgresql")


def test_what_is_no_benchmark_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["speed"]) == 2

    assert "million" in capsys.readouterr().err
