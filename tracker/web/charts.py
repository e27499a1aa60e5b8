"""Bars, as numbers that a template draws: how high each is, where it stands, what it says to whoever points at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 720, 120
"""Of the room to draw in; how large that is on a page is for the page to say."""
_GAP = 0.2
"""The part of a step that is left free between two bars."""
_LOWEST = 2.0
"""Whatever there is can be seen, however little that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How much of one kind there was in a step."""

    kind: str
    """The class by which it is coloured."""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What there was in one step."""

    at: datetime
    parts: Sequence[Part]
    says: str
    """In words, with numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of a bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar."""

    boxes: Sequence[Box]
    x: float
    """Of the room around it, which shows what it says; that goes from top to bottom."""
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """All of them."""

    bars: Sequence[Bar]
    most: float
    """What the highest one stands for."""
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def step(self) -> float:
        """How wide the room of one bar is."""
        return round(self.width / max(len(self.bars), 1), 1)

    @property
    def outlines(self) -> Mapping[str, str]:
        """All boxes of each kind as one path, the kinds in the order in which they are drawn."""
        found: dict[str, str] = {}
        for box in (box for bar in self.bars for box in bar.boxes):
            drawn = f"M{box.x:g} {box.y:g}h{box.width:g}v{box.height:g}h{-box.width:g}z"
            found[box.kind] = found.get(box.kind, "") + drawn
        return found


def stacked(columns: Sequence[Column]) -> Chart:
    """Parts of a step stand on each other."""
    return _chart(columns, max((_total(column) for column in columns), default=0), are_stacked=True)


def nested(columns: Sequence[Column]) -> Chart:
    """Parts of a step stand before each other, the first one at the back: each begins at the ground."""
    highest = max((part.value for column in columns for part in column.parts), default=0)
    return _chart(columns, highest, are_stacked=False)


def _total(column: Column) -> float:
    return sum(part.value for part in column.parts)


def _chart(columns: Sequence[Column], most: float, *, are_stacked: bool) -> Chart:
    step = WIDTH / max(len(columns), 1)
    bars = []
    for place, column in enumerate(columns):
        x = place * step
        boxes = _boxes(column.parts, x + step * _GAP / 2, step * (1 - _GAP), most, are_stacked=are_stacked)
        bars.append(Bar(boxes=boxes, x=round(x, 1), says=column.says))
    return Chart(bars=bars, most=most)


def _boxes(parts: Sequence[Part], x: float, width: float, most: float, *, are_stacked: bool) -> list[Box]:
    there = [part for part in parts if part.value > 0]
    heights = [max(part.value / most * HEIGHT, _LOWEST) for part in there]
    if are_stacked and (above := sum(heights) - HEIGHT) > 0:
        # The largest makes room for those that would not be seen otherwise.
        heights[heights.index(max(heights))] -= above
    boxes: list[Box] = []
    ground = float(HEIGHT)
    for part, height in zip(there, heights, strict=True):
        top = ground - height
        boxes.append(
            Box(kind=part.kind, x=round(x, 1), y=round(top, 1), width=round(width, 1), height=round(height, 1))
        )
        ground = top if are_stacked else ground
    return boxes
