"""HdrHistograms of a results file as percentile curves and means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from benchmarks.measures.histograms import Histogram, decode, merged
from benchmarks.results import Repeat

__all__ = ("PERCENTILES", "mean_us", "percentiles", "pooled")

_SHOWN: Final = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.995, 99.999)

PERCENTILES: Final = {percent: -math.log10(1 - percent / 100) for percent in _SHOWN}
"""Each percentile that is drawn, and where on the axis: the count of its nines."""


def pooled(repeats: Iterable[Repeat], name: str) -> Histogram | None:
    """Return one histogram of all repeats' values; None if there are none. What cannot be decoded counts as none."""
    whole = merged(part for repeat in repeats if (part := _decoded(repeat.histograms.get(name))) is not None)
    return whole if whole.total_count else None


def _decoded(text: str | None) -> Histogram | None:
    try:
        return decode(text) if text else None
    except ValueError:
        return None


def percentiles(histogram: Histogram | None) -> list[tuple[float, float]]:
    """Return (nines, microseconds) of a curve, as far as there are values to tell; the last point is the greatest one.

    The greatest of n values is drawn at 1 - 1 / 2n, the middle of the share that it stands for.
    """
    if histogram is None:
        return []
    total = histogram.total_count
    ranks = {
        nines: max(1, histogram.get_target_count_at_percentile(percent))
        for percent, nines in PERCENTILES.items()
        if nines <= math.log10(total)
    }
    ranks[math.log10(2 * total)] = total
    up_to = np.cumsum(np.frombuffer(histogram.counts, np.uint64))
    places = np.searchsorted(up_to, list(ranks.values()))
    return [(nines, float(_highest(histogram, int(place)))) for nines, place in zip(ranks, places, strict=True)]


def _highest(histogram: Histogram, place: int) -> int:
    return histogram.get_highest_equivalent_value(histogram.get_value_from_index(place))


def mean_us(histogram: Histogram | None) -> float | None:
    """Return the mean, each value taken at the middle of its bucket; None without a histogram."""
    if histogram is None:
        return None
    counts = np.frombuffer(histogram.counts, np.uint64)
    filled = np.flatnonzero(counts)
    middles = [(histogram.get_value_from_index(place) + _highest(histogram, place)) / 2 for place in filled.tolist()]
    return float(np.average(middles, weights=counts[filled]))
