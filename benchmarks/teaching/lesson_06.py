"""Lesson 06, measuring honestly: one stream under four names, a server that stops, a client that is late, a report.

on_the_wire     a stream written down by hand, read by the project's own parser
draw_letters    its times, and what each tool measures between them
four_names      what four tools print for it
standing_still  stops a server process for a while
Waits           when requests were due, and how long each waited for its first token
late_client     keeps the client's own loop busy
checks_of       what to ask of a run before its figures are used
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from math import isclose
from typing import Final

import numpy as np

from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.load.self_check import Usage, judged
from benchmarks.measures.definitions import DEFINITIONS, TOOLS, under
from benchmarks.measures.latencies import delay_ns
from benchmarks.measures.views import Values, View
from benchmarks.results import Results
from benchmarks.scenarios.cells import Load, Transport
from benchmarks.summary.figures import joined, short, spread, violations
from benchmarks.teaching.plots import COLOURS, PALETTE, finish, plot
from benchmarks.traces.captures import Capture, Outcome, Times, Trace
from benchmarks.traces.parsing import parse
from streams.arguments import positive_int, positive_seconds, shown

__all__ = (
    "SHORT_ANSWER",
    "Waits",
    "asking",
    "checks_of",
    "client_row",
    "compute_for",
    "delays_ms",
    "draw_letters",
    "formulas",
    "four_names",
    "headings_of",
    "late_client",
    "not_bound",
    "on_the_wire",
    "parsed",
    "percentile",
    "printed",
    "standing_still",
    "tool_that_says",
    "waits_of",
    "waits_on_paper_ms",
)

SHORT_ANSWER: Final = "/v1/chat/stream?source=counter&count=1&rate=0&trace=1"
"""A stream of one token, at once: whoever waits for it waits for the server."""

_HOST: Final = "127.0.0.1"
_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000
_NAMES: Final = {
    "ttft_ms": "time to first token",
    "tpot_ms": "time per output token",
    "itl_ms": "inter-token latency, mean",
    "itl_p99_ms": "inter-token latency, p99",
    "e2e_ms": "end to end",
}


# --- One stream, four names --------------------------------------------------------------------------------------


def on_the_wire(events: Sequence[tuple[float, str]], *, headers_ms: float, end_ms: float) -> Trace:
    """Return a stream of OpenAI's chunks that came at the given times, as the load client would have kept it.

    Args:
        events: (at_ms, content) in order of time; empty content is a chunk with a role alone.
        headers_ms: when the head of the answer came. The request was sent at 0 ms, when it was due.
        end_ms: when the body ended.

    Raises:
        ValueError: times that go backwards.
    """
    times_ms = [0.0, headers_ms, *(at_ms for at_ms, _ in events), end_ms]
    if times_ms != sorted(times_ms):
        raise ValueError(f"headers_ms, events and end_ms must be in order of time from 0 on; got {shown(times_ms)}")
    capture = Capture(Times(0, 0, _ns(headers_ms), _ns(end_ms)), status=200)
    capture.stamps_ns = [*(_ns(at_ms) for at_ms, _ in events), _ns(end_ms)]
    capture.pieces = [*(_chunk(content) for _, content in events), b"data: [DONE]\n\n"]
    return parse(capture, profile="openai", transport=Transport.SSE, keep_texts=True)


def _ns(time_ms: float) -> int:
    return round(time_ms * _NS_PER_MS)


def _chunk(content: str) -> bytes:
    delta = {"content": content} if content else {"role": "assistant", "content": ""}
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode()


def draw_letters(trace: Trace) -> None:
    """Draw when what happened on one stream, and between which of these times each tool measures.

    Raises:
        ValueError: a stream that has no tokens or did not complete.
    """
    view = View(trace)
    if view.c1 is None or view.t1 is None or view.e is None or view.d is None:
        raise ValueError(f"trace must be of a completed stream with tokens; got one that {trace.outcome.value}")
    axes = plot("When it came, and what is measured between", "ms since the request was sent", "", height=3.3)
    spans = (
        ("TTFT of vLLM: to the first chunk, empty or not", view.c1, 1),
        ("TTFT of tokenweir, guidellm, AIPerf: to the first text", view.t1, 0),
        ("end to end of tokenweir, vLLM, AIPerf: to the last text", view.e, 2),
        ("end to end of guidellm: to the end of the body", view.d, 3),
    )
    for row, (words, until_ms, colour) in enumerate(spans, 1):
        axes.plot([0, until_ms], [-row, -row], marker="|", markersize=9, color=PALETTE[colour])
        axes.text(0, -row + 0.2, words, fontsize=8.5)
    letters = _letters(view)
    axes.plot(list(letters), [0.0] * len(letters), "o", color=COLOURS["passed"])
    for at_ms, names in letters.items():
        axes.text(at_ms, 0.25, "\n".join(names), ha="center", va="bottom", fontsize=9)
    axes.set_yticks([])
    axes.set_ylim(-len(spans) - 0.5, 2.1)
    finish(axes, "; ".join(f"{', '.join(names)} at {at_ms:g} ms" for at_ms, names in letters.items()))


def _letters(view: View) -> dict[float, list[str]]:
    """Return the letters of a stream by their time. What is at one time stands in one place."""
    times = [("s", 0.0), ("h", view.h), ("c1", view.c1)]
    times += [(f"t{number}", at_ms) for number, at_ms in enumerate(view.t.tolist(), 1)]
    letters: dict[float, list[str]] = {}
    for name, at_ms in (*times, ("e", view.e), ("d", view.d)):
        if at_ms is not None:
            letters.setdefault(at_ms, []).append(name)
    return letters


def four_names(trace: Trace) -> list[dict[str, object]]:
    """Return one row per metric: its name, and what each tool prints for this stream in ms; None: it has no value."""
    figures = {tool: under(tool, trace) for tool in TOOLS}
    return [{"in ms": words, **{tool: figures[tool][key] for tool in TOOLS}} for key, words in _NAMES.items()]


def printed(trace: Trace, key: str) -> dict[str, float]:
    """Return what each tool that has a metric of `under` prints for a stream."""
    figures = {tool: under(tool, trace)[key] for tool in TOOLS}
    return {tool: value for tool, value in figures.items() if value is not None}


def formulas(key: str) -> list[dict[str, str]]:
    """Return what each tool means by a metric of `DEFINITIONS`, in the letters that lesson 06 draws."""
    return [
        {"tool": tool, "calls it": definition.called, "formula": definition.formula}
        for tool, definition in DEFINITIONS[key].tools.items()
    ]


def tool_that_says(trace: Trace, **figures_ms: float) -> str:
    """Return the one tool that prints these figures of a stream, named as the keys of `under`.

    Raises:
        ValueError: none does, or several do.
    """
    found = [tool for tool in TOOLS if all(_says(under(tool, trace)[key], ms) for key, ms in figures_ms.items())]
    if len(found) != 1:
        raise ValueError(f"figures must be those of one tool; got {figures_ms}, those of {joined(found) or 'none'}")
    return found[0]


def _says(value: float | None, other: float) -> bool:
    return value is not None and isclose(value, other)


# --- A server that stops -----------------------------------------------------------------------------------------


def asking(port: int, load: Load, target: str = SHORT_ANSWER, **changes: object) -> LoadOrder:
    """Return an order for the load client: who asks our server on this machine for what, and by which schedule."""
    return LoadOrder(host=_HOST, port=port, target=target, load=load, **changes)  # type: ignore[arg-type]


async def standing_still(pid: int, *, after_s: float, for_s: float) -> None:
    """Stop a process in `after_s` seconds, and let it go on `for_s` seconds later, whatever happens meanwhile.

    It gets SIGSTOP and SIGCONT: its sockets stay open and the kernel goes on taking connections and bytes for it, as
    with a server that collects its garbage, waits for a disk or is moved to another machine.

    Raises:
        ValueError: a duration that is none.
    """
    positive_seconds("after_s", after_s)
    positive_seconds("for_s", for_s)
    await asyncio.sleep(after_s)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(for_s)
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Waits:
    """The requests of one load that were answered.

    Attributes:
        due_s: when each was due, since the first of them.
        wait_ms: from then on: the whole wait of whoever wanted it.
        from_send_ms: from when it was written: what is left if the client's own lateness is not counted.
    """

    due_s: Values
    wait_ms: Values
    from_send_ms: Values

    def p(self, percent: float) -> float:
        """Return the wait in ms that `percent` of the requests do not exceed, by nearest rank."""
        return percentile(self.wait_ms, percent)

    def __len__(self) -> int:
        return len(self.wait_ms)


def percentile(values: Values, percent: float) -> float:
    """Return the value that `percent` of all do not exceed, by nearest rank."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


def parsed(run: LoadRun, profile: str = "completion") -> list[Trace]:
    """Return the streams of a run of the load client, in the order in which they were due."""
    return [parse(capture, profile=profile, transport=Transport.SSE) for capture in run.captures]


def waits_of(run: LoadRun, *, whole: bool = False) -> Waits:
    """Return how long each request of a run waited for its first token, or for the whole answer.

    One that was left at the end of a window before that has no wait.

    Raises:
        ValueError: there is none, or a request failed.
    """
    traces = parsed(run)
    failed = [trace.outcome.value for trace in traces if trace.outcome not in (Outcome.COMPLETED, Outcome.LEFT)]
    ends = [(trace.times, _end_ns(trace, whole)) for trace in traces]
    known = [(times.scheduled_ns, times.sent_ns, end_ns) for times, end_ns in ends if end_ns is not None]
    if failed or not known:
        raise ValueError(f"run must have answers, and no failures; got {', '.join(failed) or 'no answer'}")
    due_ns, sent_ns, end_ns = np.array(known, np.int64).T
    return Waits((due_ns - due_ns[0]) / 1e9, (end_ns - due_ns) / _NS_PER_MS, (end_ns - sent_ns) / _NS_PER_MS)


def _end_ns(trace: Trace, whole: bool) -> int | None:
    if whole:
        return trace.times.ended_ns if trace.outcome is Outcome.COMPLETED else None
    return int(trace.received_ns[0]) if len(trace.received_ns) else None


def waits_on_paper_ms(*, per_s: float, requests: int, stops_at_s: float, stops_for_s: float) -> Values:
    """Return how long each of evenly spaced requests waits for a server that answers at once, but for one stop.

    wait_i = stop's end - due_i for a due_i within the stop, else 0, with due_i = i / per_s.

    Raises:
        ValueError: a number that makes no sense, by name.
    """
    positive_int("requests", requests)
    for name, value in (("per_s", per_s), ("stops_at_s", stops_at_s), ("stops_for_s", stops_for_s)):
        positive_seconds(name, value)
    due_s = np.arange(requests) / per_s
    is_stopped = (due_s >= stops_at_s) & (due_s < stops_at_s + stops_for_s)
    return np.where(is_stopped, stops_at_s + stops_for_s - due_s, 0.0) * _MS_PER_S


# --- A client that is late ---------------------------------------------------------------------------------------


def compute_for(duration_s: float) -> None:
    """Compute something that nobody wants."""
    until_s = time.perf_counter() + duration_s
    while time.perf_counter() < until_s:
        sum(range(100))


@contextmanager
def late_client(*, busy_ms: float, every_ms: float, work: Callable[[float], object] = compute_for) -> Generator[None]:
    """Keep the running loop busy for `busy_ms` out of every `every_ms`, as a client does that parses while it measures.

    Args:
        busy_ms: how long it works at a time.
        every_ms: from the beginning of one piece of work to that of the next, if nothing else is late.
        work: works for so many seconds.

    Raises:
        ValueError: a time that is none, or a loop that would be left no time.
    """
    positive_seconds("busy_ms", busy_ms)
    if every_ms <= busy_ms:
        raise ValueError(f"every_ms must be more than busy_ms, {busy_ms:g}; got {shown(every_ms)}")
    loop = asyncio.get_running_loop()
    is_over = False

    def work_and_rest() -> None:
        if not is_over:
            work(busy_ms / _MS_PER_S)
            loop.call_later((every_ms - busy_ms) / _MS_PER_S, work_and_rest)

    loop.call_soon(work_and_rest)
    try:
        yield
    finally:
        is_over = True


def delays_ms(run: LoadRun) -> Values:
    """Return how long each token of a run took from the source to the client's note of it, in ms. It needs trace=1."""
    return np.concatenate([delay_ns(trace) for trace in parsed(run)]) / _NS_PER_MS


def client_row(name: str, run: LoadRun) -> dict[str, object]:
    """Return what lesson 06 tells of a client: three medians in ms, and whether it was the limit."""
    waits = waits_of(run)
    return {
        "client": name,
        "delay": percentile(delays_ms(run), 50),
        "from_due": percentile(waits.wait_ms, 50),
        "from_send": percentile(waits.from_send_ms, 50),
        "it says of itself": run.client.reason or "not the limit",
    }


def not_bound(runs: Mapping[str, tuple[float, float]]) -> set[str]:
    """Return the runs whose client was not the limit, as the load client judges itself.

    Args:
        runs: by name, the share of its core that a client used, and how late its loop was in ms (p99). Each took one
            second.
    """
    before, second_ns = Usage(0, 0.0), 1_000_000_000
    return {
        name
        for name, (share, lag_ms) in runs.items()
        if not judged(before, Usage(second_ns, share), lag_ms, lag_ms).bound
    }


# --- Reading a report --------------------------------------------------------------------------------------------


def checks_of(results: Results, measure: str) -> list[dict[str, str]]:
    """Return what to ask of a run before its figures are used, each with what this run answers.

    Args:
        results: of the run.
        measure: whose spread between repeats is told, by its name in the results.
    """
    broken, late = violations(results.cells), _limits(results)
    errors = [cell for cell in results.cells if cell.error or not cell.repeats]
    return [
        _check("Was everything measured?", "no: " + joined([cell.name for cell in errors]) if errors else "yes"),
        _check("Is every token accounted for?", f"no: {broken[0]}" if broken else "yes, of every stream"),
        _check("Was the client the limit?", f"perhaps: {late[0]}" if late else "no"),
        _check("How far apart are the repeats?", "; ".join(_spreads(results, measure))),
        _check("On which machine?", f"{results.environment.get('cpu_count', '?')} cores; the report names the rest"),
    ]


def _limits(results: Results) -> list[str]:
    """Return why figures may be the client's own, as it says itself."""
    clients = [repeat.client for cell in results.cells for repeat in cell.repeats]
    return [client.reason for client in clients if client is not None and client.bound]


def _check(question: str, answer: str) -> dict[str, str]:
    return {"ask": question, "this run answers": answer}


def _spreads(results: Results, measure: str) -> Iterator[str]:
    unit = results.definitions.get(measure, {}).get("unit", "")
    for cell in results.cells:
        found = spread(cell, measure)
        if found is not None:
            yield f"{cell.strategy}: {short(found[0])} to {short(found[1])} {unit}"


class _Headings(HTMLParser):
    """Gathers the texts of all <h2>."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "h2":
            self._within = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within &= tag != "h2"

    def handle_data(self, data: str) -> None:
        if self._within:
            self.texts[-1] += data


def headings_of(report: str) -> list[str]:
    """Return the headings of a report's sections, in their order."""
    parser = _Headings()
    parser.feed(report)
    return parser.texts
