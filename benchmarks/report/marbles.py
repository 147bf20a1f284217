"""A piece of one recorded stream as a marble diagram: three lanes, and below them what the strategy held.

    emitted    a full marble for a token that arrived; a hollow one that falls out of the lane for one that never did
    taken      when the server's tail took it from the boundary; a wide marble stands for several, merged
    received   when the client had it
    held       how many tokens the boundary held, as the server counted on the way

Drawn as SVG when the report is written, so that it needs no script. A lane that the stream says nothing of is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.report.colours import Look
from benchmarks.report.columns import number, numbers, shown
from benchmarks.report.markup import Markup, joined, tag
from benchmarks.results import Timeline

__all__ = ("diagram", "key", "span_ms", "story")

_WIDTH: Final = 620
_LEFT: Final = 74
_RIGHT: Final = 22
_TOP: Final = 22
_LANE: Final = 48
_HELD_HEIGHT: Final = 46
_RADIUS: Final = 4.5
_FALL: Final = 17
_WIDEST: Final = 24.0
_MOST_MARBLES: Final = 400
_LANES: Final = ("emitted", "taken", "received")


@dataclass(frozen=True, slots=True)
class _Marble:
    """A token that arrived, with its times by lane, where they are known."""

    seq: int | None
    merged: int
    at_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Scale:
    span_ms: float

    def x(self, ms: float) -> float:
        inner = _WIDTH - _LEFT - _RIGHT
        return round(_LEFT + inner * min(max(ms, 0.0), self.span_ms) / self.span_ms, 2)


# --- What there is ---------------------------------------------------------------------------------------------------


def _marbles(timeline: Timeline) -> list[_Marble]:
    found: list[_Marble] = []
    for row in timeline.tokens[:_MOST_MARBLES]:
        seq, merged, _due, *times = numbers(row, 6)
        at_ms = {lane: ms for lane, ms in zip(_LANES, times, strict=True) if ms is not None}
        if at_ms:
            found.append(_Marble(None if seq is None else int(seq), max(1, int(merged or 1)), at_ms))
    return found


def _emitted_at(marbles: Sequence[_Marble]) -> tuple[list[int], list[float]]:
    """Return indexes and when they were emitted, ascending, to tell between them when others were."""
    known = {m.seq: m.at_ms["emitted"] for m in marbles if m.seq is not None and "emitted" in m.at_ms}
    indexes = sorted(known)
    return indexes, [known[index] for index in indexes]


def _lost(timeline: Timeline, marbles: Sequence[_Marble]) -> list[tuple[int, float]]:
    """Return the tokens that never arrived and about when they were emitted: between those beside them that did."""
    indexes, times = _emitted_at(marbles)
    missing = [int(index) for value in timeline.missing[:_MOST_MARBLES] if (index := number(value)) is not None]
    if not indexes or not missing:
        return []
    return list(zip(missing, map(float, np.interp(missing, indexes, times)), strict=True))


def _held(timeline: Timeline) -> list[tuple[float, float]]:
    rows = [numbers(row, 2) for row in timeline.held]
    return sorted((ms, held) for ms, held in rows if ms is not None and held is not None)


def span_ms(timeline: Timeline) -> float:
    """Return how long the part of a stream is that is drawn; 0 if there is nothing to draw."""
    return max((ms for marble in _marbles(timeline) for ms in marble.at_ms.values()), default=0.0)


def story(timeline: Timeline) -> str:
    """Say in a sentence what the diagram shows."""
    marbles = _marbles(timeline)
    events, tokens = len(marbles), sum(marble.merged for marble in marbles)
    parts = [f"{tokens} token{_s(tokens)} in {events} event{_s(events)}"]
    lost = len(timeline.missing)
    parts.append(f"{lost} between them lost" if lost else "none between them lost")
    largest = max((marble.merged for marble in marbles), default=1)
    if largest > 1:
        parts.append(f"up to {largest} merged into one")
    held = _held(timeline)
    if held:
        most = max(count for _, count in held)
        parts.append(f"at most {shown(most)} seen held" if most else "none seen held")
    delays = [m.at_ms["received"] - m.at_ms["emitted"] for m in marbles if {"received", "emitted"} <= m.at_ms.keys()]
    if delays:
        parts.append(f"the last one drawn was {shown(delays[-1])} ms on its way")
    return ", ".join(parts) + "."


def _s(count: int) -> str:
    return "" if count == 1 else "s"


# --- How it is drawn -------------------------------------------------------------------------------------------------


def diagram(timeline: Timeline, *, name: str, look: Look, span: float, key: str) -> Markup:
    """Return the diagram of a timeline over `span` milliseconds. `key` sets its ids apart from others'."""
    marbles = _marbles(timeline)
    scale = _Scale(max(span, 1e-3))
    lanes = [lane for lane in _LANES if any(lane in marble.at_ms for marble in marbles)]
    y = {lane: _TOP + _LANE * index for index, lane in enumerate(lanes)}
    held = _held(timeline)
    bottom = _TOP + _LANE * (len(lanes) - 1) + 24
    floor = bottom + _HELD_HEIGHT + 6 if held else bottom
    parts = [
        tag("title", f"Timeline of {name}", id=f"{key}-title"),
        tag("desc", story(timeline), id=f"{key}-desc"),
        *_axis(scale, floor),
        *(_lane(lane, at) for lane, at in y.items()),
        *_area(held, scale, bottom + 6, floor),
        *_ways(marbles, scale, y),
        *_drops(timeline, marbles, scale, y),
        *(_marble(marble, lane, scale, at) for lane, at in y.items() for marble in marbles if lane in marble.at_ms),
        *_end(timeline, scale, y),
    ]
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {_WIDTH} {floor + 22}",  # SVG's own spelling
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        class_=f"marbles {look.css}",
    )


def _lane(name: str, y: float) -> Markup:
    return joined(
        [
            tag("text", name, x=0, y=y + 4, class_="lane-name"),
            tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="lane-line"),
        ]
    )


def _axis(scale: _Scale, floor: float) -> Iterator[Markup]:
    step = _round_step(scale.span_ms / 6)
    in_seconds = scale.span_ms >= 2000
    for count in range(int(scale.span_ms / step + 1e-9) + 1):
        ms = count * step
        x = scale.x(ms)
        words = f"{ms / 1000:.3g} s" if in_seconds else f"{ms:.3g} ms"
        yield tag("line", x1=x, x2=x, y1=8, y2=floor, class_="tick")
        yield tag("text", words, x=x, y=floor + 16, class_="tick-name")


def _round_step(least: float) -> float:
    size = 10.0 ** np.floor(np.log10(least))
    return float(next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least * 0.999))


def _marble(marble: _Marble, lane: str, scale: _Scale, y: float) -> Markup:
    x = scale.x(marble.at_ms[lane])
    name = "a token" if marble.seq is None else f"token {marble.seq}"
    if marble.merged > 1:
        name = f"{marble.merged} tokens merged" + ("" if marble.seq is None else f", from {marble.seq} on")
    words = tag("title", f"{name}, {lane} at {shown(marble.at_ms[lane])} ms")
    if marble.merged == 1:
        return tag("circle", words, cx=x, cy=y, r=_RADIUS, class_="marble")
    width = 2 * _RADIUS + min(_WIDEST, 4 + marble.merged)
    return tag(
        "rect", words, x=x - width / 2, y=y - _RADIUS, width=width, height=2 * _RADIUS, rx=_RADIUS, class_="marble"
    )


def _ways(marbles: Sequence[_Marble], scale: _Scale, y: Mapping[str, float]) -> Iterator[Markup]:
    for marble in marbles:
        stops = [f"{scale.x(marble.at_ms[lane])},{at}" for lane, at in y.items() if lane in marble.at_ms]
        if len(stops) > 1:
            yield tag("polyline", points=" ".join(stops), class_="way")


def _drops(timeline: Timeline, marbles: Sequence[_Marble], scale: _Scale, y: Mapping[str, float]) -> Iterator[Markup]:
    if "emitted" in y:
        for index, ms in _lost(timeline, marbles):
            x, top = scale.x(ms), y["emitted"]
            words = tag("title", f"token {index}, lost")
            yield tag("line", x1=x, x2=x, y1=top, y2=top + _FALL, class_="fall")
            yield tag("circle", words, cx=x, cy=top + _FALL, r=_RADIUS - 1, class_="drop")


def _area(held: Sequence[tuple[float, float]], scale: _Scale, top: float, floor: float) -> Iterator[Markup]:
    """Yield the counts of held tokens as an area of steps: each count holds until the next one came."""
    within = [(ms, count) for ms, count in held if 0 <= ms <= scale.span_ms]
    if not within:
        return
    most = max(count for _, count in within) or 1.0
    corners: list[str] = [f"{scale.x(within[0][0])},{floor}"]
    for (ms, count), (until, _) in zip(within, [*within[1:], (scale.span_ms, 0.0)], strict=True):
        height = floor - (floor - top) * count / most
        corners += [f"{scale.x(ms)},{height:.1f}", f"{scale.x(until)},{height:.1f}"]
    corners.append(f"{scale.x(scale.span_ms)},{floor}")
    yield tag("polygon", tag("title", f"held, at most {shown(most)}"), points=" ".join(corners), class_="held")
    yield tag("text", "held", x=0, y=floor - 4, class_="lane-name")
    if max(count for _, count in within) > 0:
        yield tag("text", f"{shown(most)}", x=_LEFT - 6, y=top + 9, class_="held-name")


def _end(timeline: Timeline, scale: _Scale, y: Mapping[str, float]) -> Iterator[Markup]:
    ended = number(timeline.ended_ms)
    if ended is not None and ended <= scale.span_ms and y:
        last = max(y.values())
        words = tag("title", f"{timeline.outcome} at {shown(ended)} ms")
        yield tag("line", words, x1=scale.x(ended), x2=scale.x(ended), y1=last - 11, y2=last + 11, class_="end")


def key() -> Markup:
    """Return what the marks mean."""
    marks = {
        "a token": tag("circle", cx=9, cy=8, r=_RADIUS, class_="marble"),
        "lost": tag("circle", cx=9, cy=8, r=_RADIUS - 1, class_="drop"),
        "several, merged into one event": tag("rect", x=1, y=3, width=20, height=10, rx=5, class_="marble"),
        "held in the boundary": tag("rect", x=1, y=3, width=20, height=10, class_="held"),
        "the stream's end": tag("line", x1=9, x2=9, y1=1, y2=15, class_="end"),
    }
    samples = [
        tag("svg", mark, width=22, height=16, class_="marbles s0", aria_hidden="true") for mark in marks.values()
    ]
    return tag("p", *(tag("span", sample, name) for sample, name in zip(samples, marks, strict=True)), class_="key")
