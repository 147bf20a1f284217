"""Where everything in a diagram goes: how large a marble is, which ones are stacked, and which line is how high.

The axis of time is exact: a marble stands where its time is, and those that would cover each other are stacked away
from their lane, as in a dot plot. The marbles of a crowded diagram are smaller; a diagram that is too crowded for
that is drawn as columns that count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import floor, log10
from typing import Final

from streams.marbles.diagram import Diagram, Lane, Marble
from streams.marbles.markup import text_width, visible

__all__ = ("COLUMN", "COLUMN_HEIGHT", "HELD_HEIGHT", "MOST_MARBLES", "Layout", "Place", "Row")

MOST_MARBLES: Final = 200
"""On one lane; beyond it columns count them."""
COLUMN: Final = 5.0
COLUMN_HEIGHT: Final = 40.0
HELD_HEIGHT: Final = 46.0

_LARGEST: Final = 11.0
_SMALLEST: Final = 3.5
_LEAST_WRITTEN: Final = 7.0
_TALLEST: Final = 170.0
_MOST_LEVELS: Final = 20
_LEVELS_UNSEEN: Final = 3  # so many levels cost nothing: the marbles stay as large as they are
_GAP: Final = 30.0
_PAD: Final = 18.0
_WIDEST: Final = 4  # half of what is joined, in radii: at the last time it still is on the sheet


@dataclass(frozen=True, slots=True)
class Place:
    """A marble, and where its middle is. `half` is half its width."""

    marble: Marble
    x: float
    y: float
    half: float


@dataclass(frozen=True, slots=True)
class Row:
    """A lane, and how high what belongs to it stands; y grows downwards.

    Attributes:
        lane: what is drawn.
        y: of its line.
        up: whether its marbles are stacked upwards.
        reach: how far its marbles go from the line, on the side where they are stacked.
        labels_y, ticks_y, notes_y: where these begin; the notes are of bars and waits.
        held_y: the top of the held area.
        places: its marbles; none if columns count them.
    """

    lane: Lane
    y: float
    up: bool
    reach: float
    labels_y: float
    ticks_y: float
    held_y: float
    notes_y: float
    places: tuple[Place, ...]


class Layout:
    """A diagram on a sheet of a certain width, in pixels."""

    def __init__(self, diagram: Diagram, width: int) -> None:
        self.diagram = diagram
        self.width = width
        self.left = max([62.0, *(text_width(words, 10.5) + 22 for words in self._gutter())])
        self.left = min(self.left, width * 0.34)
        self.right = width - 22.0
        self.is_dense, self.radius = self._fitted()

    def _gutter(self) -> Iterator[str]:
        for lane in self.diagram.lanes:
            yield visible(lane.name, 16) + "m"
            if lane.held is not None and lane.held.capacity is not None:
                yield f"capacity {lane.held.capacity:,}"

    # ------------------------------------------------------------------ along the lanes

    def x(self, at_ms: float) -> float:
        """Return where a time is on the axis."""
        if not self.diagram.span_ms:
            return self.first_x
        return self.first_x + (self.last_x - self.first_x) * at_ms / self.diagram.span_ms

    @property
    def first_x(self) -> float:
        """Where 0 ms is."""
        return self.left + _PAD

    @property
    def last_x(self) -> float:
        """Where the last time is."""
        return self.right - _PAD - 6

    def axis_ms(self) -> list[float]:
        """Return round times, some 80 pixels apart."""
        span_ms = self.diagram.span_ms
        if not span_ms:
            return [0.0]
        least = span_ms / max(1.0, (self.last_x - self.first_x) / 80)
        size = 10.0 ** floor(log10(least))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least * 0.999)
        return [step * count for count in range(int(span_ms / step + 1e-9) + 1)]

    # ------------------------------------------------------------------ marbles

    @cached_property
    def is_written(self) -> bool:
        """Whether every single item's label has room on its marble."""
        single = [marble for lane in self.diagram.lanes for marble in lane.marbles if marble.width == 1]
        room, size = 2 * self.radius - 2, self.font(self.radius)
        return self.radius >= _LEAST_WRITTEN and all(text_width(visible(m.label), size) <= room for m in single)

    def is_written_on(self, place: Place) -> bool:
        """Whether a marble bears its label: all single ones do, or none; a joined one if it is wide enough."""
        if place.marble.width == 1:
            return self.is_written
        fits = text_width(visible(place.marble.label), self.font(self.radius)) <= 2 * place.half - 4
        return fits and self.radius >= _LEAST_WRITTEN

    @staticmethod
    def font(radius: float) -> float:
        """Return the size of what is written on a marble."""
        return round(radius * 1.02, 1)

    def half(self, marble: Marble, radius: float) -> float:
        """Return half the width of a marble: a joined one grows with its items, and with what is written on it."""
        if marble.width == 1:
            return radius
        half = radius * (1 + 0.35 * min(marble.width - 1, 4))
        written = text_width(visible(marble.label), self.font(radius)) / 2 + 5 if radius >= _LEAST_WRITTEN else 0.0
        return max(half, min(written, _WIDEST * radius))

    def levels(self, lane: Lane, radius: float) -> list[int]:
        """Return how high each marble is stacked, from 0, so that none covers another."""
        ends: list[float] = []
        levels: list[int] = []
        for marble in lane.marbles:
            x, half = self.x(marble.at_ms), self.half(marble, radius)
            level = next((level for level, end in enumerate(ends) if end <= x - half), len(ends))
            ends[level : level + 1] = [x + half + 1]
            levels.append(level)
        return levels

    def _fitted(self) -> tuple[bool, float]:
        """Return whether it is too crowded for marbles, and the largest radius with which they are not."""
        lanes = self.diagram.lanes
        if max(len(lane.marbles) for lane in lanes) > MOST_MARBLES:
            return True, _SMALLEST
        fewest = self._height(_SMALLEST)
        if fewest > _MOST_LEVELS:
            return True, _SMALLEST
        radius = _LARGEST
        while radius > _SMALLEST:
            height = self._height(radius)
            if height <= max(_LEVELS_UNSEEN, fewest) and height * _step(radius) <= _TALLEST:
                break
            radius -= 0.5
        return False, radius

    def _height(self, radius: float) -> int:
        return max(max(self.levels(lane, radius), default=0) + 1 for lane in self.diagram.lanes)

    # ------------------------------------------------------------------ from top to bottom

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The lanes, each as high as it needs."""
        rows: list[Row] = []
        y = 14.0
        for number, lane in enumerate(self.diagram.lanes):
            row, y = self._row(lane, y, up=number == 0)
            rows.append(row)
            y += _GAP
        return tuple(rows)

    @property
    def bottom(self) -> float:
        """Where the lanes end and the axis begins."""
        last = self.rows[-1]
        return max(last.notes_y + 4, last.held_y + held_height(last.lane), last.y + 12)

    def _row(self, lane: Lane, y: float, *, up: bool) -> tuple[Row, float]:
        levels = self.levels(lane, self.radius) if not self.is_dense else []
        step = _step(self.radius)
        near = self.radius if not self.is_dense else 4.0
        reach = near + step * max(levels, default=0) if not self.is_dense else COLUMN_HEIGHT
        labels = 13.0 if lane.marbles and not self.is_dense and not self.is_written and not max(levels) else 0.0
        notes = 15.0 if lane.bars or (up and lane.waits) else 0.0
        line_y = y + (notes + labels + reach if up else near)
        labels_y = y + notes + labels - 4 if up else line_y + reach + labels - 1
        below = line_y + (near if up else reach + labels)
        ticks_y = below + 3
        below += 22 if lane.ticks else 0
        held_y = below + 9
        below += 9 + held_height(lane) if lane.held else 0
        notes_y = y + 8 if up else below + 13
        below += 0 if up else notes
        sign = -1 if up else 1
        places = [
            Place(marble, self.x(marble.at_ms), line_y + sign * step * level, self.half(marble, self.radius))
            for marble, level in zip(lane.marbles, levels, strict=not self.is_dense)
        ]
        return Row(lane, line_y, up, reach, labels_y, ticks_y, held_y, notes_y, tuple(places)), below


def held_height(lane: Lane) -> float:
    """Return how high the area is that shows what was held: flat if nothing was."""
    return HELD_HEIGHT if lane.held is not None and lane.held.peak else 0.0


def _step(radius: float) -> float:
    return 2 * radius + 1.5
