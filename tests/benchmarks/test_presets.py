"""The presets: that the server takes what they ask, that they compare like with like, and that quick is quick."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from benchmarks.options import PRESET_NAMES
from benchmarks.scenarios.cells import Cell, Closed, Transport
from benchmarks.scenarios.presets import PRESETS, Preset, strategies_of
from benchmarks.scenarios.readers import Paced, Stalled
from benchmarks.scenarios.schedule import steps_of
from benchmarks.traces.captures import Outcome
from servers.parameters import parse_query

__all__ = ()

EVERY_PRESET = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@EVERY_PRESET
def test_server_takes_every_cell(preset: Preset) -> None:
    for scenario in preset.scenarios:
        for cell in scenario.cells:
            assert parse_query(cell.query().items()).variant == cell.variant


@EVERY_PRESET
def test_names_are_unique_within_a_scenario_and_scenarios_within_a_preset(preset: Preset) -> None:
    names = Counter((scenario.name, cell.name) for scenario in preset.scenarios for cell in scenario.cells)
    assert set(names.values()) == {1}
    assert len({scenario.name for scenario in preset.scenarios}) == len(preset.scenarios)


@EVERY_PRESET
def test_every_stream_has_an_end(preset: Preset) -> None:
    assert all("count" in cell.stream for scenario in preset.scenarios for cell in scenario.cells)


@EVERY_PRESET
def test_unpaced_cells_are_measured_alone(preset: Preset) -> None:
    unpaced = [cell for scenario in preset.scenarios for cell in scenario.cells if not cell.stream["rate"]]
    assert all(cell.alone for cell in unpaced)


def test_quick_is_the_default_and_asks_every_question_but_those_of_a_longer_run() -> None:
    names = {scenario.name for scenario in PRESETS["quick"].scenarios}
    assert next(iter(PRESETS)) == "quick"
    assert names == {scenario.name for scenario in PRESETS["full"].scenarios} - {"arrivals"}


@pytest.mark.parametrize("name", ["slow-reader", "stalled", "fan-out", "firehose", "sse-vs-websocket", "ordering"])
def test_named_preset_has_the_scenario_of_its_name(name: str) -> None:
    assert name in {scenario.name for scenario in PRESETS[name].scenarios}


def test_slow_reader_compares_every_strategy_that_each_variant_takes() -> None:
    (scenario,) = [each for each in PRESETS["quick"].scenarios if each.name == "slow-reader"]
    taken = {(cell.variant, cell.strategy["strategy"]) for cell in scenario.cells}
    common = {"missing", "error", "drop", "latest", "buffer", "reduce"}
    expected = {("emitter", "suspend"), *(("rx", each) for each in common)}
    assert taken == expected | {("flux", each) for each in common | {"suspend"}}


@pytest.mark.parametrize("all_rules", [False, True])
def test_rx_and_flux_spell_their_common_strategies_alike(all_rules: bool) -> None:
    of_rx = strategies_of("rx", all_rules=all_rules)
    assert strategies_of("flux", all_rules=all_rules)[: len(of_rx)] == of_rx


def least_s(cell: Cell) -> float:
    """Return how long a cell takes at least: what its source and its reader need for all tokens."""
    count, rate = float(cell.stream["count"]), float(cell.stream["rate"] or 300_000)
    ramp_s = cell.load.ramp_s if isinstance(cell.load, Closed) else 0.0
    reader = cell.reader
    if isinstance(reader, Paced) and reader.tokens_per_s is not None:
        holds_all = cell.strategy["strategy"] in {"suspend", "missing"} or "suspend" in cell.strategy.values()
        return max(count / rate, count / reader.tokens_per_s if holds_all else 0)
    return max(count / rate, reader.stall_s if isinstance(reader, Stalled) else 0) + ramp_s


def test_quick_has_time_for_its_servers_within_ninety_seconds() -> None:
    steps = steps_of(PRESETS["quick"].scenarios, PRESETS["quick"].repeats, seed=0)
    reading_s = sum(max(least_s(placed.cell) for placed in step.placed) for step in steps)
    starting_s = sum(0.6 * max(1.0, len(step.placed) / 2) for step in steps)
    assert reading_s + starting_s < 80


@EVERY_PRESET
def test_cells_whose_tokens_are_only_counted_have_their_indexes_checked_unless_they_merge(preset: Preset) -> None:
    counted = [cell for scenario in preset.scenarios for cell in scenario.cells if not cell.trace]
    assert all(
        cell.has_indexes != (cell.strategy["strategy"] == "reduce" or cell.transport is Transport.WEBSOCKET)
        for cell in counted
    )


@EVERY_PRESET
def test_only_strategies_that_are_to_end_a_stream_may_fail(preset: Preset) -> None:
    ending = {cell.strategy_name for each in preset.scenarios for cell in each.cells if Outcome.FAILED in cell.expects}
    assert ending <= {"error", "buffer(32, error)"}


def test_help_names_the_presets_that_there_are() -> None:
    assert tuple(PRESETS) == PRESET_NAMES


def test_quick_measures_its_cells_in_turn() -> None:
    steps = steps_of(PRESETS["quick"].scenarios, 2, seed=0)
    assert all(before.repeat <= after.repeat for before, after in pairwise(steps))
