"""Histograms: how they round, that merging is pooling, and that they come back from a file as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.measures.histograms import (
    Histogram,
    decode,
    distributions,
    encoded,
    histogram_of,
    left_out,
    merged,
    percentile,
)
from tests.benchmarks.traces import integers, made

__all__ = ()

durations_ns = st.lists(st.integers(0, 3_600_000_000_000), max_size=50)
HOUR_NS = 3_600_000_000_000


def counts_of(histogram: Histogram) -> list[int]:
    return list(histogram.counts)


@settings(max_examples=20)
@given(durations_ns)
def test_it_counts_as_the_library_does_value_by_value(values_ns: list[int]) -> None:
    one_by_one = HdrHistogram(1, 3_600_000_000, 3)
    for value_ns in values_ns:
        assert one_by_one.record_value((value_ns + 500) // 1000)

    histogram = histogram_of(integers(values_ns))

    assert counts_of(histogram) == list(one_by_one.counts)
    for percent in (0.1, 50, 99.9, 100):
        expected = float(one_by_one.get_value_at_percentile(percent)) if values_ns else None
        assert percentile(histogram, percent) == expected


@given(st.lists(st.integers(0, HOUR_NS), min_size=1, max_size=50), st.sampled_from([50, 90, 99, 100]))
def test_a_percentile_is_the_nearest_rank_within_a_thousandth(values_ns: list[int], percent: int) -> None:
    rank = max(int(percent * len(values_ns) / 100 + 0.5), 1)
    exact_us = sorted(values_ns)[rank - 1] / 1000

    shown_us = percentile(histogram_of(integers(values_ns)), percent)

    assert shown_us is not None
    assert exact_us - 0.5 <= shown_us <= (exact_us + 0.5) * 1.001


@settings(max_examples=20)
@given(st.lists(durations_ns, max_size=4))
def test_merging_gives_the_histogram_of_all_values(parts_ns: list[list[int]]) -> None:
    whole = histogram_of(integers([value for part in parts_ns for value in part]))

    joined = merged(histogram_of(integers(part)) for part in parts_ns)

    assert counts_of(joined) == counts_of(whole)
    assert joined.total_count == whole.total_count
    assert [percentile(joined, each) for each in (50, 99, 100)] == [percentile(whole, each) for each in (50, 99, 100)]


@settings(max_examples=20)
@given(durations_ns)
def test_what_was_encoded_comes_back(values_ns: list[int]) -> None:
    histogram = histogram_of(integers(values_ns))

    again = decode(encoded({"itl_us": histogram})["itl_us"])

    assert counts_of(again) == counts_of(histogram)
    assert again.total_count == len(values_ns)


def test_decoded_histograms_merge_over_repeats() -> None:
    texts = [encoded({"x": histogram_of(integers([each]))})["x"] for each in (1_000_000, 3_000_000)]
    assert percentile(merged(map(decode, texts)), 50) == 1000
    assert percentile(merged(map(decode, texts)), 100) == pytest.approx(3000, rel=0.001)


@pytest.mark.parametrize("text", ["", "nonsense", "AAAA", "HISTFAAAACF42pNpmSzMwMDAxQABzFC"])
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an encoded HdrHistogram"):
        decode(text)


def test_no_values_have_no_percentile() -> None:
    assert percentile(histogram_of(integers([])), 50) is None


def test_beyond_an_hour_is_an_hour() -> None:
    assert percentile(histogram_of(integers([10 * HOUR_NS])), 100) == percentile(histogram_of(integers([HOUR_NS])), 100)


def test_two_clocks_are_no_histogram_and_leave_their_distribution_out() -> None:
    with pytest.raises(ValueError, match="clocks"):
        histogram_of(integers([1, -1]))
    trace = made([10, 20], emitted_ms=[11, 12])
    assert "delay_us" not in distributions([trace])
    assert "itl_us" in distributions([trace])


def test_distribution_that_is_left_out_is_named_with_how_many_values_are_wrong() -> None:
    assert left_out([made([10, 20], emitted_ms=[11, 12])])[:1] == [
        "delay (Delay, source to client) is left out: 1 of 2 values are below 0, the least -1 ms, so that its two "
        "times are not from one clock"
    ]
    assert left_out([made([10, 20], emitted_ms=[1, 2]), made()]) == []


def test_distributions_pool_all_streams_and_name_only_what_has_values() -> None:
    pooled = distributions([made([1, 2, 4]), made([1, 9])])

    assert pooled["itl_us"].total_count == 3
    assert pooled["ttft_us"].total_count == 2
    assert percentile(pooled["itl_us"], 100) == pytest.approx(8000, rel=0.001)
    assert not {"delay_us", "queue_us", "lateness_us", "freshness_us"} & set(pooled)
    assert distributions([]) == {}


def test_a_large_trace_is_counted_whole() -> None:
    gaps_ns = np.random.default_rng(1).integers(0, 50_000_000, 200_000)
    assert sum(counts_of(histogram_of(gaps_ns))) == 200_000
