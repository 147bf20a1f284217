"""One stream as it went: its tokens for a marble diagram, and how fresh they were over time."""

from __future__ import annotations

from typing import Final

import numpy as np

from benchmarks.measures.indexes import coverage, expected_count, missing_indexes
from benchmarks.measures.latencies import freshness
from benchmarks.results import Timeline
from benchmarks.traces.captures import Integers, Outcome, Trace

__all__ = ("MAX_POINTS", "freshness_series", "timeline")

MAX_POINTS: Final = 200

_MAX_TOKENS: Final = 40
_MAX_S: Final = 4.0
_LEAD: Final = 10
_MAX_MISSING: Final = 400
_HELD_BACK_NS: Final = 25_000_000
_PILED_UP_NS: Final = 100_000_000
_NS_PER_MS: Final = 1_000_000
_HELD_KEYS: Final = ("held", "dropped", "merged")


def timeline(trace: Trace, *, max_tokens: int = _MAX_TOKENS, max_s: float = _MAX_S) -> Timeline | None:
    """Cut a piece of a stream out in which its strategy is seen at work.

    It begins with the stream. If nothing is to be seen among its first `max_tokens` tokens, but later on, it begins 10
    tokens before that: before the first loss or merge; else, of a stream that failed, with its last `max_tokens`
    tokens; else where the source was first held back (25 ms behind its schedule), or where tokens piled up behind the
    boundary (100 ms more on their way than the quickest). It ends after `max_tokens` tokens, or before a token that
    was due `max_s` seconds after the first of them.

    Returns:
        The piece, its times in ms since its first token was due; of indexes that never arrived at most the first 400.
        None if the stream does not say what the index and the times of its tokens are, or had none.
    """
    columns = (trace.seq, trace.due_ns, trace.emitted_ns, trace.taken_ns)
    if not len(trace.received_ns) or any(column is None for column in columns):
        return None
    seq, due_ns, emitted_ns, taken_ns = (np.asarray(column, np.int64) for column in columns)
    first = _first_shown(trace, seq, emitted_ns - due_ns, trace.received_ns - taken_ns, max_tokens)
    origin_ns = int(due_ns[first])
    too_late = due_ns[first : first + max_tokens] > origin_ns + round(max_s * 1e9)
    count = int(np.argmax(too_late)) if too_late.any() else len(too_late)
    piece = slice(first, first + count)
    times_ns = (each[piece] for each in (due_ns, emitted_ns, taken_ns, trace.received_ns))
    rows = zip(
        seq[piece].tolist(),
        trace.merged[piece].tolist(),
        *(_ms(each, origin_ns) for each in times_ns),
        strict=True,
    )
    ended_ns = None if trace.outcome is Outcome.LEFT else trace.times.ended_ns
    return Timeline(
        stream_id=trace.stream_id,
        tokens=[list(row) for row in rows],
        missing=_missing(trace, seq, piece),
        held=_held(trace, origin_ns, int(trace.received_ns[piece][-1])),
        ended_ms=None if ended_ns is None else (ended_ns - origin_ns) / _NS_PER_MS,
        outcome=trace.outcome.value,
    )


def _first_shown(trace: Trace, seq: Integers, held_back_ns: Integers, on_its_way_ns: Integers, max_tokens: int) -> int:
    """Find where the piece begins: at 0, or a little before the strategy's first act if that comes too late."""
    merged = trace.merged
    acts = np.concatenate(([merged[0] > 1], (merged[1:] > 1) | (seq[1:] > np.maximum.accumulate(seq + merged)[:-1])))
    if not acts.any() and trace.outcome is Outcome.FAILED:
        return max(0, len(seq) - max_tokens)
    if not acts.any():
        acts = held_back_ns > held_back_ns.min() + _HELD_BACK_NS
    if not acts.any():
        acts = on_its_way_ns > on_its_way_ns.min() + _PILED_UP_NS
    first_act = int(np.argmax(acts))
    return 0 if first_act < max_tokens else first_act - _LEAD


def _missing(trace: Trace, seq: Integers, piece: slice) -> list[int]:
    """List what never arrived between the tokens of a piece. What arrived before or behind it is not missing."""
    if coverage(trace) is None or expected_count(trace) is None:
        return []  # of several producers: what a merged token covers, or how far each had come, is not known
    low, high = int(seq[piece].min()), int((seq + trace.merged)[piece].max())
    near = (seq + trace.merged >= low) & (seq <= high)
    missing = missing_indexes(seq[near], trace.merged[near], _MAX_MISSING)
    return [index for index in missing if low <= index < high]


def _held(trace: Trace, origin_ns: int, until_ns: int) -> list[list[float]]:
    """Give the server's counts on the way, up to the first that came after the piece."""
    rows: list[list[float]] = []
    for received_ns, counts in trace.samples:
        if received_ns >= origin_ns and all(key in counts for key in _HELD_KEYS):
            rows.append([(received_ns - origin_ns) / _NS_PER_MS, *(float(counts[key]) for key in _HELD_KEYS)])
            if received_ns > until_ns:
                break
    return rows


def freshness_series(trace: Trace) -> list[list[float]]:
    """Sample how old the newest token was that the reader had: [ms since the request was due, age in ms].

    Before the first token came it is the time that was waited for it: see `latencies.freshness`.

    At most 200 points: of more samples each point is the oldest of its stretch, so that no stall is thinned away. Empty
    if the stream does not say when tokens were emitted.
    """
    at_ns, age_ns = freshness(trace)
    shown = [_oldest(stretch, age_ns) for stretch in np.array_split(np.arange(len(at_ns)), MAX_POINTS) if len(stretch)]
    return [list(row) for row in zip(_ms(at_ns[shown], trace.times.scheduled_ns), _ms(age_ns[shown], 0), strict=True)]


def _oldest(stretch: Integers, age_ns: Integers) -> int:
    return int(stretch[np.argmax(age_ns[stretch])])


def _ms(times_ns: Integers, origin_ns: int) -> list[float]:
    in_ms: list[float] = ((times_ns - origin_ns) / _NS_PER_MS).tolist()
    return in_ms
