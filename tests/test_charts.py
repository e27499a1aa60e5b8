"""Bars: how high each is, and where it stands."""

import pytest
from clocks import FakeClock

from tracker.web.charts import Column, Part, nested, stacked


def test_bars_stand_on_each_other_and_can_be_seen(clock: FakeClock) -> None:
    parts = [Part(kind="ok", value=3000), Part(kind="bad", value=1), Part(kind="other", value=0)]
    chart = stacked([Column(at=clock(), parts=parts, says="x"), Column(at=clock(), parts=[], says="y")])

    assert chart.most == 3001
    (good, bad), nothing = chart.bars[0].boxes, chart.bars[1].boxes
    assert (good.kind, bad.kind, list(nothing)) == ("ok", "bad", [])
    assert good.y + good.height == pytest.approx(chart.height)
    assert bad.height > 0
    assert bad.y >= 0
    assert bad.y + bad.height <= good.y + 0.2


def test_bars_stand_before_each_other(clock: FakeClock) -> None:
    chart = nested([Column(at=clock(), parts=[Part(kind="most", value=8), Part(kind="half", value=2)], says="x")])

    most, half = chart.bars[0].boxes
    assert (most.height, half.height) == (chart.height, chart.height / 4)
    assert most.y + most.height == half.y + half.height


def test_no_bars_at_all_are_no_fault() -> None:
    assert (stacked([]).most, nested([]).bars) == (0, [])


def test_boxes_of_a_kind_are_drawn_as_one(clock: FakeClock) -> None:
    column = Column(at=clock(), parts=[Part(kind="ok", value=3), Part(kind="bad", value=1)], says="x")

    chart = stacked([column, column])

    assert list(chart.outlines) == ["ok", "bad"]
    assert chart.outlines["ok"] == "M36 30h288v90h-288zM396 30h288v90h-288z"
    assert chart.step == 360
