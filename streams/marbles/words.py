"""What a diagram shows, in sentences: for those who do not see it, and as its caption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streams.marbles.diagram import Diagram, Lane, Marble, MarbleKind
from streams.reactive import UNBOUNDED

__all__ = ("demand_shown", "describe", "ms_shown", "plural")

_MOST_NAMED = 12


def describe(diagram: Diagram) -> str:
    """Return what the diagram shows: what became of the items, what was held, how long it took and how it ended."""
    sentences = [*_fates(diagram), *_held(diagram), *_waits(diagram), *_delay(diagram), *_demand(diagram)]
    sentences += [
        f"{lane.name.capitalize()}: {bar} at {ms_shown(bar.at_ms)}." for lane in diagram.lanes for bar in lane.bars
    ]
    return " ".join(sentences)


def ms_shown(ms: float) -> str:
    """Return a time with its unit, in at most four digits or whole milliseconds."""
    return f"{ms:.0f} ms" if ms >= 1000 else f"{ms:.4g} ms"


def demand_shown(n: int) -> str:
    """Return demand as it is written beside its tick."""
    return "∞" if n >= UNBOUNDED else f"{n}".replace("-", "−")


def plural(count: int, noun: str) -> str:
    """Return a number of things."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _of_kind(diagram: Diagram, kind: MarbleKind) -> list[Marble]:
    return [marble for lane in diagram.lanes for marble in lane.marbles if marble.kind is kind]


def _items(marbles: Sequence[Marble]) -> set[int]:
    return {number for marble in marbles for number in marble.items}


def _named(marbles: Sequence[Marble]) -> str:
    names = [marble.label for marble in marbles[:_MOST_NAMED]]
    rest = len(marbles) - len(names)
    return ", ".join(names) + (f" and {rest:,} more" if rest else "")


def _fates(diagram: Diagram) -> Iterator[str]:
    first, last = diagram.lanes[0], diagram.lanes[-1]
    emitted = _items(first.marbles)
    if not emitted:
        yield f"No {diagram.noun} was {first.verb}."
        return
    dropped, rejected = _of_kind(diagram, MarbleKind.DROPPED), _of_kind(diagram, MarbleKind.REJECTED)
    fates = [f"{plural(len(emitted), diagram.noun)} {_was(len(emitted))} {first.verb}"]
    if last is not first:
        fates.append(_arrived(last))
    fates += [
        f"{len(_items(marbles)):,} {kind} ({_named(marbles)})"
        for kind, marbles in (("dropped", dropped), ("rejected", rejected))
        if marbles
    ]
    yield ", ".join(fates) + "."
    rest = len(emitted - _items(last.marbles) - _items(dropped) - _items(rejected))
    if rest:
        yield f"{plural(rest, diagram.noun)} had not arrived at the end."


def _arrived(lane: Lane) -> str:
    joined = [marble for marble in lane.marbles if marble.kind is MarbleKind.MERGED]
    words = f"{len(_items(lane.marbles)):,} {lane.verb}"
    if joined:
        words += f" in {len(lane.marbles):,}, some of them merged ({_named(joined)})"
    return words


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _held(diagram: Diagram) -> Iterator[str]:
    for lane in diagram.lanes:
        if lane.held is not None and lane.held.samples:
            capacity = "" if lane.held.capacity is None else f" (capacity {lane.held.capacity:,})"
            peak = (
                f"At most {lane.held.peak:,g} {_was(int(lane.held.peak))} held" if lane.held.peak else "None was held"
            )
            yield f"{peak}{capacity}."


def _waits(diagram: Diagram) -> Iterator[str]:
    waits = [wait for lane in diagram.lanes for wait in lane.waits]
    if waits:
        total_ms = sum((diagram.span_ms if w.until_ms is None else w.until_ms) - w.from_ms for w in waits)
        yield f"The source was suspended {plural(len(waits), 'time')}, {ms_shown(total_ms)} in all."


def _delay(diagram: Diagram) -> Iterator[str]:
    """Tell the longest way from the first lane to the last, of those whose beginning was recorded."""
    emitted_ms = {marble.first: marble.at_ms for marble in diagram.lanes[0].marbles if not marble.about}
    arrived = [marble for marble in diagram.lanes[-1].marbles if marble.first in emitted_ms]
    delays = [(marble.at_ms - emitted_ms[marble.first], marble.label) for marble in arrived]
    longest_ms, label = max(delays, key=lambda delay: delay[0], default=(0.0, ""))
    if longest_ms > 0:
        yield f"The longest way took {ms_shown(longest_ms)} ({label})."


def _demand(diagram: Diagram) -> Iterator[str]:
    numbers = [tick.n for lane in diagram.lanes for tick in lane.ticks]
    if numbers:
        total = sum(numbers)
        words = "in the end without bound" if total >= UNBOUNDED else f"{total:,} in all"
        yield f"Demand was signalled {plural(len(numbers), 'time')}, {words}."
