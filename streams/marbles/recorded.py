"""A recorded live stream as a diagram: source, boundary, socket, client, each with what is known of it.

A recording knows when an item left the source, when the server took it from the boundary to write it to the socket,
and when the client had it. Of an item that never arrived, or that was joined to one before it, nobody wrote down when
it was emitted: such a time is told from the items beside it, and the marble says that it is an estimate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from streams.arguments import checked_callback, positive_int, shown
from streams.marbles.diagram import Bar, Diagram, Held, Lane, Marble, MarbleKind, Tick
from streams.marbles.traced import span_label

__all__ = ("RecordedItem", "diagram_of_recording")


@dataclass(frozen=True, slots=True)
class RecordedItem:
    """An item that arrived, or several joined, and when it was where; None: not known.

    Attributes:
        index: the number of its first item, from 0.
        merged: how many items it stands for.
        emitted_ms: when the first of them left the source.
        taken_ms: when the server took it from the boundary, to write it to the socket.
        received_ms: when the client had it.

    Raises:
        TypeError, ValueError: an index or a number of items that is none, by name.
    """

    index: int
    merged: int = 1
    emitted_ms: float | None = None
    taken_ms: float | None = None
    received_ms: float | None = None

    def __post_init__(self) -> None:
        positive_int("index", self.index, minimum=0)
        positive_int("merged", self.merged)


def diagram_of_recording(
    items: Iterable[RecordedItem],
    *,
    missing: Iterable[int] = (),
    held: Iterable[tuple[float, float]] = (),
    demand: Iterable[tuple[float, int]] = (),
    terminal: Bar | None = None,
    capacity: int | None = None,
    labels: Callable[[int], str] = str,
    noun: str = "token",
    span_ms: float = 0,
) -> Diagram:
    """Return a recorded stream as lanes: source, boundary, socket, client; one that nothing is known of is left out.

    Args:
        items: what arrived. A time before 0 ms is drawn at 0 ms.
        missing: indexes of items that never arrived.
        held: (at_ms, count) in order of time, as the boundary counted on the way.
        demand: (at_ms, n) that the client requested.
        terminal: how the stream ended at the client; None: it is not known, or it did not.
        capacity: of the boundary; None: no line.
        labels: what is written on the marble of an index.
        noun: what an item is called, in the singular.
        span_ms: the least length of the axis.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
    """
    checked_callback("labels", labels, optional=False)
    arrived = sorted(items, key=_index)
    emission = _Emission(arrived)
    lost = sorted(missing)
    lanes = [
        Lane("source", "emitted", tuple(emission.marbles(lost, labels))),
        Lane("boundary", "passed on", tuple(emission.losses(lost, labels)), held=_held(held, capacity)),
        Lane("socket", "written", _places([(item, item.taken_ms) for item in arrived], labels)),
        Lane(
            "client",
            "received",
            _places([(item, item.received_ms) for item in arrived], labels),
            () if terminal is None else (terminal,),
            tuple(Tick(max(0.0, at_ms), n) for at_ms, n in demand),
        ),
    ]
    known = [lane for lane in lanes if lane.marbles or lane.bars or lane.ticks or lane.held]
    return Diagram(tuple(known or lanes[:1]), noun, span_ms)


def _index(item: object) -> int:
    if not isinstance(item, RecordedItem):
        raise TypeError(f"items must be RecordedItem; got {shown(item)}")
    return item.index


def _held(held: Iterable[tuple[float, float]], capacity: int | None) -> Held | None:
    samples = tuple((max(0.0, at_ms), count) for at_ms, count in held)
    return Held(samples, capacity) if samples else None


def _places(times: Sequence[tuple[RecordedItem, float | None]], labels: Callable[[int], str]) -> tuple[Marble, ...]:
    marbles = [_marble(item, max(0.0, at_ms), labels) for item, at_ms in times if at_ms is not None]
    return tuple(sorted(marbles, key=_at_ms))


def _marble(item: RecordedItem, at_ms: float, labels: Callable[[int], str]) -> Marble:
    if item.merged == 1:
        return Marble(at_ms, labels(item.index), first=item.index)
    label = span_label(labels(item.index), labels(item.index + item.merged - 1))
    return Marble(at_ms, label, MarbleKind.MERGED, item.index, item.merged)


def _at_ms(marble: Marble) -> float:
    return marble.at_ms


class _Emission:
    """When items left the source: what was recorded, and by it what was not."""

    def __init__(self, arrived: Sequence[RecordedItem]) -> None:
        self._arrived = arrived
        self._known = {item.index: max(0.0, item.emitted_ms) for item in arrived if item.emitted_ms is not None}
        points = dict(self._known)
        if arrived and arrived[-1].merged > 1 and arrived[-1].index in points:
            # Its last part was emitted before it was taken; nothing later says more.
            last = arrived[-1]
            points[last.index + last.merged - 1] = max(points[last.index], last.taken_ms or 0.0)
        self._indexes = sorted(points)
        self._times_ms = [points[index] for index in self._indexes]

    def marbles(self, lost: Sequence[int], labels: Callable[[int], str]) -> list[Marble]:
        """Return a marble for each item, also for those in a joined one, in order of time."""
        if not self._known:
            return []
        indexes = {index for item in self._arrived for index in range(item.index, item.index + item.merged)}
        marbles = [self._marble(index, MarbleKind.PASSED, labels) for index in sorted(indexes.union(lost))]
        return sorted(marbles, key=_at_ms)

    def losses(self, lost: Sequence[int], labels: Callable[[int], str]) -> list[Marble]:
        """Return a marble for each item that never arrived."""
        marbles = [self._marble(index, MarbleKind.DROPPED, labels) for index in lost]
        return sorted(marbles, key=_at_ms)

    def _marble(self, index: int, kind: MarbleKind, labels: Callable[[int], str]) -> Marble:
        known = kind is MarbleKind.PASSED and index in self._known
        return Marble(self._about_ms(index), labels(index), kind, index, about=not known)

    def _about_ms(self, index: int) -> float:
        """Tell a time by the nearest that are known: on the line between them, or that of the only one."""
        if not self._indexes:
            return 0.0
        after = bisect_right(self._indexes, index)
        if after == 0 or after == len(self._indexes):
            return self._times_ms[max(0, after - 1)]
        first, second = self._indexes[after - 1], self._indexes[after]
        first_ms, second_ms = self._times_ms[after - 1], self._times_ms[after]
        return first_ms + (second_ms - first_ms) * (index - first) / (second - first)
