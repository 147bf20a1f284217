"""Whether all tokens of a cell are accounted for: by the server's own counts, and between server and client.

Of every stream that the server has a record of:

    emitted == delivered + dropped + merged + rejected + held

Of a stream whose client saw it complete, and so has read all that the server wrote:

    events that arrived == delivered             each delivered item is one event; so also where it saw it fail
    tokens merged away  == merged                where tokens bear indexes
    indexes missing     == dropped + rejected    the same

Of one that was left or cut, events that arrived <= delivered; the difference is in transit: written, and never read.
Of any stream with an id the server has a record within RECORDS_WAIT_S of its end, and of any that one producer feeds

    indexes missing below the highest that came  <= dropped + rejected
    tokens merged away                           <= merged
In no stream does an index arrive twice, or a token behind a later one of its producer. The strategy `missing` has no
boundary, so there delivered counts what was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from benchmarks.measures.indexes import coverage, ordering_violations
from benchmarks.scenarios.cells import Cell
from benchmarks.traces.captures import Outcome, Trace

__all__ = ("RECORDS_WAIT_S", "Accounting", "account")

RECORDS_WAIT_S: Final = 3.0
"""How long whoever reads the server's log waits for the record of a stream that has ended for its client."""

_PARTS: Final = ("delivered", "dropped", "merged", "rejected", "held")
_OF_SERVER: Final = ("emitted", *_PARTS)
_OF_CLIENT: Final = ("received", "in_transit", "duplicates", "missing", "unrecorded")
_INDEXED_PROFILES: Final = ("completion", "ndjson")
_NO_STREAM: Final = (Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.NOT_A_STREAM)


@dataclass(frozen=True, slots=True)
class Accounting:
    """What came of all tokens of a cell.

    Attributes:
        counts: summed over all streams: emitted, delivered, dropped, merged, rejected and held as the server's records
            say; received (events with content), in_transit (delivered and not received), duplicates and missing (by
            index, where that is known) as the client saw it; unrecorded: streams with an id that the server
            has no record of, each of which is a violation.
        violations: what did not add up, one line each, with the stream, what should be equal, and both numbers; empty:
            all did.
    """

    counts: dict[str, int]
    violations: list[str]


class _Record(NamedTuple):
    """What the server said of a stream that has ended; without the log's line around it the reason is not known."""

    counts: Mapping[str, int]
    reason: str

    @property
    def absent(self) -> list[str]:
        return [name for name in _OF_SERVER if name not in self.counts]


def account(traces: Sequence[Trace], server_records: Mapping[str, Mapping[str, Any]], cell: Cell) -> Accounting:
    """Check every stream, from both ends.

    Args:
        traces: of all clients of the cell.
        server_records: by the stream's id, the record that the server logs of each stream that has ended, or only the
            statistics in it. Read when all streams have ended.
        cell: what was asked for: whether tokens should bear indexes.
    """
    records = {
        stream_id: _Record(record.get("statistics", record), record.get("reason", ""))
        for stream_id, record in server_records.items()
    }
    counts: dict[str, int] = {name: 0 for name in (*_OF_SERVER, *_OF_CLIENT)}  # noqa: C420 - typed by its annotation
    violations: list[str] = []
    for stream_id, record in records.items():
        for name in _OF_SERVER:
            counts[name] += record.counts.get(name, 0)
        violations += _identity(stream_id, record)
    for trace in traces:
        found = records.get(trace.stream_id)
        _add(counts, trace, found)
        violations += _of_trace(trace, found, cell)
    violations += _shared_ids(traces)
    return Accounting(counts, violations)


def _add(counts: dict[str, int], trace: Trace, record: _Record | None) -> None:
    """Add what one client saw."""
    received = len(trace.received_ns)
    counts["received"] += received
    if record is not None:
        counts["in_transit"] += max(record.counts.get("delivered", 0) - received, 0)
    elif _should_be_recorded(trace):
        counts["unrecorded"] += 1
    if (covered := coverage(trace)) is not None:
        counts["duplicates"] += covered.duplicates
        counts["missing"] += covered.missing or 0


# --- What has to hold --------------------------------------------------------------------------------------------


def _identity(stream_id: str, record: _Record) -> Iterator[str]:
    if record.absent:
        yield f"stream {stream_id}: the server's record does not say {', '.join(record.absent)}"
        return
    emitted, parts = record.counts["emitted"], [record.counts[name] for name in _PARTS]
    if emitted != sum(parts):
        yield (
            f"stream {stream_id}: emitted == {' + '.join(_PARTS)} does not hold: "
            f"{emitted} != {' + '.join(map(str, parts))} = {sum(parts)}"
        )


def _of_trace(trace: Trace, record: _Record | None, cell: Cell) -> Iterator[str]:
    name = f"stream {trace.stream_id or '(without an id)'}"
    if record is None:
        if _should_be_recorded(trace):
            yield (
                f"{name}: records of it at the server == 1 does not hold: 0 != 1 ({trace.outcome.value}; "
                f"{RECORDS_WAIT_S:g} s were given for it)"
            )
    elif not record.absent:
        yield from _against_record(name, trace, record)
    yield from _of_indexes(name, trace, cell)


def _should_be_recorded(trace: Trace) -> bool:
    """Whether the server has begun a stream, going by what it answered."""
    return trace.outcome is Outcome.COMPLETED or (bool(trace.stream_id) and trace.outcome not in _NO_STREAM)


def _against_record(name: str, trace: Trace, record: _Record) -> Iterator[str]:
    received, delivered = len(trace.received_ns), record.counts["delivered"]
    if not _is_read_to_its_end(trace, record):
        if received > delivered:
            yield f"{name}: received <= delivered does not hold: {received} > {delivered} ({trace.outcome.value})"
        yield from _kinds_so_far(name, trace, record.counts)
        return
    if received != delivered:
        yield f"{name}: received == delivered does not hold: {received} != {delivered} ({trace.outcome.value})"
    # A failed stream's producers may go on for a moment, and what they offer is rejected; it is in no end event.
    if trace.outcome is not Outcome.COMPLETED:
        yield from _kinds_so_far(name, trace, record.counts)
    elif trace.seq is not None:
        yield from _kinds(name, trace, record.counts)


def _is_read_to_its_end(trace: Trace, record: _Record) -> bool:
    """Whether the client has seen the end, behind all that was written: its own, or the source's or strategy's error.

    A stream that is stopped from outside may say so in the middle of a batch.
    """
    return trace.outcome is Outcome.COMPLETED or (trace.outcome is Outcome.FAILED and record.reason == "error")


def _kinds(name: str, trace: Trace, counts: Mapping[str, int]) -> Iterator[str]:
    merged = trace.token_count - len(trace.received_ns)
    if merged != counts["merged"]:
        yield f"{name}: tokens merged at the client == merged does not hold: {merged} != {counts['merged']}"
    covered, lost = coverage(trace, counts["emitted"]), counts["dropped"] + counts["rejected"]
    if covered is not None and covered.missing != lost:
        yield f"{name}: missing indexes == dropped + rejected does not hold: {covered.missing} != {lost}"


def _kinds_so_far(name: str, trace: Trace, counts: Mapping[str, int]) -> Iterator[str]:
    """Check what is known of a stream that was not read to its end: what came behind a gap was not lost on the way."""
    if trace.seq is None or not len(trace.seq):
        return
    merged = trace.token_count - len(trace.received_ns)
    if merged > counts["merged"]:
        yield f"{name}: tokens merged at the client <= merged does not hold: {merged} > {counts['merged']}"
    if trace.producer is not None:
        return  # each has its share of the indexes, and how far each has come is not known
    covered, lost = coverage(trace, int((trace.seq + trace.merged).max())), counts["dropped"] + counts["rejected"]
    if covered is not None and covered.missing is not None and covered.missing > lost:
        yield (
            f"{name}: missing indexes below the highest that came <= dropped + rejected does not hold: "
            f"{covered.missing} > {lost} ({trace.outcome.value})"
        )


def _of_indexes(name: str, trace: Trace, cell: Cell) -> Iterator[str]:
    covered = coverage(trace)
    if covered is not None and covered.duplicates:
        yield f"{name}: indexes that arrived again == 0 does not hold: {covered.duplicates} != 0"
    if trace.seq is not None and (violations := ordering_violations(trace.seq, trace.producer)):
        yield f"{name}: tokens behind a later one of their producer == 0 does not hold: {violations} != 0"
    asked_for = cell.trace and cell.stream.get("profile", "completion") in _INDEXED_PROFILES
    if asked_for and trace.seq is None and len(trace.received_ns):
        yield f"{name}: tokens with an index == tokens does not hold: 0 != {len(trace.received_ns)}"


def _shared_ids(traces: Sequence[Trace]) -> Iterator[str]:
    for stream_id, count in Counter(trace.stream_id for trace in traces if trace.stream_id).items():
        if count > 1:
            yield f"stream {stream_id}: clients of one stream == 1 does not hold: {count} != 1"
