"""Taking from a boundary with `async for`: one item, or all that is ready, at a time.

While the iterator waits, demand is `prefetch`; while the body of the loop runs there is none, so that a slow body is a
slow consumer and the strategy acts on what comes meanwhile.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from streams.affinity import LoopThread
from streams.overflow import Terminal
from streams.strategy import positive_int

if TYPE_CHECKING:
    from streams.boundary import Boundary
    from streams.overflow import StreamStatistics

__all__ = ("AsyncStream", "Batches", "Items")

T = TypeVar("T")


class AsyncStream(Generic[T], ABC):
    """What Flux and Flowable share: each `async for` and each call of `batches` is a subscription of its own."""

    __slots__ = ()

    @abstractmethod
    def _new_boundary(self, thread: LoopThread) -> Boundary[T]:
        """Make the boundary of one subscription whose consumer runs in `thread`."""

    @abstractmethod
    def _connect(self, boundary: Boundary[T]) -> None:
        """Start the source of one subscription."""

    def batches(self, max_items: int, prefetch: int = 1) -> Batches[T]:
        """Subscribe, and iterate over non-empty lists: all that is ready, at most `max_items`.

        Demand is `prefetch` while the iterator waits. When it wakes it requests exactly what is held, and nothing is
        outstanding while the loop's body runs. With `prefetch=1` even an idle reader loses the second item of a burst
        under DROP: give it as much as may arrive in one turn of the event loop.

        Leaving an `async for` over it cancels at once, unless you hold the iterator in a variable of your own: then
        `aclose` does. A cancelled wait does not cancel, so `asyncio.wait_for(anext(batches), ...)` may be repeated.

        Args:
            max_items: the most items in one list.
            prefetch: demand while waiting.

        Raises:
            TypeError, ValueError: a number that is not an int of at least 1.
            RuntimeError: no event loop is running.
        """
        positive_int("max_items", max_items)
        positive_int("prefetch", prefetch)
        thread = LoopThread("taking from a stream")
        boundary = self._new_boundary(thread)
        batches = Batches(boundary, thread, max_items, prefetch)
        self._connect(boundary)
        return batches

    def __aiter__(self) -> Items[T]:
        """Subscribe, and iterate over the items one at a time, as `batches(1)` does."""
        thread = LoopThread("taking from a stream")
        boundary = self._new_boundary(thread)
        items = Items(boundary, thread, 1)
        self._connect(boundary)
        return items

    async def for_each(self, consumer: Callable[[T], Awaitable[object]]) -> None:
        """Subscribe, and await `consumer(item)` for one item after the other: an observer that may wait.

        Returns when the stream completes, raises what it fails with or what `consumer` raises, which cancels it.
        """
        async for item in self:
            await consumer(item)


class _Parking:
    """Where the iterator waits. Apart from it, so that the boundary does not keep an abandoned iterator alive."""

    __slots__ = ("_boundary", "_prefetch", "_thread", "_waiter")

    def __init__(self, boundary: Boundary[object], thread: LoopThread, prefetch: int) -> None:
        self._boundary = boundary
        self._thread = thread
        self._prefetch = prefetch
        self._waiter: asyncio.Future[None] | None = None
        boundary.request(prefetch)

    def park(self) -> asyncio.Future[None] | Terminal:
        """Ask for a signal, with demand `prefetch`: return what to await, or the terminal if that is what is due."""
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("this iterator is being waited for already; one consumer at a time takes")
        # Before it is asked: the answer may come at once.
        waiter = self._waiter = self._thread.loop.create_future()
        terminal = self._boundary.buffer.wait(self._wake, self._prefetch)
        if terminal is None:
            return waiter
        self._waiter = None
        return terminal

    def end_wait(self) -> None:
        """Wake a waiting iterator because there is nothing to wait for any more."""
        self._wake()

    def _wake(self) -> None:
        if not self._thread.run(self._release):
            self._boundary.cancel()  # the loop is closed: nobody will ever take

    def _release(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Taking(Generic[T]):
    """The common part of both iterators."""

    __slots__ = ("_boundary", "_ended", "_parking")

    def __init__(self, boundary: Boundary[T], thread: LoopThread, prefetch: int) -> None:
        self._boundary = boundary
        self._parking = _Parking(boundary, thread, prefetch)  # type: ignore[arg-type]
        self._ended = False

    @property
    def statistics(self) -> StreamStatistics:
        """The counts of this subscription so far: a snapshot."""
        return self._boundary.statistics

    async def aclose(self) -> None:
        """Cancel the subscription; a coroutine that waits in this iterator is told that it has ended."""
        self._ended = True
        self._boundary.cancel()
        self._parking.end_wait()

    def _park(self) -> asyncio.Future[None]:
        """Return what to await until something can be taken; raise the terminal if that is what came."""
        if self._ended:
            raise StopAsyncIteration
        parked = self._parking.park()
        if not isinstance(parked, Terminal):
            return parked
        self._ended = True
        self._boundary.end()
        if isinstance(parked.error, StopAsyncIteration):  # it would end the loop as if all were well
            raise RuntimeError("the stream failed with StopAsyncIteration") from parked.error
        if parked.error is not None:
            raise parked.error
        raise StopAsyncIteration

    def __del__(self) -> None:
        boundary = getattr(self, "_boundary", None)
        if boundary is not None and not self._ended:
            boundary.cancel()


class Batches(_Taking[T], AsyncIterator[list[T]]):
    """Iterates over lists of all that is ready. Made by `batches`."""

    __slots__ = ("_max_items", "_take")

    def __init__(self, boundary: Boundary[T], thread: LoopThread, max_items: int, prefetch: int) -> None:
        super().__init__(boundary, thread, prefetch)
        self._max_items = max_items
        self._take = boundary.buffer.take

    async def __anext__(self) -> list[T]:
        while not (items := self._take(self._max_items)):
            try:
                await self._park()
            except BaseException:
                del self  # a traceback keeps its frames: a cancelled task must not keep an abandoned iterator alive
                raise
        return items


class Items(_Taking[T], AsyncIterator[T]):
    """Iterates over single items. Made by `async for` over a stream."""

    __slots__ = ("_claimed", "_pop")

    def __init__(self, boundary: Boundary[T], thread: LoopThread, prefetch: int) -> None:
        super().__init__(boundary, thread, prefetch)
        self._claimed: list[T] = []
        self._pop = self._claimed.pop

    async def __anext__(self) -> T:
        while True:
            try:
                return self._pop()
            except IndexError:  # left before anything else is raised, or it would be named as its context
                pass
            if self._boundary.buffer.claim(self._claimed):
                continue
            try:
                await self._park()
            except BaseException:
                del self  # see `Batches`
                raise
