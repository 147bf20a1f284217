"""The registry of measures: what each name means, its formula, its unit and which direction is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from benchmarks.measures.latencies import DISTRIBUTIONS, Distribution

__all__ = ("MEASURES", "SYMBOLS", "Better", "Measure", "percentile_name")

Better = Literal["lower", "higher"]

SYMBOLS: Final = (
    "Of one request: S when the schedule wanted it sent, Q when it was sent, H the first byte of the answer, B the end "
    "of the body. Of token event i of a stream, 1 to m in order of arrival: D_i when the source's schedule wanted it, "
    "E_i when it left the source, K_i when the server's tail took it from the boundary, R_i when the client received "
    "it, a_i its index, c_i how many tokens it stands for (1 unless merged; then D_i, E_i and a_i are its first "
    "part's). n is the sum of all c_i of a stream, W the measured window: from the first request's S to the last byte."
)
"""What the letters of the formulas stand for, for the report."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one name means.

    Attributes:
        name: the key in `MEASURES` and in a results file; it ends in the unit where there is one.
        title: for people.
        unit: "tokens/s", "ms", "share" (0 to 1), "tokens", ...
        formula: one sentence, in the letters of `SYMBOLS`.
        better: which direction; None: neither.
        group: what it belongs to: throughput, start, gaps, end, delay, freshness, order, loss, server, goodput,
            outcome.
    """

    name: str
    title: str
    unit: str
    formula: str
    better: Better | None
    group: str


_TITLES: Final = {50: "median", 90: "p90", 99: "p99", 100: "greatest"}
_WHICH: Final = {50: "median", 90: "90th percentile", 99: "99th percentile", 100: "greatest"}


def percentile_name(name: str, distribution: Distribution, percent: int) -> str:
    """Return the measure's name for one percentile of a distribution: "ttft_p99_ms"."""
    if len(distribution.percentiles) == 1:
        return f"{name}_ms"
    return f"{name}_max_ms" if percent == 100 else f"{name}_p{percent}_ms"


def _percentile_measures() -> Iterator[Measure]:
    for name, each in DISTRIBUTIONS.items():
        for percent in each.percentiles:
            yield Measure(
                percentile_name(name, each, percent),
                f"{each.title}, {_TITLES[percent]}",
                "ms",
                f"{_WHICH[percent]} of all {each.formula}, {each.one_per}.",
                "lower",
                each.group,
            )


_RATES: Final = (
    Measure("tokens_per_s", "Tokens received", "tokens/s", "sum of n over all streams / W.", "higher", "throughput"),
    Measure(
        "events_per_s",
        "Events received",
        "events/s",
        "events of all streams, with and without content, heartbeats not, / W.",
        None,
        "throughput",
    ),
    Measure(
        "bytes_per_s", "Bytes received", "bytes/s", "bytes of all bodies, framing included, / W.", None, "throughput"
    ),
)
_ORDER_AND_LOSS: Final = (
    Measure(
        "ordering_violations",
        "Tokens out of order within a producer",
        "tokens",
        "count of i whose a_i is lower than an earlier a of the same producer.",
        "lower",
        "order",
    ),
    Measure(
        "inversions",
        "Inversions over all producers",
        "pairs",
        "count of all pairs i < j with a_i > a_j in a stream, not only adjacent ones.",
        "lower",
        "order",
    ),
    Measure(
        "duplicates",
        "Tokens that came twice",
        "tokens",
        "sum of n less the count of distinct indexes in all [a_i, a_i + c_i).",
        "lower",
        "order",
    ),
    Measure(
        "missing",
        "Tokens that never came",
        "tokens",
        "indexes that no [a_i, a_i + c_i) covers, from 0 up to all that the server emitted if the stream has come to "
        "its end, else up to the highest that came; not known of several producers whose stream did not complete.",
        "lower",
        "loss",
    ),
    Measure("loss_share", "Share of tokens lost", "share", "missing / indexes that were expected.", "lower", "loss"),
    Measure(
        "merged_tokens",
        "Tokens merged into another",
        "tokens",
        "sum of (c_i - 1): their text came, in fewer events.",
        None,
        "loss",
    ),
    Measure(
        "coalesced_gaps",
        "Gaps of zero",
        "gaps",
        "count of R_i+1 - R_i = 0: two tokens came in one piece of the socket, which is legal.",
        None,
        "gaps",
    ),
)
_SERVER: Final = (
    Measure(
        "peak_held",
        "Most tokens held at once",
        "tokens",
        "the greatest number that the boundary of one stream held, as the server counted it.",
        "lower",
        "server",
    ),
    Measure(
        "server_kib_per_stream",
        "Server memory per stream",
        "KiB",
        "(resident memory of the server at its peak - before the first request) / streams open at a time.",
        "lower",
        "server",
    ),
    Measure(
        "cpu_s_per_million_tokens",
        "Server CPU per million tokens",
        "s",
        "CPU seconds of the server's process over W * 10^6 / sum of n that were received.",
        "lower",
        "server",
    ),
)
_GOOD: Final = "that completed or left as planned, with a token, and hold the stated limits"
_RESULTS: Final = (
    Measure("goodput_streams_per_s", "Good streams", "streams/s", f"streams {_GOOD}, / W.", "higher", "goodput"),
    Measure(
        "goodput_tokens_per_s",
        "Tokens of good streams",
        "tokens/s",
        f"sum of n of streams {_GOOD}, / W.",
        "higher",
        "goodput",
    ),
    Measure("goodput_share", "Share of good streams", "share", f"streams {_GOOD}, / all streams.", "higher", "goodput"),
    Measure("streams_completed", "Streams completed", "streams", "streams whose own end marker came.", None, "outcome"),
    Measure("streams_left", "Streams left as planned", "streams", "streams that their client left.", None, "outcome"),
    Measure(
        "streams_failed",
        "Streams failed",
        "streams",
        "all others: unreachable, refused, not a stream, failed, malformed, cut, stuck.",
        "lower",
        "outcome",
    ),
)

MEASURES: Final[Mapping[str, Measure]] = MappingProxyType(
    {each.name: each for each in (*_RATES, *_percentile_measures(), *_ORDER_AND_LOSS, *_SERVER, *_RESULTS)}
)
"""Every measure by its name, in the order in which they are printed."""
