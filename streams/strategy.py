"""The words of overflow: what a stream does when its consumer is slower than its producer, and what came of it.

A strategy is a value, not a class: a row of (capacity, overflow rule, reducer) on the one core, `streams.overflow`.

    strategy        capacity   when there is no room
    MISSING         -          no boundary: pass the item on whatever the demand
    ERROR           0          fail
    DROP            0          lose the incoming item
    LATEST          1          lose the held one, keep the incoming
    buffer(n, rule) n          rule
    reduce(f)       1          fold the incoming item into the held one
    suspend(n)      n          make the producer wait
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from streams.arguments import checked_callback, positive_int, shown

__all__ = (
    "BackpressureStrategy",
    "BufferOverflow",
    "EmitResult",
    "Join",
    "StreamStatistics",
    "checked_overflow",
    "checked_strategy",
    "positive_int",
)

T = TypeVar("T")


class BufferOverflow(Enum):
    """What happens to an item that finds no room.

    DROP_LATEST is no name here: it means DROP_INCOMING in Reactor and Kotlin and DROP_NEWEST_HELD in RxJava.
    """

    ERROR = "error"
    """The stream fails with BufferOverflowError."""
    DROP_OLDEST = "drop_oldest"
    """The oldest held item is lost, the incoming one is stored."""
    DROP_INCOMING = "drop_incoming"
    """The incoming item is lost (Pekko: dropNew)."""
    DROP_NEWEST_HELD = "drop_newest_held"
    """The newest held item is lost, the incoming one takes its place (Pekko: dropTail)."""
    SUSPEND = "suspend"
    """The producer waits (Kotlin SUSPEND, trio, anyio)."""


class EmitResult(Enum):
    """What came of one offered item. Final when it is returned."""

    __hash__ = object.__hash__  # members are singletons; Enum's own hash is a call in Python

    OK = "ok"
    """Stored or delivered; an older item may have been evicted for it."""
    DROPPED = "dropped"
    """The incoming item is lost to the strategy."""
    MERGED = "merged"
    """Folded into the held item."""
    WOULD_SUSPEND = "would_suspend"
    """Not taken and not counted: offer it again later, or wait with `send`."""
    FAIL_OVERFLOW = "fail_overflow"
    """Lost, and the stream fails with BufferOverflowError."""
    FAIL_CANCELLED = "fail_cancelled"
    """Rejected: the consumer has gone."""
    FAIL_TERMINATED = "fail_terminated"
    """Rejected: the stream has completed or failed."""


class StreamStatistics(NamedTuple):
    """The counts of one stream, a snapshot. Always: emitted == delivered + dropped + merged + rejected + held."""

    emitted: int
    """Items offered, without those that were told WOULD_SUSPEND."""
    delivered: int
    """Items handed to the consumer."""
    dropped: int
    """Items lost: to the strategy, an overflow, an error that overtook them, age or cancellation."""
    merged: int
    """Items folded into one that was held."""
    rejected: int
    """Items offered after a terminal or after cancel."""
    held: int
    """Items waiting now."""
    peak_held: int
    """The most that ever waited at once."""
    demand: int
    """Items requested and not yet delivered."""


@dataclass(frozen=True, slots=True)
class Join(Generic[T]):
    """A reducer that folds all parts of an item at once, when the item is taken.

    A plain reducer `f(held, incoming)` runs at every fold, so joining n pieces of text copies the text n times. A Join
    keeps the pieces and copies once. The price: a failure shows when the item is taken, not when it was offered.

    Attributes:
        join: makes one item of two or more, oldest first.

    Raises:
        TypeError: `join` is no function, or a coroutine function.
    """

    join: Callable[[Sequence[T]], T]

    def __post_init__(self) -> None:
        checked_callback("join", self.join, optional=False)

    def __call__(self, held: T, incoming: T) -> T:
        """Fold two items at once, as a plain reducer does."""
        return self.join((held, incoming))


def checked_overflow(overflow: object) -> BufferOverflow:
    """Return `overflow` if it is a BufferOverflow.

    Raises:
        TypeError: naming what is accepted.
    """
    if not isinstance(overflow, BufferOverflow):
        accepted = ", ".join(f"BufferOverflow.{rule.name}" for rule in BufferOverflow)
        raise TypeError(f"overflow must be one of {accepted}; got {shown(overflow)}")
    return overflow


@dataclass(frozen=True, slots=True)
class BackpressureStrategy:
    """What a stream does when its consumer is slower than its producer.

    Use the constants MISSING (alias IGNORE), ERROR, DROP, LATEST and the makers `buffer`, `reduce`, `suspend`; they
    refuse what makes no sense. Two strategies are equal when their rows are, whatever their names; an unbounded buffer
    keeps the rule it was given, though that never applies.

    Attributes:
        capacity: items held beyond demand; None is unbounded.
        overflow: the rule for an item that finds no room; None where none applies (MISSING, reduce).
        reducer: folds the incoming item into the held one, or None.
        max_merged: the most items folded into one, or None; beyond it the stream overflows as ERROR.
        name: the strategy's word in results and metrics.

    Raises:
        TypeError, ValueError: values that are none of these, or that make no row.
    """

    capacity: int | None
    overflow: BufferOverflow | None
    reducer: Callable[[Any, Any], Any] | None = None
    max_merged: int | None = None
    name: str = field(default="buffer", compare=False)

    MISSING: ClassVar[BackpressureStrategy]
    IGNORE: ClassVar[BackpressureStrategy]
    ERROR: ClassVar[BackpressureStrategy]
    DROP: ClassVar[BackpressureStrategy]
    LATEST: ClassVar[BackpressureStrategy]

    def __post_init__(self) -> None:
        positive_int("capacity", self.capacity, minimum=0, or_none="unbounded")
        if self.overflow is not None:
            checked_overflow(self.overflow)
        checked_callback("reducer", self.reducer)
        positive_int("max_merged", self.max_merged, or_none="no limit")
        if self.reducer is None:
            self._check_plain()
        else:
            self._check_fold()

    def _check_plain(self) -> None:
        if self.overflow is None and self.capacity is not None:
            raise ValueError(
                "overflow must be a BufferOverflow; None goes with capacity=None (MISSING) or a reducer alone; "
                f"got None with capacity={self.capacity}"
            )
        if self.max_merged is not None:
            raise ValueError(f"max_merged must be None without a reducer; got {self.max_merged}")

    def _check_fold(self) -> None:
        if self.capacity != 1:
            raise ValueError(f"capacity must be 1 with a reducer, which folds into one held item; got {self.capacity}")
        if self.overflow is not None:
            raise ValueError(f"overflow must be None with a reducer, which takes its place; got {self.overflow}")

    @staticmethod
    def buffer(capacity: int | None, overflow: BufferOverflow = BufferOverflow.ERROR) -> BackpressureStrategy:
        """Hold up to `capacity` items beyond demand, exactly; beyond that `overflow` decides.

        Args:
            capacity: at least 1, or None: unbounded, so that `overflow` never applies.
            overflow: the rule for an item that finds no room.

        Raises:
            TypeError, ValueError: a capacity or rule that is none of these.
        """
        positive_int("capacity", capacity, or_none="unbounded")
        return BackpressureStrategy(capacity, checked_overflow(overflow))

    @staticmethod
    def reduce(reducer: Callable[[T, T], T], max_merged: int | None = None) -> BackpressureStrategy:
        """Hold one item and fold each incoming one into it: `reducer(held, incoming)`.

        RxJava's onBackpressureReduce, conflate in Kotlin and Pekko. The reducer runs inside the offer, under the lock
        of the stream: it must not call back into the stream. See `Join` for a reducer that copies once.

        Args:
            reducer: makes one item of two.
            max_merged: the most items in one, at least 1, or None: no limit. Beyond it the stream overflows as ERROR.

        Raises:
            TypeError, ValueError: a reducer that cannot be called, or a limit that is none.
        """
        checked_callback("reducer", reducer, optional=False)
        return BackpressureStrategy(1, None, reducer, max_merged, "reduce")

    @staticmethod
    def suspend(capacity: int = 0) -> BackpressureStrategy:
        """Hold up to `capacity` items beyond demand; beyond that the producer waits. 0 is a rendezvous.

        Raises:
            TypeError, ValueError: a capacity that is not an int of at least 0.
        """
        positive_int("capacity", capacity, minimum=0)
        return BackpressureStrategy(capacity, BufferOverflow.SUSPEND, name="suspend")


BackpressureStrategy.MISSING = BackpressureStrategy(None, None, name="missing")
BackpressureStrategy.IGNORE = BackpressureStrategy.MISSING
BackpressureStrategy.ERROR = BackpressureStrategy(0, BufferOverflow.ERROR, name="error")
BackpressureStrategy.DROP = BackpressureStrategy(0, BufferOverflow.DROP_INCOMING, name="drop")
BackpressureStrategy.LATEST = BackpressureStrategy(1, BufferOverflow.DROP_OLDEST, name="latest")


def checked_strategy(strategy: object) -> BackpressureStrategy:
    """Return `strategy` if it is a BackpressureStrategy.

    Raises:
        TypeError: naming what is accepted.
    """
    if not isinstance(strategy, BackpressureStrategy):
        raise TypeError(
            "strategy must be a BackpressureStrategy (MISSING, ERROR, DROP, LATEST, buffer(...), reduce(...), "
            f"suspend(...)); got {shown(strategy)}"
        )
    return strategy
