"""The three interfaces of Reactive Streams in Python, and the word for "no limit".

Data goes right (`on_next`, `on_complete`, `on_error`), demand and cancellation go left (`request`, `cancel`). The rules
are those of Reactive Streams 1.0.4. What Python changes: methods are snake_case, a missing subscriber is a TypeError,
None is a legal item, and exceptions that are not `Exception` (CancelledError, KeyboardInterrupt, SystemExit) pass
through every method untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from streams.overflow import StreamStatistics

__all__ = ("UNBOUNDED", "Publisher", "Subscriber", "Subscription")

UNBOUNDED: Final = 2**63 - 1
"""Demand without end. Sums saturate here and are never counted down again (rule 3.17)."""

T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class Subscription(Protocol):
    """One subscriber's hold on one stream: demand and cancellation go left through it."""

    def request(self, n: int, /) -> None:
        """Add `n` to demand. Never raises, never waits; may deliver items before it returns (rule 3.10).

        `n` below 1 or not an int ends the stream with a ValueError or TypeError on `on_error` (rule 3.9). After a
        terminal or `cancel` it does nothing (rule 3.6).
        """

    def cancel(self) -> None:
        """End the stream at once: nothing more is delivered. Never raises, never waits; again is a no-op (rule 3.7)."""

    @property
    def statistics(self) -> StreamStatistics:
        """The counts of this subscription so far: a snapshot."""
        ...


@runtime_checkable
class Subscriber(Protocol[T_contra]):
    """Where signals arrive: `on_subscribe` once, then items no more than requested, then at most one terminal."""

    def on_subscribe(self, subscription: Subscription, /) -> None:
        """Take the subscription. Nothing arrives until `request` is called on it (rule 2.1)."""

    def on_next(self, item: T_contra, /) -> None:
        """Take one item. Never called again before it returned, also if it calls `request` (rules 1.3, 3.3)."""

    def on_error(self, error: Exception, /) -> None:
        """The stream failed. No signal follows."""

    def on_complete(self) -> None:
        """The stream ended well. No signal follows."""


class Publisher(Protocol[T_co]):
    """Something that can be subscribed to, each subscription on its own."""

    def subscribe(self, subscriber: Subscriber[T_co], /) -> object:
        """Connect `subscriber`: it hears `on_subscribe` first. None is a TypeError (rule 1.9)."""
