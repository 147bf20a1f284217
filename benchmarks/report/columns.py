"""What a figure is and how it is written: the median over repeats, their spread, three digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.results import CellResult
from benchmarks.summary.figures import values

__all__ = ("Column", "Figure", "figure", "number", "numbers", "shown")

_SHARES: Final = ("share", "fraction")


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure of a cell over its repeats.

    Attributes:
        median: of the repeats that have it.
        low: the smallest of them.
        high: the largest.
        count: how many have it.
    """

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Column:
    """How a measure is printed.

    Attributes:
        name: of the measure.
        title: for people.
        unit: what its values are printed in; "" if they are bare numbers.
        factor: from the measure's unit to that one.
        formula: for people; "" if the results do not say.
        better: "lower", "higher" or "".
    """

    name: str
    title: str
    unit: str
    factor: float = 1.0
    formula: str = ""
    better: str = ""

    @classmethod
    def of(cls, name: str, definitions: Mapping[str, Mapping[str, str]]) -> Column:
        """Return how the measure `name` is printed. One that has no definition goes by its name."""
        words = definitions.get(name, {})
        unit = str(words.get("unit") or "")
        share = unit in _SHARES or (not unit and name.endswith("_share"))
        return cls(
            name=name,
            title=str(words.get("title") or name.replace("_", " ")),
            unit="%" if share else unit,
            factor=100.0 if share else 1.0,
            formula=str(words.get("formula") or ""),
            better=str(words.get("better") or ""),
        )

    def value(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{shown(value * self.factor)} {self.unit}".rstrip()


def number(value: object) -> float | None:
    """Return a value as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # An integer can be too large for a float.
    try:
        finite = math.isfinite(value)
    except OverflowError:
        return None
    return float(value) if finite else None


def numbers(row: object, length: int) -> list[float | None]:
    """Return the first `length` values of a row of a results file, None for each that is missing or not finite."""
    values: list[object] = list(row) if isinstance(row, list | tuple) else []  # pyright: ignore[reportUnknownArgumentType]
    return [number(value) for value in values[:length]] + [None] * (length - len(values))


def figure(cell: CellResult, name: str) -> Figure | None:
    """Return a measure over a cell's repeats; None if no repeat has it."""
    found = values(cell, name)
    return Figure(median(found), min(found), max(found), len(found)) if found else None


def shown(value: float) -> str:
    """Write a number with about three digits, thousands set apart."""
    size = abs(value)
    if size >= 99.95 or value == int(value):
        return f"{value:,.0f}" if size < 1e15 else f"{value:.3g}"
    if size >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.095 else f"{value:.2g}"
