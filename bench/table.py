"""The table that every benchmark adds rows to."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured ratio, and what it was measured against in the same run."""

    what: str
    ours: str
    """Our figure with its unit, for information."""
    against: str
    """The alternative and its figure."""
    ratio: float
    spread: str = ""
    """The lowest and the highest ratio of the rounds."""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the ratio is what it is asked to be."""
        above = self.at_least is None or self.ratio >= self.at_least
        return above and (self.at_most is None or self.ratio <= self.at_most)

    @property
    def asked(self) -> str:
        """The bound in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"


def compared(
    what: str, ours: Sequence[float], theirs: Sequence[float], name: str, *, at_least: float | None = None
) -> Row:
    """The row of two speeds, each by rounds: the median of their ratios, round by round."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Row(
        what=what,
        ours=f"{statistics.median(ours):,.0f}/s",
        against=f"{name}: {statistics.median(theirs):,.0f}/s",
        ratio=statistics.median(ratios),
        spread=f"{min(ratios):.2f}-{max(ratios):.2f}",
        at_least=at_least,
    )


_HEAD = ("what", "ours", "against", "ratio", "spread", "asked", "")


def render(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    body = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([body[0], rule, *body[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    verdict = ("holds" if row.holds else "MISSED") if row.asked else ""
    return (row.what, row.ours, row.against, f"{row.ratio:.2f}", row.spread, row.asked, verdict)
