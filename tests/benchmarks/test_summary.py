"""The answers: other figures, other sentences; and what must be said of a whole run."""

from __future__ import annotations

from benchmarks.results import CellResult, ClientCheck, Repeat, Results
from benchmarks.summary.answers import answers, verdicts

__all__ = ()


def cell(
    scenario: str,
    variant: str,
    strategy: str,
    *,
    outcome: str = "completed",
    transport: str = "sse",
    reader: str = "paced:100tokens/s",
    counts: dict[str, int] | None = None,
    **measures: float | tuple[float, ...],
) -> CellResult:
    """Return a cell; a measure of several values has one for each repeat."""
    columns = {name: value if isinstance(value, tuple) else (value,) for name, value in measures.items()}
    count = max((len(column) for column in columns.values()), default=1)
    repeats = [
        Repeat(
            measures={name: column[index % len(column)] for name, column in columns.items()},
            outcomes={outcome: 1},
            counts=counts or {},
        )
        for index in range(count)
    ]
    return CellResult(
        scenario=scenario,
        name=f"{variant} {strategy} {reader} {transport}",
        variant=variant,
        strategy=strategy,
        reader=reader,
        transport=transport,
        parameters={},
        repeats=repeats,
    )


def said(*cells: CellResult) -> tuple[str, ...]:
    (answer,) = answers(Results(questions={cells[0].scenario: "?"}, cells=list(cells)))
    return answer.sentences


SUSPEND = cell("slow-reader", "flux", "suspend", loss_share=0, pacing_p99_ms=2_900, lateness_p50_ms=600, peak_held=1)
REDUCE = cell(
    "slow-reader", "rx", "reduce", loss_share=0, merged_tokens=90, pacing_p99_ms=2, lateness_p50_ms=400, peak_held=1
)
DROP = cell("slow-reader", "flux", "drop", loss_share=0.6, pacing_p99_ms=2, lateness_p50_ms=300, peak_held=2)
RX_DROP = cell("slow-reader", "rx", "drop", loss_share=0.5, pacing_p99_ms=2, lateness_p50_ms=310, peak_held=2)
ERROR = cell("slow-reader", "rx", "error", outcome="failed", loss_share=0.9, lateness_p50_ms=1, peak_held=1)


def test_slow_reader_is_told_who_lost_nothing_who_lost_and_who_broke() -> None:
    sentences = said(SUSPEND, REDUCE, DROP, RX_DROP, ERROR)
    assert sentences[1:4] == (
        "Nothing was lost with suspend (flux) and reduce (rx); reduce (rx) joined tokens into fewer, longer events for "
        "it.",
        "Tokens were lost with drop (rx, flux): 50 % to 60 % of them.",
        "The stream broke with error (rx) (failed).",
    )


def test_slow_reader_is_told_who_held_the_source_back() -> None:
    assert (
        "The source was held back by suspend (flux): by 2.9 s (99th percentile; said of those that held it back 100 ms "
        "longer than the most punctual one, or more)."
    ) in said(SUSPEND, DROP)
    assert "No strategy held the source back by 100 ms or more than the most punctual one." in said(REDUCE, DROP)


def test_slow_reader_is_told_what_came_late_by_the_sources_schedule() -> None:
    assert (
        "Tokens came least behind the source's schedule with drop (flux, rx): 300 ms to 310 ms (about equal) at the "
        "median; most with suspend (flux): 600 ms."
    ) in said(SUSPEND, REDUCE, DROP, RX_DROP, ERROR)
    assert "Tokens came about equally late with all: 300 ms to 310 ms at the median." in said(DROP, RX_DROP)


def test_slow_reader_is_told_in_short_the_most_punctual_for_each_wish_of_those_that_did_not_break() -> None:
    assert said(SUSPEND, REDUCE, DROP, RX_DROP, ERROR)[0] == (
        "In short, by how far tokens came behind the source's schedule at the median: suspend (flux) for every token "
        "by itself (600 ms); reduce (rx) for the whole text without holding the source back by 100 ms or more "
        "(400 ms); drop (flux, rx) for the newest, whatever is lost (300 ms to 310 ms, about equal)."
    )


def test_source_that_is_held_back_makes_nobody_more_punctual() -> None:
    held = cell("slow-reader", "flux", "suspend", loss_share=0, lateness_p50_ms=1_500, freshness_p50_ms=5)
    free = cell("slow-reader", "rx", "buffer(unbounded)", loss_share=0, lateness_p50_ms=900, freshness_p50_ms=500)
    assert "buffer(unbounded) (rx) for every token by itself (900 ms)" in said(held, free)[0]


def test_what_repeats_cannot_tell_apart_has_no_rank() -> None:
    one = cell("slow-reader", "flux", "drop", loss_share=0.5, lateness_p50_ms=(100, 300))
    two = cell("slow-reader", "rx", "drop", loss_share=0.5, lateness_p50_ms=(290, 500))
    three = cell("slow-reader", "rx", "latest", loss_share=0.5, lateness_p50_ms=(900, 950))
    assert (
        "drop (flux, rx) for the newest, whatever is lost (200 ms to 395 ms, about equal)" in said(one, two, three)[0]
    )


def test_memory_is_told_in_the_unit_that_suits_it() -> None:
    small = cell("stalled", "flux", "drop", server_kib_per_stream=40, peak_held=3)
    large = cell("stalled", "rx", "buffer(unbounded)", server_kib_per_stream=3_072, peak_held=5_000)
    assert "No process grew by more than 40 KiB a stream." in said(small)
    assert said(small, large)[-2:] == (
        "The server held at most 5,000 tokens at the boundary, with buffer(unbounded) (rx).",
        "Its process grew most with buffer(unbounded) (rx): by 3 MiB a stream; least with drop (flux): by 0.039 MiB.",
    )


def test_figures_that_are_missing_make_no_sentence() -> None:
    assert said(cell("slow-reader", "flux", "drop")) == ("The figures do not tell.",)


def test_scenario_without_a_measured_cell_says_so() -> None:
    (answer,) = answers(Results(questions={"firehose": "How many?"}))
    assert (answer.question, answer.text) == ("How many?", "It was not measured.")


def test_ordering_says_no_if_one_producer_was_overtaken() -> None:
    kept = cell("ordering", "rx", "buffer", ordering_violations=0, inversions=0)
    broken = cell("ordering", "flux", "buffer", ordering_violations=2, inversions=7)
    assert said(kept) == ("Yes: no token overtook another of its thread, with buffer (rx).",)
    assert said(kept, broken) == (
        "No: tokens of one thread overtook each other with buffer (flux).",
        "Between threads, order is a matter of luck; out of the source's order were: buffer (flux) 7 pairs.",
    )


def test_transports_are_compared_cell_by_cell() -> None:
    sse = cell("sse-vs-websocket", "flux", "suspend", cpu_s_per_million_tokens=10, lateness_p99_ms=3)
    other = cell(
        "sse-vs-websocket", "flux", "suspend", transport="websocket", cpu_s_per_million_tokens=20, lateness_p99_ms=3.1
    )
    assert said(sse, other) == (
        "suspend (flux): SSE took less than WebSocket in CPU per token (0.50 times).",
        "suspend (flux): SSE took about as much as WebSocket in lateness at the 99th percentile (0.97 times).",
    )


def test_ratio_within_the_spread_of_the_repeats_is_no_difference() -> None:
    sse = cell("sse-vs-websocket", "flux", "suspend", cpu_s_per_million_tokens=(10, 20))
    other = cell("sse-vs-websocket", "flux", "suspend", transport="websocket", cpu_s_per_million_tokens=(19, 40))
    assert said(sse, other) == (
        "suspend (flux): between SSE and WebSocket there is no difference in CPU per token that two repeats could show "
        "(0.51 times).",
    )


def test_firehose_names_the_fastest_first() -> None:
    slow = cell("firehose", "emitter", "suspend", tokens_per_s=200_000)
    fast = cell("firehose", "flux", "buffer", tokens_per_s=900_000)
    assert said(slow, fast) == (
        "Tokens per second, on one core: 900 k with buffer (flux) and 200 k with suspend (emitter).",
    )


def test_firehoses_whose_repeats_overlap_are_about_equal() -> None:
    one = cell("firehose", "rx", "reduce", tokens_per_s=(300_000, 500_000), transport="websocket")
    two = cell("firehose", "rx", "buffer", tokens_per_s=(450_000, 600_000))
    best = cell("firehose", "flux", "buffer", tokens_per_s=(700_000, 720_000))
    assert said(one, two, best) == (
        "Tokens per second, on one core: 710 k with buffer (flux) and 400 k to 525 k (about equal) with reduce (rx) "
        "over websocket and buffer (rx).",
    )


def test_leaving_says_where_every_token_went() -> None:
    counts = {"delivered": 120, "received": 100, "in_transit": 20, "dropped": 5}
    (sentence,) = said(cell("leaving", "flux", "suspend", outcome="left", counts=counts))
    assert sentence == (
        "Yes: of 120 tokens that left the boundary, 100 were received and 20 were on the way when the readers left; 5 "
        "more were dropped where they waited."
    )


def test_run_in_which_all_adds_up_says_of_how_much() -> None:
    assert verdicts(Results(cells=[cell("leaving", "flux", "drop", counts={"emitted": 40})])) == [
        "All counts add up: 1 streams, 40 tokens emitted = delivered + dropped + merged + rejected + held, and what "
        "the server delivered is what the clients received."
    ]


def test_what_a_user_must_know_comes_in_capitals() -> None:
    bad = cell("leaving", "flux", "drop")
    bad.repeats[0].accounting = ["stream 7: 1 != 2"]
    bad.repeats[0].client = ClientCheck(cpu_share=1, lag_p99_ms=1, lag_max_ms=1, bound=True, reason="CPU share 1.0")
    never = cell("leaving", "rx", "drop")
    never.repeats, never.error = [], "it does not listen"
    cut = cell("leaving", "rx", "reduce", outcome="cut")
    cut.expects = ["left"]
    cut.repeats[0].notes = ["ttft is left out"]
    cut.repeats[0].client = ClientCheck(cpu_share=0.1, lag_p99_ms=30, lag_max_ms=40, bound=True, reason="30 ms late")
    lines = verdicts(Results(cells=[bad, never, cut], interrupted=True))
    assert [line.split(":")[0] for line in lines] == [
        "INTERRUPTED",
        "ACCOUNTING",
        "leaving",
        "FAILED",
        "leaving",
        "NOT MEASURED",
        "CLIENT-BOUND",
        "MACHINE BUSY",
        "LEFT OUT",
    ]
    assert "1 stream cut, where left is expected" in lines[4]
    assert "2 of 3 cells" in lines[0]
    assert "stream 7: 1 != 2" in lines[2]


def test_run_without_a_stream_claims_nothing() -> None:
    assert verdicts(Results()) == []


def test_speeds_are_told_strategy_by_strategy() -> None:
    slow = cell("reader-speed", "flux", "drop", reader="paced:50tokens/s", loss_share=0.79)
    fast = cell("reader-speed", "flux", "drop", reader="paced:200tokens/s", loss_share=0.5)
    assert said(slow, fast) == ("drop (flux) lost 79 % at 50 tokens/s and 50 % at 200 tokens/s.",)


def test_many_cells_of_one_trouble_are_one_line() -> None:
    cells = [cell("firehose", "flux", strategy) for strategy in ("drop", "latest", "error")]
    for each in cells:
        each.repeats, each.error = [], "it does not listen"
    assert verdicts(Results(cells=cells)) == [
        "NOT MEASURED: 3 cells, 3 of firehose; the first because it does not listen"
    ]


def test_endpoint_that_is_not_ours_is_not_said_to_add_up() -> None:
    assert verdicts(Results(cells=[cell("url", "url", "", counts={"received": 5})])) == []
