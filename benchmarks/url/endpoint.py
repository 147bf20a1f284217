"""The measures of an event stream that is not ours: an OpenAI-compatible endpoint, a gateway, any SSE at all.

    UrlRequest  ->  LoadOrder  ->  the load client  ->  captures  ->  traces  ->  Results (variant "url"), a recording

What the endpoint does not say is not measured: without index and emit times (`trace=1`, ours alone) there is no loss,
no delay and no freshness, and what its process costs is not known here. Keys are in none of the results: see
`benchmarks.url.credentials`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import urlsplit

from benchmarks.environment import environment
from benchmarks.load import client
from benchmarks.load.plan import LoadRun
from benchmarks.measures.computing import MEASURES, Slo, measure, per_stream
from benchmarks.measures.histograms import distributions, encoded
from benchmarks.measures.timelines import freshness_series, timeline
from benchmarks.results import CellResult, Repeat, Results
from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Outcome, Trace
from benchmarks.traces.parsing import parse
from benchmarks.url.credentials import scrubbed
from benchmarks.url.recording import check_recording_path, save_recording
from benchmarks.url.request import UrlRequest

__all__ = (
    "UrlRequest",
    "check_recording_path",
    "exit_code",
    "measure_url",
    "recordable",
    "run_url",
    "save_recording",
    "words",
)

_NS_PER_MS: Final = 1_000_000
_GOOD: Final = {Outcome.COMPLETED.value, Outcome.LEFT.value}
_SCENARIO: Final = "url"
_QUESTION: Final = "How does this endpoint stream?"
_ASKS_BY_BODY: Final = {"openai", "anthropic"}


# --- Measuring -------------------------------------------------------------------------------------------------------


async def measure_url(
    request: UrlRequest, *, slo: Slo | None = None, keep: Callable[[Trace], None] | None = None
) -> Results:
    """Measure an endpoint on the running loop, and wait for it. What goes wrong with a stream is its outcome.

    Args:
        request: what is asked.
        slo: what a good stream holds; None: goodput is not measured.
        keep: is called with each stream, its texts in it, for a recording.
    """
    began_s = time.monotonic()
    results = _empty_results(request)
    for _ in range(request.repeats):
        results.cells[0].repeats.append(_repeat(request, await client.drive(request.order), slo, keep))
    results.elapsed_s = time.monotonic() - began_s
    return results


def run_url(request: UrlRequest, *, slo: Slo | None = None, keep: Callable[[Trace], None] | None = None) -> Results:
    """Do as `measure_url`, on a loop of its own, uvloop's where it exists.

    A KeyboardInterrupt ends it and is not passed on: the results hold the repeats before it, and say so.
    """
    began_s = time.monotonic()
    results = _empty_results(request)
    try:
        for _ in range(request.repeats):
            results.cells[0].repeats.append(_repeat(request, client.run(client.drive(request.order)), slo, keep))
    except KeyboardInterrupt:
        results.interrupted = True
    results.elapsed_s = time.monotonic() - began_s
    return results


def _empty_results(request: UrlRequest) -> Results:
    parts = urlsplit(request.url)
    cell = CellResult(
        scenario=_SCENARIO,
        name=f"{parts.netloc}{parts.path} {request.reader}",
        variant="url",
        strategy="",
        reader=str(request.reader),
        transport=Transport.SSE.value,
        parameters=request.described(),
    )
    return Results(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=request.command,
        preset=_SCENARIO,
        environment=environment(),
        questions={_SCENARIO: _QUESTION},
        definitions={
            name: {"title": each.title, "unit": each.unit, "formula": each.formula, "better": each.better or ""}
            for name, each in MEASURES.items()
        },
        cells=[cell],
    )


def _repeat(request: UrlRequest, run: LoadRun, slo: Slo | None, keep: Callable[[Trace], None] | None) -> Repeat:
    traces = [_trace(request, run, index, keep_texts=keep is not None) for index in range(len(run.captures))]
    if keep is not None:
        for trace in traces:
            keep(trace)
    pooled = distributions(traces)
    timed = next((trace for trace in traces if trace.emitted_ns is not None and len(trace.received_ns)), None)
    counts = {"received": sum(trace.token_count for trace in traces)}
    return Repeat(
        measures=measure(traces, began_ns=run.began_ns, ended_ns=run.ended_ns, slo=slo, histograms=pooled),
        histograms=encoded(pooled),
        outcomes=dict(Counter(trace.outcome.value for trace in traces)),
        counts=counts,
        per_stream=per_stream(traces),
        freshness=[] if timed is None else freshness_series(timed),
        window_ms=(run.ended_ns - run.began_ns) / _NS_PER_MS,
        client=run.client,
        timeline=None if timed is None else timeline(timed),
    )


def _trace(request: UrlRequest, run: LoadRun, index: int, *, keep_texts: bool) -> Trace:
    trace = parse(run.captures[index], profile=request.profile, transport=Transport.SSE, keep_texts=keep_texts)
    return replace(trace, detail=scrubbed(trace.detail, request.secrets))


# --- What came of it ------------------------------------------------------------------------------------------------


def recordable(traces: Sequence[Trace]) -> Trace | None:
    """Choose the stream for a recording: the first that completed and had tokens; None: there was none."""
    whole = (trace for trace in traces if trace.outcome is Outcome.COMPLETED and len(trace.received_ns))
    return next(whole, None)


def exit_code(results: Results) -> int:
    """Return 0 if a stream completed, or was left as its reader was told to; 1 if none was."""
    return int(not _GOOD & _outcomes(results).keys())


def _outcomes(results: Results) -> Counter[str]:
    total = Counter[str]()
    for cell in results.cells:
        for repeat in cell.repeats:
            total.update(repeat.outcomes)
    return total


def words(results: Results) -> Iterator[str]:
    """Say how the streams ended: how many by each name, and what the first of each kind said."""
    outcomes = _outcomes(results)
    if results.interrupted:
        yield "Interrupted: what was measured before is kept."
    count = sum(outcomes.values())
    good = sum(outcomes[name] for name in _GOOD)
    yield f"{good} of {count} {'stream' if count == 1 else 'streams'} completed."
    for name, number in sorted(outcomes.items()):
        if name not in _GOOD:
            detail = next((said for said in _details(results, name) if said), "")
            yield f"{number} {name.replace('_', ' ')}{f': {detail}' if detail else ''}."
    if Outcome.NOT_A_STREAM.value in outcomes and _forgot_stream(results.cells[0].parameters):
        yield 'The request\'s body has no "stream": true, without which this kind of endpoint does not stream.'


def _details(results: Results, outcome: str) -> Iterator[str]:
    for cell in results.cells:
        for repeat in cell.repeats:
            ended, said = repeat.per_stream.get("outcome", []), repeat.per_stream.get("detail", [])
            yield from (text for name, text in zip(ended, said, strict=True) if name == outcome)


def _forgot_stream(parameters: Mapping[str, Any]) -> bool:
    if parameters["profile"] not in _ASKS_BY_BODY:
        return False
    try:
        body = json.loads(parameters["data"] or "{}")
    except ValueError:
        return True
    return not (isinstance(body, dict) and cast("dict[str, Any]", body).get("stream"))
