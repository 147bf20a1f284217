"""Flowable and the on_backpressure_* operators, after RxJava: backpressure for RxPY.

A Flowable is an Observable with a boundary at its end. Whatever stands to its left pushes at its own speed; whoever
subscribes on its right has demand: an Rx observer unbounded, a Reactive Streams Subscriber what it requests, `async
for` one item while it waits. Signals arrive in the thread that makes them. Rx operators behind a Flowable are
ordinary push operators, so the backpressure operator stands last, before the slow consumer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.internal import default_error, noop
from reactivex.scheduler import CurrentThreadScheduler

from streams import conversion
from streams.affinity import LoopThread
from streams.arguments import checked_callback, checked_exception
from streams.batches import AsyncStream
from streams.boundary import Boundary, DirectDelivery, ProducerEnd, checked_subscriber
from streams.overflow import BackpressureStrategy, BufferOverflow, EmitResult
from streams.rate_limit import RateLimit
from streams.reactive import UNBOUNDED
from streams.strategy import checked_overflow, checked_strategy

if TYPE_CHECKING:
    from streams.reactive import Publisher, Subscriber, Subscription

__all__ = (
    "Flowable",
    "FlowableEmitter",
    "limit_rate",
    "on_backpressure_buffer",
    "on_backpressure_drop",
    "on_backpressure_error",
    "on_backpressure_latest",
    "on_backpressure_reduce",
)

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class _Offer(Protocol[T_contra]):
    """Where a source puts an item: `DirectDelivery.push` or `OverflowBuffer.offer`."""

    def __call__(self, item: T_contra, /) -> object: ...


class FlowableEmitter(ProducerEnd[T], abc.ObserverBase[T]):
    """The producer's end of one subscription of `Flowable.create`: an RxPY observer.

    The producer is serial: one thread at a time calls `on_next`, or it calls on the emitter that `serialize` gives.
    """

    __slots__ = ("_boundary", "_cancellable", "_ended", "_push")

    def __init__(self, boundary: Boundary[T], push: _Offer[T]) -> None:
        self._boundary = boundary
        self._cancellable: Callable[[], object] | None = None
        self._ended = False
        self._push = push
        boundary.on_end(self._end)

    def on_next(self, value: T) -> None:
        """Offer one item. Never raises, never waits; ignored after the end."""
        self._push(value)

    def on_error(self, error: Exception) -> None:
        """Fail the stream behind what is held; an error that comes after the end is reported as undeliverable."""
        self._boundary.fail(checked_exception(error))

    def try_on_error(self, error: Exception) -> bool:
        """Fail the stream; False, and nothing is reported, if it has ended or was cancelled."""
        return self._boundary.buffer.fail(checked_exception(error)) is EmitResult.OK

    def on_completed(self) -> None:
        """End the stream behind what is held."""
        self._boundary.buffer.complete()

    def set_cancellable(self, cancellable: Callable[[], object] | None) -> None:
        """Say what is to be called at the end, in whatever way it comes; at once if it has come.

        One at a time: a new one calls the old one.
        """
        checked_callback("cancellable", cancellable)
        previous = self._cancellable
        self._cancellable = None if self._ended else cancellable
        if previous is not None:
            previous()
        if self._ended and cancellable is not None:
            cancellable()

    def serialize(self) -> FlowableEmitter[T]:
        """Return an emitter that several threads may call at once: the core takes offers from any thread."""
        self._push = self._boundary.buffer.offer
        return self

    def _end(self, cancelled: bool) -> None:
        self._ended = True
        self._push = self._boundary.buffer.offer  # a producer that keeps its emitter keeps no subscriber (rule 3.13)
        self.set_cancellable(None)


_Start = Callable[[Boundary[Any], _Offer[Any], "abc.SchedulerBase | None"], object]


class Flowable(Observable[T], AsyncStream[T]):
    """An Observable with a boundary at its end, and a Publisher. Cold: each subscription starts its source anew."""

    def __init__(
        self,
        strategy: BackpressureStrategy,
        start: _Start,
        *,
        delay_error: bool = True,
        on_drop: Callable[[T], object] | None = None,
    ) -> None:
        """Used by `create` and the operators of this module."""
        super().__init__()
        checked_callback("on_drop", on_drop)
        self._strategy = checked_strategy(strategy)
        if strategy.overflow is BufferOverflow.SUSPEND:
            raise ValueError("SUSPEND needs a producer that can wait, and on_next cannot; use Flux.create")
        self._start = start
        self._delay_error = delay_error
        self._on_drop = on_drop

    @staticmethod
    def create(
        producer: Callable[[FlowableEmitter[Any]], object],
        strategy: BackpressureStrategy,
        *,
        on_drop: Callable[[Any], object] | None = None,
    ) -> Flowable[Any]:
        """Make a stream of what `producer` gives to its emitter, once per subscription.

        Args:
            producer: a function of (emitter). It runs inline at subscription, on RxPY's trampoline, so that a
                synchronous one sees `is_cancelled` when a `take` downstream has had enough. What it raises fails the
                stream.
            strategy: what to do when the consumer is slower. There is no default, as in RxJava. Not suspend.
            on_drop: hears of every lost item. If it raises, the stream fails with that exception.

        Raises:
            TypeError, ValueError: an argument that is none of these.
        """
        if not callable(producer) or inspect.iscoroutinefunction(producer) or _is_generator(producer):
            raise TypeError(f"producer must be a function of (emitter), not a coroutine function; got {producer!r}")

        def start(boundary: Boundary[Any], push: _Offer[Any], _: abc.SchedulerBase | None) -> None:
            emitter: FlowableEmitter[Any] = FlowableEmitter(boundary, push)

            def run(*_: object) -> None:
                try:
                    if not emitter.is_cancelled:
                        producer(emitter)
                except Exception as error:  # rule 1.4, whatever it is
                    emitter.on_error(error)

            CurrentThreadScheduler.singleton().schedule(run)

        return Flowable(strategy, start, on_drop=on_drop)

    def subscribe(
        self,
        on_next: Subscriber[T] | abc.ObserverBase[T] | Callable[[T], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Connect a consumer: a Reactive Streams Subscriber, an Rx observer, or callbacks.

        Whatever has a method `on_subscribe` is a Subscriber and gets the items that it requests.
        Rx observers and callbacks get unbounded demand. One that raises is cancelled and hears nothing more, and its
        exception is reported as undeliverable (rule 2.13); RxPY itself lets it fly into the producer.

        Returns:
            A disposable that cancels.

        Raises:
            TypeError: `on_next` is a coroutine function (RxPY cannot wait: use `async for` or `for_each`), or a
                subscriber that lacks a method.
        """
        if hasattr(on_next, "on_subscribe"):
            subscriber = checked_subscriber(on_next)
        else:
            subscriber = _ObserverAsSubscriber(on_next, on_error, on_completed)
        boundary = self._new_boundary(None)
        delivery = DirectDelivery(boundary, subscriber)
        if delivery.start():
            self._run(boundary, delivery.push, scheduler)
        return Disposable(boundary.cancel)

    def _run(self, boundary: Boundary[T], push: _Offer[T], scheduler: abc.SchedulerBase | None) -> None:
        """Start the source on the trampoline, so that everybody can be cancelled before the first item."""

        def action(*_: object) -> None:
            try:
                self._start(boundary, push, scheduler)
            except Exception as error:  # rule 1.9: subscribe returns normally
                boundary.fail(error)

        trampoline = CurrentThreadScheduler.singleton()
        if trampoline.schedule_required():
            trampoline.schedule(action)
        else:
            action()

    def _new_boundary(self, thread: LoopThread | None) -> Boundary[T]:
        return Boundary(self._strategy, delay_error=self._delay_error, on_drop=self._on_drop, thread=None)

    def _connect(self, boundary: Boundary[T]) -> None:
        self._run(boundary, boundary.buffer.offer, None)


def on_backpressure_buffer(
    capacity: int | None,
    *,
    overflow: BufferOverflow = BufferOverflow.ERROR,
    delay_error: bool = False,
    on_drop: Callable[[T], object] | None = None,
) -> Callable[[Observable[T]], Flowable[T]]:
    """Hold up to `capacity` items beyond demand.

    Args:
        capacity: at least 1, exact; None: unbounded.
        overflow: what happens to an item that finds no room. Not SUSPEND: `on_next` cannot wait.
        delay_error: whether errors, of the source or of overflow, come behind the held items; by default they
            overtake them (RxJava's way).
        on_drop: hears of every lost item.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import reactivex
        >>> from streams.testing import TestSubscriber
        >>> subscriber = TestSubscriber(initial_request=0)
        >>> _ = reactivex.of("a", "b", "c").pipe(on_backpressure_buffer(8)).subscribe(subscriber)
        >>> subscriber.request(2)
        >>> subscriber.values
        ['a', 'b']
    """
    if checked_overflow(overflow) is BufferOverflow.SUSPEND:
        raise ValueError("overflow=SUSPEND needs a producer that can wait, and on_next cannot; use Flux.create")
    return _protecting(BackpressureStrategy.buffer(capacity, overflow), on_drop, delay_error=delay_error)


def on_backpressure_drop(on_drop: Callable[[T], object] | None = None) -> Callable[[Observable[T]], Flowable[T]]:
    """Lose what arrives without demand; `on_drop` hears of it."""
    return _protecting(BackpressureStrategy.DROP, on_drop)


def on_backpressure_latest(on_drop: Callable[[T], object] | None = None) -> Callable[[Observable[T]], Flowable[T]]:
    """Without demand keep the newest item; `on_drop` hears of those it replaced. An error overtakes it."""
    return _protecting(BackpressureStrategy.LATEST, on_drop)


def on_backpressure_error() -> Callable[[Observable[Any]], Flowable[Any]]:
    """Fail with BufferOverflowError at what arrives without demand."""
    return _protecting(BackpressureStrategy.ERROR, None)


def on_backpressure_reduce(
    reducer: Callable[[T, T], T], max_merged: int | None = None
) -> Callable[[Observable[T]], Flowable[T]]:
    """Without demand fold what arrives into one item: see `BackpressureStrategy.reduce`. An error overtakes it."""
    return _protecting(BackpressureStrategy.reduce(reducer, max_merged), None)


def limit_rate(high: int, low: int | None = None) -> Callable[[Observable[T]], Flowable[T]]:
    """Pass demand on to a Flowable in portions: `high` first, then `low` whenever that many items have gone downstream.

    Args:
        high: the most that is outstanding, at least 1.
        low: the size of the later portions. None, or as much as `high`: 75 % of it. 0: all of `high` when all is used.

    Raises:
        TypeError, ValueError: a number that makes no sense; when applied, a source without demand (a plain Observable).
    """
    limit = RateLimit(high, low)

    def operator(source: Observable[T]) -> Flowable[T]:  # as `pipe` wants it
        if not isinstance(source, Flowable):
            raise TypeError(
                "limit_rate needs a Flowable, which has demand: put an on_backpressure operator before it; "
                f"got {source!r}"
            )

        def start(boundary: Boundary[T], push: _Offer[T], scheduler: abc.SchedulerBase | None) -> None:
            source.subscribe(limit.relay(boundary), scheduler=scheduler)

        return Flowable(limit.strategy, start)

    return operator


def _protecting(
    strategy: BackpressureStrategy,
    on_drop: Callable[[T], object] | None,
    *,
    delay_error: bool = False,
) -> Callable[[Observable[T]], Flowable[T]]:
    """Return the operator that takes all an Observable pushes and applies `strategy` to it."""
    checked_callback("on_drop", on_drop)

    def operator(source: Observable[T]) -> Flowable[T]:
        if not isinstance(source, Observable):
            raise TypeError(f"the source must be a reactivex Observable; got {source!r}")

        def start(boundary: Boundary[T], push: _Offer[T], scheduler: abc.SchedulerBase | None) -> None:
            upstream = source.subscribe(
                cast("Callable[[T], None]", push),
                lambda error: _ignore(boundary.fail(error)),
                lambda: _ignore(boundary.buffer.complete()),
                scheduler=scheduler,
            )
            boundary.connect(upstream.dispose)

        return Flowable(strategy, start, delay_error=delay_error, on_drop=on_drop)

    return operator


class _ObserverAsSubscriber:
    """An Rx observer, or three callbacks, as a Subscriber with unbounded demand."""

    __slots__ = ("on_complete", "on_error", "on_next")

    def __init__(self, on_next: Any, on_error: Any, on_completed: Any) -> None:
        if callable(getattr(on_next, "on_next", None)):
            observer = on_next
            on_next, on_error, on_completed = observer.on_next, observer.on_error, observer.on_completed
        if inspect.iscoroutinefunction(on_next):
            raise TypeError(
                "on_next must not be a coroutine function, RxPY cannot wait for it: use `async for` or for_each; "
                f"got {on_next!r}"
            )
        for name, callback in (("on_next", on_next), ("on_error", on_error), ("on_completed", on_completed)):
            checked_callback(name, callback)
        self.on_next = on_next or noop
        self.on_error = on_error or default_error
        self.on_complete = on_completed or noop

    def on_subscribe(self, subscription: Subscription) -> None:
        subscription.request(UNBOUNDED)


def _is_generator(producer: object) -> bool:
    return inspect.isasyncgenfunction(producer) or inspect.isgeneratorfunction(producer)


def _ignore(_: object) -> None:
    """Rx callbacks return None."""


def _observable_of(publisher: Publisher[T]) -> Observable[T]:
    def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        subscriber = _Bridge(observer)
        # On the trampoline, so that whoever is downstream can be cancelled before the first item.

        def start(*_: object) -> None:
            publisher.subscribe(subscriber)

        CurrentThreadScheduler.singleton().schedule(start)
        return Disposable(subscriber.cancel)

    return Observable(subscribe)


class _Bridge(_ObserverAsSubscriber):
    """Feeds an Rx observer from a publisher, and can be cancelled."""

    __slots__ = ("_cancelled", "_subscription")

    def __init__(self, observer: Any) -> None:
        super().__init__(observer, None, None)
        self._subscription: Subscription | None = None
        self._cancelled = False

    def on_subscribe(self, subscription: Subscription) -> None:
        if self._cancelled:
            subscription.cancel()
            return
        self._subscription = subscription
        super().on_subscribe(subscription)

    def cancel(self) -> None:
        self._cancelled = True
        if self._subscription is not None:
            self._subscription.cancel()


conversion.register_observable(_observable_of)
