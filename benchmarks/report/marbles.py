"""A piece of one recorded stream as a marble diagram, drawn as SVG by `streams.marbles`, so that it needs no script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.report.columns import number, numbers
from benchmarks.report.markup import Markup
from benchmarks.results import CellResult, Timeline
from benchmarks.traces.captures import Outcome
from streams.marbles import Bar, BarKind, Diagram, RecordedItem, diagram_of_recording, svg

__all__ = ("diagram", "drawn", "shows_failure", "span_ms")

_WIDTH: Final = 600
_MOST_MISSING: Final = 400
_SOON: Final = 1.1
_MOST_TOKENS: Final = 100_000  # a number in a damaged file would be drawn until memory ends
_KINDS: Final = {Outcome.COMPLETED.value: BarKind.COMPLETED, Outcome.LEFT.value: BarKind.CANCELLED}


def span_ms(timeline: Timeline) -> float:
    """Return how long the part of a stream is that is drawn, with its end if that comes soon; 0: nothing to draw."""
    last_ms = max((ms for item in _items(timeline) for ms in _times_ms(item)), default=0.0)
    ended_ms = number(timeline.ended_ms)
    is_soon = ended_ms is not None and last_ms < ended_ms <= last_ms * _SOON
    return ended_ms if is_soon and ended_ms is not None else last_ms


def shows_failure(timeline: Timeline, span: float) -> bool:
    """Return whether a stream is seen to fail within `span` milliseconds, with an error event or worse."""
    end = _terminal(timeline, span)
    return end is not None and end.kind is BarKind.FAILED


def diagram(cell: CellResult, timeline: Timeline, span: float) -> Diagram:
    """Return a timeline of a cell over `span` milliseconds, its boundary with the cell's capacity.

    What the server counted and how the stream ended is shown if it falls within the span.
    """
    missing = (index for value in timeline.missing[:_MOST_MISSING] if (index := number(value)) is not None)
    return diagram_of_recording(
        _items(timeline),
        missing=[int(index) for index in missing if index >= 0],
        held=_held(timeline, span),
        terminal=_terminal(timeline, span),
        capacity=_capacity(cell),
        span_ms=span,
    )


def drawn(timeline: Diagram, *, name: str, key: str) -> Markup:
    """Return the drawing of a timeline. `name` is told to those who do not see it; `key` sets its ids apart."""
    return Markup(svg(timeline, width=_WIDTH, title=f"Timeline of {name}", prefix=key))


# --- What there is ---------------------------------------------------------------------------------------------------


def _items(timeline: Timeline) -> list[RecordedItem]:
    """Return what arrived, but for rows that have no index or no time."""
    items: list[RecordedItem] = []
    count = 0
    for row in timeline.tokens:
        index, merged, _due, *times = numbers(row, 6)
        if index is None or index < 0 or times == [None] * 3:
            continue
        item = RecordedItem(int(index), max(1, int(merged or 1)), *times)
        count += item.merged
        if count > _MOST_TOKENS:
            break
        items.append(item)
    return items


def _times_ms(item: RecordedItem) -> Iterator[float]:
    yield from (ms for ms in (item.emitted_ms, item.taken_ms, item.received_ms) if ms is not None)


def _held(timeline: Timeline, span: float) -> list[tuple[float, float]]:
    """Return what the server counted now and then; nothing if it saw 0 each time: between, some may have been held."""
    rows = [numbers(row, 2) for row in timeline.held]
    known = sorted((ms, held) for ms, held in rows if ms is not None and held is not None)
    samples = [(ms, held) for ms, held in known if ms <= span and held >= 0]
    return samples if any(held for _, held in samples) else []


def _terminal(timeline: Timeline, span: float) -> Bar | None:
    """Return how the stream ended, with the outcome's name if that is worse than an error event.

    None: it was left at a time that is not known, or ended behind the piece.
    """
    ended_ms = number(timeline.ended_ms)
    if ended_ms is None or not 0 <= ended_ms <= span:
        return None
    kind = _KINDS.get(timeline.outcome, BarKind.FAILED)
    is_worse = kind is BarKind.FAILED and timeline.outcome != Outcome.FAILED.value
    return Bar(ended_ms, kind, timeline.outcome.replace("_", " ") if is_worse else "")


def _capacity(cell: CellResult) -> int | None:
    """Return the capacity that was requested; None: none was, or one without bound."""
    match cell.parameters:
        case {"request": {"capacity": str(capacity)}} if capacity.isascii() and capacity.isdecimal():
            return int(capacity)
        case _:
            return None
