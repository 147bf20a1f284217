"""What is too crowded for marbles, as columns that count: how many of each kind fell into the same few milliseconds."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

from streams.marbles.diagram import Marble, MarbleKind
from streams.marbles.layout import COLUMN, COLUMN_HEIGHT, MOST_MARBLES, Layout, Row
from streams.marbles.markup import Markup, tag
from streams.marbles.words import ms_shown, plural

__all__ = ("column_marks", "column_words")

_ORDER = (MarbleKind.PASSED, MarbleKind.MERGED, MarbleKind.DROPPED, MarbleKind.REJECTED)


def column_marks(layout: Layout, row: Row) -> Iterator[Markup]:
    """Yield the columns of a lane. Within one, what passed is nearest to the line."""
    unit = COLUMN_HEIGHT / _tallest(layout)
    counts = Counter((_column(layout, marble), marble.kind) for marble in row.lane.marbles)
    sign = -1 if row.up else 1
    for column in sorted({column for column, _ in counts}):
        y = row.y + sign * 1.5
        for kind in _ORDER:
            count = counts[column, kind]
            if count:
                height = max(1.0, unit * count)
                yield _mark(layout, row, column, kind, count, min(y, y + sign * height), height)
                y += sign * height


def column_words(layout: Layout) -> list[str]:
    """Return what the columns mean, in lines as wide as the sheet."""
    noun, column_ms = layout.diagram.noun, _column_ms(layout)
    most = max(len(lane.marbles) for lane in layout.diagram.lanes)
    crowd = f"{plural(most, noun)} on one lane" if most > MOST_MARBLES else f"Many {noun}s at one time"
    counted = ms_shown(column_ms) if column_ms else "one instant"
    words = (
        f"{crowd}: too many for marbles. Each column counts those of {counted}; "
        f"the tallest stands for {_tallest(layout):,}."
    )
    return textwrap.wrap(words, max(20, int((layout.width - layout.left - 8) / 6.5)))


def _column_ms(layout: Layout) -> float:
    return layout.diagram.span_ms * COLUMN / (layout.last_x - layout.first_x)


def _column(layout: Layout, marble: Marble) -> int:
    last = int((layout.last_x - layout.first_x) / COLUMN)
    return min(last, int((layout.x(marble.at_ms) - layout.first_x) / COLUMN + 1e-9))


def _tallest(layout: Layout) -> int:
    lanes = layout.diagram.lanes
    return max(max(Counter(_column(layout, m) for m in lane.marbles).values(), default=1) for lane in lanes)


def _mark(layout: Layout, row: Row, column: int, kind: MarbleKind, count: int, y: float, height: float) -> Markup:
    x = layout.first_x + COLUMN * column
    start_ms = _column_ms(layout) * column
    inset = 0.5 if kind in (MarbleKind.DROPPED, MarbleKind.REJECTED) else 0.0
    return tag(
        "rect",
        tag("title", f"{count:,} {kind.value} from {ms_shown(start_ms)} on"),
        class_=f"md-mark md-{kind.value}",
        x=x + inset,
        y=y,
        width=COLUMN - 1 - 2 * inset,
        height=height,
        data_kind=kind.value,
        data_lane=row.lane.name,
        data_count=count,
    )
