"""Taking from a boundary with `async for`: one item, or all that is ready, at a time.

While the iterator waits, demand is `prefetch`; while the body of the loop runs there is none, so that a slow body is a
slow consumer and the strategy acts on what comes meanwhile.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streams.affinity import LoopThread, pass_on
from streams.overflow import Terminal
from streams.strategy import positive_int

if TYPE_CHECKING:
    from streams.boundary import Boundary
    from streams.overflow import StreamStatistics

__all__ = ("AsyncStream", "Batches", "Items")

T = TypeVar("T")

_BATCHES_PER_TURN = 16  # what is forwarded on an event loop before its other tasks get a turn


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
        self._waiter: asyncio.Future[Any] | None = None
        boundary.request(prefetch)

    def park(self) -> asyncio.Future[Any] | Terminal:
        """Ask for a signal, with demand `prefetch`: return what to await, or the terminal if that is what is due."""
        waiter = self.begin_wait()
        terminal = self.ask(self._wake)
        if terminal is None:
            return waiter
        self._waiter = None
        return terminal

    def begin_wait(self) -> asyncio.Future[Any]:
        """Return what the iterator is about to await. Before it asks: the answer may come at once."""
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("this iterator is being waited for already; one consumer at a time takes")
        self._waiter = self._thread.loop.create_future()
        return self._waiter

    def ask(self, wake: Callable[[], object]) -> Terminal | None:
        """Have `wake` called, in any thread, when a signal is due, with demand `prefetch`; or return a due terminal."""
        return self._boundary.buffer.wait(wake, self._prefetch)

    def give_up(self) -> None:
        """Cancel, because the loop is closed: nobody will ever take."""
        self._boundary.cancel()

    def end_wait(self) -> None:
        """Wake a waiting iterator because there is nothing to wait for any more."""
        self._thread.run(self._release)

    def _wake(self) -> None:
        if not self._thread.run(self._release):
            self.give_up()

    def _release(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Forwarding(Generic[T]):
    """Takes and writes in callbacks of the loop, until there is something to wait for.

    Args:
        parking: where the iterator waits.
        thread: its loop's.
        take: takes what is ready.
        write: see `Batches.forward`.
    """

    __slots__ = ("_context", "_outcome", "_parking", "_run_soon", "_take", "_write")

    _outcome: asyncio.Future[Awaitable[object] | Terminal | None]

    def __init__(
        self,
        parking: _Parking,
        thread: LoopThread,
        take: Callable[[], list[T]],
        write: Callable[[list[T]], Awaitable[object] | None],
    ) -> None:
        self._parking = parking
        self._run_soon = thread.run_soon
        self._take = take
        self._write = write
        self._context = copy_context()

    def run(self) -> asyncio.Future[Awaitable[object] | Terminal | None]:
        """Write what comes.

        Returns:
            A future of what `write` returned and has to be awaited, of the terminal, or of None: the iterator was
            closed, or woken for nothing, by a wait before this. It raises what `write` raised.
        """
        outcome = self._outcome = self._parking.begin_wait()
        self._context.run(self._write_ready)
        return outcome

    def close(self) -> None:
        """Forget a coroutine that nobody has come to await, because the caller was cancelled in that very turn."""
        outcome = self._outcome
        if outcome.done() and not outcome.cancelled() and outcome.exception() is None:
            _forget(outcome.result())

    def _write_soon(self) -> None:
        # Behind the turn of the source, so that all that comes in it is one batch.
        if not self._run_soon(self._write_ready, self._context):
            self._parking.give_up()

    def _write_ready(self) -> None:
        outcome = self._outcome
        if outcome.done():
            return
        try:
            found = self._write_until_found()
        except BaseException as error:  # whatever it is, it is for the caller of `forward`
            pass_on(_raisable(error), outcome)
        else:
            if outcome.done():  # to write may have cancelled the caller
                _forget(found)
            elif found is not None:
                outcome.set_result(found)

    def _write_until_found(self) -> Awaitable[object] | Terminal | None:
        """Write what is ready. Returns what there is to wait for, but for news, which are asked for."""
        for _ in range(_BATCHES_PER_TURN):
            items = self._take()
            if not items:
                return self._parking.ask(self._write_soon)
            if (awaitable := self._write(items)) is not None:
                return awaitable
        self._write_soon()
        return None


def _forget(found: Awaitable[object] | Terminal | None) -> None:
    if isinstance(found, Coroutine):
        found.close()


def _raisable(error: BaseException) -> BaseException:
    """Return what a future can raise; as in a coroutine, StopIteration is an error."""
    if not isinstance(error, StopIteration):
        return error
    failure = RuntimeError("write raised StopIteration")
    failure.__cause__ = error
    return failure


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

    def _park(self) -> asyncio.Future[Any]:
        """Return what to await until something can be taken; raise the terminal if that is what came."""
        if self._ended:
            raise StopAsyncIteration
        parked = self._parking.park()
        if not isinstance(parked, Terminal):
            return parked
        self._end(parked)
        raise StopAsyncIteration

    def _end(self, terminal: Terminal) -> None:
        """Take the terminal that has come: return for completion, raise a failure."""
        self._ended = True
        self._boundary.end()
        if isinstance(terminal.error, StopAsyncIteration):  # it would end the loop as if all were well
            raise RuntimeError("the stream failed with StopAsyncIteration") from terminal.error
        if terminal.error is not None:
            raise terminal.error

    def __del__(self) -> None:
        boundary = getattr(self, "_boundary", None)
        if boundary is not None and not self._ended:
            boundary.cancel()


class Batches(_Taking[T], AsyncIterator[list[T]]):
    """Iterates over lists of all that is ready. Made by `batches`."""

    __slots__ = ("_max_items", "_take", "_thread")

    def __init__(self, boundary: Boundary[T], thread: LoopThread, max_items: int, prefetch: int) -> None:
        super().__init__(boundary, thread, prefetch)
        self._max_items = max_items
        self._thread = thread
        self._take = boundary.buffer.take

    async def __anext__(self) -> list[T]:
        while not (items := self._take(self._max_items)):
            try:
                await self._park()
            except BaseException:
                del self  # a traceback keeps its frames: a cancelled task must not keep an abandoned iterator alive
                raise
        return items

    async def forward(self, write: Callable[[list[T]], Awaitable[object] | None]) -> None:
        """Call `write(items)` for each batch until the stream ends, as a loop over this iterator would.

        For a consumer that mostly need not wait, a socket say: what comes is written in a callback of the loop, which
        spares the turn of a task that each batch costs otherwise. If `write` returns an awaitable, it is awaited in
        the caller's task, and nothing is taken meanwhile.

        Returns when the stream completes or the iterator is closed; raises what the stream fails with, or what `write`
        or its awaitable raises. In whatever way this ends, the subscription ends with it.

        Args:
            write: called on the loop in a copy of the caller's context, and mostly in no task.

        Raises:
            RuntimeError: somebody waits in this iterator already.
        """
        if self._ended:
            return
        forwarding = _Forwarding(self._parking, self._thread, partial(self._take, self._max_items), write)
        outcome = forwarding.run()
        try:
            while True:
                found = await outcome
                if isinstance(found, Terminal):
                    self._end(found)
                    return
                if found is not None:
                    await found
                if self._ended:
                    return
                outcome = forwarding.run()
        finally:
            forwarding.close()
            await self.aclose()


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
