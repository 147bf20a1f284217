"""From what a client captured and a server logged to one `results.Repeat`: parsed, measured, set against each other.

LoadRun, ServerSide  ->  traces  ->  measures, histograms, counts, accounting, timeline
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.load.plan import Counted, LoadRun
from benchmarks.measures.accounting import RECORDS_WAIT_S, account
from benchmarks.measures.computing import ServerCost, Slo, measure, per_stream
from benchmarks.measures.histograms import distributions, encoded, left_out
from benchmarks.measures.timelines import freshness_series, timeline
from benchmarks.results import Repeat
from benchmarks.scenarios.cells import Cell
from benchmarks.traces.captures import Capture, Outcome, Trace
from benchmarks.traces.parsing import parse

__all__ = ("Checked", "Record", "ServerSide", "digest")

Record = Mapping[str, Any]
"""One line of the server's log: see `benchmarks.processes.ServerProcess.records`."""

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000
_STREAM_ID: Final = "x-stream-id"


@dataclass(frozen=True, slots=True)
class ServerSide:
    """What was seen of the server while it served one cell.

    Attributes:
        records: of the streams that have ended, by their id.
        cpu_s: of its process, over the measurement; None: the system does not say.
        idle_bytes: resident before the first request, but after one that warmed it up; None as above.
        memory: (time.monotonic_ns(), resident bytes) on the way; empty as above.
        load_average: of the machine over the minute before; None as above.
    """

    records: Mapping[str, Record] = field(default_factory=dict[str, Record])
    cpu_s: float | None = None
    idle_bytes: int | None = None
    memory: Sequence[tuple[int, int]] = ()
    load_average: float | None = None

    def cost(self, open_streams: int) -> ServerCost:
        """Return it as the measures take it."""
        return ServerCost(
            cpu_s=self.cpu_s,
            idle_bytes=self.idle_bytes,
            peak_bytes=max((size for _, size in self.memory), default=None),
            streams=open_streams,
            peak_held=max((record["statistics"]["peak_held"] for record in self.records.values()), default=None),
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """One more stream of a cell whose tokens are only counted, in which every index was looked at.

    Attributes:
        load_run: what the client saw, in mode check.
        records: the server's, of this stream.
    """

    load_run: LoadRun
    records: Mapping[str, Record]


def digest(
    cell: Cell, run: LoadRun, server: ServerSide, slo: Slo | None = None, checked: Checked | None = None
) -> tuple[Repeat, list[Trace]]:
    """Return what came of one measurement of `cell`, and its parsed streams (none if tokens were only counted).

    Args:
        cell: what was asked for.
        run: what the client captured or counted.
        server: what was seen of the server meanwhile.
        slo: what a good stream holds; None: goodput is not measured.
        checked: the stream whose indexes were looked at; it is held against the server's record, and not measured.
    """
    cost = server.cost(most_at_a_time(run.captures))
    if run.counted is not None:
        return _of_counted(cell, run, run.counted, server, cost, checked), []
    profile = str(cell.stream.get("profile", "completion"))
    traces = [parse(capture, profile=profile, transport=cell.transport) for capture in run.captures]
    pooled = distributions(traces)
    accounting = account(traces, server.records, cell)
    example = _example(traces)
    return Repeat(
        measures=measure(traces, began_ns=run.began_ns, ended_ns=run.ended_ns, slo=slo, server=cost, histograms=pooled),
        histograms=encoded(pooled),
        outcomes=_outcomes([trace.outcome for trace in traces]),
        counts=dict(accounting.counts),
        accounting=list(accounting.violations),
        notes=left_out(traces),
        per_stream=per_stream(traces),
        memory=_memory_ms(run, server),
        freshness=[] if example is None else freshness_series(example),
        window_ms=(run.ended_ns - run.began_ns) / _NS_PER_MS,
        client=run.client,
        load_average=server.load_average,
        timeline=None if example is None else timeline(example),
    ), traces


def _example(traces: Sequence[Trace]) -> Trace | None:
    """Choose the stream to be drawn: the first that has tokens with times."""
    return next((trace for trace in traces if trace.emitted_ns is not None and len(trace.received_ns)), None)


def _memory_ms(run: LoadRun, server: ServerSide) -> list[list[float]]:
    return [[(at_ns - run.began_ns) / _NS_PER_MS, size] for at_ns, size in server.memory]


def _outcomes(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {outcome.value: count for outcome in Outcome if (count := outcomes.count(outcome))}


def most_at_a_time(captures: Sequence[Capture]) -> int:
    """Return how many streams were open at the same time, at most; at least 1."""
    changes = [
        change
        for times in (capture.times for capture in captures)
        if times.sent_ns is not None
        for change in ((times.sent_ns, 1), (times.ended_ns or times.sent_ns, -1))
    ]
    count = most = 0
    for _, change in sorted(changes):
        count += change
        most = max(most, count)
    return max(most, 1)


# --- Streams whose tokens were only counted ----------------------------------------------------------------------


def _of_counted(
    cell: Cell, run: LoadRun, counted: Counted, server: ServerSide, cost: ServerCost, checked: Checked | None
) -> Repeat:
    outcomes = [capture.outcome or Outcome.CUT for capture in run.captures]
    accounting = account([], server.records, cell)
    counts = {**accounting.counts, "received": counted.tokens}
    measures = measure([], began_ns=run.began_ns, ended_ns=run.ended_ns, server=cost)
    violations = _counted_violations(run.captures, counted, accounting.counts, server.records)
    return Repeat(
        measures={**measures, **_counted_measures(run, counted, counts, outcomes, cost)},
        outcomes=_outcomes(outcomes),
        counts=counts,
        accounting=[*accounting.violations, *violations, *_violations_of_check(cell, checked)],
        per_stream={
            "stream_id": [capture.headers.get(_STREAM_ID, "") for capture in run.captures],
            "outcome": [outcome.value for outcome in outcomes],
            "detail": [capture.detail for capture in run.captures],
        },
        memory=_memory_ms(run, server),
        window_ms=(run.ended_ns - run.began_ns) / _NS_PER_MS,
        client=run.client,
        load_average=server.load_average,
    )


def _counted_measures(
    run: LoadRun, counted: Counted, counts: Mapping[str, int], outcomes: Sequence[Outcome], cost: ServerCost
) -> dict[str, float | None]:
    """Compute what counts alone can tell.

    A merged event does not say without trace=1 how many tokens it stands for, so the tokens are those that came as
    events and those that the server says it has merged into them.
    """
    window_s = (run.ended_ns - run.began_ns) / _NS_PER_S
    tokens = counted.tokens + counts["merged"]
    completed, left = outcomes.count(Outcome.COMPLETED), outcomes.count(Outcome.LEFT)
    lost_share = counts["dropped"] / counts["emitted"] if counts["emitted"] else None
    return {
        "tokens_per_s": tokens / window_s if window_s > 0 else None,
        "events_per_s": counted.tokens / window_s if window_s > 0 else None,
        "bytes_per_s": counted.bytes / window_s if window_s > 0 else None,
        "merged_tokens": counts["merged"],
        "loss_share": lost_share,
        "peak_held": cost.peak_held,
        "cpu_s_per_million_tokens": cost.cpu_s * 1e6 / tokens if cost.cpu_s is not None and tokens else None,
        "streams_completed": completed,
        "streams_left": left,
        "streams_failed": len(outcomes) - completed - left,
    }


def _counted_violations(
    captures: Sequence[Capture], counted: Counted, counts: Mapping[str, int], records: Mapping[str, Record]
) -> list[str]:
    """Hold what the client counted against what the server says it delivered: there is one stream, as `Cell` says."""
    names = [capture.headers.get(_STREAM_ID, "") for capture in captures]
    who = _who(captures)
    given = f"{RECORDS_WAIT_S:g} s were given for it"
    violations = [
        f"stream {name}: records of it at the server == 1 does not hold: 0 != 1 ({given})"
        for name in names
        if name and name not in records
    ]
    all_completed = all(capture.outcome is Outcome.COMPLETED for capture in captures)
    received, delivered = counted.tokens, counts["delivered"]
    if all_completed and received < delivered:
        violations.append(f"{who}: received == delivered does not hold: {received} != {delivered}")
    if received > delivered:
        violations.append(f"{who}: received <= delivered does not hold: {received} > {delivered}")
    return violations


def _who(captures: Sequence[Capture]) -> str:
    return f"stream {', '.join(capture.headers.get(_STREAM_ID, '(without an id)') for capture in captures)}"


def _violations_of_check(cell: Cell, checked: Checked | None) -> list[str]:
    """Hold a stream whose indexes were looked at against the server's record of it."""
    if checked is None:
        return []
    captures, counted = checked.load_run.captures, checked.load_run.counted
    assert counted is not None
    accounting = account([], checked.records, cell)
    counts = accounting.counts
    ends = [capture.outcome or Outcome.CUT for capture in captures]
    return [
        *(f"{_who(captures)}: checked, and it ended as {end.value}" for end in ends if end not in cell.expects),
        *accounting.violations,
        *_counted_violations(captures, counted, counts, checked.records),
        *_violations_of_indexes(_who(captures), counted, counts["dropped"] + counts["rejected"]),
    ]


def _violations_of_indexes(who: str, counted: Counted, lost: int) -> Iterator[str]:
    if counted.checked != counted.tokens:
        yield f"{who}: tokens with an index == tokens does not hold: {counted.checked} != {counted.tokens}"
    if counted.missing > lost:
        yield (
            f"{who}: missing indexes below the highest that came <= dropped + rejected does not hold: "
            f"{counted.missing} > {lost}"
        )
    for what, count in (("duplicates", counted.duplicates), ("out of order", counted.out_of_order)):
        if count:
            yield f"{who}: tokens {what} == 0 does not hold: {count} != 0"
