"""Two ways to move the same items, measured round by round in turn, and the table that compares them with the goals.

On a machine whose speed drifts, a ratio says something only if both sides were measured in the same minute: so each
round of ours comes right after one of its peer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Protocol

__all__ = ("FEW", "MANY", "Contender", "Item", "Memory", "Race", "Row", "Speed", "make_item", "table")

MANY: Final = 200_000
"""Items of one round."""
FEW: Final = 20_000
"""Items of one round of a contender that takes too long for so many."""

Item = dict[str, Any]


def make_item(index: int) -> Item:
    """Make one item, inside the loop that is timed."""
    return {"index": index, "text": "token"}


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to move items.

    Attributes:
        name: as the table shows it.
        move: moves so many items, each made in the loop that is timed, and returns how many arrived or were accounted
            for.
        item_count: how many it moves in one round.
    """

    name: str
    move: Callable[[int], int]
    item_count: int = MANY


@dataclass(frozen=True, slots=True)
class Speed:
    """Rates of a contender and its peer, in items per second, one of each for every round.

    Attributes:
        goal: how many times the peer's rate is wanted; None: shown for comparison only.
    """

    name: str
    rates: tuple[float, ...]
    peer: str
    peer_rates: tuple[float, ...]
    goal: float | None = None

    def cells(self) -> tuple[str, ...]:
        """Return one line of the table. The ratio is the median of the rounds' own ratios."""
        ratios = [ours / theirs for ours, theirs in zip(self.rates, self.peer_rates, strict=True)]
        ratio = median(ratios)
        shown = f"{ratio:.2f} x ({min(ratios):.2f}..{max(ratios):.2f})"
        figures = (self.name, _rates(self.rates), self.peer, _rates(self.peer_rates), shown)
        if self.goal is None:
            return (*figures, "", "")
        return (*figures, f"{self.goal:g} x", _verdict(ratio / self.goal - 1))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one idle subscription holds, and the most that it should."""

    name: str
    bytes_each: float
    goal_bytes: int

    def cells(self) -> tuple[str, ...]:
        """Return one line of the table."""
        return (
            self.name,
            f"{self.bytes_each:,.0f} bytes",
            "",
            "",
            "",
            f"{self.goal_bytes:,} bytes",
            _verdict(1 - self.bytes_each / self.goal_bytes),
        )


Row = Speed | Memory


class Race(Protocol):
    """Measures two contenders in turn and notes the row; the fixture `race`."""

    def __call__(self, ours: Contender, peer: Contender, goal: float | None = None) -> None:
        """Run all rounds."""
        ...


_HEADINGS = (
    "what",
    "items/s: median (min..max)",
    "beside",
    "items/s: median (min..max)",
    "ratio: median (min..max)",
    "goal",
    "",
)


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table, columns aligned."""
    lines = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _rates(rates: tuple[float, ...]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f}..{max(rates):,.0f})"


def _verdict(margin: float) -> str:
    return f"{'met' if margin >= 0 else 'MISSED'} by {abs(margin):.0%}"
