"""A diagram as SVG: one self-contained text, readable on light and dark ground, with a title and a description.

Every mark says what it is in data attributes: a marble has data-kind, data-lane, data-first and data-width, a bar and a
tick likewise; where columns stand for marbles, data-count says for how many. What is drawn can so be counted again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from streams.arguments import positive_int, shown
from streams.marbles.columns import column_words
from streams.marbles.diagram import Diagram, MarbleKind
from streams.marbles.lanes import drawn_lane
from streams.marbles.layout import HELD_HEIGHT, Layout, Place, Row
from streams.marbles.look import STYLE, THEMES
from streams.marbles.marks import group, small, texts_in_line
from streams.marbles.markup import Markup, number, tag
from streams.marbles.words import describe

__all__ = ("svg",)

_LEAST_WIDTH: Final = 240
_PREFIX: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def svg(
    diagram: Diagram,
    *,
    width: int = 760,
    title: str = "Marble diagram",
    description: str | None = None,
    prefix: str = "marbles",
    theme: str = "auto",
) -> str:
    """Return the diagram as an SVG element, to stand alone or within a page.

    Args:
        diagram: what to draw.
        width: in pixels, at least 240. The height is what it takes; both shrink with the page.
        title: what it is called by those who do not see it; it is not drawn.
        description: what it shows; None: `describe(diagram)`.
        prefix: what its ids begin with; it must differ between the diagrams of one page.
        theme: "light", "dark", or "auto": what the page or the system says. `streams.marbles.look` tells how.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
    """
    if not isinstance(diagram, Diagram):
        raise TypeError(f"diagram must be a Diagram; got {shown(diagram)}")
    positive_int("width", width, minimum=_LEAST_WIDTH)
    if theme not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(THEMES)}; got {shown(theme)}")
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ValueError(f"prefix must be letters, digits, - and _, a letter or _ first; got {shown(prefix)}")
    layout = Layout(diagram, width)
    words = describe(diagram) if description is None else description
    notes = column_words(layout) if layout.is_dense else []
    height = layout.bottom + 28 + 14 * len(notes)
    return tag(
        "svg",
        tag("title", title, id=f"{prefix}-title"),
        tag("desc", words, id=f"{prefix}-desc"),
        tag("style", Markup(STYLE)),
        "\n",
        tag("rect", class_="md-ground", width=width, height=height, rx=8),
        *_axis(layout),
        *(_area(layout, row) for row in layout.rows),
        _ways(layout),
        *(drawn_lane(layout, row) for row in layout.rows),
        *(small(text, layout.left, layout.bottom + 34 + 14 * line) for line, text in enumerate(notes)),
        "\n",
        xmlns="http://www.w3.org/2000/svg",
        class_="marble-diagram",
        data_theme=None if theme == "auto" else theme,
        viewBox=f"0 0 {width} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{prefix}-title {prefix}-desc",
    )


# --- Time ------------------------------------------------------------------------------------------------------------


def _axis(layout: Layout) -> Iterator[Markup]:
    times_ms = layout.axis_ms()
    in_seconds = layout.diagram.span_ms >= 5000
    lines = [tag("line", class_="md-grid", x1=x, x2=x, y1=8, y2=layout.bottom + 4) for x in map(layout.x, times_ms)]
    texts = [(f"{ms / 1000 if in_seconds else ms:,.6g}", layout.x(ms)) for ms in times_ms]
    unit = small("time, s" if in_seconds else "time, ms", 12, layout.bottom + 17)
    yield group("md-axis", *lines, unit, *texts_in_line(layout, layout.bottom + 17, texts))


# --- What was held ---------------------------------------------------------------------------------------------------


def _area(layout: Layout, row: Row) -> Markup:
    held = row.lane.held
    if held is None:
        return Markup()
    if not held.peak:
        return group("md-boundary", small("nothing held", 12, row.held_y + 10), data_peak="0")
    floor = row.held_y + HELD_HEIGHT
    fits = held.capacity is not None and held.capacity <= max(4 * held.peak, 8)
    most = max(held.peak, held.capacity or 0) if fits else held.peak
    unit = (HELD_HEIGHT - 3) / most
    edge = _outline(layout, held.steps(), floor, unit)
    title = tag("title", f"held, at most {held.peak:,g}")
    names_y = floor
    marks = [
        tag("path", title, class_="md-held", d=f"{edge}V{number(floor)}Z"),
        tag("path", class_="md-edge", d=edge),
    ]
    if held.capacity is not None:
        line_y = floor - unit * held.capacity if fits else row.held_y + 3
        marks += _capacity(layout, held.capacity, line_y, min(line_y + 4, floor), fits=fits)
        names_y = floor if line_y < floor - HELD_HEIGHT / 2 else row.held_y + 10
    return group("md-boundary", *marks, small(f"held ≤ {held.peak:,g}", 12, names_y), data_peak=f"{held.peak:g}")


def _capacity(layout: Layout, capacity: int, y: float, name_y: float, *, fits: bool) -> Iterator[Markup]:
    """Yield the line of the capacity; if it is far above what was held, only its name, with an arrow."""
    if fits:
        yield tag("line", class_="md-capacity", x1=layout.first_x, x2=layout.last_x, y1=y, y2=y)
    yield small(f"capacity {capacity:,}" + ("" if fits else " ↑"), 12, name_y)


def _outline(layout: Layout, steps: list[tuple[float, float]], floor: float, unit: float) -> str:
    """Return the upper edge of the area as a path that begins on the floor."""
    path = f"M{number(layout.x(steps[0][0]))} {number(floor)}"
    for at_ms, count in steps:
        path += f"H{number(layout.x(at_ms))}V{number(floor - unit * count)}"
    return f"{path}H{number(layout.x(layout.diagram.span_ms))}"


# --- The way of each item --------------------------------------------------------------------------------------------


def _ways(layout: Layout) -> Markup:
    """Return a line from each place of an item to its next one."""
    last: dict[int, Place] = {}
    ways: dict[tuple[float, float, float, float], Markup] = {}
    for row in layout.rows:
        for place in row.places:
            for item in place.marble.items:
                if item in last:
                    ends = last[item].x, last[item].y, place.x, place.y
                    ways.setdefault(ends, _way(last[item], place))
                last[item] = place
    return group("md-ways", *ways.values()) if ways else Markup()


def _way(start: Place, end: Place) -> Markup:
    kinds = {start.marble.kind, end.marble.kind}
    if kinds & {MarbleKind.DROPPED, MarbleKind.REJECTED}:
        look = "md-way md-lost"
    else:
        look = "md-way md-merged" if MarbleKind.MERGED in kinds else "md-way"
    return tag("line", class_=look, x1=start.x, y1=start.y, x2=end.x, y2=end.y)
