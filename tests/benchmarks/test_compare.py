"""Comparing two runs: what is a regression, what is not, and how often either is said wrongly."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from rich.console import Console

from benchmarks.compare import (
    Comparison,
    DifferentEnvironmentsError,
    Scale,
    Verdict,
    compare,
    parse_threshold,
    show,
)
from benchmarks.compare.intervals import combined, spread, welch
from benchmarks.results import CellResult, ClientCheck, NullRun, Repeat, Results

__all__ = ()

CPU = "cpu_s_per_million_tokens"
MEMORY = "server_kib_per_stream"


def a_cell(
    name: str = "flux suspend",
    *,
    scenario: str = "firehose",
    repeats: Sequence[Mapping[str, float | None]] = (),
    error: str = "",
    parameters: Mapping[str, Any] | None = None,
    accounting: Sequence[str] = (),
    client: ClientCheck | None = None,
) -> CellResult:
    return CellResult(
        scenario=scenario,
        name=name,
        variant=name.partition(" ")[0],
        strategy="",
        reader="fast",
        transport="sse",
        parameters=dict(parameters or {}),
        repeats=[Repeat(measures=dict(each), accounting=list(accounting), client=client) for each in repeats],
        error=error,
    )


def a_run(*cells: CellResult, **fields: Any) -> Results:
    return Results(cells=list(cells), **fields)


def of_values(measure: str, *values: float | None) -> Results:
    return a_run(a_cell(repeats=[{measure: value} for value in values]))


def printed(comparison: Comparison, *, everything: bool = False, terminal: bool = False) -> str:
    text = io.StringIO()
    show(comparison, Console(file=text, force_terminal=terminal, width=160), everything=everything)
    return text.getvalue()


# --- Intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "quantile"), [(2, 4.3027), (3, 2.7764), (6, 2.2281), (16, 2.0423)])
def test_welch_has_the_half_width_of_students_t(count: int, quantile: float) -> None:
    # Equal spreads: 2 * count - 2 degrees of freedom; the quantiles are those of every table of t.
    values = [(-1) ** index * 1.0 for index in range(count)]
    deviation = spread(values)
    interval = welch(values, [value + 5 for value in values])
    assert interval is not None
    assert deviation is not None
    assert interval.estimate == pytest.approx(5)
    assert interval.high - 5 == pytest.approx(quantile * deviation * math.sqrt(2 / count), rel=1e-3)
    assert 5 - interval.low == pytest.approx(interval.high - 5)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0])])
def test_one_repeat_has_no_interval(a: list[float], b: list[float]) -> None:
    assert welch(a, b) is None


def test_repeats_that_agree_by_luck_have_the_spread_of_the_others() -> None:
    exact, honest = welch([1.0, 1.0], [1.1, 1.1]), welch([1.0, 1.0], [1.1, 1.1], least_spread=0.1)
    assert exact is not None
    assert exact.low == exact.high
    assert honest is not None
    assert honest.low < 0 < honest.high


def test_welch_covers_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(7)

    def covers() -> bool:
        a, b = ([chance.gauss(mean, 1.0) for _ in range(3)] for mean in (0.0, 2.0))
        interval = welch(a, b)
        return interval is not None and interval.low <= 2.0 <= interval.high

    assert sum(covers() for _ in range(1000)) / 1000 >= 0.94


def test_fewer_than_five_cells_are_not_combined() -> None:
    assert combined([([1.0], [2.0])] * 4) is None


def test_combined_cells_share_their_median_change_whatever_one_of_them_says() -> None:
    cells = [([1.0, 1.0], [1.2, 1.2])] * 8 + [([1.0], [100.0])]
    interval = combined(cells)
    assert interval is not None
    assert interval.estimate == pytest.approx(0.2)
    assert interval.low == pytest.approx(0.2)
    assert interval.high == pytest.approx(0.2)


# --- Which cells ----------------------------------------------------------------------------------------------------


def test_equal_runs_have_no_regression() -> None:
    run = of_values(CPU, 2.0, 2.1, 1.9)
    comparison = compare(run, run)
    assert comparison.regressions == ()
    assert comparison.exit_code == 0
    assert "No regression beyond 10%, 1 cell compared." in printed(comparison)


@pytest.mark.parametrize(
    ("before", "after", "verdict", "said"),
    [
        (a_cell(), None, Verdict.APART, "only in the first run"),
        (None, a_cell(), Verdict.APART, "only in the second run"),
        (a_cell(error="no port"), a_cell(repeats=[{CPU: 1.0}]), Verdict.APART, "failed in the first run: no port"),
        (
            a_cell(repeats=[{CPU: 1.0}], parameters={"request": {"rate": "1"}}),
            a_cell(repeats=[{CPU: 1.0}], parameters={"request": {"rate": "2"}}),
            Verdict.APART,
            "request.rate: 1 / 2",
        ),
    ],
)
def test_cell_that_cannot_be_compared_is_shown_with_the_reason(
    before: CellResult | None, after: CellResult | None, verdict: Verdict, said: str
) -> None:
    other = a_cell("rx reduce", repeats=[{CPU: 1.0}])
    comparison = compare(a_run(*filter(None, [before, other])), a_run(*filter(None, [after, other])))
    [row] = [row for row in comparison.rows if not row.measure]
    assert row.verdict is verdict
    assert said in row.note
    assert said in printed(comparison)
    assert comparison.exit_code == 0


def test_cell_that_fails_now_is_a_regression() -> None:
    comparison = compare(of_values(CPU, 1.0), a_run(a_cell(error="does not listen")))
    assert [row.note for row in comparison.regressions] == ["failed in the second run: does not listen"]
    assert comparison.exit_code == 1
    assert "REGRESSION: firehose, flux suspend: failed in the second run: does not listen." in printed(comparison)


def test_runs_without_a_common_cell_are_no_success() -> None:
    comparison = compare(a_run(a_cell("a")), a_run(a_cell("b")))
    assert comparison.exit_code == 1
    assert "Nothing to compare" in printed(comparison)


def test_cells_of_different_requests_are_compared_if_forced() -> None:
    before = a_run(a_cell(repeats=[{CPU: 1.0}], parameters={"rate": 1}))
    after = a_run(a_cell(repeats=[{CPU: 1.0}], parameters={"rate": 2}))
    assert compare(before, after, force=True).cell_count == 1


def test_interrupted_second_run_is_no_success_unless_forced() -> None:
    run = of_values(CPU, 1.0)
    run.interrupted = True
    comparison = compare(of_values(CPU, 1.0), run)
    assert comparison.exit_code == 1
    assert "INCOMPLETE: The second run was interrupted" in printed(comparison)
    assert compare(of_values(CPU, 1.0), run, force=True).exit_code == 0
    assert compare(run, of_values(CPU, 1.0)).exit_code == 0


@pytest.mark.parametrize("missing", [None, a_cell()])
def test_cell_that_the_second_run_lacks_is_no_success_unless_forced(missing: CellResult | None) -> None:
    kept = a_cell("rx reduce", repeats=[{CPU: 1.0}])
    before = a_run(kept, a_cell(repeats=[{CPU: 1.0}]))
    after = a_run(*filter(None, [kept, missing]))
    comparison = compare(before, after)
    assert comparison.exit_code == 1
    assert "Missing in the second run: firehose, flux suspend." in printed(comparison)
    assert compare(before, after, force=True).exit_code == 0


@pytest.mark.parametrize("twice_first", [True, False])
def test_file_with_a_cell_twice_is_refused_by_name(twice_first: bool) -> None:
    once, twice = a_run(a_cell()), a_run(a_cell(), a_cell())
    with pytest.raises(
        ValueError, match=f"the {'first' if twice_first else 'second'} file has two cells 'flux suspend'"
    ):
        compare(*((twice, once) if twice_first else (once, twice)))


def test_drift_of_the_machine_is_said() -> None:
    def floor(tokens_per_s: float) -> Results:
        run = of_values(CPU, 1.0)
        run.null_run = NullRun(counted_tokens_per_s=tokens_per_s, checked_tokens_per_s=1.0, delay_p50_us=1.0)
        return run

    assert "20% slower in the second run" in printed(compare(floor(1e6), floor(8e5)))
    assert "slower" not in printed(compare(floor(1e6), floor(9.5e5)))


# --- Environments ---------------------------------------------------------------------------------------------------


def test_runs_of_more_and_of_fewer_clients_are_different_environments() -> None:
    before, after = a_run(), a_run()
    after.clients = 2
    with pytest.raises(DifferentEnvironmentsError, match="load clients: 1 / 2"):
        compare(before, after)
    after.clients = 1
    compare(before, after)


def test_different_environments_are_refused_by_name() -> None:
    before = a_run(environment={"cpu": "A", "python": "3.11", "packages": {"aiohttp": "3.14.4"}, "commit": "1"})
    after = a_run(environment={"cpu": "B", "python": "3.11", "packages": {"aiohttp": "3.14.5"}, "commit": "2"})
    with pytest.raises(DifferentEnvironmentsError) as caught:
        compare(before, after)
    assert caught.value.differences == ("cpu: A / B", "packages.aiohttp: 3.14.4 / 3.14.5")
    assert "cpu: A / B" in str(caught.value)
    assert "--force" in str(caught.value)
    assert "The environments differ: cpu: A / B" in compare(before, after, force=True).notes


def test_another_commit_is_the_same_environment() -> None:
    before = a_run(environment={"commit": "1", "packages": {"tokenweir": "0.1"}, "node": None})
    compare(before, a_run(environment={"commit": "2+", "packages": {"tokenweir": "0.2"}}))


def test_versions_of_other_stacks_are_no_difference() -> None:
    packages = {"uvicorn": "1", "starlette": "1", "sse-starlette": "1", "httptools": "1", "fastapi": "1"}
    compare(a_run(environment={"packages": packages, "node": "v22", "java": "25"}), a_run(environment={"packages": {}}))


# --- Verdicts -------------------------------------------------------------------------------------------------------


def test_plain_change_of_one_cell_is_found_with_enough_repeats() -> None:
    comparison = compare(of_values(CPU, 1.0, 1.02, 0.98, 1.01), of_values(CPU, 1.5, 1.52, 1.48, 1.51))
    [row] = comparison.regressions
    assert row.measure == CPU
    assert row.change is not None
    assert row.change.estimate == pytest.approx(0.5, abs=0.01)
    assert 0.4 < row.change.low < 0.5 < row.change.high < 0.6
    assert "REGRESSION: firehose, flux suspend" in printed(comparison)


def test_the_same_change_the_other_way_is_an_improvement() -> None:
    comparison = compare(of_values(CPU, 1.5, 1.52, 1.48, 1.51), of_values(CPU, 1.0, 1.02, 0.98, 1.01))
    assert comparison.exit_code == 0
    assert "Better: firehose, flux suspend" in printed(comparison)


def test_change_within_the_threshold_is_none() -> None:
    before, after = of_values(CPU, 1.0, 1.001, 0.999), of_values(CPU, 1.05, 1.051, 1.049)
    assert compare(before, after).exit_code == 0
    assert compare(before, after, threshold=0.02).exit_code == 1


def test_one_repeat_is_too_few() -> None:
    comparison = compare(of_values(CPU, 1.0), of_values(CPU, 9.0))
    assert comparison.exit_code == 0
    assert [row.verdict for row in comparison.rows if row.measure == CPU] == [Verdict.UNKNOWN]
    assert "Too few repeats" in printed(comparison)


def test_values_that_could_not_be_measured_are_passed_over() -> None:
    comparison = compare(of_values(CPU, None, 1.0, 1.0), of_values(CPU, math.nan, 1.0, None))
    [row] = [row for row in comparison.rows if row.measure == CPU]
    assert (row.before, row.after, row.verdict) == (1.0, 1.0, Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [([1.0, 1.001, 0.999], Verdict.SAME), ([0.7, 1.6, 1.0], Verdict.UNCLEAR), ([2.0, 2.001, 1.999], Verdict.WORSE)],
)
def test_too_noisy_to_tell_is_not_called_the_same(after: list[float], verdict: Verdict) -> None:
    comparison = compare(of_values(CPU, 1.0, 1.001, 0.999), of_values(CPU, *after))
    assert [row.verdict for row in comparison.rows if row.measure == CPU] == [verdict]


def test_latency_decides_only_if_asked() -> None:
    before, after = of_values("ttft_p50_ms", 1.0, 1.02, 0.98), of_values("ttft_p50_ms", 5.0, 5.1, 4.9)
    assert compare(before, after).exit_code == 0
    assert "Worse, but no reason to fail" in printed(compare(before, after))
    assert compare(before, after, gates=["ttft_p50_ms"]).exit_code == 1


def test_throughput_is_worse_when_it_falls() -> None:
    before, after = of_values("tokens_per_s", 1e6, 1.01e6, 0.99e6), of_values("tokens_per_s", 4e5, 4.01e5, 3.99e5)
    assert compare(before, after, gates=["tokens_per_s"]).exit_code == 1
    assert compare(after, before, gates=["tokens_per_s"]).exit_code == 0


def test_wall_clock_of_a_client_that_was_the_limit_does_not_decide() -> None:
    bound = ClientCheck(cpu_share=1.0, lag_p99_ms=1.0, lag_max_ms=1.0, bound=True)
    before = of_values("tokens_per_s", 1e6, 1.01e6, 0.99e6)
    after = a_run(a_cell(repeats=[{"tokens_per_s": value} for value in (4e5, 4.01e5, 3.99e5)], client=bound))
    comparison = compare(before, after, gates=["tokens_per_s"])
    assert comparison.exit_code == 0
    assert "The client was the limit in 1 of 1 cells" in printed(comparison)


@pytest.mark.parametrize("measure", ["ordering_violations", "duplicates", "streams_failed"])
def test_what_must_not_happen_is_a_regression_at_once(measure: str) -> None:
    assert compare(of_values(measure, 0, 0), of_values(measure, 0, 1)).exit_code == 1
    assert compare(of_values(measure, 0, 0), of_values(measure, 0, 0)).exit_code == 0
    assert compare(of_values(measure, 0, 3), of_values(measure, 0, 4)).exit_code == 0


def test_accounting_violation_is_a_regression_at_once() -> None:
    broken = a_run(a_cell(repeats=[{}], accounting=["stream x: emitted == ... does not hold"]))
    [row] = compare(a_run(a_cell(repeats=[{}])), broken).regressions
    assert row.measure == "accounting_violations"


def test_loss_is_told_in_points_also_from_nothing() -> None:
    comparison = compare(of_values("loss_share", 0.0, 0.0), of_values("loss_share", 0.2, 0.2))
    [row] = comparison.regressions
    assert row.scale is Scale.POINTS
    assert "+20 points" in printed(comparison)


def test_loss_where_there_was_none_at_all_is_a_regression_however_little() -> None:
    assert compare(of_values("loss_share", 0.0), of_values("loss_share", 0.011)).exit_code == 1
    assert compare(of_values("loss_share", 0.0, 0.0), of_values("loss_share", 0.012, 0.02)).exit_code == 1
    assert compare(of_values("loss_share", 0.0, 0.0), of_values("loss_share", 0.02, 0.0)).exit_code == 0
    assert compare(of_values("loss_share", 0.0, 0.001), of_values("loss_share", 0.02, 0.021)).exit_code == 0


@pytest.mark.parametrize("measure", [CPU, "loss_share", "duplicates"])
def test_gate_that_can_no_longer_be_measured_is_a_regression(measure: str) -> None:
    comparison = compare(of_values(measure, 0.0, 0.0), of_values(measure, None, None))
    [row] = comparison.regressions
    assert (row.measure, row.after) == (measure, None)
    assert "it was measured before" in printed(comparison)
    assert compare(of_values(measure, 0.0, 0.0), of_values(measure, None, 0.0)).exit_code == 0
    assert compare(of_values(measure, None, 0.0), of_values(measure, None, None)).exit_code == 0


def ended(*repeats: Mapping[str, int]) -> Results:
    cell = a_cell(repeats=[{CPU: 1.0}] * len(repeats))
    for repeat, outcomes in zip(cell.repeats, repeats, strict=True):
        repeat.outcomes = dict(outcomes)
    return a_run(cell)


def test_streams_that_fail_in_another_way_are_a_change_by_name() -> None:
    comparison = compare(ended({"failed": 8}, {"failed": 8}), ended({"refused": 8}, {"refused": 8}))
    assert [row.measure for row in comparison.regressions] == ["endings"]
    assert "ways of failing: failed before, refused now" in printed(comparison)
    sometimes = compare(ended({"failed": 8}, {"failed": 8}), ended({"failed": 8}, {"failed": 7, "not_a_stream": 1}))
    assert [row.verdict for row in sometimes.rows if row.measure == "endings"] == [Verdict.CHANGED]
    assert sometimes.exit_code == 0
    assert not [row for row in compare(ended({"left": 1}), ended({"completed": 1})).rows if row.measure == "endings"]


def test_a_little_memory_is_nobodys_concern() -> None:
    before = of_values(MEMORY, 20.0, 20.1, 19.9)
    assert compare(before, of_values(MEMORY, 40.0, 40.1, 39.9)).exit_code == 0
    assert compare(before, of_values(MEMORY, 200.0, 201.0, 199.0)).exit_code == 1


def test_values_of_both_signs_are_compared_without_a_ratio() -> None:
    comparison = compare(of_values(MEMORY, -4.0, 4.0, 0.0), of_values(MEMORY, 0.0, 4.0, -4.0))
    [row] = [row for row in comparison.rows if row.measure == MEMORY]
    assert row.scale is Scale.PLAIN
    assert comparison.exit_code == 0


# --- Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [{"threshold": 0.0}, {"threshold": math.nan}, {"gates": ["speed"]}])
def test_wrong_argument_is_refused(call: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"threshold|speed"):
        compare(a_run(), a_run(), **call)


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0.1", 0.1), (" 2.5 % ", 0.025)])
def test_threshold_is_a_share_or_per_cent(text: str, share: float) -> None:
    assert parse_threshold(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "0", "-1%", "nan", "ten", "2000%"])
def test_threshold_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="threshold must be"):
        parse_threshold(text)


# --- What is printed ------------------------------------------------------------------------------------------------


def test_only_what_differs_is_printed_unless_everything_is_asked_for() -> None:
    run = of_values(CPU, 1.0, 1.1)
    assert "Server CPU" not in printed(compare(run, run))
    assert "Server CPU" in printed(compare(run, run), everything=True)


def test_what_may_be_a_regression_is_said_to_be_unclear() -> None:
    changes = (0.9, 1.0, 1.2, 1.3, 1.4)
    before = a_run(*(a_cell(f"flux {number}", repeats=[{CPU: 1.0}]) for number in range(5)))
    after = a_run(*(a_cell(f"flux {number}", repeats=[{CPU: changes[number]}]) for number in range(5)))
    comparison = compare(before, after)
    assert comparison.exit_code == 0
    assert "UNCLEAR, more repeats would tell: firehose, all 5 cells: Server CPU" in printed(comparison)
    assert "UNCLEAR" not in printed(compare(before, before))


def test_text_of_a_file_is_neither_markup_nor_control() -> None:
    run = a_run(a_cell("[red]x\x1b[2J", repeats=[{CPU: 1.0}]))
    text = printed(compare(run, run), everything=True)
    assert "[red]x?[2J" in text


def test_terminal_gets_a_table_and_a_pipe_gets_lines() -> None:
    comparison = compare(of_values(CPU, 1.0), a_run(a_cell(error="gone")))
    assert "\x1b" in printed(comparison, terminal=True)
    assert "\x1b" not in printed(comparison)
    assert printed(comparison).splitlines()[0].startswith("firehose  flux suspend")


# --- How often it errs ----------------------------------------------------------------------------------------------

# The cells of a quick run: how many of which scenario and variant, and how much two repeats differ. CPU time of a paced
# cell is a few ticks of the clock and so is noisy; a firehose costs a second of it.
_CELLS = (
    ("slow-reader", {"emitter": 1, "rx": 6, "flux": 8}, 0.2),
    ("stalled", {"emitter": 1, "rx": 6, "flux": 8}, 0.15),
    ("fan-out", {"emitter": 1, "rx": 1, "flux": 1}, 0.05),
    ("firehose", {"emitter": 1, "rx": 2, "flux": 2}, 0.03),
)


def noisy_run(chance: random.Random, dearer: float = 1.0) -> Results:
    """Make up a run of two repeats: with a drift of all of it, noise, and now and then a repeat that was disturbed."""
    drift = chance.gauss(0, 0.02)

    def repeat(cost: float, noise: float) -> dict[str, float]:
        disturbed = 0.4 if chance.random() < 0.03 else 0.0
        return {
            CPU: cost * math.exp(drift + chance.gauss(0, noise) + disturbed),
            MEMORY: 300 * math.exp(chance.gauss(0, 0.1)),
            "loss_share": min(1.0, max(0.0, chance.gauss(0.5, 0.02))),
            "tokens_per_s": 1e5 * math.exp(chance.gauss(0, 0.2)),
            "streams_failed": 0.0,
        }

    return a_run(
        *(
            a_cell(
                f"{variant} {number}",
                scenario=scenario,
                repeats=[repeat(dearer * (2 + number), noise) for _ in range(2)],
            )
            for scenario, variants, noise in _CELLS
            for variant, count in variants.items()
            for number in range(count)
        )
    )


@pytest.mark.slow
def test_two_runs_of_one_commit_hardly_ever_show_a_regression() -> None:
    # Of 400 pairs none did.
    chance = random.Random(11)
    assert sum(compare(noisy_run(chance), noisy_run(chance)).exit_code for _ in range(30)) == 0


@pytest.mark.slow
def test_a_server_a_fifth_dearer_is_nearly_always_found_in_two_repeats() -> None:
    # Of 400 pairs 379 were, which is 95 %. Of 30, 24 are more than three standard deviations below that.
    chance = random.Random(12)

    def found() -> bool:
        comparison = compare(noisy_run(chance), noisy_run(chance, 1.2))
        return any(row.measure == CPU and row.cell_count > 1 for row in comparison.regressions)

    assert sum(found() for _ in range(30)) >= 24


def test_variant_that_became_dearer_is_named_and_the_others_are_not() -> None:
    def run(dearer: float) -> Results:
        costs = {"flux": dearer, "rx": 1.0}
        cells = [(variant, number) for variant in costs for number in range(6)]
        return a_run(
            *(a_cell(f"{variant} {n}", repeats=[{CPU: costs[variant] * (1 + 0.001 * n)}]) for variant, n in cells)
        )

    regressions = compare(run(1.0), run(1.3)).regressions
    assert [(row.scenario, row.name, row.cell_count) for row in regressions] == [("all", "all 6 cells of flux", 6)]
