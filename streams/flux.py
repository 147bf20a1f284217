"""Flux and its FluxSink, after Reactor: signals arrive in the thread of one event loop, items may come from any thread.

"asyncio-queue-based" means: the overflow core with asyncio waiters on both ends is the queue. A consumer that is busy
or waits is woken once for all that has come, not once per item; a producer waits only where SUSPEND says so.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from streams import conversion
from streams.affinity import LOOK_AGAIN_S, LoopThread, report_undeliverable, start_task
from streams.arguments import checked_callback, checked_exception, positive_seconds
from streams.batches import AsyncStream
from streams.boundary import Boundary, LoopDelivery, ProducerEnd, Relay, checked_subscriber, unbounded
from streams.clock import LoopClock
from streams.errors import AlreadySubscribedError, StreamClosedError
from streams.overflow import BackpressureStrategy, BufferOverflow, EmitResult
from streams.rate_limit import RateLimit
from streams.strategy import checked_overflow, checked_strategy

if TYPE_CHECKING:
    from streams.clock import Clock, TimerHandle
    from streams.reactive import Publisher, Subscriber

__all__ = ("Flux", "FluxSink")

T = TypeVar("T")

_ITEMS_PER_TURN = 64  # what a source that never waits may emit before other tasks get a turn
_GIVEN_PER_TURN = 1024  # the same for items that are there already
_WOULD_SUSPEND: Final = EmitResult.WOULD_SUSPEND  # an attribute of an Enum is slow to reach


class FluxSink(ProducerEnd[T]):
    """The producer's end of one subscription of `Flux.create`.

    Attributes:
        next: offers one item: `sink.next(item) -> EmitResult`. From any thread; never raises, never waits; final.
        send: offers one item, and waits for room where the rule is SUSPEND, first come, first served:
            `await sink.send(item) -> EmitResult`, never WOULD_SUSPEND. In the thread of the loop. It gives other tasks
            a turn only when it has to wait. If the wait is cancelled the item is not stored, unless it was just before.

    Both are the core's own, so that an ordinary item costs no further call.
    """

    __slots__ = ("_boundary", "_ended_by", "_on_cancel", "_on_dispose", "_thread", "next", "send")

    next: Callable[[T], EmitResult]
    send: Callable[[T], Coroutine[Any, Any, EmitResult]]

    def __init__(self, boundary: Boundary[T], thread: LoopThread) -> None:
        self.next = boundary.buffer.offer
        self.send = boundary.buffer.send
        boundary.buffer.wait_for_room = self._wait_for_room
        self._boundary = boundary
        self._thread = thread
        self._on_cancel: Callable[[], object] | None = None
        self._on_dispose: Callable[[], object] | None = None
        self._ended_by: str | None = None
        boundary.on_end(self._end)

    def send_blocking(self, item: T) -> EmitResult:
        """Do as `send` does, from another thread, which waits.

        Raises:
            RuntimeError: called in the thread of the loop, which would wait for itself.
        """
        if self._thread.is_here:
            raise RuntimeError("send_blocking would stop the event loop; in its thread use `await sink.send(item)`")
        answer: list[EmitResult] = []
        answered = threading.Event()

        def resume(result: EmitResult) -> None:
            answer.append(result)
            answered.set()

        result = self._boundary.buffer.offer_or_wait(item, resume)
        if result is not _WOULD_SUSPEND:
            return result
        while not answered.wait(LOOK_AGAIN_S):
            if self._thread.loop.is_closed():
                self._boundary.cancel()  # nobody will ever take; this answers all who wait
        return answer[0]

    def complete(self) -> EmitResult:
        """End the stream behind what is held. From any thread. OK, FAIL_TERMINATED or FAIL_CANCELLED."""
        return self._boundary.buffer.complete()

    def error(self, error: Exception) -> EmitResult:
        """Fail the stream behind what is held. From any thread. OK, FAIL_TERMINATED or FAIL_CANCELLED.

        An error that comes after the end goes to the loop's exception handler; from another thread it is logged.

        Raises:
            TypeError: not an Exception.
        """
        return self._boundary.fail(checked_exception(error))

    def on_request(self, callback: Callable[[int], object]) -> FluxSink[T]:
        """Hear of demand: at once of what there is, then of each increment, before items are delivered for it.

        If `callback` raises, the stream fails with that exception.

        Raises:
            RuntimeError: there is a callback already.
        """
        self._boundary.buffer.tell_demand(checked_callback("callback", callback, optional=False))
        return self

    def on_cancel(self, callback: Callable[[], object]) -> FluxSink[T]:
        """Hear, once, that the consumer cancelled; at once if it has.

        A second callback is called at once and the first stays, as in Reactor.
        """
        checked_callback("callback", callback, optional=False)
        if self._on_cancel is not None or self._ended_by == "cancel":
            callback()
        elif self._ended_by is None:
            self._on_cancel = callback
        return self

    def on_dispose(self, callback: Callable[[], object]) -> FluxSink[T]:
        """Hear, once, that the stream has ended, in whatever way, behind `on_cancel`; at once if it has.

        A second callback is called at once and the first stays, as in Reactor.
        """
        checked_callback("callback", callback, optional=False)
        if self._on_dispose is not None or self._ended_by is not None:
            callback()
        else:
            self._on_dispose = callback
        return self

    def _end(self, cancelled: bool) -> None:
        self._ended_by = "cancel" if cancelled else "terminal"
        callbacks = (self._on_cancel if cancelled else None, self._on_dispose)
        for callback in callbacks:
            if callback is not None:
                try:
                    callback()
                except Exception as error:  # rule 3.15: cancel returns normally
                    report_undeliverable(error)

    async def _wait_for_room(self, item: T) -> EmitResult:
        if not self._thread.is_here:
            raise RuntimeError("send waits in the thread of the stream's own loop; from elsewhere use send_blocking")
        answer: asyncio.Future[EmitResult] = self._thread.loop.create_future()

        def settle(result: EmitResult) -> None:
            if not answer.done():
                answer.set_result(result)

        def resume(result: EmitResult) -> None:
            self._thread.run(partial(settle, result))

        result = self._boundary.buffer.offer_or_wait(item, resume)
        if result is not _WOULD_SUSPEND:
            return result
        try:
            return await answer
        except BaseException:
            self._boundary.buffer.stop_waiting(resume)
            raise


class Flux(AsyncStream[T]):
    """A stream whose consumer runs on an event loop. Cold: each subscription starts its source anew.

    Subscribe a Reactive Streams Subscriber, or take with `async for` or `batches`. All need a running loop.
    """

    __slots__ = ("_delay_error", "_on_drop", "_start", "_strategy", "_ttl_ns")

    def __init__(
        self,
        strategy: BackpressureStrategy,
        start: Callable[[Boundary[T], LoopThread], object],
        *,
        delay_error: bool = True,
        on_drop: Callable[[T], object] | None = None,
        ttl_ns: int | None = None,
    ) -> None:
        """Used by the makers and operators of this class."""
        checked_callback("on_drop", on_drop)
        self._strategy = checked_strategy(strategy)
        self._start = start
        self._delay_error = delay_error
        self._on_drop = on_drop
        self._ttl_ns = ttl_ns

    # ------------------------------------------------------------------ makers

    @staticmethod
    def create(
        producer: Callable[[FluxSink[Any]], object],
        strategy: BackpressureStrategy,
        *,
        on_drop: Callable[[Any], object] | None = None,
    ) -> Flux[Any]:
        """Make a stream of what `producer` gives to its sink, once per subscription.

        Args:
            producer: a function, which runs inline in the loop's thread at subscription and returns; or a coroutine
                function, which runs as a task, is cancelled when the consumer cancels or a rule or callback fails the
                stream, and completes the stream when it returns without a terminal. What it raises fails the stream.
            strategy: what to do when the consumer is slower. There is no default.
            on_drop: hears of every lost item. If it raises, the stream fails with that exception.

        Raises:
            TypeError: an argument that is none of these.
        """
        if not callable(producer) or inspect.isasyncgenfunction(producer) or inspect.isgeneratorfunction(producer):
            raise TypeError(f"producer must be a function or coroutine function of (sink); got {producer!r}")

        def start(boundary: Boundary[Any], thread: LoopThread) -> None:
            sink: FluxSink[Any] = FluxSink(boundary, thread)
            try:
                running = producer(sink)
            except Exception as error:  # rule 1.4, whatever it is
                boundary.fail(error)
            else:
                if inspect.iscoroutine(running):
                    _run_task(boundary, running)

        return Flux(strategy, start, on_drop=on_drop)

    @staticmethod
    def from_async_iterable(iterable: AsyncIterable[T]) -> Flux[T]:
        """Make a stream that pulls: the iterable is advanced only for demand.

        So the source is held back and nothing is lost.
        An iterator (an async generator, say) can be read once: a second subscription fails with
        AlreadySubscribedError. It is closed when the consumer cancels. That it has ended is known only when it is
        asked for more than it has.

        Raises:
            TypeError: not an async iterable.
        """
        if not hasattr(iterable, "__aiter__"):
            raise TypeError(f"iterable must be an async iterable; got {iterable!r}")
        subscribed = False

        def start(boundary: Boundary[T], thread: LoopThread) -> None:
            nonlocal subscribed
            if subscribed and hasattr(iterable, "__anext__"):
                boundary.fail(AlreadySubscribedError("this async iterator can be read once and has a subscriber"))
                return
            subscribed = True
            iterator = aiter(iterable)
            _run_task(boundary, _pull(iterator, boundary), partial(_close_iterator, iterator))

        return Flux(BackpressureStrategy.ERROR, start)

    @staticmethod
    def from_publisher(publisher: Publisher[T]) -> Flux[T]:
        """Make a stream of another publisher's signals, which may come from any thread.

        Demand and cancellation go on to it. A publisher that sends more than was requested is cancelled, and the stream
        fails with BufferOverflowError.

        Raises:
            TypeError: not a publisher.
        """
        if not callable(getattr(publisher, "subscribe", None)):
            raise TypeError(f"publisher must have a method subscribe(subscriber); got {publisher!r}")

        def start(boundary: Boundary[T], thread: LoopThread) -> None:
            publisher.subscribe(Relay(boundary, lambda source: boundary.buffer.tell_demand(source.request)))

        return Flux(BackpressureStrategy.ERROR, start)

    @staticmethod
    def just(*items: T) -> Flux[T]:
        """Make a stream of these items, as demand allows."""

        def start(boundary: Boundary[T], thread: LoopThread) -> None:
            if items:
                boundary.buffer.tell_demand(_Given(boundary, thread, items).on_request)
            else:
                boundary.buffer.complete()

        return Flux(BackpressureStrategy.ERROR, start)

    @staticmethod
    def empty() -> Flux[Any]:
        """Make a stream that completes at once."""
        return Flux(BackpressureStrategy.ERROR, lambda boundary, thread: boundary.buffer.complete())

    @staticmethod
    def error(error: Exception) -> Flux[Any]:
        """Make a stream that fails at once.

        Raises:
            TypeError: not an Exception.
        """
        checked_exception(error)
        # Each subscriber raises the same exception: without this its traceback would grow with every one.
        return Flux(BackpressureStrategy.ERROR, lambda boundary, thread: boundary.fail(error.with_traceback(None)))

    # ------------------------------------------------------------------ operators

    def on_backpressure_buffer(
        self,
        capacity: int | None,
        *,
        overflow: BufferOverflow = BufferOverflow.ERROR,
        delay_error: bool = True,
        on_drop: Callable[[T], object] | None = None,
        ttl_s: float | None = None,
        clock: Clock | None = None,
    ) -> Flux[T]:
        """Take all that comes and hold up to `capacity` items beyond demand.

        Args:
            capacity: at least 1, exact; None: unbounded.
            overflow: what happens to an item that finds no room. Not SUSPEND: what comes from a stream cannot wait.
            delay_error: whether errors, of the source or of overflow, come behind the held items (Reactor's way).
            on_drop: hears of every lost item.
            ttl_s: how many seconds an item may wait unpromised before it is dropped; None: for ever.
            clock: measures `ttl_s`; the loop's own unless given.

        Raises:
            TypeError, ValueError: an argument that makes no sense, by name.
        """
        if checked_overflow(overflow) is BufferOverflow.SUSPEND:
            raise ValueError("overflow=SUSPEND needs a producer that can wait; use Flux.create or from_async_iterable")
        strategy = BackpressureStrategy.buffer(capacity, overflow)
        if ttl_s is None:
            return self._protected(strategy, on_drop, delay_error=delay_error)
        positive_seconds("ttl_s", ttl_s)

        def start(boundary: Boundary[T], thread: LoopThread) -> None:
            self.subscribe(_AgingRelay(boundary, clock or LoopClock.current()))

        ttl_ns = max(1, round(ttl_s * 1_000_000_000))
        return Flux(strategy, start, on_drop=on_drop, delay_error=delay_error, ttl_ns=ttl_ns)

    def on_backpressure_drop(self, on_drop: Callable[[T], object] | None = None) -> Flux[T]:
        """Take all that comes; lose what arrives without demand."""
        return self._protected(BackpressureStrategy.DROP, on_drop)

    def on_backpressure_latest(self, on_drop: Callable[[T], object] | None = None) -> Flux[T]:
        """Take all that comes; without demand keep the newest. An error overtakes it."""
        return self._protected(BackpressureStrategy.LATEST, on_drop, delay_error=False)

    def on_backpressure_error(self) -> Flux[T]:
        """Take all that comes; fail with BufferOverflowError at what arrives without demand."""
        return self._protected(BackpressureStrategy.ERROR, None)

    def on_backpressure_reduce(self, reducer: Callable[[T, T], T], max_merged: int | None = None) -> Flux[T]:
        """Take all that comes; without demand fold it into one item, see `BackpressureStrategy.reduce`.

        An error overtakes it.
        """
        return self._protected(BackpressureStrategy.reduce(reducer, max_merged), None, delay_error=False)

    def limit_rate(self, high: int, low: int | None = None) -> Flux[T]:
        """Pass demand on in portions: `high` first, then `low` whenever that many items have gone downstream.

        Args:
            high: the most that is outstanding, at least 1.
            low: the size of the later portions. None, or as much as `high`: 75 % of it. 0: all of `high` when all is
                used.

        Raises:
            TypeError, ValueError: a number that makes no sense.
        """
        limit = RateLimit(high, low)

        def start(boundary: Boundary[T], thread: LoopThread) -> None:
            self.subscribe(limit.relay(boundary))

        return Flux(limit.strategy, start)

    def to_observable(self) -> Any:
        """Return a reactivex Observable of this stream, a push with unbounded demand.

        Subscribing to it needs a running loop.
        """
        return conversion.to_observable(self)

    def _protected(
        self,
        strategy: BackpressureStrategy,
        on_drop: Callable[[T], object] | None,
        *,
        delay_error: bool = True,
    ) -> Flux[T]:
        def start(boundary: Boundary[T], thread: LoopThread) -> None:
            self.subscribe(Relay(boundary, unbounded))

        return Flux(strategy, start, on_drop=on_drop, delay_error=delay_error)

    # ------------------------------------------------------------------ subscribing

    def subscribe(self, subscriber: Subscriber[T]) -> None:
        """Connect a Subscriber: it hears `on_subscribe` first, then signals in the thread of the running loop.

        A subscriber that raises is cancelled, and its exception goes to the loop's exception handler (rule 2.13).
        Whether the same subscriber may be subscribed twice is its own affair (rule 2.12): each time is a subscription
        of its own.

        Raises:
            TypeError: not a Subscriber.
            RuntimeError: no event loop is running.
        """
        checked_subscriber(subscriber)
        thread = LoopThread("subscribing to a Flux")
        boundary = self._new_boundary(thread)
        if LoopDelivery(boundary, subscriber, thread).start():
            self._connect(boundary)

    def _new_boundary(self, thread: LoopThread) -> Boundary[T]:
        return Boundary(
            self._strategy,
            delay_error=self._delay_error,
            ttl_ns=self._ttl_ns,
            on_drop=self._on_drop,
            thread=thread,
        )

    def _connect(self, boundary: Boundary[T]) -> None:
        try:
            self._start(boundary, LoopThread())
        except Exception as error:  # rule 1.9: subscribe returns normally
            boundary.fail(error)


class _AgingRelay(Relay[T]):
    """A Relay that tells the time with each item and drops what has become too old."""

    __slots__ = ("_clock", "_timer")

    def __init__(self, boundary: Boundary[T], clock: Clock) -> None:
        super().__init__(boundary, unbounded)
        self._clock = clock
        self._timer: TimerHandle | None = None
        boundary.on_end(self._disarm)

    def on_next(self, item: T) -> None:
        self._boundary.buffer.offer_at(item, self._clock.now_ns())
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        due_ns = self._boundary.buffer.next_expiry_ns
        self._timer = None if due_ns is None else self._clock.call_at(due_ns, self._expire)

    def _expire(self) -> None:
        self._boundary.buffer.expire(self._clock.now_ns())
        self._arm()

    def _disarm(self, cancelled: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _run_task(
    boundary: Boundary[Any],
    work: Coroutine[Any, Any, object],
    clean_up: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Run `work` as the source of `boundary`, and `clean_up` in the end, even if `work` never had a turn."""
    loop = asyncio.get_running_loop()

    def finish(task: asyncio.Task[None]) -> None:
        work.close()  # never awaited, if it had no turn
        if clean_up is not None and not loop.is_closed():
            start_task(loop, clean_up())

    task = start_task(loop, _produce(boundary, work))
    task.add_done_callback(finish)
    boundary.connect(task.cancel)


async def _produce(boundary: Boundary[Any], work: Coroutine[Any, Any, object]) -> None:
    """Run a producer to its end, and end the stream with it if it did not do so itself."""
    try:
        await work
    except Exception as error:  # rule 1.4, whatever it is
        boundary.fail(error)
    except asyncio.CancelledError:
        boundary.buffer.fail(StreamClosedError("the task of the producer was cancelled"))
        raise
    else:
        boundary.buffer.complete()


async def _pull(iterator: AsyncIterator[T], boundary: Boundary[T]) -> None:
    """Advance `iterator` once for each item of demand."""
    demand = 0
    more = asyncio.Event()

    def on_request(n: int) -> None:
        nonlocal demand
        demand += n
        more.set()

    boundary.buffer.tell_demand(on_request)
    pulled = 0
    while True:
        while not demand:
            more.clear()
            await more.wait()
        try:
            item = await anext(iterator)
        except StopAsyncIteration:
            return
        demand -= 1
        boundary.buffer.offer(item)
        pulled += 1
        if pulled % _ITEMS_PER_TURN == 0:
            await asyncio.sleep(0)


async def _close_iterator(iterator: AsyncIterator[Any]) -> None:
    aclose = getattr(iterator, "aclose", None)
    if aclose is None:
        return
    try:
        await aclose()
    except Exception as error:  # nobody can hear it any more
        report_undeliverable(error)


class _Given(Generic[T]):
    """Emits items that are there, as they are requested, and gives other tasks a turn now and then."""

    def __init__(self, boundary: Boundary[T], thread: LoopThread, items: tuple[T, ...]) -> None:
        self._boundary = boundary
        self._thread = thread
        self._items = iter(items)
        self._left = len(items)
        self._wanted = 0
        self._emitting = False

    def on_request(self, n: int) -> None:
        self._wanted = min(self._wanted + n, self._left)
        if not self._emitting:
            self._emitting = True
            self._emit()

    def _emit(self) -> None:
        buffer = self._boundary.buffer
        for _ in range(min(self._wanted, _GIVEN_PER_TURN)):
            if not buffer.is_active:
                return
            self._left -= 1
            self._wanted -= 1
            buffer.offer(next(self._items))
        if not self._left:
            buffer.complete()
        elif self._wanted:
            self._thread.loop.call_soon(self._emit)
        else:
            self._emitting = False
