"""What a marble diagram holds: lanes, and on each what happened there. Frozen data; times are milliseconds.

An item has a number, from 0 in the order of emission. A marble stands for one item or, merged, for several adjacent
ones; the marbles that share an item are its way through the lanes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from math import inf

from streams.arguments import positive_int, shown

__all__ = ("Bar", "BarKind", "Diagram", "Held", "Lane", "Marble", "MarbleKind", "Tick", "Wait")


class MarbleKind(Enum):
    """What happened to an item at a place."""

    PASSED = "passed"
    """It went on, or arrived."""
    MERGED = "merged"
    """It joined others, or is several that were joined."""
    DROPPED = "dropped"
    """It was lost here."""
    REJECTED = "rejected"
    """It came to a stream that had ended."""


class BarKind(Enum):
    """How a lane ends."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Marble:
    """An item, or several joined, at one place and time.

    Attributes:
        at_ms: when.
        label: what is written on it.
        kind: what happened.
        first: the number of its first item.
        width: how many items it stands for: [first, first + width).
        about: whether the time was not recorded and is an estimate.

    Raises:
        TypeError, ValueError: a value that is none of these, by name.
    """

    at_ms: float
    label: str
    kind: MarbleKind = MarbleKind.PASSED
    first: int = 0
    width: int = 1
    about: bool = False

    def __post_init__(self) -> None:
        _check_time("at_ms", self.at_ms)
        _check_is("label", self.label, str)
        _check_is("kind", self.kind, MarbleKind)
        positive_int("first", self.first, minimum=0)
        positive_int("width", self.width)

    @property
    def items(self) -> range:
        """The numbers of the items it stands for."""
        return range(self.first, self.first + self.width)


@dataclass(frozen=True, slots=True)
class Bar:
    """A terminal. `label` says more than its kind does, such as the name of an error; it may be empty.

    Raises:
        TypeError, ValueError: a value that is none of these, by name.
    """

    at_ms: float
    kind: BarKind = BarKind.COMPLETED
    label: str = ""

    def __post_init__(self) -> None:
        _check_time("at_ms", self.at_ms)
        _check_is("kind", self.kind, BarKind)
        _check_is("label", self.label, str)

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.label}" if self.label else self.kind.value


@dataclass(frozen=True, slots=True)
class Tick:
    """Demand grew by `n`; below 0: the consumer took back what it had not used.

    Raises:
        TypeError, ValueError: a value that is none of these, by name.
    """

    at_ms: float
    n: int

    def __post_init__(self) -> None:
        _check_time("at_ms", self.at_ms)
        _check_is("n", self.n, int)


@dataclass(frozen=True, slots=True)
class Wait:
    """A source was suspended with an item in its hands. `until_ms` None: to the end of the diagram.

    Raises:
        TypeError, ValueError: a time that is none, or that ends before it begins.
    """

    from_ms: float
    until_ms: float | None = None

    def __post_init__(self) -> None:
        _check_time("from_ms", self.from_ms)
        if self.until_ms is not None:
            _check_time("until_ms", self.until_ms, least=self.from_ms)


@dataclass(frozen=True, slots=True)
class Held:
    """How many items were held: each count holds from its time to the next one's. `capacity` None: no line.

    Raises:
        TypeError, ValueError: samples that are none or go backwards, a capacity that is none.
    """

    samples: tuple[tuple[float, float], ...] = ()
    capacity: int | None = None

    def __post_init__(self) -> None:
        before_ms = 0.0
        for at_ms, count in self.samples:
            _check_time("the times of samples", at_ms, least=before_ms)
            _check_time("the counts of samples", count)
            before_ms = at_ms
        positive_int("capacity", self.capacity, minimum=0, or_none="no line")

    def steps(self) -> list[tuple[float, float]]:
        """Return the counts that lasted, and since when: of one instant only the last, and no count twice in a row."""
        lasting: list[tuple[float, float]] = []
        for at_ms, count in dict(self.samples).items():
            if not lasting or lasting[-1][1] != count:
                lasting.append((at_ms, count))
        return lasting

    @property
    def peak(self) -> float:
        """The most that were held for any time."""
        return max((count for _, count in self.steps()), default=0)


@dataclass(frozen=True, slots=True)
class Lane:
    """One stage, and all that happened there, each in order of time.

    Attributes:
        name: of the stage.
        verb: what has happened to an item that passed: "emitted", "delivered".

    Raises:
        ValueError: marbles that go backwards in time.
    """

    name: str
    verb: str
    marbles: tuple[Marble, ...] = ()
    bars: tuple[Bar, ...] = ()
    ticks: tuple[Tick, ...] = ()
    waits: tuple[Wait, ...] = ()
    held: Held | None = None

    def __post_init__(self) -> None:
        for before, marble in pairwise(self.marbles):
            _check_time("the times of marbles", marble.at_ms, least=before.at_ms)

    def instants_ms(self) -> Iterator[float]:
        """Go through the times of marbles, bars and ticks, one after the other."""
        yield from (marble.at_ms for marble in self.marbles)
        yield from (bar.at_ms for bar in self.bars)
        yield from (tick.at_ms for tick in self.ticks)

    def times_ms(self) -> Iterator[float]:
        """Go through every time that is known of this lane, in no order."""
        yield from self.instants_ms()
        for wait in self.waits:
            yield wait.from_ms if wait.until_ms is None else wait.until_ms
        if self.held is not None:
            yield from (at_ms for at_ms, _ in self.held.samples)


@dataclass(frozen=True, slots=True)
class Diagram:
    """Lanes from the source to the consumer, on one axis of time that begins at 0 ms.

    Attributes:
        lanes: at least one; the first is where items are emitted, the last where they arrive.
        noun: what an item is called, in the singular.
        span_ms: how long the axis is; as long as what happened, unless given. What is later is not cut off.

    Raises:
        TypeError, ValueError: no lane, or a value that is none of these.
    """

    lanes: tuple[Lane, ...]
    noun: str = "item"
    span_ms: float = 0.0

    def __post_init__(self) -> None:
        if not self.lanes:
            raise ValueError("lanes must hold at least one Lane; got none")
        for lane in self.lanes:
            _check_is("lanes", lane, Lane)
        _check_time("span_ms", self.span_ms)
        latest_ms = max((time_ms for lane in self.lanes for time_ms in lane.times_ms()), default=0.0)
        object.__setattr__(self, "span_ms", max(self.span_ms, latest_ms))


def _check_time(name: str, value: object, *, least: float = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number; got {shown(value)}")
    if not least <= value < inf:
        raise ValueError(f"{name} must be finite and at least {least:g}; got {shown(value)}")


def _check_is(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} must be of type {kind.__name__}; got {shown(value)}")
