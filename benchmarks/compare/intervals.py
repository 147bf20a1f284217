"""How sure a difference between two small sets of repeats is: two intervals, and why these.

    welch      one cell: its repeats before against its repeats after
    combined   many cells that may all have changed alike: the median of their changes

Both work on plain differences. Whoever wants a ratio gives logarithms: a ratio is what a measurement's noise is
proportional to, and "20 % dearer" then means the same for a cell of 2 us and one of 2 ms.

A bootstrap of one cell would be no honest interval: two repeats have three distinct resamples, and none of them is
outside what was seen. Welch's interval by Student's t is wide where there are few repeats (four to thirteen standard
errors for two), which is the truth about them. Many cells measured twice are another matter: there are enough of them
to resample, and a change of the whole server is in each.

Sources: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are
involved" (1947); B. Efron, "Better bootstrap confidence intervals" (1987), for the percentile interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ("CONFIDENCE", "MIN_CELLS", "Interval", "combined", "spread", "welch")

CONFIDENCE: Final = 0.95
"""Of an interval that is shown."""
MIN_CELLS: Final = 5
"""Fewer cells are not combined: a bootstrap over four would claim more than four can tell."""

_RESAMPLES: Final = 1000
_SEED: Final = 20  # the same files give the same words
_ANGLES: Final = 20_001

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and between which bounds the truth is with the confidence that was asked for.

    Attributes:
        estimate: the most likely value.
        low: the lower bound.
        high: the upper bound.
    """

    estimate: float
    low: float
    high: float


def spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation of repeats, s = sqrt(sum((x - mean)**2) / (n - 1)); None of fewer than two."""
    if len(values) < 2:
        return None
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def welch(
    a: Sequence[float], b: Sequence[float], *, confidence: float = CONFIDENCE, least_spread: float = 0.0
) -> Interval | None:
    """Return the interval of mean(b) - mean(a): the difference -+ t * sqrt(sa**2/na + sb**2/nb).

    Args:
        a: values before.
        b: values after.
        confidence: that the truth is inside.
        least_spread: what sa and sb are at least. Two repeats that agree by luck, or because a clock has coarse steps,
            do not make a measurement exact; what the other cells' repeats differ by says what it is.

    Returns:
        The interval; None if a side has fewer than two values, from which no spread can be told.
    """
    spread_a, spread_b = spread(a), spread(b)
    if spread_a is None or spread_b is None:
        return None
    estimate = fmean(b) - fmean(a)
    part_a = max(spread_a, least_spread) ** 2 / len(a)
    part_b = max(spread_b, least_spread) ** 2 / len(b)
    variance = part_a + part_b
    if variance == 0:
        return Interval(estimate, estimate, estimate)
    freedom = variance**2 / (part_a**2 / (len(a) - 1) + part_b**2 / (len(b) - 1))
    half = _t_quantile(round(freedom, 1), (1 + confidence) / 2) * math.sqrt(variance)
    return Interval(estimate, estimate - half, estimate + half)


@lru_cache(maxsize=1024)
def _t_quantile(freedom: float, probability: float) -> float:
    """Return Student's t quantile. With t = sqrt(f) * tan(x) its density in x is that of cos(x)**(f - 1)."""
    angles = np.linspace(0.0, math.pi / 2, _ANGLES)
    density = np.cos(angles) ** (max(freedom, 1.0) - 1)
    below = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
    angle = float(np.interp(2 * probability - 1, below / below[-1], angles))
    return math.sqrt(freedom) * math.tan(angle)


def combined(
    cells: Sequence[tuple[Sequence[float], Sequence[float]]], *, confidence: float = CONFIDENCE
) -> Interval | None:
    """Return the interval of the change that many cells share: the median of all differences b[j] - a[i] of a cell.

    The median does not care about a repeat that something disturbed, nor about a few cells that are noisier than the
    rest. The interval is the percentile one of a bootstrap over cells; a cell is drawn with all its repeats, because
    what disturbs a cell disturbs them together. It is seeded: equal input gives an equal interval.

    Args:
        cells: (values before, values after) of each; neither is empty.
        confidence: that the truth is inside.

    Returns:
        The interval; None of fewer than MIN_CELLS cells.
    """
    if len(cells) < MIN_CELLS:
        return None
    differences = [np.subtract.outer(np.asarray(b, dtype=float), np.asarray(a, dtype=float)).ravel() for a, b in cells]
    table = _padded(differences)
    drawn = np.random.default_rng(_SEED).integers(len(cells), size=(_RESAMPLES, len(cells)))
    median = np.nanmedian if np.isnan(table).any() else np.median  # the first takes ten times as long
    medians = median(table[drawn].reshape(_RESAMPLES, -1), axis=1)
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(median(table)), float(low), float(high))


def _padded(rows: Sequence[Floats]) -> Floats:
    """Make rows of unequal length one table; what is missing is not a number."""
    table = np.full((len(rows), max(len(row) for row in rows)), np.nan)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = row
    return table
