"""Order and loss of one stream, from the indexes of the tokens that arrived. Pure functions.

A token with index a that stands for c tokens covers [a, a + c). Where several producers feed one stream and tokens are
merged, what a merged token covers is not known: its parts came from different producers and are not neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.traces.captures import Integers, Outcome, Trace

__all__ = ("Coverage", "coverage", "expected_count", "inversions", "missing_indexes", "ordering_violations")


def ordering_violations(seq: Integers, producer: Integers | None = None) -> int:
    """Count tokens whose index is lower than that of an earlier token of the same producer.

    Args:
        seq: indexes in order of arrival.
        producer: of each; None: there is one.
    """
    if producer is None:
        return _below_an_earlier(seq)
    return sum(_below_an_earlier(seq[producer == each]) for each in np.unique(producer))


def _below_an_earlier(seq: Integers) -> int:
    return int(np.count_nonzero(seq < np.maximum.accumulate(seq))) if len(seq) else 0


def inversions(seq: Integers) -> int:
    """Count all pairs (i, j) with i before j and seq_i > seq_j, whoever produced them.

    0 for an order that is right; m (m - 1) / 2 for one that is reversed. Equal indexes are no inversion. By merging
    sorted blocks of twice the size each time: O(m log^2 m) at most, at once if the order is right.
    """
    if not np.any(seq[1:] < seq[:-1]):
        return 0
    size = 1 << (len(seq) - 1).bit_length()
    ranks = np.empty(len(seq), np.int64)
    ranks[np.argsort(seq, kind="stable")] = np.arange(len(seq))
    blocks = np.append(ranks, np.arange(len(seq), size))  # filled up with what is in order
    count = 0
    width = 1
    while width < size:
        pairs = blocks.reshape(-1, 2 * width)
        count += _crossing(pairs, width, size)
        blocks = np.sort(pairs, axis=1).ravel()
        width *= 2
    return count


def _crossing(pairs: Integers, width: int, size: int) -> int:
    """Count the inversions between the sorted left and the right half of each row."""
    row = np.arange(len(pairs))[:, None]
    # Rows are set apart by `size`, so that one search serves all.
    left, right = (pairs[:, :width] + row * size).ravel(), (pairs[:, width:] + row * size).ravel()
    not_greater = np.searchsorted(left, right)
    up_to_its_row = np.repeat((row.ravel() + 1) * width, width)
    return int((up_to_its_row - not_greater).sum())


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of a stream arrived, by index.

    Attributes:
        expected: indexes from 0 that should have arrived or be accounted for; None: not known.
        missing: those of them that no token covers; None: not known.
        duplicates: how many times an index was covered again.
    """

    expected: int | None
    missing: int | None
    duplicates: int


def coverage(trace: Trace, expected: int | None = None) -> Coverage | None:
    """Count what is missing and what came twice. O(m log m).

    Args:
        trace: of the stream.
        expected: how many indexes there should be, from 0; None: as `expected_count` says.

    Returns:
        None if tokens bear no index, or if what they cover is not known (see above).
    """
    seq, merged = trace.seq, trace.merged
    if seq is None:
        if len(trace.received_ns) or (expected is None and trace.statistics is None):
            return None
        seq = merged = np.empty(0, np.int64)  # an answer without tokens has no index to bear
    if trace.producer is not None and len(merged) and int(merged.max()) > 1:
        return None
    duplicates = int(merged.sum()) - _covered(seq, merged)
    expected = expected_count(trace) if expected is None else expected
    if expected is None:
        return Coverage(None, None, duplicates)
    within = _covered(seq, np.minimum(merged, np.maximum(expected - seq, 0)))
    return Coverage(expected, expected - within, duplicates)


def expected_count(trace: Trace) -> int | None:
    """Count the indexes from 0 whose fate is known.

    All that the server says it emitted, if the stream has come to its end. Else all up to the highest that arrived: the
    rest may be on its way.

    Returns:
        None for several producers whose stream did not complete: each has its share of the indexes, and how far each
        has come is not known.
    """
    if trace.producer is not None and trace.outcome is not Outcome.COMPLETED:
        return None
    if trace.outcome in (Outcome.COMPLETED, Outcome.FAILED) and trace.statistics is not None:
        return int(trace.statistics["emitted"])
    return 0 if trace.seq is None or not len(trace.seq) else int((trace.seq + trace.merged).max())


def missing_indexes(seq: Integers, merged: Integers, most: int) -> list[int]:
    """List the indexes between the lowest and the highest covered one that none covers: the first `most` of them."""
    order = np.argsort(seq, kind="stable")
    starts = seq[order]
    ends = np.maximum.accumulate(starts + merged[order])
    missing: list[int] = []
    for end, start in zip(ends[:-1].tolist(), starts[1:].tolist(), strict=True):
        missing += range(end, min(start, end + most - len(missing)))
    return missing


def _covered(seq: Integers, merged: Integers) -> int:
    """Measure the union of all [seq, seq + merged)."""
    if not len(seq):
        return 0
    order = np.argsort(seq, kind="stable")
    starts = seq[order]
    ends = starts + merged[order]
    before = np.append(starts[0], np.maximum.accumulate(ends)[:-1])
    return int(np.maximum(ends - np.maximum(starts, before), 0).sum())
