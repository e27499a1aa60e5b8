"""How long tasks take, as learned from those that ended: shares over steps of time that grow by an eighth.

A broad prior (any duration may come) is worth a few ends and never goes away; what was learned longest ago fades.
Units are whatever the durations were told in.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Self

_SHORTEST = 0.5
_GROWTH = math.log(1.125)
_STEPS = 104
_EDGES = (0.0, *(_SHORTEST * math.exp(_GROWTH * step) for step in range(_STEPS)))
"""Where steps begin and end: from nothing over half a second to a day."""
_LAST = _STEPS - 1
_PRIOR = 2.0 / _STEPS
"""Two ends' worth, the same in every step."""
_SEEN = 0.05
"""The weight in a step below which what was there is forgotten."""
_FORGETTING = 0.997
"""What an end is worth after the next one: a few hundred of them count."""
_TOO_BIG = 1e9


def step_of(duration: float) -> int:
    """The step that a duration falls into."""
    if duration < _SHORTEST:
        return 0
    return min(1 + int(math.log(duration / _SHORTEST) / _GROWTH), _LAST)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts durations; what came before counts a little less each time."""

    weights: list[float] = field(default_factory=lambda: [0.0] * _STEPS)
    _one: float = 1.0
    """What the next one counts: growing is the same as letting all others shrink."""

    def add(self, duration: float) -> None:
        """Count one, half in its step and half beside it: the next may be a little shorter or longer."""
        if not 0 <= duration < math.inf:
            return
        step = step_of(duration)
        for beside, share in ((step - 1, 0.25), (step, 0.5), (step + 1, 0.25)):
            self.weights[min(max(beside, 0), _LAST)] += share * self._one
        self._one /= _FORGETTING
        if self._one > _TOO_BIG:
            self.weights = [weight / self._one for weight in self.weights]
            self._one = 1.0

    def learned(self) -> "Durations":
        """What they say together."""
        return Durations.of([weight / self._one for weight in self.weights])


@dataclass(frozen=True, slots=False, kw_only=True)
class Durations:
    """A distribution of durations."""

    shares: tuple[float, ...]
    """How likely a duration falls into each step; together 1, none of them 0."""
    left: tuple[float, ...]
    """How many last beyond the beginning of each step, as a share of all."""
    weight: float
    """How many ends it was learned from; old ones count less."""
    longest: float
    """The longest duration seen, to the end of its step; 0 where none was."""

    @classmethod
    def of(cls, weights: list[float]) -> Self:
        """What has been counted in each step, on top of the prior."""
        weight = math.fsum(weights)
        total = weight + _PRIOR * _STEPS
        shares = tuple((seen + _PRIOR) / total for seen in weights)
        left = tuple(reversed(tuple(accumulate(reversed(shares)))))
        seen = [step for step in range(_STEPS) if weights[step] > _SEEN]
        longest = _EDGES[seen[-1] + 1] if seen and seen[-1] < _LAST else _EDGES[-1] if seen else 0.0
        return cls(shares=shares, left=(*left, 0.0), weight=weight, longest=longest)

    def at(self, age: float) -> tuple[int, float]:
        """The step of an age, and the share of durations that are longer."""
        step = step_of(age)
        begin, width = _EDGES[step], _width(step)
        passed = min(max((age - begin) / width, 0.0), 0.999)
        return step, self.left[step] - self.shares[step] * passed

    def hazard(self, age: float) -> float:
        """How likely an end is just now, per unit of time, for what has lasted so long."""
        step, left = self.at(age)
        return self.shares[step] / _width(step) / left

    def doubt(self, age: float) -> float:
        """How little is known of when it ends, for what has lasted so long: the entropy over the steps to come."""
        return self._doubts[step_of(age)]

    def wait(self, age: float, looks: float) -> float:
        """How long until `looks` looks are due, at a density of √hazard from this age on."""
        step, left = self.at(age)
        begin = at = _EDGES[step] + (self.left[step] - left) / self.shares[step] * _width(step)
        while step <= _LAST:
            density = self.shares[step] / _width(step)
            rest = self.left[step + 1]
            # The integral of √(density / left), where left falls by the density: 2 √left / √density.
            here = 2.0 * (math.sqrt(left) - math.sqrt(rest)) / math.sqrt(density)
            if looks < here:
                root = math.sqrt(left) - looks * math.sqrt(density) / 2.0
                return max(at + (left - root * root) / density - begin, 0.0)
            looks -= here
            step, left = step + 1, rest
            at = _EDGES[min(step, _LAST)]
        return max(_EDGES[_LAST] * 2 - begin, 0.0)

    @cached_property
    def mean_root(self) -> float:
        """The mean over ends of 1/√hazard: the mean gap between looks, where their density is √hazard."""
        known = step_of(self.longest) if self.longest else _LAST
        total = 0.0
        for step in range(known):
            density = self.shares[step] / _width(step)
            total += (self.left[step] ** 1.5 - self.left[step + 1] ** 1.5) / math.sqrt(density)
        return 2.0 / 3.0 * total

    @cached_property
    def _doubts(self) -> tuple[float, ...]:
        """By step."""
        each = [-share * math.log(share) for share in self.shares]
        to_come = reversed(tuple(accumulate(reversed(each))))
        return tuple(surprise / left + math.log(left) for surprise, left in zip(to_come, self.left, strict=False))


def _width(step: int) -> float:
    return (_EDGES[step + 1] if step < _LAST else 2 * _EDGES[step]) - _EDGES[step]
