"""Distributions as HdrHistograms: pooled over streams and repeats, and kept in a results file.

Values are whole microseconds from 0 to one hour, with three significant digits. What that costs: half a microsecond by
rounding, and at most 0.1 % upwards, since a percentile is the greatest value that its bucket stands for. Below 2 ms a
bucket is one microsecond. What is above an hour is counted as one hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import numpy as np
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from benchmarks.measures.latencies import DISTRIBUTIONS, Distribution
from benchmarks.traces.captures import Integers, Trace

__all__ = ("Histogram", "decode", "distributions", "encoded", "histogram_of", "left_out", "merged", "percentile")

_HDR: Final[Any] = HdrHistogram  # it has no types
_LOWEST_US: Final = 1
_HIGHEST_US: Final = 3_600_000_000
_DIGITS: Final = 3
_EXACT_BITS: Final = 11  # 2 * 10**3 values fit into 11 bits: a bucket keeps so many leading bits of a value
_NS_PER_US: Final = 1000
_NS_PER_MS: Final = 1_000_000


class Histogram(Protocol):
    """What is used of hdrh's HdrHistogram, whose instances these are."""

    counts: Any
    total_count: int

    def record_value(self, value: int, count: int = 1) -> bool:
        """Add a value so many times; False if it is out of range."""
        ...

    def add(self, other_hist: Histogram) -> None:
        """Add all values of another one."""

    def encode(self) -> bytes:
        """Return it in the V2 compressed form, as base64."""
        ...

    def get_value_from_index(self, index: int) -> int:
        """Return the lowest value that is counted at a place of `counts`."""
        ...

    def get_highest_equivalent_value(self, value: int) -> int:
        """Return the highest value that is counted together with `value`."""
        ...

    def get_target_count_at_percentile(self, percentile: float) -> int:
        """Return how many values, from the lowest, a percentile takes in."""
        ...


def histogram_of(values_ns: Integers) -> Histogram:
    """Make a histogram of nanoseconds.

    Raises:
        ValueError: a value is below 0: its two times are not from one clock.
    """
    histogram = _empty()
    if not len(values_ns):
        return histogram
    if int(values_ns.min()) < 0:
        raise ValueError(f"values must be at least 0 ns; got {int(values_ns.min())}: the clocks are not one")
    values_us = np.minimum((values_ns + _NS_PER_US // 2) // _NS_PER_US, _HIGHEST_US)
    # Each call is slow, so there is one for each bucket and not for each value.
    bits_beyond = np.maximum(np.frexp(values_us.astype(np.float64))[1] - _EXACT_BITS, 0)
    buckets_us, counts = np.unique(values_us >> bits_beyond << bits_beyond, return_counts=True)
    for value_us, count in zip(buckets_us.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value_us, count)
    return histogram


def _empty() -> Histogram:
    return cast("Histogram", _HDR(_LOWEST_US, _HIGHEST_US, _DIGITS))


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Pool histograms: the result is the histogram of all their values."""
    result = _empty()
    for each in histograms:
        if each.total_count:
            result.add(each)
    return result


def percentile(histogram: Histogram, percent: float) -> float | None:
    """Return the microseconds that `percent` of the values do not exceed (nearest rank); None if there are no values.

    The library's own answer, without its walk through all counts in Python.
    """
    if not histogram.total_count:
        return None
    rank = histogram.get_target_count_at_percentile(percent)
    up_to = np.cumsum(np.frombuffer(histogram.counts, np.uint64))
    lowest_us = histogram.get_value_from_index(int(np.searchsorted(up_to, rank)))
    return float(histogram.get_highest_equivalent_value(lowest_us))


def distributions(traces: Sequence[Trace]) -> dict[str, Histogram]:
    """Pool all distributions of `traces`: "ttft_us", "itl_us", "delay_us", ... as in `latencies.DISTRIBUTIONS`.

    Returns:
        Those that have a value. One whose times are not from one clock, so that a value is below 0, is left out;
        `left_out` names it.
    """
    pooled = ((name, _pooled_ns(distribution, traces)) for name, distribution in DISTRIBUTIONS.items())
    return {f"{name}_us": histogram_of(values) for name, values in pooled if len(values) and int(values.min()) >= 0}


def _pooled_ns(distribution: Distribution, traces: Sequence[Trace]) -> Integers:
    return np.concatenate([np.empty(0, np.int64), *map(distribution.values_ns, traces)])


def left_out(traces: Sequence[Trace]) -> list[str]:
    """Name the distributions that `distributions` has to leave out because of values below 0, a line each."""
    lines: list[str] = []
    for name, distribution in DISTRIBUTIONS.items():
        values_ns = _pooled_ns(distribution, traces)
        if below := np.count_nonzero(values_ns < 0).item():
            lines.append(
                f"{name} ({distribution.title}) is left out: {below} of {len(values_ns)} values are below 0, the "
                f"least {int(values_ns.min()) / _NS_PER_MS:.3g} ms, so that its two times are not from one clock"
            )
    return lines


def encoded(histograms: Mapping[str, Histogram]) -> dict[str, str]:
    """Return each in HdrHistogram's V2 compressed form as base64, which other tools read, too."""
    return {name: histogram.encode().decode("ascii") for name, histogram in histograms.items()}


def decode(text: str) -> Histogram:
    """Read what `encoded` wrote.

    Raises:
        ValueError: it is no such histogram.
    """
    try:
        return cast("Histogram", _HDR.decode(text))
    except Exception as error:  # the library raises its own, zlib's, base64's and ctypes' errors
        raise ValueError(f"not an encoded HdrHistogram: {error or type(error).__name__}") from error
