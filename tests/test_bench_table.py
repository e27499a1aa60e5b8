"""The table of all benchmarks."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bench import __main__ as table
from bench.table import Row


def row(what: str, ratio: float = 0.5) -> Row:
    return Row(what=what, ours="1/s", against="nothing: 2/s", ratio=ratio, at_most=1.0)


def breaking() -> Iterator[Row]:
    yield row("came before the fault")
    raise RuntimeError("out of paper")


MODULES = {
    "bench.short": SimpleNamespace(run=lambda: [row("short")]),
    "bench.long": SimpleNamespace(run=lambda: [row("in full")], brief=lambda: [row("in brief")]),
    "bench.patient": SimpleNamespace(run=lambda: [row("on request")]),
    "bench.slow": SimpleNamespace(run=lambda: [row("slow", ratio=1.2)]),
    "bench.broken": SimpleNamespace(run=breaking),
}


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "NAMES", ("short", "long"))
    monkeypatch.setattr(table, "ON_REQUEST", ("patient", "slow", "broken"))
    monkeypatch.setattr(table, "importlib", SimpleNamespace(import_module=MODULES.__getitem__))
    monkeypatch.setattr(table, "log", SimpleNamespace(configure=lambda **_: None))


def test_without_names_all_are_measured_that_take_a_minute_and_the_longer_ones_in_brief(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert table.main([]) == 0

    said = capsys.readouterr().out
    assert "| short" in said
    assert "| in brief" in said
    assert "in full" not in said
    assert "on request" not in said


def test_by_name_a_benchmark_is_measured_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["long", "patient"]) == 0

    said = capsys.readouterr().out
    assert "| in full" in said
    assert "| on request" in said


def test_the_table_says_on_what_it_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    table.main(["short"])

    said = capsys.readouterr().out
    assert " cores (" in said
    assert "SQLite 3." in said
    assert "load before the start" in said


def test_a_ratio_beyond_its_bound_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["slow"]) == 1

    assert "MISSED" in capsys.readouterr().out


def test_a_benchmark_that_breaks_costs_the_others_nothing_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["broken", "short"]) == 1

    said = capsys.readouterr()
    assert "| came before the fault" in said.out
    assert "| short" in said.out
    assert "could not be measured: broken" in said.out
    assert "out of paper" in said.err
