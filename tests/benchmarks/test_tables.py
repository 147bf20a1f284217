"""The tables: that they fit, explain themselves, and print what is there."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.results import CellResult, Repeat, Results
from benchmarks.scenarios.presets import PRESETS
from benchmarks.summary.tables import show, table_of

__all__ = ()

MEASURES = (
    *("loss_share", "freshness_p50_ms", "pacing_p99_ms", "e2e_body_p50_ms", "peak_held", "tokens_per_s"),
    *("cpu_s_per_million_tokens", "server_kib_per_stream", "lateness_p50_ms", "lateness_p99_ms", "inversions"),
    *("ordering_violations", "merged_tokens", "bytes_per_s", "ttft_p50_ms", "ttft_p99_ms", "itl_p50_ms", "itl_p99_ms"),
)


def results(preset: str) -> Results:
    """Return results in which every measure of every cell was measured."""
    chosen = PRESETS[preset]
    repeats = [Repeat(measures=dict.fromkeys(MEASURES, value), outcomes={"completed": 1}) for value in (123_456.7, 0.5)]
    return Results(
        questions={scenario.name: scenario.question for scenario in chosen.scenarios},
        cells=[
            CellResult(
                scenario=scenario.name,
                name=cell.name,
                variant=cell.variant,
                strategy=cell.strategy_name,
                reader=str(cell.reader),
                transport=cell.transport.value,
                parameters={},
                repeats=repeats,
            )
            for scenario in chosen.scenarios
            for cell in scenario.cells
        ],
    )


def printed(shown: Results) -> str:
    file = io.StringIO()
    show(shown, Console(file=file))
    return file.getvalue()


@pytest.mark.parametrize("preset", PRESETS)
def test_tables_fit_into_a_hundred_characters_with_at_most_eight_columns(preset: str) -> None:
    measured = results(preset)
    for scenario in measured.questions:
        table = table_of(scenario, [cell for cell in measured.cells if cell.scenario == scenario])
        assert len(table.columns) <= 8
    lines = [line for line in printed(measured).splitlines() if line[:1] in "│┃├┏┡└"]
    assert {len(line) for line in lines if line} <= set(range(101))


def test_no_figure_is_cut_in_a_hundred_characters() -> None:
    measured = results("full")
    for cell in measured.cells:
        cell.repeats = [
            Repeat(measures={**dict.fromkeys(MEASURES, value), "loss_share": 0.5}, outcomes={"completed": 1})
            for value in (1_312.0, 1_688.0)
        ]
    rows = [line for line in printed(measured).splitlines() if line.split()[:1] in (["emitter"], ["rx"], ["flux"])]
    assert len(rows) == len(measured.cells)
    assert all(line.rstrip().endswith("completed") for line in rows)


def test_every_question_is_printed_with_its_figures_and_its_answer() -> None:
    text = printed(results("quick"))
    for scenario in PRESETS["quick"].scenarios:
        assert scenario.question in text
    assert "Nothing was lost with" in text or "Tokens were lost with" in text


def test_pipe_gets_no_cursor_codes_and_no_colours() -> None:
    assert "\x1b" not in printed(results("quick"))


def test_number_of_repeats_and_what_a_column_means_stand_below_the_table() -> None:
    text = " ".join(printed(results("quick")).split())
    assert "median of 2 repeats; ± is half the distance between the least and the greatest." in text
    assert "held at most: the capacity and, beside it, the demand" in text
    once = results("firehose")
    for cell in once.cells:
        cell.repeats = cell.repeats[:1]
    assert "measured once: how far repeats would lie apart is not known." in printed(once)


def on_terminal(shown: Results, width: int) -> list[str]:
    file = io.StringIO()
    show(shown, Console(file=file, width=width, force_terminal=True, color_system=None, legacy_windows=False))
    return file.getvalue().splitlines()


def test_narrow_terminal_gets_a_block_of_lines_for_each_cell() -> None:
    lines = on_terminal(results("firehose"), 60)
    assert max(map(len, lines)) <= 60
    at = [line.strip() for line in lines].index("flux reduce(1000000) fast")
    assert [line.strip() for line in lines[at + 1 : at + 6]] == [
        "tokens per s: 61.7 k ±100%",
        "CPU s per million tokens: 61.7 k ±100%",
        "of them merged away: 61.7 k",
        "tokens held at most: 123 k",
        "streams ended: completed",
    ]


def test_terminal_is_given_nothing_to_obey() -> None:
    measured = results("firehose")
    for cell in measured.cells:
        cell.name, cell.strategy, cell.error = "\x1b[2Jname", "\x1b[31mdrop", "it said:\n\x1b[5mno"
    for width in (60, 120):
        assert not [line for line in on_terminal(measured, width) if "\x1b" in line.replace("\x1b[0m", "")]


def test_cell_that_could_not_be_measured_is_a_row_that_says_so() -> None:
    measured = results("firehose")
    for cell in measured.cells:
        cell.repeats, cell.error = [], "no server [bold]"
    text = printed(measured)
    assert "error" in text
    assert "no server [bold]" in text


def test_results_of_an_unknown_scenario_have_the_columns_of_any_stream() -> None:
    measured = results("firehose")
    for cell in measured.cells:
        cell.scenario = "url"
    measured.questions = {"url": "How does it stream?"}
    assert "first token" in printed(measured)
