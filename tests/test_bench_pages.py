"""The benchmark of pages, with a few tasks: that every page is looked at, and answers."""

from datetime import timedelta

import pytest

from bench import pages


def test_every_page_is_timed() -> None:
    rows = list(pages.measure("sqlite", pages.Scale(tasks=1_500, rounds=2, added_up=timedelta(hours=4))))

    names = [row.what for row in rows]
    assert len(names) == len(set(names))
    assert {"overview 90d, admin, sqlite", "overview 24h, owner of few, sqlite", "one task, admin, sqlite"} <= set(
        names
    )
    assert all(row.ratio > 0 and row.at_most == 1.0 for row in rows)


def test_a_page_that_takes_too_long_is_missed() -> None:
    row = pages._row("slow", [pages.Look(wall=wall, cpu=0.01) for wall in [0.02] * 18 + [0.3] * 2])  # noqa: SLF001

    assert not row.holds
    assert row.ratio == pytest.approx(3.0, rel=0.1)
