"""What a stream has to hold to be good, and how much of a cell was good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from benchmarks.measures.latencies import delay_ns, gaps_ns, ttft_ns
from benchmarks.traces.captures import Integers, Trace
from streams.arguments import shown

__all__ = ("Slo", "goodput")

_NS_PER_MS: Final = 1_000_000
_TOLERATED_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Slo:
    """What a stream has to hold to be good. None: not asked for.

    Attributes:
        ttft_ms: at most this from the scheduled time to the first token.
        itl_ms: at most 1 % of its gaps are longer.
        delay_ms: at most 1 % of its tokens take longer from the source to the client.

    Raises:
        TypeError, ValueError: a limit is no number above 0, or there is none at all.
    """

    ttft_ms: float | None = None
    itl_ms: float | None = None
    delay_ms: float | None = None

    def __post_init__(self) -> None:
        limits = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, limit in limits.items():
            _check_limit(name, limit)
        if not any(limits.values()):
            raise ValueError(f"an Slo needs a limit; give at least one of {', '.join(limits)}")


def _check_limit(name: str, limit: object) -> None:
    accepted = f"{name} must be a finite number of milliseconds above 0, or None: not asked for; got {shown(limit)}"
    if limit is None:
        return
    if not isinstance(limit, int | float) or isinstance(limit, bool):
        raise TypeError(accepted)
    if not 0 < limit < float("inf"):
        raise ValueError(accepted)


def goodput(traces: Sequence[Trace], slo: Slo | None, window_s: float) -> dict[str, float | None]:
    """Streams per second and their tokens per second, over W, of those that are good; and their share of all streams.

    Good: completed, or left as planned, with at least one token and within every limit of the Slo that is stated.
    """
    if slo is None or not traces:
        return {}
    if slo.delay_ms is not None and any(trace.emitted_ns is None and len(trace.received_ns) for trace in traces):
        return {}
    good = [trace for trace in traces if _is_good(trace, slo)]
    return {
        "goodput_streams_per_s": _per_s(len(good), window_s),
        "goodput_tokens_per_s": _per_s(sum(trace.token_count for trace in good), window_s),
        "goodput_share": len(good) / len(traces),
    }


def _is_good(trace: Trace, slo: Slo) -> bool:
    if not trace.outcome.is_good or not len(trace.received_ns):
        return False
    return (
        _share_above(ttft_ns(trace), slo.ttft_ms) == 0
        and _share_above(gaps_ns(trace), slo.itl_ms) <= _TOLERATED_SHARE
        and _share_above(delay_ns(trace), slo.delay_ms) <= _TOLERATED_SHARE
    )


def _share_above(values_ns: Integers, limit_ms: float | None) -> float:
    if limit_ms is None or not len(values_ns):
        return 0.0
    return np.count_nonzero(values_ns > limit_ms * _NS_PER_MS).item() / len(values_ns)


def _per_s(count: int, window_s: float) -> float | None:
    return count / window_s if window_s > 0 else None
