"""Measuring several sides in turn, and what is made of the figures.

A side is opened once, warmed up, then measured A B A B: whatever else the machine does hits all
sides alike. Figures are medians; a ratio is of medians, with the range of the ratios of each round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

Measure = Callable[[], Mapping[str, float]]
"""Does the work once and returns its figures by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the things that are compared."""

    name: str
    open: Callable[[], AbstractContextManager[Measure]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What one side gave, round by round."""

    cold_start_s: float
    """From opening the side to the end of its first run: process start and compilation included."""
    rounds: tuple[Mapping[str, float], ...]

    def values(self, figure: str) -> tuple[float, ...]:
        """Return one figure of every round."""
        return tuple(each[figure] for each in self.rounds)


def interleave(sides: Sequence[Side], *, repeats: int, warmups: int = 2) -> dict[str, Series]:
    """Open every side, run each `warmups` times, then `repeats` rounds of one run each."""
    with ExitStack() as stack:
        measures: dict[str, Measure] = {}
        cold: dict[str, float] = {}
        for side in sides:
            start = time.perf_counter()
            measures[side.name] = stack.enter_context(side.open())
            measures[side.name]()
            cold[side.name] = time.perf_counter() - start
        for _ in range(warmups - 1):
            for measure in measures.values():
                measure()
        rounds: dict[str, list[Mapping[str, float]]] = {name: [] for name in measures}
        for _ in range(repeats):
            for name, measure in measures.items():
                rounds[name].append(measure())
    return {
        name: Series(cold_start_s=cold[name], rounds=tuple(found)) for name, found in rounds.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Order statistics of the rounds."""

    min: float
    lower_quartile: float
    median: float
    upper_quartile: float
    max: float


def spread_of(values: Sequence[float]) -> Spread:
    """Return the order statistics of at least one value."""
    low, high = min(values), max(values)
    if len(values) == 1:
        return Spread(min=low, lower_quartile=low, median=low, upper_quartile=high, max=high)
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(min=low, lower_quartile=lower, median=median, upper_quartile=upper, max=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What a number is called, what it counts, and what it should be."""

    name: str
    unit: str
    more_is_better: bool = True
    target: float | None = None
    """A bound on the value itself."""
    ratio_targets: Mapping[str, float] = field(default_factory=dict)
    """By peer: how many times better than it the value should be."""
    limit: float | None = None
    """The best value that the hardware allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of ours, alone or beside one peer."""

    figure: str
    value: float
    unit: str
    more_is_better: bool
    spread: Spread
    repeats: int
    cold_start_s: float
    limit: float | None = None
    fraction: float | None = None
    """Value by limit, or limit by value where less is better: 1 is the best there can be."""
    target: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    peer_spread: Spread | None = None
    peer_cold_start_s: float | None = None
    ratio: float | None = None
    """How many times better than the peer: above 1 is ahead, whichever direction is better."""
    ratio_range: tuple[float, float] | None = None
    """Lowest and highest ratio of a round."""
    ratio_target: float | None = None
    is_met: bool | None = None
    """Whether the target is met; None where there is none."""

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON carries it."""
        return asdict(self)


def build_rows(ours: Series, peers: Mapping[str, Series], figure: Figure) -> tuple[Row, ...]:
    """Return the row of ours, then one for each peer that gave the figure."""
    values = ours.values(figure.name)
    value = statistics.median(values)
    common: dict[str, Any] = {
        "figure": figure.name,
        "value": value,
        "unit": figure.unit,
        "more_is_better": figure.more_is_better,
        "spread": spread_of(values),
        "repeats": len(values),
        "cold_start_s": ours.cold_start_s,
        "limit": figure.limit,
        "fraction": None if figure.limit is None else better(value, figure.limit, figure),
    }
    is_met = None if figure.target is None else better(value, figure.target, figure) >= 1
    rows = [Row(**common, target=figure.target, is_met=is_met)]
    for name, series in peers.items():
        if all(figure.name in each for each in series.rounds):
            rows.append(_beside(common, values, name, series, figure))
    return tuple(rows)


def _beside(
    common: Mapping[str, Any], values: Sequence[float], name: str, series: Series, figure: Figure
) -> Row:
    theirs = series.values(figure.name)
    ratio = better(common["value"], statistics.median(theirs), figure)
    ratios = [better(mine, other, figure) for mine, other in zip(values, theirs, strict=True)]
    wanted = figure.ratio_targets.get(name)
    return Row(
        **common,
        peer=name,
        peer_value=statistics.median(theirs),
        peer_spread=spread_of(theirs),
        peer_cold_start_s=series.cold_start_s,
        ratio=ratio,
        ratio_range=(min(ratios), max(ratios)),
        ratio_target=wanted,
        is_met=None if wanted is None else ratio >= wanted,
    )


def better(value: float, other: float, figure: Figure) -> float:
    """Return how many times better `value` is than `other`."""
    upper, lower = (value, other) if figure.more_is_better else (other, value)
    if lower == 0:
        return 1.0 if upper == 0 else float("inf")
    return upper / lower


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which `percent` of `values` lie, by linear interpolation."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
