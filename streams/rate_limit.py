"""limit_rate: demand passed on in portions, the same arithmetic for Flux and Flowable."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from streams.boundary import Boundary, Relay
from streams.reactive import UNBOUNDED
from streams.strategy import BackpressureStrategy, positive_int

if TYPE_CHECKING:
    from streams.reactive import Subscription

__all__ = ("RateLimit",)

T = TypeVar("T")


class RateLimit:
    """How demand is portioned: `high` first, then `low` for every `low` items that went downstream.

    Source: Reactor's limitRate; RxJava's rebatchRequests is the case without `low`. Without `low`, or with one that is
    no less than `high`, 75 % of `high` (high - high // 4); with 0 the whole of `high` when all of it is used, and a
    negative one is taken as 0, as in Reactor.

    Raises:
        TypeError, ValueError: `high` is no int of at least 1, `low` is no int.
    """

    __slots__ = ("high", "low")

    def __init__(self, high: int, low: int | None = None) -> None:
        positive_int("high", high)
        if low is not None and (isinstance(low, bool) or not isinstance(low, int)):
            raise TypeError(f"low must be an int, or None: 75 % of high; got {low!r}")
        self.high = high
        if low is None or low >= high:
            self.low = high - high // 4
        else:
            self.low = low if low > 0 else high

    @property
    def strategy(self) -> BackpressureStrategy:
        """The boundary between the two demands: it never holds more than was requested."""
        return BackpressureStrategy.buffer(self.high)

    def relay(self, boundary: Boundary[T]) -> Relay[T]:
        """Return the subscriber for the stream that is limited."""
        return _PortionedRelay(boundary, self)


class _PortionedRelay(Relay[T]):
    """Carries items over, and requests the next portion when enough has gone on.

    What has gone on is the smaller of what arrived and what was requested, whenever it is really taken.
    """

    __slots__ = ("_arrived", "_limit", "_lock", "_replaced", "_requested", "_source")

    def __init__(self, boundary: Boundary[T], limit: RateLimit) -> None:
        super().__init__(boundary, self._begin)
        self._limit = limit
        self._lock = threading.Lock()
        self._arrived = self._requested = self._replaced = 0
        self._source: Any = None

    def _begin(self, source: Subscription) -> None:
        self._source = source
        self._boundary.buffer.tell_demand(self._note_request)
        source.request(self._limit.high)

    def on_next(self, item: T) -> None:
        self._boundary.buffer.offer(item)
        self._replenish(arrived=1)

    def _note_request(self, n: int) -> None:
        self._replenish(requested=n)

    def _replenish(self, *, arrived: int = 0, requested: int = 0) -> None:
        with self._lock:
            self._arrived += arrived
            self._requested += requested
            gone_on = min(self._arrived, self._requested)
            portions = (gone_on - self._replaced) // self._limit.low
            self._replaced += portions * self._limit.low
        for _ in range(portions if self._limit.high < UNBOUNDED else 0):
            self._source.request(self._limit.low)
