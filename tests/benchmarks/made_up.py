"""Results that nobody measured: streams from a small model of source, boundary, socket and reader, and odd ones.

The model is arithmetic on a virtual clock. Its figures are of the right size and differ between strategies as those of
real runs do; they are no measurement.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from benchmarks.measures.computing import MEASURES, ServerCost, measure
from benchmarks.measures.histograms import distributions, encoded
from benchmarks.measures.timelines import freshness_series, timeline
from benchmarks.results import CellResult, ClientCheck, NullRun, Repeat, Results, Timeline
from benchmarks.traces.captures import Outcome, Times, Trace

__all__ = ("EXTREME", "cell", "made_up_results", "many_cells", "repeat_of", "stream")

MARKUP: Final = "<img src=x onerror=alert(1)></script><b>&\u2028"
_MS: Final = 1_000_000
_SOCKET_TOKENS: Final = 24
_CAPACITY: Final = 32


# --- A stream, on a virtual clock ----------------------------------------------------------------------------------


@dataclass
class _Item:
    seq: int
    due: float
    emitted: float
    merged: int = 1
    taken: float = 0.0
    received: float = 0.0


@dataclass
class _Boundary:
    """What a strategy does with an item that finds no room. Times are in ms."""

    strategy: str
    held: deque[_Item] = field(default_factory=deque[_Item])
    dropped: int = 0
    merged: int = 0
    failed: bool = False
    samples: list[tuple[float, dict[str, int]]] = field(default_factory=list[tuple[float, dict[str, int]]])
    peak: int = 0

    @property
    def capacity(self) -> float:
        if "unbounded" in self.strategy or self.strategy == "missing":
            return math.inf
        return _CAPACITY if self.strategy.startswith("buffer") else 1 if self.strategy in ("latest", "reduce") else 0

    def offer(self, item: _Item, socket: deque[_Item]) -> bool:
        """Take an item in, or say that the source has to wait."""
        room = not self.held and len(socket) < _SOCKET_TOKENS
        if room or len(self.held) < self.capacity:
            self.held.append(item)
        elif "suspend" in self.strategy:
            return False
        elif "error" in self.strategy:
            self.failed = True
        elif self.strategy == "reduce":
            self.held[-1].merged += 1
            self.merged += 1
        else:
            self.dropped += 1
            if self.strategy == "latest" or "drop_oldest" in self.strategy:
                self.held.popleft()
                self.held.append(item)
        self.peak = max(self.peak, len(self.held))
        return True


def stream(
    strategy: str, *, rate: float, count: int, read_gap_ms: float, stall_ms: float = 0.0, seed: int = 0
) -> Trace:
    """Play one stream: `count` tokens at `rate` a second, to a reader that takes one each `read_gap_ms`."""
    noise = random.Random(seed)
    boundary = _Boundary(strategy)
    socket: deque[_Item] = deque()
    arrived: list[_Item] = []
    emitted, now, next_read = 0, 0.0, stall_ms
    while (emitted < count and not boundary.failed) or boundary.held or socket:
        now += 0.5
        while emitted < count and emitted * 1000 / rate <= now and not boundary.failed:
            if not boundary.offer(_Item(emitted, emitted * 1000 / rate, now), socket):
                break
            emitted += 1
        while boundary.held and len(socket) < _SOCKET_TOKENS:
            item = boundary.held.popleft()
            item.taken = now + noise.expovariate(20)
            socket.append(item)
        while socket and next_read <= now:
            item = socket.popleft()
            item.received = max(now, item.taken) + 0.05 + noise.expovariate(5)
            arrived.append(item)
            next_read = max(next_read, now - read_gap_ms) + read_gap_ms
        if round(now * 2) % 100 == 0:
            counts = {"held": len(boundary.held), "dropped": boundary.dropped, "merged": boundary.merged}
            boundary.samples.append((now, counts))
    return _trace(arrived, boundary, emitted, f"made-up-{seed}")


def _trace(arrived: list[_Item], boundary: _Boundary, emitted: int, name: str) -> Trace:
    start = 1_000_000_000_000

    def column(values: Iterable[float]) -> Any:
        return start + (np.array(list(values)) * _MS).astype(np.int64)

    received = np.maximum.accumulate(column(item.received for item in arrived))
    statistics = {
        "emitted": emitted,
        "delivered": len(arrived),
        "dropped": boundary.dropped + boundary.failed,
        "merged": boundary.merged,
        "rejected": 0,
        "held": 0,
        "peak_held": boundary.peak,
    }
    ended = int(received[-1]) + _MS
    return Trace(
        stream_id=name,
        times=Times(start - 3 * _MS, start - 2 * _MS, start - _MS, ended),
        outcome=Outcome.FAILED if boundary.failed else Outcome.COMPLETED,
        detail="",
        received_ns=received,
        seq=np.array([item.seq for item in arrived], np.int64),
        due_ns=column(item.due for item in arrived),
        emitted_ns=column(item.emitted for item in arrived),
        taken_ns=column(item.taken for item in arrived),
        merged=np.array([item.merged for item in arrived], np.int64),
        producer=None,
        text_lengths=np.ones(len(arrived), np.int64),
        first_event_ns=int(received[0]),
        event_count=len(arrived) + 1,
        statistics=statistics,
        samples=tuple((start + int(ms * _MS), counts) for ms, counts in boundary.samples),
        bytes_received=200 * len(arrived),
    )


# --- Repeats and cells ---------------------------------------------------------------------------------------------


def repeat_of(traces: list[Trace], *, bound: bool = False, seed: int = 0) -> Repeat:
    """Measure streams as a run would, with made-up costs of a server."""
    noise = random.Random(seed)
    began = min(trace.times.scheduled_ns for trace in traces)
    ended = max(trace.times.ended_ns or began for trace in traces)
    peak = max(int((trace.statistics or {}).get("peak_held", 0)) for trace in traces)
    idle = 52 * 1024**2
    cost = ServerCost(noise.uniform(0.01, 0.02), idle, idle + 90_000 + peak * 900 + noise.randrange(40_000), 1)
    span_ms = (ended - began) / _MS
    return Repeat(
        measures=measure(traces, began_ns=began, ended_ns=ended, server=cost),
        histograms=encoded(distributions(traces)),
        outcomes={traces[0].outcome.value: len(traces)},
        counts=_counts(traces),
        memory=[[ms, idle + (peak * 900 + 90_000) * min(1, ms / span_ms * 2)] for ms in np.linspace(0, span_ms, 30)],
        freshness=freshness_series(traces[0]),
        window_ms=span_ms,
        client=ClientCheck(
            cpu_share=0.97 if bound else noise.uniform(0.1, 0.3),
            lag_p99_ms=14.0 if bound else noise.uniform(0.2, 1),
            lag_max_ms=30.0 if bound else noise.uniform(1, 4),
            bound=bound,
            reason="97 % of its core were used" if bound else "",
        ),
        timeline=timeline(traces[0]),
    )


def _counts(traces: list[Trace]) -> dict[str, int]:
    names = ("emitted", "delivered", "dropped", "merged", "rejected", "held")
    counts = {name: sum((trace.statistics or {}).get(name, 0) for trace in traces) for name in names}
    return counts | {"received": sum(len(trace.received_ns) for trace in traces), "in_transit": 0, "duplicates": 0}


def cell(
    scenario: str, variant: str, strategy: str, reader: str, repeats: Iterable[Repeat] = (), **others: Any
) -> CellResult:
    """Name a cell as the benchmark does."""
    transport = others.pop("transport", "sse")
    name = " ".join([variant, strategy, reader, *([] if transport == "sse" else [transport])])
    return CellResult(
        scenario=scenario,
        name=name,
        variant=variant,
        strategy=strategy,
        reader=reader,
        transport=transport,
        parameters={"source": "counter", "rate": 400},
        repeats=list(repeats),
        **others,
    )


_COMMON: Final = ("missing", "error", "drop", "latest", "buffer(32, drop_oldest)", "reduce")
_STRATEGIES: Final = (*_COMMON, "suspend", "buffer(32, suspend)")


def _measured(scenario: str, variant: str, strategy: str, reader: str, repeats: int = 2, **others: Any) -> CellResult:
    kind, _, speed = reader.partition(":")
    gap = 1000 / float(speed.removesuffix("tokens/s")) if kind == "paced" else 0.05
    shape: dict[str, float] = {"stall_ms": 700.0} if kind == "stalled" else {}
    traces = [[stream(strategy, rate=400, count=200, read_gap_ms=gap, seed=seed, **shape)] for seed in range(repeats)]
    found = [repeat_of(each, seed=seed) for seed, each in enumerate(traces)]
    return cell(scenario, variant, strategy, reader, found, **others)


def _untraced(variant: str, strategy: str, tokens_per_s: float) -> CellResult:
    """Make a cell of a firehose, whose tokens are only counted."""
    rates = [tokens_per_s * factor for factor in (0.93, 1.04)]
    found = [
        Repeat(
            measures=dict.fromkeys(MEASURES) | {"tokens_per_s": rate, "cpu_s_per_million_tokens": 1e6 / rate},
            outcomes={"completed": 1},
            counts={"emitted": 200_000, "delivered": 200_000, "received": 200_000, "in_transit": 0},
            client=ClientCheck(cpu_share=0.5, lag_p99_ms=0.4, lag_max_ms=3.0, bound=False),
            memory=[[ms, 52e6 + 40 * ms] for ms in range(0, 1000, 100)],
        )
        for rate in rates
    ]
    return cell("firehose", variant, strategy, "fast", found)


def made_up_results() -> Results:
    """Make the results of a small run of all kinds of scenarios, everything well."""
    cells = [_measured("slow-reader", "emitter", "suspend", "paced:100tokens/s")]
    cells += [_measured("slow-reader", "flux", strategy, "paced:100tokens/s") for strategy in _STRATEGIES]
    cells += [_measured("stalled", "flux", strategy, "stalled:0.7s") for strategy in ("reduce", "suspend")]
    cells += [
        _measured("reader-speed", "flux", strategy, f"paced:{speed}tokens/s", repeats=1)
        for strategy in ("drop", "reduce")
        for speed in (100, 400)
    ]
    cells += [
        _measured("sse-vs-websocket", "flux", "buffer(256, suspend)", "fast", transport=transport)
        for transport in ("sse", "websocket")
    ]
    cells += [
        _untraced("emitter", "suspend", 148_000),
        _untraced("rx", "buffer(unbounded)", 121_000),
        _untraced("flux", "buffer(256, suspend)", 173_000),
    ]
    return _results(cells)


def _results(cells: list[CellResult], **others: Any) -> Results:
    questions = {
        "slow-reader": "Which one, for a slow reader?",
        "stalled": "A reader stalls, then goes on: what is lost, and what did the wait cost in memory?",
        "reader-speed": "How much is lost, the slower the reader is?",
        "sse-vs-websocket": "Is SSE slower than WebSocket?",
        "firehose": "How many tokens per second, when nobody has to wait?",
    }
    definitions = {
        name: {key: str(value or "") for key, value in asdict(each).items() if key != "name"}
        for name, each in MEASURES.items()
    }
    present = {each.scenario for each in cells}
    return Results(
        created="2026-01-02T03:04:05+00:00",
        command="python -m benchmarks run quick",
        preset="quick",
        environment={
            "cpu": "A Processor @ 2.60GHz",
            "cores": 2,
            "python": "3.11.9",
            "system": "Linux 6.1",
            "commit": "0123abc",
            "packages": {"aiohttp": "3.14.0", "uvloop": "0.21.0"},
        },
        questions={name: question for name, question in questions.items() if name in present},
        definitions=definitions,
        null_run=NullRun(counted_tokens_per_s=1.9e6, checked_tokens_per_s=5.1e5, delay_p50_us=88.0),
        cells=cells,
        elapsed_s=78.4,
        **others,
    )


# --- Odd ones ------------------------------------------------------------------------------------------------------


def many_cells() -> Results:
    """Make a hundred cells, in one scenario, of thirty strategies."""
    once = repeat_of([stream("drop", rate=400, count=60, read_gap_ms=10)])
    strategies = [f"buffer({2**power}, drop_oldest)" for power in range(25)] + list(_COMMON[:5])
    cells = [
        cell("many", variant, strategy, reader, [once])
        for strategy in strategies
        for variant in ("rx", "flux")
        for reader in ("fast", "paced:100tokens/s")
    ]
    return _results(cells[:100])


def _nothing() -> Results:
    return Results()


def _one_cell() -> Results:
    return _results([_measured("slow-reader", "flux", "latest", "paced:100tokens/s", repeats=1)])


def _interrupted() -> Results:
    whole = _one_cell()
    left = [cell("slow-reader", "rx", "drop", "paced:100tokens/s"), cell("stalled", "rx", "drop", "stalled:2s")]
    return _results([*whole.cells, *left], interrupted=True)


def _errored() -> Results:
    wrong = cell("slow-reader", "rx", "drop", "fast", error=f"the server did not start: {MARKUP}")
    return _results([wrong])


def _violated() -> Results:
    results = _one_cell()
    results.cells[0].repeats[0].accounting = [f"stream 7: emitted 10 is not delivered 9 + dropped 0 {MARKUP}"] * 300
    return results


def _client_bound() -> Results:
    traces = [stream("suspend", rate=400, count=60, read_gap_ms=1)]
    return _results([cell("firehose", "flux", "suspend", "fast", [repeat_of(traces, bound=True)])])


def _nothing_known() -> Results:
    """Make repeats that hold nothing, or numbers that are none."""
    odd: dict[str, float | None] = {"tokens_per_s": math.nan, "loss_share": math.inf, "ttft_p50_ms": None, "x": 1e300}
    broken = Repeat(
        measures=odd,
        histograms={"delay_us": "no histogram", "itl_us": "", "x_us": "AAAA"},
        memory=[[0.0, math.nan], [1.0, 5.0]],
        freshness=[[math.inf, 1.0], []],
        client=ClientCheck(cpu_share=math.nan, lag_p99_ms=math.nan, lag_max_ms=math.nan, bound=False),
        timeline=Timeline(stream_id="", tokens=[], missing=[3], held=[], ended_ms=None, outcome="cut"),
    )
    unknown = replace_timeline(broken, [[math.nan, math.nan, math.nan, math.nan, math.nan, 5.0], [], [1.0]])
    return _results(
        [
            cell("slow-reader", "flux", "drop", "paced:fasttokens/s", [Repeat(measures={})]),
            cell("slow-reader", "flux", "latest", "paced:1e400tokens/s", [broken]),
            cell("slow-reader", "url", "", "", [unknown, broken]),
        ]
    )


def replace_timeline(repeat: Repeat, tokens: list[list[float]]) -> Repeat:
    """Return a repeat like another one, with a timeline of these tokens."""
    drawn = Timeline(
        stream_id="x",
        tokens=tokens,
        missing=[-5, 2, 9**9],
        held=[[0, 5], [9, math.nan]],
        ended_ms=4.0,
        outcome="completed",
    )
    return Repeat(measures=repeat.measures, histograms=repeat.histograms, timeline=drawn)


def _text_as_markup() -> Results:
    traces = [stream("drop", rate=400, count=60, read_gap_ms=10)]
    odd = cell(MARKUP, MARKUP, MARKUP, MARKUP, [repeat_of(traces)], transport=MARKUP)
    odd.repeats[0].outcomes = {MARKUP: 1}
    return Results(
        created=MARKUP,
        command=f"{MARKUP}\0\ud800",
        preset=MARKUP,
        environment={MARKUP: {MARKUP: MARKUP}},
        questions={MARKUP: MARKUP},
        definitions={"tokens_per_s": {"title": MARKUP, "unit": MARKUP, "formula": MARKUP, "better": MARKUP}},
        cells=[odd],
    )


EXTREME: Final[dict[str, Callable[[], Results]]] = {
    "nothing": _nothing,
    "one cell": _one_cell,
    "interrupted": _interrupted,
    "errored": _errored,
    "violated": _violated,
    "client-bound": _client_bound,
    "nothing known": _nothing_known,
    "text as markup": _text_as_markup,
    "many cells": many_cells,
}
"""Results that a report must bear, by what is odd about them."""
