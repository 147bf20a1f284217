"""A simulated trace as a diagram: source, boundary, consumer.

A trace tells of items, a diagram of one item's way. What links them is the order: items leave the boundary as they
came in, but for those that are lost, so that going through the steps once tells the number of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streams.arguments import checked_callback, positive_int, shown
from streams.marbles.diagram import Bar, BarKind, Diagram, Held, Lane, Marble, MarbleKind, Tick, Wait
from streams.source import Token
from streams.strategy import EmitResult
from streams.traces import Step, StepKind, Trace

__all__ = ("diagram_of", "span_label")

_NS_PER_MS: Final = 1_000_000
_LONGEST_LABEL: Final = 12


def diagram_of(
    trace: Trace, *, labels: Callable[[Any], str] | None = None, capacity: int | None = None, span_ms: float = 0
) -> Diagram:
    """Return what a trace tells, as lanes: source, boundary, consumer.

    Args:
        trace: of a simulation.
        labels: what is written on an item's marble; None: a token's index, else the beginning of str(item).
        capacity: of the boundary, for the line above what is held; None: no line. A trace does not know it.
        span_ms: the least length of the axis, so that several diagrams can have the same.

    Of several equal items the oldest that may be lost counts as the one that was: a trace cannot tell which it was.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name, or a trace that delivers what was not emitted.
    """
    if not isinstance(trace, Trace):
        raise TypeError(f"trace must be a Trace; got {shown(trace)}")
    checked_callback("labels", labels)
    positive_int("capacity", capacity, minimum=0, or_none="no line")
    telling = _Telling(labels or _label)
    for step in trace.steps:
        telling.tell(step)
    return telling.diagram(capacity, span_ms)


def span_label(first: str, last: str) -> str:
    """Return what is written on several items joined."""
    return f"{first.strip()}-{last.strip()}"


def _label(item: Any) -> str:
    if isinstance(item, Token):
        return str(item.index) if item.merged == 1 else f"{item.index}-{item.index + item.merged - 1}"
    words = shown(item, str)
    return words if len(words) <= _LONGEST_LABEL else f"{words[: _LONGEST_LABEL - 1]}…"


class _Entry:
    """What is held in one place of the boundary: an item, or several folded into one."""

    __slots__ = ("item", "numbers")

    def __init__(self, number: int, item: Any) -> None:
        self.numbers = [number]
        self.item = item

    @property
    def is_fold(self) -> bool:
        return len(self.numbers) > 1


class _Telling:
    """Goes through the steps of a trace."""

    def __init__(self, labels: Callable[[Any], str]) -> None:
        self._labels = labels
        self._written: list[str] = []
        self._only_tokens = True
        self._held: list[_Entry] = []
        self._incoming: _Entry | None = None  # offered and not stored
        self._suspended_ms: float | None = None
        self._source: list[Marble] = []
        self._boundary: list[Marble] = []
        self._consumer: list[Marble] = []
        self._ends: list[Bar] = []
        self._terminals: list[Bar] = []
        self._ticks: list[Tick] = []
        self._waits: list[Wait] = []
        self._counts: list[tuple[float, float]] = []

    def tell(self, step: Step) -> None:
        """Put one step where it belongs."""
        at_ms = step.at_ns / _NS_PER_MS
        self._counts.append((at_ms, step.held))
        match step.kind:
            case StepKind.SUSPEND:
                self._suspended_ms = at_ms
            case StepKind.RESUME:
                self._resume(at_ms)
            case StepKind.EMIT:
                self._emit(at_ms, step)
            case StepKind.MERGE:
                self._merge(at_ms)
            case StepKind.DROP:
                self._boundary.append(self._marble(at_ms, self._lose(step), MarbleKind.DROPPED))
            case StepKind.REJECT:
                self._boundary.append(self._marble(at_ms, self._turned_away(), MarbleKind.REJECTED))
            case StepKind.DELIVER:
                self._deliver(at_ms)
            case StepKind.DEMAND:
                self._ticks.append(Tick(at_ms, step.n))
            case StepKind.END:
                self._ends.append(_bar(at_ms, step.error))
            case StepKind.TERMINAL:
                self._terminals.append(_bar(at_ms, step.error))
            case _:  # CANCEL
                self._terminals.append(Bar(at_ms, BarKind.CANCELLED))

    def diagram(self, capacity: int | None, span_ms: float) -> Diagram:
        """Return all that was told."""
        self._resume(None)
        lanes = (
            Lane("source", "emitted", tuple(self._source), tuple(self._ends), waits=tuple(self._waits)),
            Lane("boundary", "passed on", tuple(self._boundary), held=Held(tuple(self._counts), capacity)),
            Lane("consumer", "delivered", tuple(self._consumer), tuple(self._terminals), tuple(self._ticks)),
        )
        return Diagram(lanes, "token" if self._written and self._only_tokens else "item", span_ms)

    def _resume(self, at_ms: float | None) -> None:
        if self._suspended_ms is not None:
            self._waits.append(Wait(self._suspended_ms, at_ms))
            self._suspended_ms = None

    def _emit(self, at_ms: float, step: Step) -> None:
        entry = _Entry(len(self._written), step.item)
        self._written.append(self._labels(step.item))
        self._only_tokens &= isinstance(step.item, Token)
        self._source.append(self._marble(at_ms, entry, MarbleKind.PASSED))
        if step.result is EmitResult.OK:
            self._held.append(entry)
        else:
            self._incoming = entry

    def _merge(self, at_ms: float) -> None:
        entry = self._turned_away()
        self._boundary.append(self._marble(at_ms, entry, MarbleKind.MERGED))
        self._held[-1].numbers += entry.numbers

    def _turned_away(self) -> _Entry:
        entry, self._incoming = self._incoming, None
        if entry is None:
            raise ValueError("trace must tell that an item was emitted before it tells what came of it")
        return entry

    def _lose(self, step: Step) -> _Entry:
        """Find what was lost: the incoming item first; promised ones are spared unless the consumer leaves."""
        if self._incoming is not None:
            return self._turned_away()
        order = [*self._held[step.demand :], *self._held[: step.demand]]
        found = next((entry for entry in order if not entry.is_fold and entry.item is step.item), None)
        found = found or next((entry for entry in order if entry.is_fold), None)
        if found is None:
            raise ValueError(f"trace must not drop what is not held; got {shown(step)}")
        self._held.remove(found)
        return found

    def _deliver(self, at_ms: float) -> None:
        if not self._held:
            raise ValueError("trace must not deliver what is not held")
        entry = self._held.pop(0)
        self._consumer.append(self._marble(at_ms, entry, MarbleKind.MERGED if entry.is_fold else MarbleKind.PASSED))

    def _marble(self, at_ms: float, entry: _Entry, kind: MarbleKind) -> Marble:
        first, last = self._written[entry.numbers[0]], self._written[entry.numbers[-1]]
        label = span_label(first, last) if entry.is_fold else first
        return Marble(at_ms, label, kind, entry.numbers[0], len(entry.numbers))


def _bar(at_ms: float, error: Exception | None) -> Bar:
    return Bar(at_ms) if error is None else Bar(at_ms, BarKind.FAILED, type(error).__name__)
