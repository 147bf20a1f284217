"""The oracle: one stream made by hand, whose figures under each tool's definitions were worked out on paper.

ms     0     20       50          60  70  90  90  160   200
       sent  headers  role alone  a   b   c   d   e     end
"""

from __future__ import annotations

import pytest

from benchmarks.measures.definitions import DEFINITIONS, TOOLS, Row, Tool, as_table, under
from benchmarks.measures.goodput import Slo
from benchmarks.traces.captures import Outcome, Trace
from tests.benchmarks.traces import made

__all__ = ()

TOKENS_MS = (60, 70, 90, 90, 160)


def stream(**changes: object) -> Trace:
    arguments: dict[str, object] = {
        "headers_ms": 20,
        "first_event_ms": 50,
        "ended_ms": 200,
        "event_count": 7,
        **changes,
    }
    return made(TOKENS_MS, **arguments)  # type: ignore[arg-type]


PAPER: dict[Tool, dict[str, float | None]] = {
    "tokenweir": {
        "ttfb_ms": 20,
        "first_event_ms": 50,
        "ttft_from_schedule_ms": 60,
        "ttft_ms": 60,
        "e2e_ms": 160,
        "e2e_body_ms": 200,
        "tpot_ms": 25,  # (160 - 60) / 4
        "itl_ms": 25,  # 10, 20, 0, 70
        "itl_p50_ms": 15,
        "itl_p99_ms": 68.5,
        "itl_max_ms": 70,
        "chunk_gap_ms": 25,
        "chunk_gap_p50_ms": 15,
        "chunk_gap_p99_ms": 68.5,
        "chunk_gap_max_ms": 70,
        "coalesced_gaps": 1,
        "speed_tokens_per_s": 40,
    },
    "guidellm": {
        "ttfb_ms": None,
        "first_event_ms": None,
        "ttft_from_schedule_ms": None,
        "ttft_ms": 60,
        "e2e_ms": 200,  # to the end of the body
        "e2e_body_ms": None,
        "tpot_ms": 32,  # 160 / 5: the first token is in it
        "itl_ms": 25,  # one number per request
        "itl_p50_ms": 25,
        "itl_p99_ms": 25,
        "itl_max_ms": 25,
        "chunk_gap_ms": None,
        "chunk_gap_p50_ms": None,
        "chunk_gap_p99_ms": None,
        "chunk_gap_max_ms": None,
        "coalesced_gaps": None,
        "speed_tokens_per_s": 25,  # 5 / 0.2 s
    },
    "vllm": {
        "ttfb_ms": None,
        "first_event_ms": None,
        "ttft_from_schedule_ms": None,
        "ttft_ms": 50,  # the role alone counts
        "e2e_ms": 160,
        "e2e_body_ms": None,
        "tpot_ms": 27.5,  # (160 - 50) / 4
        "itl_ms": 22,  # 10, 10, 20, 0, 70: from the role on
        "itl_p50_ms": 10,
        "itl_p99_ms": 68,
        "itl_max_ms": 70,
        "chunk_gap_ms": 22,
        "chunk_gap_p50_ms": 10,
        "chunk_gap_p99_ms": 68,
        "chunk_gap_max_ms": 70,
        "coalesced_gaps": None,
        "speed_tokens_per_s": None,
    },
    "aiperf": {
        "ttfb_ms": None,
        "first_event_ms": None,
        "ttft_from_schedule_ms": None,
        "ttft_ms": 60,
        "e2e_ms": 160,
        "e2e_body_ms": None,
        "tpot_ms": None,  # absent by that name
        "itl_ms": 25,  # (160 - 60) / 4
        "itl_p50_ms": 25,
        "itl_p99_ms": 25,
        "itl_max_ms": 25,
        "chunk_gap_ms": None,  # a gap of zero is an error
        "chunk_gap_p50_ms": None,
        "chunk_gap_p99_ms": None,
        "chunk_gap_max_ms": None,
        "coalesced_gaps": None,
        "speed_tokens_per_s": 40,
    },
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_stream_made_by_hand_has_the_figures_of_the_paper(tool: Tool) -> None:
    on_paper = {key: None if value is None else pytest.approx(value, rel=1e-12) for key, value in PAPER[tool].items()}
    assert under(tool, stream()) == on_paper


def test_without_a_gap_of_zero_aiperf_has_chunk_gaps() -> None:
    figures = under("aiperf", made([60, 70, 90]))
    assert (figures["chunk_gap_ms"], figures["chunk_gap_max_ms"]) == (15, 20)


def test_without_a_role_alone_vllm_has_the_gaps_of_all_others() -> None:
    trace = made(TOKENS_MS)
    assert under("vllm", trace)["itl_ms"] == under("tokenweir", trace)["itl_ms"] == 25


@pytest.mark.parametrize("tool", TOOLS)
def test_one_token_has_no_gap_and_no_time_per_later_token(tool: Tool) -> None:
    figures = under(tool, made([60], ended_ms=100))
    assert figures["itl_ms"] is None
    assert figures["tpot_ms"] == (60 if tool == "guidellm" else None)
    assert figures["ttft_ms"] == 60


@pytest.mark.parametrize("tool", TOOLS)
def test_a_request_that_was_never_sent_has_no_figure_at_all(tool: Tool) -> None:
    trace = made([], outcome=Outcome.UNREACHABLE, sent_ms=None, headers_ms=None)
    assert set(under(tool, trace).values()) == {None}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_stream_that_was_left_has_no_end(tool: Tool) -> None:
    figures = under(tool, stream(outcome=Outcome.LEFT))
    assert figures["e2e_ms"] is figures["e2e_body_ms"] is None
    assert figures["itl_ms"] is not None


def test_a_merged_token_counts_as_all_that_it_stands_for() -> None:
    figures = under("tokenweir", made([0, 40], merged=[1, 4]))
    assert figures["tpot_ms"] == 10
    assert figures["itl_ms"] == 40


def test_all_tools_count_from_when_the_request_was_sent() -> None:
    assert {under(tool, made([60], sent_ms=5))["ttft_ms"] for tool in TOOLS} == {55}


def test_an_unknown_tool_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"tokenweir, guidellm, vllm, aiperf; got 'llmperf'"):
        under("llmperf", stream())  # type: ignore[arg-type]


def test_our_headline_counts_from_the_scheduled_time_and_the_tools_from_the_sending() -> None:
    late = stream(sent_ms=20)
    assert {tool: under(tool, late)["ttft_ms"] for tool in TOOLS} == {
        "tokenweir": 40,
        "guidellm": 40,
        "vllm": 30,
        "aiperf": 40,
    }
    assert under("tokenweir", late)["ttft_from_schedule_ms"] == 60
    assert DEFINITIONS["ttft_from_schedule_ms"].tools["tokenweir"].called == "TTFT"


def test_no_tool_has_two_metrics_of_one_name() -> None:
    for tool in TOOLS:
        names = [metric.tools[tool].called for metric in DEFINITIONS.values() if tool in metric.tools]
        assert len(set(names)) == len(names)


# --- The table ---------------------------------------------------------------------------------------------------


def rows_of(*traces: Trace, slo: Slo | None = None) -> dict[tuple[str, str], Row]:
    return {(row.key, row.tool): row for row in as_table(traces, slo=slo)}


def test_the_table_has_a_row_with_a_formula_for_each_metric_of_each_tool() -> None:
    rows = rows_of(stream())
    assert all(row.formula and row.called and row.unit for row in rows.values())
    assert {key for key in rows if key[0] in DEFINITIONS} == {
        (key, tool) for key, metric in DEFINITIONS.items() for tool in metric.tools
    }
    assert rows["tpot_ms", "guidellm"].mean == 32
    assert ("tpot_ms", "aiperf") not in rows


def test_the_table_pools_gaps_over_streams_and_averages_requests() -> None:
    rows = rows_of(made([10, 20, 50]), made([10, 110]))

    pooled, averaged = rows["itl_ms", "tokenweir"], rows["itl_ms", "guidellm"]
    assert (pooled.count, pooled.p50) == (3, 30)
    assert pooled.mean == pytest.approx(140 / 3)
    assert (averaged.count, averaged.mean) == (2, 60)


def test_output_per_second_differs_by_what_it_is_divided_by() -> None:
    rows = rows_of(stream(sent_ms=20))
    assert {tool: rows["output_tokens_per_s", tool].mean for tool in TOOLS} == pytest.approx(
        {
            "tokenweir": 5 / 0.200,  # from the scheduled time to the end of the body
            "guidellm": 5 / 0.180,
            "vllm": 5 / 0.180,
            "aiperf": 5 / 0.140,  # to the last content
        }
    )


def test_goodput_judges_the_same_streams_differently() -> None:
    slo = Slo(ttft_ms=55, itl_ms=27)
    rows = rows_of(stream(), slo=slo)
    assert rows["good_requests_per_s", "vllm"].mean == 0  # TTFT 50 is good, TPOT 27.5 is not
    assert rows["good_requests_per_s", "aiperf"].mean == 0  # TTFT 60 is not
    rows = rows_of(stream(), slo=Slo(ttft_ms=60, itl_ms=30))
    assert rows["good_requests_per_s", "vllm"].mean == pytest.approx(5)
    assert rows["good_requests_per_s", "aiperf"].mean == pytest.approx(5)
    assert rows["good_requests_per_s", "tokenweir"].mean == 0  # a gap of 70 ms


def test_a_request_of_one_token_is_good_for_the_tools_whatever_its_pace() -> None:
    rows = rows_of(made([60], ended_ms=100), slo=Slo(itl_ms=1))
    assert rows["good_requests_per_s", "vllm"].mean == rows["good_requests_per_s", "aiperf"].mean == pytest.approx(10)


def test_goodput_without_an_slo_is_a_row_without_a_value() -> None:
    rows = rows_of(stream())
    goodput = [row for (key, _), row in rows.items() if key == "good_requests_per_s"]
    assert {row.tool for row in goodput} == {"tokenweir", "vllm", "aiperf"}
    assert all(row.mean is None and "SLO" in row.note for row in goodput)


def test_the_table_of_no_streams_has_no_values() -> None:
    assert all(row.mean is row.p50 is row.p99 is None for row in as_table([]))
