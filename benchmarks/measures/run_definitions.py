"""What a run has one value of, as guidellm, vLLM, AIPerf and this project define it: output per second, goodput."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from benchmarks.measures.goodput import Slo, goodput
from benchmarks.measures.views import View
from benchmarks.traces.captures import Outcome, Trace

__all__ = ("RUN_DEFINITIONS", "RunDefinition", "RunMetric")


@dataclass(frozen=True, slots=True)
class RunDefinition:
    """What one tool means by a metric that a run has one value of.

    Attributes:
        called: the tool's own name for it.
        formula: for people.
        value: of all streams of a run under a stated Slo, or without one.
        note: what else to know.
    """

    called: str
    formula: str
    value: Callable[[Sequence[Trace], Slo | None], float | None]
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunMetric:
    """A metric of a run, and how each tool defines it; one that is not there has no such metric."""

    title: str
    unit: str
    tools: Mapping[str, RunDefinition]


def _span_s(starts_ns: Sequence[int | None], ends_ns: Sequence[int | None]) -> float | None:
    """From the first start to the last end in seconds; None if there is no such span."""
    starts, ends = ([each for each in times if each is not None] for times in (starts_ns, ends_ns))
    span_ns = max(ends) - min(starts) if starts and ends else 0
    return span_ns / 1e9 if span_ns > 0 else None


def _window_s(traces: Sequence[Trace]) -> float | None:
    return _span_s([each.times.scheduled_ns for each in traces], [each.times.ended_ns for each in traces])


def _duration_s(traces: Sequence[Trace]) -> float | None:
    return _span_s([each.times.sent_ns for each in traces], [each.times.ended_ns for each in traces])


def _responses_s(traces: Sequence[Trace]) -> float | None:
    last_ns = [int(each.received_ns[-1]) for each in traces if len(each.received_ns)]
    return _span_s([each.times.sent_ns for each in traces], last_ns)


def _per_s(count: int, span_s: float | None) -> float | None:
    return None if span_s is None else count / span_s


def _tokens(traces: Sequence[Trace]) -> int:
    return sum(trace.token_count for trace in traces)


def _good_requests(
    traces: Sequence[Trace], slo: Slo | None, times: Callable[[View], tuple[float | None, float | None]]
) -> float | None:
    """Completed requests whose two `times`, to the first token and per token, are within the Slo, / duration.

    A request of one token has no time per token; it is taken as 0.
    """
    if slo is None:
        return None
    completed = [View(trace) for trace in traces if trace.outcome is Outcome.COMPLETED]
    good = [view for view in completed if _is_good(*times(view), slo)]
    return _per_s(len(good), _duration_s(traces))


def _is_good(first_ms: float | None, per_token_ms: float | None, slo: Slo) -> bool:
    if first_ms is None or (slo.ttft_ms is not None and first_ms > slo.ttft_ms):
        return False
    return slo.itl_ms is None or (per_token_ms or 0.0) <= slo.itl_ms


def _times_vllm(view: View) -> tuple[float | None, float | None]:
    return view.c1, view.per_later_token(view.c1)


def _times_aiperf(view: View) -> tuple[float | None, float | None]:
    return view.t1, view.per_later_token(view.t1)


def _our_goodput(traces: Sequence[Trace], slo: Slo | None) -> float | None:
    return goodput(traces, slo, _window_s(traces) or 0.0).get("goodput_streams_per_s")


_NEEDS_SLO: Final = "needs a stated SLO"

RUN_DEFINITIONS: Final[Mapping[str, RunMetric]] = MappingProxyType(
    {
        "output_tokens_per_s": RunMetric(
            "Output of the run",
            "tokens/s",
            {
                "tokenweir": RunDefinition(
                    "tokens received",
                    "sum of n / (last d - first scheduled time)",
                    lambda traces, _: _per_s(_tokens(traces), _window_s(traces)),
                ),
                "guidellm": RunDefinition(
                    "output_tokens_per_second",
                    "the rate, averaged over the time of the run = sum of n / (last d - first s)",
                    lambda traces, _: _per_s(_tokens(traces), _duration_s(traces)),
                ),
                "vllm": RunDefinition(
                    "output_throughput",
                    "sum of n / duration = sum of n / (last d - first s)",
                    lambda traces, _: _per_s(_tokens(traces), _duration_s(traces)),
                ),
                "aiperf": RunDefinition(
                    "output_token_throughput",
                    "sum of n / (last e - first s)",
                    lambda traces, _: _per_s(_tokens(traces), _responses_s(traces)),
                ),
            },
        ),
        "good_requests_per_s": RunMetric(
            "Goodput",
            "requests/s",
            {
                "tokenweir": RunDefinition(
                    "good streams",
                    "streams within the SLO, with at most 1 % of the gaps longer, / (last d - first scheduled time)",
                    _our_goodput,
                    _NEEDS_SLO,
                ),
                "vllm": RunDefinition(
                    "request_goodput",
                    "requests with TTFT and TPOT within the SLO / duration",
                    lambda traces, slo: _good_requests(traces, slo, _times_vllm),
                    f"{_NEEDS_SLO}; TPOT is 0 when n is 1",
                ),
                "aiperf": RunDefinition(
                    "goodput",
                    "requests with TTFT and ITL within the SLO / duration",
                    lambda traces, slo: _good_requests(traces, slo, _times_aiperf),
                    f"{_NEEDS_SLO}; any metric can be in it",
                ),
            },
        ),
    }
)
"""Every metric of a run."""
