"""The same trace under four names: what guidellm, vLLM and AIPerf call TTFT, TPOT or ITL, beside this project.

Three tools give three different numbers under the name ITL. Each definition is a row of data: the tool's own name, the
formula as it is printed, and the function that computes it.

All times count from the moment of sending here, as the three tools have it, and one stream has them all as a `View`;
`benchmarks.measures.computing` counts from the scheduled time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from benchmarks.measures.goodput import Slo
from benchmarks.measures.run_definitions import RUN_DEFINITIONS, RunMetric
from benchmarks.measures.views import LETTERS, NOTHING, Values, View
from benchmarks.traces.captures import Trace

__all__ = ("DEFINITIONS", "LETTERS", "TOOLS", "Definition", "Metric", "Row", "Tool", "as_table", "under")

Tool = Literal["tokenweir", "guidellm", "vllm", "aiperf"]
TOOLS: Final[tuple[Tool, ...]] = ("tokenweir", "guidellm", "vllm", "aiperf")

_PERCENTILES: Final = (50, 99)


@dataclass(frozen=True, slots=True)
class Definition:
    """What one tool means by one metric.

    Attributes:
        called: the tool's own name for it.
        formula: for people, in the letters above.
        values: of one stream: one value or None, or one for each gap.
        note: what else to know.
    """

    called: str
    formula: str
    values: Callable[[View], float | Values | None]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, and how each tool defines it.

    Attributes:
        title: for people.
        unit: of its values.
        tools: a tool that is not there has no such metric.
        of_gaps: whether a tool pools it over gaps, so that one stream has a distribution of it.
    """

    title: str
    unit: str
    tools: Mapping[Tool, Definition]
    of_gaps: bool = False


_GAP: Final = "every t_i+1 - t_i, pooled over requests"
_ITS_TPOT: Final = "others call this TPOT"
_NO_NAME: Final = "it has no name of its own for it"

DEFINITIONS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "ttfb_ms": Metric("Headers", "ms", {"tokenweir": Definition("TTFB", "h - s", lambda view: view.h)}),
        "first_event_ms": Metric(
            "First event", "ms", {"tokenweir": Definition("first event", "c1 - s", lambda view: view.c1)}
        ),
        "ttft_from_schedule_ms": Metric(
            "Time to first token, from the scheduled time",
            "ms",
            {
                "tokenweir": Definition(
                    "TTFT",
                    "t1 - due, empty content passed over",
                    View.first_from_schedule,
                    "the headline: a client that is late does not hide it",
                ),
            },
        ),
        "ttft_ms": Metric(
            "Time to first token",
            "ms",
            {
                "tokenweir": Definition(
                    "TTFT from send",
                    "t1 - s, empty content passed over",
                    lambda view: view.t1,
                    "as the other tools count it",
                ),
                "guidellm": Definition("time_to_first_token_ms", "t1 - s", lambda view: view.t1),
                "vllm": Definition(
                    "TTFT", "c1 - s", lambda view: view.c1, "a chunk with a role and no content counts as the first"
                ),
                "aiperf": Definition("time_to_first_token", "t1 - s", lambda view: view.t1),
            },
        ),
        "e2e_ms": Metric(
            "End to end",
            "ms",
            {
                "tokenweir": Definition("E2E to last content", "e - s", lambda view: view.e_of_request),
                "guidellm": Definition("request_latency", "d - s", lambda view: view.d),
                "vllm": Definition("E2EL", "e - s", lambda view: view.e_of_request),
                "aiperf": Definition("request_latency", "e - s", lambda view: view.e_of_request),
            },
        ),
        "e2e_body_ms": Metric(
            "End to end, whole body",
            "ms",
            {"tokenweir": Definition("E2E to end of body", "d - s", lambda view: view.d)},
        ),
        "tpot_ms": Metric(
            "Time per output token",
            "ms",
            {
                "tokenweir": Definition("TPOT", "(e - t1) / (n - 1)", lambda view: view.per_later_token(view.t1)),
                "guidellm": Definition(
                    "time_per_output_token_ms",
                    "(e - s) / n",
                    lambda view: view.per_token(),
                    "the time to the first token is in it",
                ),
                "vllm": Definition(
                    "TPOT",
                    "(E2EL - TTFT) / (n - 1) = (e - c1) / (n - 1)",
                    lambda view: view.per_later_token(view.c1),
                    "taken as 0 in goodput when n is 1",
                ),
            },
        ),
        "itl_ms": Metric(
            "Inter-token latency",
            "ms",
            {
                "tokenweir": Definition("ITL", _GAP, View.gaps),
                "guidellm": Definition(
                    "inter_token_latency_ms",
                    "(e - t1) / (n - 1), one per request",
                    lambda view: view.per_later_token(view.t1),
                    _ITS_TPOT,
                ),
                "vllm": Definition("ITL", f"{_GAP}; and t1 - c1 if c1 had no content", View.gaps_from_first_event),
                "aiperf": Definition(
                    "inter_token_latency",
                    "(request_latency - TTFT) / (n - 1) = (e - t1) / (n - 1), one per request",
                    lambda view: view.per_later_token(view.t1),
                    _ITS_TPOT,
                ),
            },
            of_gaps=True,
        ),
        "chunk_gap_ms": Metric(
            "Gap between chunks",
            "ms",
            {
                "tokenweir": Definition("ICG", f"{_GAP}; a gap of zero is legal", View.gaps),
                "vllm": Definition(
                    "chunk gap", "its ITL, which is of chunks and not of tokens", View.gaps_from_first_event, _NO_NAME
                ),
                "aiperf": Definition(
                    "inter_chunk_latency",
                    _GAP,
                    View.gaps_unless_zero,
                    "a gap of zero is an error: the request has no value then",
                ),
            },
            of_gaps=True,
        ),
        "coalesced_gaps": Metric(
            "Gaps of zero",
            "gaps",
            {"tokenweir": Definition("coalesced gaps", "count of t_i+1 - t_i = 0", View.coalesced)},
        ),
        "speed_tokens_per_s": Metric(
            "Speed for one user",
            "tokens/s",
            {
                "tokenweir": Definition("speed", "1 / TPOT", View.speed),
                "guidellm": Definition("output_tokens_per_second", "n / request_latency", View.speed_of_request),
                "aiperf": Definition("output_token_throughput_per_user", "1 / inter_token_latency", View.speed),
            },
        ),
    }
)
"""Every metric of a single stream, under the key that its figure has in `under`."""


def under(name: Tool, trace: Trace) -> dict[str, float | None]:
    """Return the figures of one stream as a tool defines them.

    Args:
        name: tokenweir, guidellm, vllm or aiperf.
        trace: of the stream.

    Returns:
        A value for each key of DEFINITIONS: None if the tool has no such metric, or the stream no such value. What is
        of gaps is their mean, with "itl_p50_ms", "itl_p99_ms", "itl_max_ms" and the same of "chunk_gap" beside it
        (percentiles are interpolated, as vLLM's and AIPerf's are).

    Raises:
        ValueError: there is no such tool.
    """
    if name not in TOOLS:
        raise ValueError(f"name must be one of {', '.join(TOOLS)}; got {name!r}")
    view = View(trace)
    figures: dict[str, float | None] = {}
    for key, metric in DEFINITIONS.items():
        definition = metric.tools.get(name)
        values = NOTHING if definition is None else _values(definition, view)
        figures[key] = _mean(values)
        if metric.of_gaps:
            before = key.removesuffix("_ms")
            figures |= {f"{before}_p{percent}_ms": _percentile(values, percent) for percent in _PERCENTILES}
            figures[f"{before}_max_ms"] = _percentile(values, 100)
    return figures


def _values(definition: Definition, view: View) -> Values:
    values = definition.values(view)
    if values is None:
        return NOTHING
    return values if isinstance(values, np.ndarray) else np.array([values])


def _mean(values: Values) -> float | None:
    return values.mean().item() if len(values) else None


def _percentile(values: Values, percent: int) -> float | None:
    return np.percentile(values, percent).item() if len(values) else None


# --- The table ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A metric as one tool has it, over all streams of a run.

    Attributes:
        key: of DEFINITIONS or RUN_DEFINITIONS.
        title: of the metric.
        unit: of the values.
        tool: whose definition it is.
        called: the tool's own name.
        formula: how it is computed.
        note: what else to know.
        count: values that were pooled: streams or gaps. 0: there is none, and all figures are None.
        mean: of them.
        p50: of them, interpolated; None of a metric that a run has one value of.
        p99: the same.
    """

    key: str
    title: str
    unit: str
    tool: Tool
    called: str
    formula: str
    note: str
    count: int
    mean: float | None
    p50: float | None
    p99: float | None


def as_table(traces: Sequence[Trace], *, slo: Slo | None = None) -> list[Row]:
    """Return the figures of all streams under each tool's definitions: one row for each metric and tool that has it.

    Args:
        traces: of one run.
        slo: what a good stream holds; None: the rows of goodput are there without a value.
    """
    views = [View(trace) for trace in traces]
    rows: list[Row] = []
    for key, metric in DEFINITIONS.items():
        rows += [_row(key, metric, tool, views) for tool in TOOLS if tool in metric.tools]
    for key, run_metric in RUN_DEFINITIONS.items():
        rows += [_run_row(key, run_metric, tool, traces, slo) for tool in TOOLS if tool in run_metric.tools]
    return rows


def _row(key: str, metric: Metric, tool: Tool, views: Sequence[View]) -> Row:
    definition = metric.tools[tool]
    values = np.concatenate([NOTHING, *(_values(definition, view) for view in views)])
    return Row(
        key,
        metric.title,
        metric.unit,
        tool,
        definition.called,
        definition.formula,
        definition.note,
        len(values),
        _mean(values),
        _percentile(values, 50),
        _percentile(values, 99),
    )


def _run_row(key: str, metric: RunMetric, tool: Tool, traces: Sequence[Trace], slo: Slo | None) -> Row:
    definition = metric.tools[tool]
    value = definition.value(traces, slo)
    count = 0 if value is None else 1
    called, formula, note = definition.called, definition.formula, definition.note
    return Row(key, metric.title, metric.unit, tool, called, formula, note, count, value, None, None)
