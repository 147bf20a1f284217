"""What is measured at the same time, and in which order."""

from __future__ import annotations

from benchmarks.scenarios.cells import Cell, Closed, Open, Scenario
from benchmarks.scenarios.schedule import (
    MOST_SIDE_BY_SIDE,
    MOST_TOKENS_PER_S,
    Placed,
    Step,
    batches_of,
    groups_of,
    steps_of,
)

__all__ = ()


def cells(count: int, *, rate: float = 10, connections: int = 1, alone: bool = False) -> tuple[Cell, ...]:
    return tuple(
        Cell("flux", {"strategy": f"s{index}"}, {"rate": rate}, load=Closed(connections), alone=alone)
        for index in range(count)
    )


def scenario(name: str, *groups: tuple[Cell, ...]) -> Scenario:
    return Scenario(name, "?", tuple(cell for group in groups for cell in group))


def sizes(*scenarios: Scenario) -> list[int]:
    return [len(group) for group in groups_of(scenarios)[0]]


def test_scenarios_share_a_group_as_long_as_it_is_not_too_many_processes() -> None:
    assert sizes(scenario("a", cells(10)), scenario("b", cells(6)), scenario("c", cells(1))) == [16, 1]


def test_cells_of_a_scenario_are_not_torn_apart_where_they_fit() -> None:
    assert sizes(scenario("a", cells(10)), scenario("b", cells(7))) == [10, 7]


def test_scenario_that_does_not_fit_is_split_evenly() -> None:
    assert sizes(scenario("a", cells(2 * MOST_SIDE_BY_SIDE + 1))) == [11, 11, 11]


def test_group_has_no_more_tokens_than_one_core_serves() -> None:
    half = MOST_TOKENS_PER_S / 2
    assert sizes(scenario("a", cells(3, rate=half))) == [2, 1]
    assert sizes(scenario("a", cells(3, rate=50, connections=int(half / 50)))) == [2, 1]


def test_open_load_counts_with_the_streams_that_are_there_at_a_time() -> None:
    load = Open(per_s=60, requests=1_000)
    many = tuple(Cell("flux", {"strategy": f"s{i}"}, {"rate": 50, "count": 100}, load=load) for i in range(4))
    assert sizes(scenario("a", many)) == [2, 2]


def test_unpaced_cell_shares_its_group_with_no_other() -> None:
    assert sizes(scenario("a", cells(2, rate=0)), scenario("b", cells(1))) == [1, 1, 1]


def test_cell_that_wants_to_be_alone_is_in_no_group() -> None:
    shared, alone = groups_of([scenario("a", cells(2), cells(2, alone=True))])
    assert [len(group) for group in shared] == [2]
    assert [placed.cell.alone for placed in alone] == [True, True]


def test_each_repeat_measures_every_cell_once_before_the_next() -> None:
    steps = steps_of([scenario("a", cells(3), cells(4, alone=True))], repeats=3, seed=1)
    measured = [(step.repeat, placed.cell.strategy["strategy"]) for step in steps for placed in step.placed]
    assert [repeat for repeat, _ in measured] == [1] * 7 + [2] * 7 + [3] * 7
    for repeat in (1, 2, 3):
        assert sorted(name for number, name in measured if number == repeat) == [
            "s0",
            "s0",
            "s1",
            "s1",
            "s2",
            "s2",
            "s3",
        ]


def test_order_of_cells_alone_differs_between_repeats_and_is_the_same_for_a_seed() -> None:
    one = scenario("a", cells(8, alone=True))
    orders = [step.placed[0].cell.name for step in steps_of([one], repeats=2, seed=7)]
    assert orders[:8] != orders[8:]
    assert orders == [step.placed[0].cell.name for step in steps_of([one], repeats=2, seed=7)]


def test_servers_of_cells_alone_start_together_and_those_of_a_group_by_themselves() -> None:
    steps = steps_of([scenario("a", cells(3), cells(MOST_SIDE_BY_SIDE + 2, alone=True))], repeats=2, seed=1)
    batches = list(batches_of(steps))
    assert [len(batch) for batch in batches] == [1, MOST_SIDE_BY_SIDE, 2] * 2
    assert [step for batch in batches for step in batch] == steps
    assert list(batches_of([])) == []


def test_title_says_what_is_measured() -> None:
    one, two = cells(2)
    assert Step(1, (Placed("a", one),)).title == "a: flux s0 fast"
    assert Step(1, (Placed("a", one), Placed("b", two))).title == "a, b: 2 cells side by side"
