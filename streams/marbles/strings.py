"""A diagram as marble strings, for a terminal: a column per instant, a line per lane, in ASCII but for the labels.

    0-----1-----|     items, and completion                   (0 1)   two items at one instant
    x1                item 1 is lost                          [1-2]   several items, joined
    +2                item 2 is joined to what is held        /3      item 3 comes too late and is rejected
    #                 failure                                 !       the consumer cancels
    3........         the source is suspended

Below the lanes stand what was held, and demand where it changed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from streams.arguments import positive_int
from streams.marbles.diagram import BarKind, Diagram, Lane, Marble, MarbleKind
from streams.marbles.markup import visible
from streams.reactive import UNBOUNDED

__all__ = ("text",)

_MARKS = {MarbleKind.DROPPED: "x", MarbleKind.REJECTED: "/"}
_ENDS = {BarKind.COMPLETED: "|", BarKind.FAILED: "#", BarKind.CANCELLED: "!"}


def text(diagram: Diagram, *, width: int = 100) -> str:
    """Return the diagram as lines of text; what is wider than `width` characters goes on further down.

    The columns are instants, not equal times: the first line says when, in milliseconds.

    Raises:
        TypeError, ValueError: a width that is no int of at least 40.
    """
    positive_int("width", width, minimum=40)
    times_ms = sorted({0.0, *(time_ms for lane in diagram.lanes for time_ms in _instants(lane))})
    rows = [_Row("ms", [f"{time_ms:g}" for time_ms in times_ms], [" "] * len(times_ms))]
    for lane in diagram.lanes:
        rows += _rows(lane, times_ms)
    return "\n\n".join(_blocks(rows, width))


@dataclass(frozen=True, slots=True)
class _Row:
    """A line: its name, what is written at each instant, and what fills the room behind that."""

    name: str
    cells: list[str]
    fills: list[str]


def _instants(lane: Lane) -> Iterator[float]:
    yield from lane.instants_ms()
    yield from (wait.from_ms for wait in lane.waits)


def _rows(lane: Lane, times_ms: list[float]) -> Iterator[_Row]:
    blank = [" "] * len(times_ms)
    yield _Row(visible(lane.name, 16), [_cell(lane, at_ms) for at_ms in times_ms], [_fill(lane, at) for at in times_ms])
    if lane.held is not None:
        steps = dict(lane.held.steps())
        yield _Row("held", [f"{steps[at_ms]:g}" if at_ms in steps else "" for at_ms in times_ms], blank)
    if lane.ticks:
        yield _Row("demand", [_demand(lane, at_ms) for at_ms in times_ms], blank)


def _cell(lane: Lane, at_ms: float) -> str:
    marbles = [_marble(marble) for marble in lane.marbles if marble.at_ms == at_ms]
    ends = "".join(_ENDS[bar.kind] for bar in lane.bars if bar.at_ms == at_ms)
    return (f"({' '.join(marbles)})" if len(marbles) > 1 else "".join(marbles)) + ends


def _marble(marble: Marble) -> str:
    label = visible(marble.label, 14)
    sign = _MARKS.get(marble.kind, "+" if marble.kind is MarbleKind.MERGED and marble.width == 1 else "")
    return sign + (f"[{label}]" if marble.width > 1 else label)


def _fill(lane: Lane, at_ms: float) -> str:
    if any(bar.at_ms <= at_ms for bar in lane.bars):
        return " "
    waits = any(wait.from_ms <= at_ms and (wait.until_ms is None or at_ms < wait.until_ms) for wait in lane.waits)
    return "." if waits else "-"


def _demand(lane: Lane, at_ms: float) -> str:
    numbers = [tick.n for tick in lane.ticks if tick.at_ms == at_ms]
    return "".join("+inf" if n >= UNBOUNDED else f"{n:+}" for n in numbers)


def _blocks(rows: list[_Row], width: int) -> Iterator[str]:
    """Yield the rows cut into pieces that are as wide as allowed; an instant is never cut."""
    margin = max(_columns(row.name) for row in rows) + 2
    start = 0
    while start < len(rows[0].cells):
        widths: list[int] = []
        for cells in list(zip(*(row.cells for row in rows), strict=True))[start:]:
            room = max(map(_columns, cells)) + 2
            if widths and margin + sum(widths) + room > width:
                break
            widths.append(room)
        stop = start + len(widths)
        yield "\n".join(_written(row, margin, start, widths) for row in rows)
        start = stop


def _written(row: _Row, margin: int, start: int, widths: list[int]) -> str:
    cells = zip(row.cells[start:], row.fills[start:], widths, strict=False)
    return (
        _filled(row.name, margin, " ") + "".join(_filled(cell, width, fill) for cell, fill, width in cells)
    ).rstrip()


def _filled(words: str, width: int, fill: str) -> str:
    return words + fill * (width - _columns(words))


def _columns(words: str) -> int:
    """Return how many columns of a terminal a text takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in words)
