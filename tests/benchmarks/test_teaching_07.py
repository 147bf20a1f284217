"""Lesson 07: strategies on paper, what a client needs as limits, and a decision that is computed from figures."""

from __future__ import annotations

import shlex

import pytest

from benchmarks import options
from benchmarks.results import CellResult, Repeat, Results
from benchmarks.running.run import Order, Run
from benchmarks.scenarios.presets import PRESETS
from benchmarks.teaching import lesson_07
from benchmarks.teaching.lesson_07 import (
    AGENT,
    CANDIDATES,
    CHAT,
    COMMAND,
    DASHBOARD,
    REDUCE,
    SUSPEND,
    VOICE,
    Need,
    Wish,
    breaks_at,
    chosen,
    decide,
    decision_table,
    figures_table,
    marbles,
    measured,
    on_paper,
    read_by,
    scenario,
    smallest_buffer,
    whole_words,
)
from benchmarks.traces.captures import Outcome
from streams.marbles import MarbleKind
from streams.schedules import SlowReader, SourceSchedule
from streams.strategy import BackpressureStrategy, BufferOverflow, Join

__all__ = ()

# --- On paper ----------------------------------------------------------------------------------------------------


def test_words_keep_the_space_behind_them_so_that_joined_they_are_the_text() -> None:
    source = whole_words("one two  three", every_ms=10)
    assert source.emissions == [(0, "one "), (10, "two "), (20, "three")]
    assert source.end_ms == 20


@pytest.mark.parametrize(("text", "every_ms"), [("  ", 10), ("word", 0)])
def test_a_source_needs_words_and_time(text: str, every_ms: float) -> None:
    with pytest.raises(ValueError, match=r"text|every_ms"):
        whole_words(text, every_ms=every_ms)


def test_reduce_and_suspend_keep_the_text_of_a_slow_reader_and_a_full_buffer_does_not() -> None:
    source, reader = whole_words("a b c d e f", every_ms=10), SlowReader(busy_ms=40)
    dropping = BackpressureStrategy.buffer(1, BufferOverflow.DROP_OLDEST)
    assert read_by(on_paper(REDUCE, source, reader)) == ["a ", "b c d ", "e f"]
    assert "".join(read_by(on_paper(SUSPEND, source, reader))) == "a b c d e f"
    assert "".join(read_by(on_paper(dropping, source, reader))) != "a b c d e f"


def test_marbles_bear_the_numbers_of_their_items() -> None:
    source, reader = whole_words("a b c d e f", every_ms=10), SlowReader(busy_ms=40)
    consumer = marbles(on_paper(REDUCE, source, reader)).lanes[-1]
    assert [marble.label for marble in consumer.marbles] == ["0", "1-3", "4-5"]
    assert consumer.marbles[1].kind is MarbleKind.MERGED


def test_the_smallest_buffer_loses_nothing_and_one_less_does() -> None:
    values = SourceSchedule([(10 * k, k) for k in range(60)], end_ms=600)
    pausing = SlowReader(busy_ms=[0, 0, 0, 0, 0, 200, 0])
    least = smallest_buffer(values, pausing)
    dropped = [
        on_paper(BackpressureStrategy.buffer(capacity, BufferOverflow.DROP_OLDEST), values, pausing).statistics.dropped
        for capacity in (least - 1, least)
    ]
    assert (least, dropped) == (19, [1, 0])


def test_a_reader_that_no_buffer_can_follow_is_refused() -> None:
    endless = SourceSchedule([(0, k) for k in range(110)], end_ms=0)
    with pytest.raises(ValueError, match="at most 100 items"):
        smallest_buffer(endless, SlowReader(busy_ms=[10_000]))


def test_a_limited_join_breaks_at_the_item_that_finds_no_room_and_an_unlimited_one_holds() -> None:
    words, tunnel = SourceSchedule([(10 * k, "x") for k in range(200)], end_ms=2000), SlowReader(busy_ms=[1000, 0])
    assert breaks_at(BackpressureStrategy.reduce(Join("".join), max_merged=64), words, tunnel) == 66
    assert breaks_at(REDUCE, words, tunnel) is None


# --- What is measured --------------------------------------------------------------------------------------------


def test_the_cells_are_those_that_the_command_measures() -> None:
    words = shlex.split(COMMAND)
    assert words[:4] == ["python", "-m", "benchmarks", "run"]
    preset = options.preset(words[4])
    (found,) = options.only(preset, [words[words.index("--only") + 1]])
    assert all(cell in found.cells for cell in scenario().cells)
    assert scenario().question == found.question
    assert tuple(cell.strategy_name for cell in scenario().cells) == CANDIDATES


def test_an_unknown_candidate_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"candidates must be of .*got 'hope'"):
        scenario(["hope"])


def test_a_measurement_asks_for_these_cells_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[Order] = []

    def keep(order: Order) -> Run:
        orders.append(order)
        return Run(Results(preset=order.preset))

    monkeypatch.setattr(lesson_07, "run", keep)
    assert measured(["latest"], repeats=3).preset in PRESETS
    ((cell,),) = [[cell.name for cell in scenario.cells] for order in orders for scenario in order.scenarios]
    assert (cell, orders[0].repeats, orders[0].command) == ("flux latest paced:100tokens/s", 3, COMMAND)


# --- The decision ------------------------------------------------------------------------------------------------


def cell_of(strategy: str, ended: Outcome = Outcome.COMPLETED, **changes: float | None) -> CellResult:
    figures: dict[str, float | None] = {
        "loss_share": 0.0,
        "merged_tokens": 0.0,
        "pacing_p99_ms": 2.0,
        "peak_held": 10.0,
        "freshness_p50_ms": 300.0,
        **changes,
    }
    return CellResult(
        scenario="slow-reader",
        name=f"flux {strategy}",
        variant="flux",
        strategy=strategy,
        reader="paced:100tokens/s",
        transport="sse",
        parameters={},
        repeats=[Repeat(measures=figures, outcomes={ended.value: 1})],
    )


def made_up() -> Results:
    return Results(
        cells=[
            cell_of("reduce", merged_tokens=250, freshness_p50_ms=340),
            cell_of("latest", loss_share=0.62, freshness_p50_ms=345),
            cell_of("buffer(unbounded)", peak_held=236, freshness_p50_ms=1490),
            cell_of("suspend", pacing_p99_ms=2450, freshness_p50_ms=500),
        ]
    )


def test_each_client_gets_the_freshest_of_what_keeps_its_needs() -> None:
    results = made_up()
    found = {wish.name: chosen(results, wish) for wish in (CHAT, DASHBOARD, AGENT, VOICE)}
    assert found == {"chat": {"reduce"}, "dashboard": {"latest"}, "agent": {"suspend"}, "voice": {"reduce"}}


def test_other_figures_decide_otherwise() -> None:
    results = made_up()
    results.cells[0].repeats[0].measures["freshness_p50_ms"] = 1500
    assert chosen(results, CHAT) == {"buffer(unbounded)"}


def test_a_verdict_says_what_decides_or_every_reason_why_not() -> None:
    results = Results(cells=[*made_up().cells, cell_of("drop", loss_share=0.6, pacing_p99_ms=900)])
    verdicts = {strategy: str(verdict) for strategy, verdict in decide(results, CHAT).items()}
    assert verdicts["reduce"] == "FIRST CHOICE, 340 ms"
    assert verdicts["buffer(unbounded)"] == "would do, 1.49 s"
    assert verdicts["drop"] == "no: lost 60 %; source held back by 900 ms"
    assert str(decide(results, AGENT)["suspend"]) == "yes"


def test_a_limit_may_be_reached_but_not_passed() -> None:
    wish = Wish("w", (Need("peak_held", 10),))
    results = Results(cells=[cell_of("at", peak_held=10), cell_of("above", peak_held=11)])
    assert {name: verdict.fits for name, verdict in decide(results, wish).items()} == {"at": True, "above": False}


def test_a_stream_that_broke_and_what_was_not_measured_will_not_do() -> None:
    broken = cell_of("error", ended=Outcome.FAILED)
    unknown = cell_of("mystery", loss_share=None)
    results = Results(cells=[broken, unknown])
    verdicts = {strategy: str(verdict) for strategy, verdict in decide(results, CHAT).items()}
    assert verdicts == {"error": "no: the stream broke", "mystery": "no: lost -"}
    assert chosen(results, CHAT) == set()


def test_a_cell_that_was_not_measured_is_in_no_table() -> None:
    results = made_up()
    results.cells[1].repeats.clear()
    strategies = ["reduce", "buffer(unbounded)", "suspend"]
    assert [row["strategy"] for row in decision_table(results)] == strategies
    assert sorted(row["strategy"] for row in figures_table(results)) == sorted(strategies)


def test_the_table_of_figures_begins_with_the_freshest() -> None:
    rows = figures_table(made_up())
    assert [row["strategy"] for row in rows] == ["reduce", "latest", "suspend", "buffer(unbounded)"]
    assert rows[1]["lost"] == "62 %"


@pytest.mark.parametrize(("measure", "most"), [("luck", 1), ("loss_share", -1), ("loss_share", float("nan"))])
def test_a_need_is_a_limit_of_at_least_0_on_a_known_measure(measure: str, most: float) -> None:
    with pytest.raises(ValueError, match=r"measure|most"):
        Need(measure, most)


def test_what_decides_of_a_wish_is_a_known_measure() -> None:
    with pytest.raises(ValueError, match="then must be"):
        Wish("w", (), then="luck")
