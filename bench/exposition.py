"""Prometheus' text format, read from outside, and what its histograms say about a span of time. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

Series = tuple[str, frozenset[tuple[str, str]]]
"""A name and its labels."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """All series at one moment."""

    series: Mapping[Series, float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that carry these labels; 0 where there is none."""
        wanted = frozenset(labels.items())
        return sum(value for (named, carried), value in self.series.items() if named == name and wanted <= carried)

    def since(self, before: "Exposition") -> "Exposition":
        """How much each series has grown: for counters and histograms."""
        return Exposition({name: value - before.series.get(name, 0.0) for name, value in self.series.items()})

    def quantile(self, share: float, histogram: str) -> float:
        """The value below which this share of the observations lies, within its bucket in proportion; NaN of none.

        Infinite where it lies beyond the last bucket that has an end.
        """
        buckets: dict[float, float] = {}
        for (name, labels), value in self.series.items():
            if name == f"{histogram}_bucket":
                bound = float(dict(labels)["le"])
                buckets[bound] = buckets.get(bound, 0.0) + value
        return _quantile(share, sorted(buckets.items()))


def _quantile(share: float, buckets: list[tuple[float, float]]) -> float:
    if not buckets or not buckets[-1][1]:
        return math.nan
    wanted = share * buckets[-1][1]
    below, counted = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            inside = (wanted - counted) / (count - counted) if count > counted else 1.0
            return bound if math.isinf(bound) else below + (bound - below) * inside
        below, counted = bound, count
    raise AssertionError("the last bucket holds everything")


def parse(text: str) -> Exposition:
    """Read what `/metrics` says."""
    found: dict[Series, float] = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            found[match[1], frozenset(_LABEL.findall(match[2] or ""))] = float(match[3])
    return Exposition(found)
