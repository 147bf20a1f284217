"""In which order cells are measured: side by side what one core can serve, the rest alone, and all of it again.

A repeat measures every cell once before any cell is measured twice (A B A B), so that a drift of the machine meets all
cells alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.scenarios.cells import Cell, Closed, Scenario

__all__ = ("MOST_SIDE_BY_SIDE", "MOST_TOKENS_PER_S", "Placed", "Step", "batches_of", "groups_of", "steps_of")

MOST_SIDE_BY_SIDE: Final = 16
"""Cells, and so server processes, at a time."""
MOST_TOKENS_PER_S: Final = 20_000
"""Of all cells of a group: less than half of what one core serves, token by token."""
_DEFAULT_RATE: Final = 20


@dataclass(frozen=True, slots=True)
class Placed:
    """A cell and the name of the scenario that it belongs to: together they are its key in a results file."""

    scenario: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class Step:
    """Cells that are measured at the same time.

    Attributes:
        repeat: which measurement of these cells it is, from 1.
        placed: the cells.
    """

    repeat: int
    placed: tuple[Placed, ...]

    @property
    def title(self) -> str:
        """What is being measured, for people."""
        scenarios = ", ".join(dict.fromkeys(each.scenario for each in self.placed))
        if len(self.placed) == 1:
            return f"{scenarios}: {self.placed[0].cell.name}"
        return f"{scenarios}: {len(self.placed)} cells side by side"


def steps_of(scenarios: Iterable[Scenario], repeats: int, seed: int) -> list[Step]:
    """Return all steps of a run.

    Args:
        scenarios: what is measured.
        repeats: how often each cell is.
        seed: of the order of the cells that are measured alone, which is another one in every repeat: none of them
            always comes first.
    """
    shared, alone = groups_of(scenarios)
    chooser = random.Random(seed)
    steps: list[Step] = []
    for repeat in range(1, repeats + 1):
        order = [(placed,) for placed in alone]
        chooser.shuffle(order)
        steps += [Step(repeat, placed) for placed in (*shared, *order)]
    return steps


def batches_of(steps: Iterable[Step]) -> Iterator[Sequence[Step]]:
    """Put steps together whose servers start at the same time: those of one cell that follow each other.

    A step of several cells has as many servers as there should be at a time, and is a batch by itself.
    """
    batch: list[Step] = []
    for step in steps:
        fits = len(step.placed) == 1 and len(batch) < MOST_SIDE_BY_SIDE and all(len(each.placed) == 1 for each in batch)
        if batch and not fits:
            yield batch
            batch = []
        batch = [*batch, step]
    if batch:
        yield batch


def groups_of(scenarios: Iterable[Scenario]) -> tuple[list[tuple[Placed, ...]], list[Placed]]:
    """Return the groups that are measured side by side, and the cells that are measured alone.

    The cells of a scenario stay in one group where they fit, since they are to be compared; scenarios share a group as
    long as it is neither too many processes nor too much work.
    """
    groups: list[list[Placed]] = [[]]
    alone: list[Placed] = []
    for scenario in scenarios:
        placed = [Placed(scenario.name, cell) for cell in scenario.cells]
        alone += [each for each in placed if each.cell.alone]
        for part in _parts([each for each in placed if not each.cell.alone]):
            if not _fits([*groups[-1], *part]):
                groups.append([])
            groups[-1] += part
    return [tuple(group) for group in groups if group], alone


def _parts(placed: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    """Split what does not fit into one group into parts of nearly equal size."""
    count = next(count for count in range(1, len(placed) + 2) if all(map(_fits, _dealt(placed, count))))
    yield from (part for part in _dealt(placed, count) if part)


def _dealt(placed: Sequence[Placed], count: int) -> list[Sequence[Placed]]:
    size = -(-len(placed) // count)
    return [placed[index * size : (index + 1) * size] for index in range(count)]


def _fits(group: Sequence[Placed]) -> bool:
    if len(group) <= 1:
        return True
    return len(group) <= MOST_SIDE_BY_SIDE and sum(_tokens_per_s(each.cell) for each in group) <= MOST_TOKENS_PER_S


def _tokens_per_s(cell: Cell) -> float:
    rate = float(cell.stream.get("rate", _DEFAULT_RATE)) or MOST_TOKENS_PER_S
    if isinstance(cell.load, Closed):
        return rate * cell.load.connections
    stream_s = float(cell.stream.get("count", rate)) / rate
    return rate * cell.load.per_s * stream_s
