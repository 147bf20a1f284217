"""What a comparison consists of: rows, and the verdict on each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmarks.compare.intervals import Interval

__all__ = ("Comparison", "Row", "Scale", "Verdict")


class Verdict(Enum):
    """Where the interval of a change lies."""

    WORSE = "worse"
    """Wholly beyond the threshold, in the bad direction."""
    BETTER = "better"
    """Wholly beyond it in the good one."""
    CHANGED = "changed"
    """Wholly beyond it, and neither direction is good."""
    SAME = "same"
    """Wholly within the threshold: if there is a change, it is a smaller one."""
    UNCLEAR = "unclear"
    """Neither beyond the threshold nor within it: too noisy to tell."""
    UNKNOWN = "unknown"
    """No interval: too few repeats, or not measured."""
    APART = "apart"
    """A cell that is not compared; the row's note says why."""


class Scale(Enum):
    """What a change is told in."""

    RATIO = "ratio"
    """As a share of what was before: 0.2 is 20 % more."""
    POINTS = "points"
    """The difference of two shares: 0.05 is five points."""
    PLAIN = "plain"
    """The difference in the measure's own unit, where a value is not above 0."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure, before and after.

    Attributes:
        scenario: of the cell.
        name: of the cell, or which cells these are.
        measure: its name; "" of a cell that is not compared.
        title: of the measure, for people.
        unit: of `before` and `after`.
        before: mean of the repeats (of an exact gate the largest; of several cells the median); None: not measured.
        after: the same.
        scale: what `change` is told in.
        change: with its interval of 95 %; None: UNKNOWN, or an exact gate.
        verdict: see there.
        regression: whether it is one. Only gates can be.
        cell_count: how many cells were combined; 1: it is a cell by itself.
        note: what a reader of the row must know.
    """

    scenario: str
    name: str
    measure: str = ""
    title: str = ""
    unit: str = ""
    before: float | None = None
    after: float | None = None
    scale: Scale = Scale.RATIO
    change: Interval | None = None
    verdict: Verdict = Verdict.UNKNOWN
    regression: bool = False
    cell_count: int = 1
    note: str = ""

    @property
    def differs(self) -> bool:
        """Whether there is something to look at."""
        return self.regression or self.verdict not in {Verdict.SAME, Verdict.UNCLEAR, Verdict.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        rows: cells that are not compared first, then by measure; those of several cells before those of single ones.
        threshold: see `compare`.
        cell_count: how many cells were in both, and were measured.
        notes: sentences on what makes the figures doubtful.
        incomplete: sentences on what the second run should have measured and has not; none if that was allowed.
    """

    rows: tuple[Row, ...]
    threshold: float
    cell_count: int
    notes: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()

    @property
    def regressions(self) -> tuple[Row, ...]:
        """The rows that make it a failure."""
        return tuple(row for row in self.rows if row.regression)

    @property
    def exit_code(self) -> int:
        """1 if there is a regression, if the second run is incomplete or nothing could be compared; else 0."""
        return int(bool(self.regressions or self.incomplete) or not self.cell_count)
