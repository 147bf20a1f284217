"""Times of one stream, as arrays in nanoseconds: what the distributions of a cell are made of.

    S  when the schedule wanted the request sent     D  when a token was due
    Q  when it was sent                              E  when it left the source (emitted)
    H  the first byte of the answer                  K  when the server's tail took it from the boundary
    B  the end of the body                           R  when the client received it

i counts the token events of a stream in order of arrival, from 1 to m; they stand for n tokens (n > m if some are
merged). Every function returns an array: one value per token event, or one per stream, or none where the trace does not
hold what is needed. A merged token has D and E of its first part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from benchmarks.traces.captures import Integers, Outcome, Trace

__all__ = (
    "DISTRIBUTIONS",
    "FRESHNESS_SAMPLES",
    "FRESHNESS_STEP_NS",
    "Distribution",
    "freshness",
    "gaps_ns",
    "tpot_ns",
    "ttft_ns",
)

FRESHNESS_STEP_NS: Final = 10_000_000
FRESHNESS_SAMPLES: Final = 200
_NONE: Final[Integers] = np.empty(0, np.int64)


def _span(start_ns: int | None, end_ns: int | None) -> Integers:
    """One value, or none where one of both is not known."""
    return _NONE if start_ns is None or end_ns is None else np.array([end_ns - start_ns], np.int64)


def _first(column: Integers) -> int | None:
    return int(column[0]) if len(column) else None


def _last(column: Integers) -> int | None:
    return int(column[-1]) if len(column) else None


def _between(start_ns: Integers | None, end_ns: Integers | None) -> Integers:
    return _NONE if start_ns is None or end_ns is None else end_ns - start_ns


# --- One value per stream ----------------------------------------------------------------------------------------


def ttfb_ns(trace: Trace) -> Integers:
    """H - S: to the first byte of the answer."""
    return _span(trace.times.scheduled_ns, trace.times.headers_ns)


def first_event_ns(trace: Trace) -> Integers:
    """First event - S: with content or without, such as a chunk with a role alone."""
    return _span(trace.times.scheduled_ns, trace.first_event_ns)


def ttft_ns(trace: Trace) -> Integers:
    """R_1 - S: to the first content that is not empty, from the scheduled time."""
    return _span(trace.times.scheduled_ns, _first(trace.received_ns))


def ttft_from_send_ns(trace: Trace) -> Integers:
    """R_1 - Q: the same from when the request was written, which hides a client that is late."""
    return _span(trace.times.sent_ns, _first(trace.received_ns))


def tpot_ns(trace: Trace) -> Integers:
    """(R_m - R_1) / (n - 1): mean time per token after the first. None for a stream of fewer than two events."""
    if len(trace.received_ns) < 2:
        return _NONE
    span_ns = int(trace.received_ns[-1]) - int(trace.received_ns[0])
    return np.array([round(span_ns / (trace.token_count - 1))], np.int64)


def e2e_ns(trace: Trace) -> Integers:
    """R_m - S: to the last content. Completed streams only: others have no last content."""
    return _span(trace.times.scheduled_ns, _last(trace.received_ns)) if _is_complete(trace) else _NONE


def e2e_body_ns(trace: Trace) -> Integers:
    """B - S: to the end of the body. Completed streams only."""
    return _span(trace.times.scheduled_ns, trace.times.ended_ns) if _is_complete(trace) else _NONE


def _is_complete(trace: Trace) -> bool:
    return trace.outcome is Outcome.COMPLETED


# --- One value per token event -----------------------------------------------------------------------------------


def gaps_ns(trace: Trace) -> Integers:
    """R_i+1 - R_i: every gap between token events. 0 where two came in one piece."""
    return np.diff(trace.received_ns)


def delay_ns(trace: Trace) -> Integers:
    """R_i - E_i: from the source to the client. It is queue + socket."""
    return _between(trace.emitted_ns, trace.received_ns)


def queue_ns(trace: Trace) -> Integers:
    """K_i - E_i: in the stream's boundary, where the strategy rules."""
    return _between(trace.emitted_ns, trace.taken_ns)


def socket_ns(trace: Trace) -> Integers:
    """R_i - K_i: in the server's tail, the kernel, the client's socket buffer and the client."""
    return _between(trace.taken_ns, trace.received_ns)


def lateness_ns(trace: Trace) -> Integers:
    """R_i - D_i: from the scheduled time to the client. It is pacing + delay, so a source that is held back shows."""
    return _between(trace.due_ns, trace.received_ns)


def pacing_ns(trace: Trace) -> Integers:
    """E_i - D_i: how late the source was: made to wait, or not on time by itself."""
    return _between(trace.due_ns, trace.emitted_ns)


# --- Sampled over time -------------------------------------------------------------------------------------------


def freshness(trace: Trace) -> tuple[Integers, Integers]:
    """Sample the age of the newest token that the reader has: t - max(E_i for R_i <= t).

    t goes from the moment when the token with index 0 was due to B, or from S if that token never came. Until the first
    token comes the age is counted from there: a reader that has nothing yet is as far behind as that. The steps are
    even: 10 ms, or a 200th of the whole time if that is less, so that a short stream has as many samples.

    What a merged token ends with is newer than E, which is its first part's:
    its c parts are held to be spread evenly up to the next token's E, so that the newest is
    E + (next E - E)(c - 1) / c, but never after K. The last one of a stream takes the spread of the one before it.

    Args:
        trace: of a stream that says when tokens were emitted and of which one came; of others both arrays are empty.

    Returns:
        The times t, and the ages.
    """
    if trace.emitted_ns is None or not len(trace.received_ns):
        return _NONE, _NONE
    start_ns, last_ns = _freshness_start_ns(trace), int(trace.received_ns[-1])
    end_ns = max(last_ns, trace.times.ended_ns or last_ns)
    step_ns = max(min(FRESHNESS_STEP_NS, (end_ns - start_ns) // FRESHNESS_SAMPLES), 1)
    at_ns = np.arange(start_ns, end_ns + 1, step_ns, dtype=np.int64)
    newest_ns = np.maximum.accumulate(np.append(start_ns, _newest_part_ns(trace, trace.emitted_ns)))
    read_count = np.searchsorted(trace.received_ns, at_ns, side="right")
    return at_ns, at_ns - newest_ns[read_count]


def _freshness_start_ns(trace: Trace) -> int:
    """Return D of index 0, or S: what is behind either has to be waited for. Never later than the first arrival."""
    start_ns = trace.times.scheduled_ns
    if trace.due_ns is not None and trace.seq is not None:
        due_ns = trace.due_ns[trace.seq == 0]
        start_ns = start_ns if not len(due_ns) else int(due_ns[0])
    return min(start_ns, int(trace.received_ns[0]))


def freshness_ns(trace: Trace) -> Integers:
    """Return t - max(E_i for R_i <= t), the ages alone. See `freshness`."""
    return freshness(trace)[1]


def _newest_part_ns(trace: Trace, emitted_ns: Integers) -> Integers:
    """When the last part of each token was emitted; for a token that is not merged this is exactly E."""
    if len(emitted_ns) < 2 or int(trace.merged.max()) == 1:
        return emitted_ns
    per_part_ns = np.maximum(np.diff(emitted_ns), 0) // trace.merged[:-1]
    per_part_ns = np.append(per_part_ns, per_part_ns[-1])
    estimate_ns = emitted_ns + per_part_ns * (trace.merged - 1)
    latest_ns = trace.received_ns if trace.taken_ns is None else trace.taken_ns
    return np.maximum(emitted_ns, np.minimum(estimate_ns, latest_ns))


# --- All of them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values that are pooled over the streams of a cell.

    Attributes:
        title: for people.
        group: what it belongs to: start, gaps, end, delay, freshness.
        formula: of one value, in the symbols above.
        values_ns: of one trace.
        percentiles: which are measures; 100 is the greatest value.
        one_per: of what there is one value, in words.
    """

    title: str
    group: str
    formula: str
    values_ns: Callable[[Trace], Integers]
    percentiles: tuple[int, ...]
    one_per: str


_STREAM: Final = "one per stream"
_TOKEN: Final = "one per token event"
_P: Final = (50, 90, 99)
_P_MAX: Final = (50, 90, 99, 100)

DISTRIBUTIONS: Final[Mapping[str, Distribution]] = MappingProxyType(
    {
        "ttfb": Distribution("Time to first byte", "start", "H - S", ttfb_ns, (50,), _STREAM),
        "first_event": Distribution(
            "Time to first event", "start", "first event, with content or without, - S", first_event_ns, (50,), _STREAM
        ),
        "ttft": Distribution("Time to first token", "start", "R_1 - S", ttft_ns, _P, _STREAM),
        "ttft_from_send": Distribution(
            "Time to first token, from send", "start", "R_1 - Q", ttft_from_send_ns, _P, _STREAM
        ),
        "itl": Distribution(
            "Gap between tokens (ITL)", "gaps", "R_i+1 - R_i", gaps_ns, _P_MAX, "pooled over all streams"
        ),
        "tpot": Distribution("Time per token (TPOT)", "gaps", "(R_m - R_1) / (n - 1)", tpot_ns, _P, _STREAM),
        "e2e": Distribution(
            "End to end, to the last content", "end", "R_m - S of completed streams", e2e_ns, _P, _STREAM
        ),
        "e2e_body": Distribution(
            "End to end, to the end of the body", "end", "B - S of completed streams", e2e_body_ns, _P, _STREAM
        ),
        "lateness": Distribution(
            "Lateness, from the scheduled time", "delay", "R_i - D_i = pacing + delay", lateness_ns, _P_MAX, _TOKEN
        ),
        "pacing": Distribution(
            "Of it: the source was late or made to wait", "delay", "E_i - D_i", pacing_ns, _P_MAX, _TOKEN
        ),
        "delay": Distribution(
            "Delay, source to client", "delay", "R_i - E_i = queue + socket", delay_ns, _P_MAX, _TOKEN
        ),
        "queue": Distribution("Of it: held in the boundary", "delay", "K_i - E_i", queue_ns, _P_MAX, _TOKEN),
        "socket": Distribution("Of it: server's tail, kernel, client", "delay", "R_i - K_i", socket_ns, _P_MAX, _TOKEN),
        "freshness": Distribution(
            "Age of the newest token the reader has",
            "freshness",
            "t - max(E_i for R_i <= t), or t - t_0 until R_1, with t from t_0 to B in steps of 10 ms or (B - t_0) / "
            "200 if that is less, where t_0 is D of index 0, or S if it never came",
            freshness_ns,
            (50, 99, 100),
            "sampled over each stream",
        ),
    }
)
"""By the name that its measures and its histogram begin with."""
