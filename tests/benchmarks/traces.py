"""Traces made by hand: times in milliseconds since the request was due, as a test thinks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.traces.captures import Integers, Outcome, Times, Trace

__all__ = ("ORIGIN_NS", "integers", "made")

ORIGIN_NS = 7_000_000_000_000
"""Where the clock stood when the request was due: far from 0, as it is in life."""


def made(
    received_ms: Sequence[float] = (),
    *,
    stream_id: str = "s1",
    outcome: Outcome = Outcome.COMPLETED,
    sent_ms: float | None = 0,
    headers_ms: float | None = 0,
    first_event_ms: float | None = None,
    ended_ms: float | None = None,
    seq: Sequence[int] | None = None,
    due_ms: Sequence[float] | None = None,
    emitted_ms: Sequence[float] | None = None,
    taken_ms: Sequence[float] | None = None,
    merged: Sequence[int] | None = None,
    producer: Sequence[int] | None = None,
    statistics: Mapping[str, Any] | None = None,
    samples: Sequence[tuple[float, Mapping[str, Any]]] = (),
    event_count: int | None = None,
    bytes_received: int = 0,
) -> Trace:
    """Make a trace. The first event is the first token and the end the last one, unless they are given."""
    received_ns = _column(received_ms)
    first, last = (received_ms[0], received_ms[-1]) if received_ms else (None, None)
    return Trace(
        stream_id=stream_id,
        times=Times(
            scheduled_ns=ORIGIN_NS,
            sent_ns=_at(sent_ms),
            headers_ns=_at(headers_ms),
            ended_ns=_at(last if ended_ms is None else ended_ms),
        ),
        outcome=outcome,
        detail="",
        received_ns=received_ns,
        seq=None if seq is None else np.array(seq, np.int64),
        due_ns=_column(due_ms),
        emitted_ns=_column(emitted_ms),
        taken_ns=_column(taken_ms),
        merged=np.ones(len(received_ns), np.int64) if merged is None else np.array(merged, np.int64),
        producer=None if producer is None else np.array(producer, np.int64),
        text_lengths=np.ones(len(received_ns), np.int64),
        first_event_ns=_at(first if first_event_ms is None else first_event_ms),
        event_count=len(received_ns) if event_count is None else event_count,
        statistics=statistics,
        samples=tuple((ORIGIN_NS + round(at_ms * 1e6), counts) for at_ms, counts in samples),
        bytes_received=bytes_received,
    )


def _at(time_ms: float | None) -> int | None:
    return None if time_ms is None else ORIGIN_NS + round(time_ms * 1e6)


def _column(times_ms: Sequence[float] | None) -> Any:
    return None if times_ms is None else np.array([_at(each) for each in times_ms], np.int64)


def integers(values: Sequence[int]) -> Integers:
    """Return a column."""
    return np.array(values, np.int64)
