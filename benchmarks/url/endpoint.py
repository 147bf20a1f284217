"""The measures of an event stream that is not ours: an OpenAI-compatible endpoint, a gateway, any SSE at all.

    UrlRequest  ->  LoadOrder  ->  the load client  ->  captures  ->  traces  ->  Results (variant "url"), a recording

What the endpoint does not say is not measured: without index and emit times (`trace=1`, ours alone) there is no loss,
no delay and no freshness, and what its process costs is not known here. Keys are in none of the results: see
`benchmarks.url.credentials`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import urlsplit

from benchmarks.environment import environment
from benchmarks.load import client
from benchmarks.load.control import INTERRUPTED, Control
from benchmarks.load.group import LoadClients, crowded
from benchmarks.load.plan import LoadRun
from benchmarks.load.worker import WorkerError
from benchmarks.measures.computing import Slo, measure, per_stream
from benchmarks.measures.histograms import distributions, encoded, left_out
from benchmarks.measures.timelines import freshness_series, timeline
from benchmarks.printable import printable
from benchmarks.progress import Progress, Silent
from benchmarks.results import CellResult, Repeat, Results
from benchmarks.running.run import definitions
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
    "save_recording",
    "words",
)

_NS_PER_MS: Final = 1_000_000
_GOOD: Final = frozenset(outcome.value for outcome in Outcome if outcome.is_good)
_SCENARIO: Final = "url"
_QUESTION: Final = "How does this endpoint stream?"
_ASKS_BY_BODY: Final = {"openai", "anthropic"}
_OK: Final = 200
_TELL_EVERY_S: Final = 5.0
_MIB: Final = 1024 * 1024
_NOTABLE_BYTES: Final = 16 * _MIB

Keep = Callable[[Trace], None]


# --- Measuring -------------------------------------------------------------------------------------------------------


async def measure_url(
    request: UrlRequest,
    *,
    slo: Slo | None = None,
    keep: Keep | None = None,
    control: Control | None = None,
    progress: Progress | None = None,
) -> Results:
    """Measure an endpoint, on the running loop or by several processes, and wait for it.

    What goes wrong with a stream is its outcome. A client process that dies takes its repeat with it, and ends the
    measurement: the cell has an error then.

    Args:
        request: what is asked.
        slo: what a good stream holds; None: goodput is not measured.
        keep: is called with each stream, its texts in it, for a recording.
        control: ends it early; what came until then is measured, and the results say that they were interrupted.
        progress: is told of each repeat, and, of one client, every five seconds how many streams have ended.
    """
    control, progress = control or Control(), progress or Silent()
    began_s = time.monotonic()
    results = _empty_results(request)
    [cell] = results.cells
    progress.begin(request.repeats)
    if said := crowded(request.clients, beside_server=False):
        progress.note(said)
    title = f"{printable(cell.name)}: {_count(request.requests, 'stream')}, {request.connections} at a time"
    async with _driving(request, control) as drive:
        for number in range(request.repeats):
            progress.step(title)
            try:
                async with _beside(_tell(progress, control, total=(number + 1) * request.requests)):
                    run = await drive()
            except WorkerError as error:
                cell.error = str(error)
                break
            if control.is_stopped and not run.captures:
                break
            cell.repeats.append(_repeat(request, run, slo, keep, progress))
            if control.is_stopped:
                break
    results.interrupted = control.is_stopped
    results.elapsed_s = time.monotonic() - began_s
    return results


@asynccontextmanager
async def _driving(request: UrlRequest, control: Control) -> AsyncGenerator[Callable[[], Awaitable[LoadRun]]]:
    """Give what does the order once: one client on this loop, or several processes."""
    if request.clients == 1:
        yield lambda: client.drive(request.order, control)
        return
    with LoadClients(request.clients, beside_server=False) as clients:

        async def drive() -> LoadRun:
            return (await asyncio.to_thread(clients.drive_all, [request.order]))[0]

        async def stop() -> None:
            await control.stopped()
            clients.stop()

        async with _beside(stop()):
            yield drive


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Do something beside the block, and no longer."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


async def _tell(progress: Progress, control: Control, total: int) -> None:
    """Say now and then how far it is. Of several clients that is not known."""
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        if control.begun:
            progress.note(f"{control.ended} of {_count(total, 'stream')} ended, {control.begun - control.ended} open")


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
        clients=request.clients,
        questions={_SCENARIO: _QUESTION},
        definitions=definitions(),
        cells=[cell],
    )


def _repeat(request: UrlRequest, run: LoadRun, slo: Slo | None, keep: Keep | None, progress: Progress) -> Repeat:
    size = sum(sum(map(len, capture.pieces)) for capture in run.captures)
    if size > _NOTABLE_BYTES:
        progress.note(f"reading what is in {size // _MIB} MiB")
    traces = [_trace(request, run, index, keep_texts=keep is not None) for index in range(len(run.captures))]
    if keep is not None:
        for trace in traces:
            keep(trace)
    pooled = distributions(traces)
    timed = next((trace for trace in traces if trace.emitted_ns is not None and len(trace.received_ns)), None)
    return Repeat(
        measures=measure(traces, began_ns=run.began_ns, ended_ns=run.ended_ns, slo=slo, histograms=pooled),
        histograms=encoded(pooled),
        outcomes=dict(Counter(trace.outcome.value for trace in traces)),
        counts={"received": sum(trace.token_count for trace in traces)},
        notes=left_out(traces),
        per_stream={**per_stream(traces), "status": [capture.status for capture in run.captures]},
        freshness=[] if timed is None else freshness_series(timed),
        window_ms=(run.ended_ns - run.began_ns) / _NS_PER_MS,
        client=run.client,
        timeline=None if timed is None else timeline(timed),
    )


def _trace(request: UrlRequest, run: LoadRun, index: int, *, keep_texts: bool) -> Trace:
    """Return a stream without secrets in anything that the server says."""
    trace = parse(run.captures[index], profile=request.profile, transport=Transport.SSE, keep_texts=keep_texts)
    secrets = request.secrets
    usage = None if trace.usage is None else json.loads(scrubbed(json.dumps(trace.usage), secrets))
    return replace(
        trace,
        stream_id=scrubbed(trace.stream_id, secrets),
        detail=scrubbed(trace.detail, secrets),
        texts=tuple(scrubbed(text, secrets) for text in trace.texts) if secrets else trace.texts,
        finish_reason=None if trace.finish_reason is None else scrubbed(trace.finish_reason, secrets),
        usage=usage,
    )


# --- What came of it ------------------------------------------------------------------------------------------------


def recordable(traces: Sequence[Trace]) -> Trace | None:
    """Choose the stream for a recording: the first that completed and had tokens; None: there was none."""
    whole = (trace for trace in traces if trace.outcome is Outcome.COMPLETED and len(trace.received_ns))
    return next(whole, None)


def exit_code(results: Results) -> int:
    """Return 0 if a stream completed, or was left as its reader was told to, with a token in it.

    1 if none was, or something was not measured.
    """
    is_good = any(ended in _GOOD and tokens for ended, tokens in _streams(results, "tokens"))
    return int(not is_good or any(cell.error for cell in results.cells))


def _streams(results: Results, column: str) -> Iterator[tuple[str, Any]]:
    """Give how each stream ended, and what a column says of it."""
    for cell in results.cells:
        for repeat in cell.repeats:
            yield from zip(repeat.per_stream["outcome"], repeat.per_stream[column], strict=True)


def words(results: Results) -> Iterator[str]:
    """Say how the streams ended: how many by each name, and what the first of each kind said.

    What the server said is made harmless for a terminal.
    """
    details = list(_streams(results, "detail"))
    outcomes = Counter(ended for ended, _ in details)
    if results.interrupted:
        yield "Interrupted: what was measured before is kept."
    yield f"{outcomes[Outcome.COMPLETED.value]} of {_count(len(details), 'stream')} completed."
    for name, number in sorted(outcomes.items()):
        if name != Outcome.COMPLETED.value:
            said = next((printable(text) for ended, text in details if ended == name and text), "")
            yield f"{number} {name.replace('_', ' ')}{f': {said}' if said else ''}."
    yield from _hints(results)


def _hints(results: Results) -> Iterator[str]:
    """Say what may be the reason, where there is one to be guessed."""
    parameters = results.cells[0].parameters
    without = sum(ended in _GOOD and not tokens for ended, tokens in _streams(results, "tokens"))
    of_these = sum(said == INTERRUPTED for _, said in _streams(results, "detail"))
    if without > of_these:
        yield (
            f"{_count(without, 'stream')} ended without a single token, which is no success: does the endpoint stream "
            f"in another shape than --profile {parameters['profile']}?"
        )
    other_type = (Outcome.NOT_A_STREAM.value, _OK) in _streams(results, "status")
    if other_type and _forgot_stream(parameters):
        yield 'The request\'s body has no "stream": true, without which this kind of endpoint does not stream.'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _forgot_stream(parameters: Mapping[str, Any]) -> bool:
    if parameters["profile"] not in _ASKS_BY_BODY:
        return False
    try:
        body = json.loads(parameters["data"] or "{}")
    except ValueError:
        return True
    return not (isinstance(body, dict) and cast("dict[str, Any]", body).get("stream"))
