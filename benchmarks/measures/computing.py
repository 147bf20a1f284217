"""What is measured: pure functions from traces to numbers, each with its formula.

`MEASURES` is the registry (`benchmarks.measures.formulas`): what a name means, its unit, and which direction is better.
`measure` gives a value, or None where it cannot be computed, for exactly those names. NaN and infinity never appear.

A formula's letters are explained in `SYMBOLS`. Percentiles are of all values of all streams, from HdrHistograms
(`benchmarks.measures.histograms` says how they round), by nearest rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.measures.formulas import MEASURES, SYMBOLS, Better, Measure, percentile_name
from benchmarks.measures.goodput import Slo, goodput
from benchmarks.measures.histograms import Histogram, distributions, percentile
from benchmarks.measures.indexes import Coverage, coverage, inversions, ordering_violations
from benchmarks.measures.latencies import DISTRIBUTIONS, gaps_ns
from benchmarks.traces.captures import Integers, Outcome, Trace

__all__ = ("MEASURES", "SYMBOLS", "Better", "Measure", "ServerCost", "Slo", "measure", "per_stream")

_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class ServerCost:
    """What the streams of a cell cost their server. None: not known on this system.

    Attributes:
        cpu_s: of the process, over the window.
        idle_bytes: resident before the first request.
        peak_bytes: resident at most, while it served.
        streams: how many were open at a time, at most.
        peak_held: the greatest `peak_held` of its records; None: take it from the traces.
    """

    cpu_s: float | None = None
    idle_bytes: int | None = None
    peak_bytes: int | None = None
    streams: int = 1
    peak_held: int | None = None


def measure(
    traces: Sequence[Trace],
    *,
    began_ns: int,
    ended_ns: int,
    slo: Slo | None = None,
    server: ServerCost | None = None,
    histograms: Mapping[str, Histogram] | None = None,
) -> dict[str, float | None]:
    """Compute all measures of one repeat of a cell.

    Args:
        traces: all its streams, whatever came of them.
        began_ns: when the first request was due: with `ended_ns` the window W that rates are divided by.
        ended_ns: when the last byte came.
        slo: what a good stream holds; None: goodput is not measured.
        server: what the server spent; None: not measured.
        histograms: what `distributions(traces)` gave, if it is there already.

    Returns:
        A value or None for each name in `MEASURES`, in their order.
    """
    window_s = (ended_ns - began_ns) / 1e9
    values = {
        **_rates(traces, window_s),
        **_percentiles(distributions(traces) if histograms is None else histograms),
        **_order(traces),
        **_loss(traces),
        **_server(traces, server),
        **goodput(traces, slo, window_s),
        **_outcomes(traces),
    }
    return {name: values.get(name) for name in MEASURES}


def per_stream(traces: Sequence[Trace]) -> dict[str, list[Any]]:
    """Return the raw values of each stream in columns, for `results.Repeat.per_stream`."""

    def one(values_ns: Integers) -> float | None:
        return values_ns[0].item() / _NS_PER_MS if len(values_ns) else None

    return {
        "stream_id": [trace.stream_id for trace in traces],
        "outcome": [trace.outcome.value for trace in traces],
        "detail": [trace.detail for trace in traces],
        "tokens": [trace.token_count for trace in traces],
        "events": [trace.event_count for trace in traces],
        "bytes": [trace.bytes_received for trace in traces],
        **{
            f"{name}_ms": [one(DISTRIBUTIONS[name].values_ns(trace)) for trace in traces]
            for name in ("ttfb", "first_event", "ttft", "ttft_from_send", "tpot", "e2e", "e2e_body")
        },
    }


# --- The groups --------------------------------------------------------------------------------------------------


def _rates(traces: Sequence[Trace], window_s: float) -> dict[str, float | None]:
    """tokens_per_s = sum of all n / W; events_per_s and bytes_per_s the same of events (heartbeats not) and bytes."""
    sums = {
        "tokens_per_s": sum(trace.token_count for trace in traces),
        "events_per_s": sum(trace.event_count for trace in traces),
        "bytes_per_s": sum(trace.bytes_received for trace in traces),
    }
    return {name: _ratio(total, window_s) for name, total in sums.items()}


def _percentiles(histograms: Mapping[str, Histogram]) -> dict[str, float | None]:
    """X_p99_ms = the value that 99 % of all X do not exceed; `latencies.DISTRIBUTIONS` says what X is."""
    values: dict[str, float | None] = {}
    for name, distribution in DISTRIBUTIONS.items():
        histogram = histograms.get(f"{name}_us")
        for percent in distribution.percentiles:
            value_us = None if histogram is None else percentile(histogram, percent)
            values[percentile_name(name, distribution, percent)] = None if value_us is None else value_us / _MS_PER_S
    return values


def _order(traces: Sequence[Trace]) -> dict[str, float | None]:
    """ordering_violations: i with a_i < an earlier a of its producer; inversions: pairs i < j with a_i > a_j."""
    indexed = [(trace.seq, trace.producer) for trace in traces if trace.seq is not None]
    if not indexed:
        return {}
    return {
        "ordering_violations": sum(ordering_violations(seq, producer) for seq, producer in indexed),
        "inversions": sum(inversions(seq) for seq, _ in indexed),
    }


def _loss(traces: Sequence[Trace]) -> dict[str, float | None]:
    """missing: indexes no [a_i, a_i + c_i) covers; duplicates: covered again; loss_share = missing / those expected.

    merged_tokens = sum of (c_i - 1); coalesced_gaps = gaps R_i+1 - R_i that are 0.
    """
    gaps = [gaps_ns(trace) for trace in traces if len(trace.received_ns) > 1]
    values: dict[str, float | None] = {
        "coalesced_gaps": sum(len(each) - np.count_nonzero(each).item() for each in gaps) if gaps else None
    }
    if any(trace.seq is not None for trace in traces):
        values["merged_tokens"] = sum(trace.token_count - len(trace.merged) for trace in traces)
    covered = list(map(coverage, traces))
    if all(each is None for each in covered) or _any_unknown(traces, covered):
        return values
    known = [each for each in covered if each is not None]
    values["duplicates"] = sum(each.duplicates for each in known)
    counts = [(each.missing, each.expected) for each in known if each.missing is not None and each.expected is not None]
    if len(counts) == len(known):
        missing, expected = (sum(column) for column in zip(*counts, strict=True))
        values |= {"missing": missing, "loss_share": _ratio(missing, expected)}
    return values


def _any_unknown(traces: Sequence[Trace], covered: Sequence[Coverage | None]) -> bool:
    """Say whether tokens arrived of which it is not known what they cover."""
    return any(each is None and len(trace.received_ns) for trace, each in zip(traces, covered, strict=True))


def _server(traces: Sequence[Trace], server: ServerCost | None) -> dict[str, float | None]:
    """cpu_s_per_million_tokens = CPU / sum of all n * 10^6; server_kib_per_stream = (peak - idle) / open streams.

    peak_held = the greatest of all streams, as the server counted it.
    """
    values: dict[str, float | None] = {"peak_held": _peak_held(traces)}
    if server is None:
        return values
    if server.peak_held is not None:
        values["peak_held"] = server.peak_held
    if server.cpu_s is not None:
        values["cpu_s_per_million_tokens"] = _ratio(server.cpu_s * 1e6, sum(trace.token_count for trace in traces))
    if server.idle_bytes is not None and server.peak_bytes is not None:
        grown_kib = (server.peak_bytes - server.idle_bytes) / _KIB
        values["server_kib_per_stream"] = _ratio(grown_kib, server.streams)
    return values


def _peak_held(traces: Iterable[Trace]) -> int | None:
    """Take what the server's end event or its counts on the way say: the greatest."""
    peaks = [
        int(counts["peak_held"])
        for trace in traces
        for counts in (trace.statistics, *(each for _, each in trace.samples))
        if counts is not None and "peak_held" in counts
    ]
    return max(peaks, default=None)


def _outcomes(traces: Sequence[Trace]) -> dict[str, float | None]:
    """streams_completed, streams_left: how many ended so; streams_failed: all others."""
    completed, left = (
        sum(trace.outcome is outcome for trace in traces) for outcome in (Outcome.COMPLETED, Outcome.LEFT)
    )
    return {
        "streams_completed": completed,
        "streams_left": left,
        "streams_failed": len(traces) - completed - left,
    }


def _ratio(number: float, divisor: float) -> float | None:
    return number / divisor if divisor > 0 else None
