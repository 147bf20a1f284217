"""One lane of a diagram as SVG: its line of time, and the marks on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streams.marbles.columns import column_marks
from streams.marbles.diagram import Bar, BarKind, Marble, MarbleKind, Wait
from streams.marbles.layout import Layout, Place, Row
from streams.marbles.marks import SMALL, group, small, texts_in_line
from streams.marbles.markup import Markup, number, tag, text_width, visible
from streams.marbles.words import demand_shown, ms_shown, plural

__all__ = ("drawn_lane",)

_NAME: Final = 12.5
_LEAST_APART: Final = 6  # ticks that are closer on average have no numbers
_HOLLOW: Final = (MarbleKind.DROPPED, MarbleKind.REJECTED)


def drawn_lane(layout: Layout, row: Row) -> Markup:
    """Return a lane: its line, its marbles or columns, demand, terminals and waits."""
    lane = row.lane
    marks = [
        tag("text", visible(lane.name, 16), x=12, y=row.y + 4, font_size=_NAME, font_weight=600),
        *_line(layout, row),
        *(_wait(layout, row, wait) for wait in lane.waits),
        *(column_marks(layout, row) if layout.is_dense else _marbles(layout, row)),
        *_ticks(layout, row),
        *(_bar(layout, row, bar) for bar in lane.bars),
        *_notes(layout, row),
    ]
    return group("md-lane", *marks, data_lane=lane.name)


def _line(layout: Layout, row: Row) -> Iterator[Markup]:
    """Yield the line of time: up to the bar, or with an arrow if the lane has none."""
    end = max((_bar_x(layout, row, bar) for bar in row.lane.bars), default=layout.right)
    yield tag("line", class_="md-line", x1=layout.left, x2=end, y1=row.y, y2=row.y)
    if not row.lane.bars:
        yield tag("path", class_="md-line", d=f"M{number(end - 6)} {number(row.y - 4)}l6 4l-6 4")


def _wait(layout: Layout, row: Row, wait: Wait) -> Markup:
    until_ms = layout.diagram.span_ms if wait.until_ms is None else wait.until_ms
    start, end = layout.x(wait.from_ms), layout.x(until_ms)
    until = "on" if wait.until_ms is None else f"to {ms_shown(until_ms)}"
    words = f"suspended from {ms_shown(wait.from_ms)} {until}"
    stretch = tag("line", class_="md-wait", x1=start, x2=end, y1=row.y, y2=row.y)
    begin = tag("circle", class_="md-waiting", cx=start, cy=row.y, r=2.75)
    return tag("g", tag("title", words), stretch, begin, data_kind="wait", data_lane=row.lane.name)


def _marbles(layout: Layout, row: Row) -> Iterator[Markup]:
    for place in row.places:
        yield _mark(layout, row, place)
    if not layout.is_written:
        yield from texts_in_line(layout, row.labels_y, _beside(layout, row))


def _beside(layout: Layout, row: Row) -> list[tuple[str, float]]:
    """Return the labels that stand beside a lane; none where marbles are stacked, since it would not be clear whose."""
    if any(place.y != row.y for place in row.places):
        return []
    places = [place for place in row.places if not layout.is_written_on(place)]
    return [(visible(place.marble.label, 14), place.x) for place in places]


def _mark(layout: Layout, row: Row, place: Place) -> Markup:
    marble = place.marble
    look = f"md-mark md-{marble.kind.value}" + (" md-about" if marble.about else "")
    radius = layout.radius - (0.8 if marble.kind in _HOLLOW else 0)
    half = place.half - (layout.radius - radius)
    if marble.width == 1:
        shape = tag("circle", class_=look, cx=place.x, cy=place.y, r=radius)
    else:
        x, y = place.x - half, place.y - radius
        shape = tag("rect", class_=look, x=x, y=y, width=2 * half, height=2 * radius, rx=radius)
    return tag(
        "g",
        tag("title", _told(row, marble)),
        shape,
        *_written(layout, place),
        *(_cross(place, half, layout) if marble.kind is MarbleKind.DROPPED else ()),
        data_kind=marble.kind.value,
        data_lane=row.lane.name,
        data_first=marble.first,
        data_width=marble.width,
    )


def _told(row: Row, marble: Marble) -> str:
    what = row.lane.verb if marble.kind is MarbleKind.PASSED or marble.width > 1 else marble.kind.value
    what = marble.kind.value if marble.kind in _HOLLOW else what
    return f"{visible(marble.label)}, {what} at {'about ' if marble.about else ''}{ms_shown(marble.at_ms)}"


def _written(layout: Layout, place: Place) -> Iterator[Markup]:
    if layout.is_written_on(place):
        size, marble = layout.font(layout.radius), place.marble
        look = f"md-on md-{marble.kind.value}" + (" md-about" if marble.about else "")
        yield tag("text", visible(marble.label), class_=look, x=place.x, y=place.y + size * 0.36, font_size=size)


def _cross(place: Place, half: float, layout: Layout) -> Iterator[Markup]:
    """Yield the cross of a lost marble: on its shoulder if it bears a label, through it if not."""
    x, y, arm = place.x, place.y, layout.radius * 0.42
    if layout.is_written_on(place):
        arm = max(2.2, layout.radius * 0.28)
        x, y = x + half - 0.12 * layout.radius, y - 0.86 * layout.radius
    d = _cross_path(x, y, arm)
    if layout.is_written_on(place):
        yield tag("path", class_="md-halo", d=d)
    yield tag("path", class_="md-cross", d=d)


def _cross_path(x: float, y: float, arm: float) -> str:
    size = number(2 * arm)
    return f"M{number(x - arm)} {number(y - arm)}l{size} {size}m0 -{size}l-{size} {size}"


# --- Demand and terminals --------------------------------------------------------------------------------------------


def _ticks(layout: Layout, row: Row) -> Iterator[Markup]:
    ticks = row.lane.ticks
    if not ticks:
        return
    yield small("demand", 12, row.ticks_y + 16.5)
    if len(ticks) * _LEAST_APART > layout.last_x - layout.first_x:
        yield from _many_ticks(layout, row)
        return
    for tick in ticks:
        x, end = layout.x(tick.at_ms), row.ticks_y + 6
        words = tag("title", f"demand {demand_shown(tick.n)} at {ms_shown(tick.at_ms)}")
        yield tag(
            "line", words, class_="md-tick", x1=x, x2=x, y1=row.ticks_y, y2=end, data_kind="demand", data_n=tick.n
        )
    yield from texts_in_line(layout, row.ticks_y + 16.5, _demand_numbers(layout, row))


def _many_ticks(layout: Layout, row: Row) -> Iterator[Markup]:
    ticks = row.lane.ticks
    total = sum(tick.n for tick in ticks)
    path = "".join(f"M{number(layout.x(tick.at_ms))} {number(row.ticks_y)}v6" for tick in ticks)
    yield tag("path", class_="md-tick md-crowded", d=path, data_kind="demand", data_n=total, data_count=len(ticks))
    words = f"{demand_shown(total)} in {plural(len(ticks), 'request')}"
    yield from texts_in_line(layout, row.ticks_y + 16.5, [(words, (layout.first_x + layout.last_x) / 2)])


def _demand_numbers(layout: Layout, row: Row) -> list[tuple[str, float]]:
    at_once: dict[float, list[str]] = {}
    for tick in row.lane.ticks:
        at_once.setdefault(tick.at_ms, []).append(demand_shown(tick.n))
    return [(" ".join(numbers), layout.x(at_ms)) for at_ms, numbers in at_once.items()]


def _bar_x(layout: Layout, row: Row, bar: Bar) -> float:
    """Return where a bar stands: at its time, or right behind the marbles that would cover it."""
    x = layout.x(bar.at_ms)
    covering = [place.x + place.half + 4 for place in row.places if abs(place.x - x) < place.half + 4]
    return max([x, *(end for end in covering if end - x < 60)])


def _bar(layout: Layout, row: Row, bar: Bar) -> Markup:
    x, half = _bar_x(layout, row, bar), max(layout.radius, 6.0) + 3
    marks = [tag("title", f"{bar} at {ms_shown(bar.at_ms)}")]
    look = f"md-bar md-{bar.kind.value}"
    if bar.kind is BarKind.FAILED:
        marks.append(tag("path", class_=look, d=_cross_path(x, row.y, 6.0)))
    else:
        marks.append(tag("line", class_=look, x1=x, x2=x, y1=row.y - half, y2=row.y + half))
    return tag("g", *marks, data_kind=bar.kind.value, data_lane=row.lane.name)


def _notes(layout: Layout, row: Row) -> Iterator[Markup]:
    """Yield how the lane ended, beside its bar where it has room, and how long the source waited."""
    away: list[tuple[str, float]] = []
    for bar in row.lane.bars:
        words, x = visible(str(bar), 40), _bar_x(layout, row, bar)
        if text_width(words, SMALL) > layout.width - layout.left:
            words = bar.kind.value
        if x + 12 + text_width(words, SMALL) < layout.width:
            yield small(words, x + 11, row.y + 4)
        else:
            away.append((words, x))
    yield from texts_in_line(layout, row.notes_y, [*away, *(_lengths(layout, row) if row.up else ())])


def _lengths(layout: Layout, row: Row) -> Iterator[tuple[str, float]]:
    """Yield how long each wait was, if that is not wider than the wait, and where that is to stand."""
    for wait in row.lane.waits:
        until_ms = layout.diagram.span_ms if wait.until_ms is None else wait.until_ms
        start, end = layout.x(wait.from_ms), layout.x(until_ms)
        length = ms_shown(until_ms - wait.from_ms)
        fitting = [words for words in (f"waits {length}", length) if text_width(words, SMALL) <= end - start]
        yield from ((words, (start + end) / 2) for words in fitting[:1])
