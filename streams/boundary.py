"""One subscription: the overflow core, what stops its source, and the delivery of its signals to a Subscriber.

Nothing is decided here. Signals of the source go right into the core, demand and cancellation go left into it, and what
comes back is passed on. `thread` says where signals arrive: in the thread of one event loop (Flux), or wherever they
are made (Flowable).
"""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from streams.affinity import LoopThread, report_undeliverable
from streams.overflow import EMPTY, BackpressureStrategy, EmitResult, OverflowBuffer, StreamStatistics, Terminal
from streams.reactive import UNBOUNDED

if TYPE_CHECKING:
    from streams.reactive import Subscriber, Subscription

__all__ = (
    "Boundary",
    "Delivery",
    "DirectDelivery",
    "LoopDelivery",
    "ProducerEnd",
    "Relay",
    "checked_subscriber",
    "refuse_none",
    "unbounded",
)

T = TypeVar("T")

_SIGNALS_PER_TURN = 1024  # what is delivered on an event loop before its other tasks get a turn (rule 3.4)


class Boundary(Generic[T]):
    """The Subscription that a consumer gets, and the place where a source brings its signals.

    Args:
        strategy: what to do when the consumer is slower.
        delay_error: whether a failure waits behind the held items.
        ttl_ns: how long an item may be held unpromised; None: for ever.
        on_drop: hears of every lost item.
        thread: where the source is called (demand, cancellation); None: where the consumer calls.
    """

    __slots__ = ("__weakref__", "_on_end", "_stop", "_thread", "buffer")

    def __init__(
        self,
        strategy: BackpressureStrategy,
        *,
        delay_error: bool = True,
        ttl_ns: int | None = None,
        on_drop: Callable[[T], object] | None = None,
        thread: LoopThread | None = None,
    ) -> None:
        self.buffer: OverflowBuffer[T] = OverflowBuffer.of(
            strategy,
            delay_error=delay_error,
            ttl_ns=ttl_ns,
            on_drop=on_drop,
            on_abort=self.stop_source,
            on_undeliverable=report_undeliverable,
        )
        self._stop: Callable[[], object] | None = None
        self._on_end: Callable[[bool], object] | None = None
        self._thread = thread

    # the source's side

    def connect(self, stop: Callable[[], object]) -> None:
        """Say how the source is stopped: called once, when the consumer cancels or a rule or callback fails the stream.

        If that has happened already, it is called now.
        """
        self._stop = stop
        if not self.buffer.is_active:
            self.stop_source()

    def on_end(self, on_end: Callable[[bool], object]) -> None:
        """Say who hears of the end: called once with whether it was a cancel, after the terminal was delivered."""
        self._on_end = on_end

    def fail(self, error: Exception) -> EmitResult:
        """End the stream with `error`; one that comes after the end is reported as undeliverable."""
        result = self.buffer.fail(error)
        if result is not EmitResult.OK:
            report_undeliverable(error)
        return result

    def stop_source(self) -> None:
        """Stop the source, once."""
        stop, self._stop = self._stop, None
        if stop is not None:
            self._call(stop)

    # the consumer's side: a Subscription

    def request(self, n: int) -> None:
        """See `streams.reactive.Subscription`."""
        if self._thread is None:
            self.buffer.request(n)
        else:
            self._thread.run(partial(self.buffer.request, n))

    def cancel(self) -> None:
        """See `streams.reactive.Subscription`."""
        try:
            cancelled = self.buffer.cancel()
        except BaseException:  # of on_drop: it passes through, and the source is stopped all the same
            self._finish_cancel()
            raise
        if cancelled:
            self._finish_cancel()

    def _finish_cancel(self) -> None:
        self.stop_source()
        self.end(cancelled=True)

    def end(self, *, cancelled: bool = False) -> None:
        """Tell who waits for the end. Called by the consumer's side when it has delivered the terminal."""
        self._stop = None
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self._call(partial(on_end, cancelled))

    @property
    def statistics(self) -> StreamStatistics:
        """The counts of this subscription so far: a snapshot."""
        return self.buffer.statistics

    def _call(self, callback: Callable[[], object]) -> None:
        guarded = partial(_guarded, callback)
        if self._thread is None or not self._thread.run(guarded):
            guarded()  # also when the loop is closed: a source must not run on because its consumer has vanished


class ProducerEnd(Generic[T]):
    """What every producer can see of its stream. FluxSink and FlowableEmitter add how it speaks."""

    __slots__ = ()

    _boundary: Boundary[T]

    @property
    def is_cancelled(self) -> bool:
        """Whether nothing is accepted any more: the consumer cancelled, or the stream has ended or failed."""
        return not self._boundary.buffer.is_active

    @property
    def requested(self) -> int:
        """Items requested and not yet delivered; UNBOUNDED if without end."""
        return self._boundary.buffer.demand

    @property
    def statistics(self) -> StreamStatistics:
        """The counts of this subscription so far: a snapshot."""
        return self._boundary.statistics


class Delivery(ABC, Generic[T]):
    """Hands the signals of one boundary to one Subscriber, one at a time and never nested.

    The core tells when a signal is due, and tells nobody else until it is asked again: that makes the delivery serial
    (rule 1.3), keeps a re-entrant request from recursing (rule 3.3), and coalesces the wake-ups from other threads.
    """

    __slots__ = ("_boundary", "_next_signal", "_subscriber")

    def __init__(self, boundary: Boundary[T], subscriber: Subscriber[T]) -> None:
        self._boundary = boundary
        self._next_signal = boundary.buffer.next_signal
        self._subscriber = subscriber

    def start(self) -> bool:
        """Give the subscriber its subscription; False if it wants nothing, so that the source need not be started."""
        try:
            self._subscriber.on_subscribe(self._boundary)
        except Exception as error:  # rule 2.13, whatever it is
            self._give_up(error)
        self._deliver()
        return self._boundary.buffer.is_active

    @abstractmethod
    def _wake(self) -> None:
        """Deliver what is due, in the right thread. Called by the core, from any."""

    def _deliver(self, limit: int | None = None) -> bool:
        """Deliver what is due, at most `limit` signals; False if there may be more."""
        for _ in repeat(None) if limit is None else repeat(None, limit):
            signal = self._next_signal(self._wake)
            if signal is EMPTY:
                return True
            if type(signal) is Terminal:
                self._end(signal.error)
                return True
            try:
                self._subscriber.on_next(cast("T", signal))
            except Exception as error:  # rule 2.13, whatever it is
                self._give_up(error)
            except BaseException:  # it passes through, and leaves no stream behind that nobody takes from
                self._boundary.cancel()
                raise
        return False

    def _end(self, error: Exception | None) -> None:
        subscriber = self._subscriber
        _guarded(subscriber.on_complete if error is None else partial(subscriber.on_error, error))
        self._boundary.end()

    def _give_up(self, error: Exception) -> None:
        """A subscriber that raises is cancelled and hears nothing more (rule 2.13)."""
        self._boundary.cancel()
        report_undeliverable(error)


class LoopDelivery(Delivery[T]):
    """Delivers in the thread of an event loop: at once if that is where a signal becomes due, else on its next turn."""

    __slots__ = ("_thread",)

    def __init__(self, boundary: Boundary[T], subscriber: Subscriber[T], thread: LoopThread) -> None:
        super().__init__(boundary, subscriber)
        self._thread = thread

    def _wake(self) -> None:
        if not self._thread.run(self._deliver_some):
            self._boundary.cancel()  # the loop is closed: nobody will ever take

    def _deliver_some(self) -> None:
        if not self._deliver(_SIGNALS_PER_TURN):
            self._thread.loop.call_soon(self._deliver_some)


class DirectDelivery(Delivery[T]):
    """Delivers in whatever thread a signal becomes due, and hands over at once what need not be held."""

    __slots__ = ("_buffer", "_claim", "_due", "_on_next", "_passing")

    def __init__(self, boundary: Boundary[T], subscriber: Subscriber[T]) -> None:
        super().__init__(boundary, subscriber)
        self._buffer = boundary.buffer
        self._on_next = subscriber.on_next
        self._passing = False
        self._due: list[None] = []
        self._claim = threading.Lock()

    def push(self, item: T) -> None:
        """Take an item of a serial source.

        While it is handed over, whoever finds a signal due leaves a mark, and that is delivered behind the item. Each
        side first says what it does and then looks at the other, so that nothing is missed.
        """
        buffer = self._buffer
        if self._passing:  # re-entrant: behind the item that is being handed over
            buffer.offer(item)
            return
        self._passing = True
        if buffer.direct:
            buffer.passed += 1
            try:
                self._on_next(item)
            except Exception as error:  # rule 2.13, whatever it is
                self._give_up(error)
            except BaseException:  # see `_deliver`
                self._boundary.cancel()
                raise
            finally:
                self._passing = False
        else:
            self._passing = False
            buffer.offer(item)
        if self._due:
            self._deliver_due()

    def _wake(self) -> None:
        self._due.append(None)
        if not self._passing:
            self._deliver_due()

    def _deliver_due(self) -> None:
        with self._claim:
            mine, self._due = self._due, []
        for _ in mine:
            self._deliver()


class Relay(Generic[T]):
    """The Subscriber that carries the signals of a publisher over to a boundary.

    Args:
        boundary: where the signals go.
        start: gets the subscription and decides how demand flows to it.
    """

    __slots__ = ("_boundary", "_start", "_subscription")

    def __init__(self, boundary: Boundary[T], start: Callable[[Subscription], object]) -> None:
        self._boundary = boundary
        self._start = start
        self._subscription: Subscription | None = None

    def on_subscribe(self, subscription: Subscription) -> None:
        """Take the first subscription; a second one is cancelled (rule 2.5)."""
        refuse_none("subscription", subscription)
        if self._subscription is not None:
            subscription.cancel()
            return
        self._subscription = subscription
        self._boundary.connect(subscription.cancel)
        if self._boundary.buffer.is_active:
            self._start(subscription)

    def on_next(self, item: T) -> None:
        """Offer the item."""
        self._boundary.buffer.offer(item)

    def on_error(self, error: Exception) -> None:
        """Fail behind what is held, or before it, as the boundary says."""
        refuse_none("error", error)
        self._boundary.fail(error)

    def on_complete(self) -> None:
        """Complete behind what is held."""
        self._boundary.buffer.complete()


def unbounded(subscription: Subscription) -> None:
    """Ask for everything: what a boundary does that protects its consumer and does not slow its source."""
    subscription.request(UNBOUNDED)


def checked_subscriber(subscriber: Any) -> Any:
    """Return `subscriber` if it is one.

    Raises:
        TypeError: naming the methods that it lacks (rule 1.9 for None), or an `on_next` that is a coroutine function.
    """
    wanted = ("on_subscribe", "on_next", "on_error", "on_complete")
    missing = [name for name in wanted if not callable(getattr(subscriber, name, None))]
    if missing:
        raise TypeError(f"a Subscriber has the methods {', '.join(wanted)}; {subscriber!r} lacks {', '.join(missing)}")
    if inspect.iscoroutinefunction(subscriber.on_next):
        raise TypeError(f"on_next must not be a coroutine function: use `async for` or for_each; got {subscriber!r}")
    return subscriber


def refuse_none(name: str, value: object) -> None:
    """Refuse None where a signal needs something.

    Raises:
        TypeError: naming it (rule 2.13).
    """
    if value is None:
        raise TypeError(f"{name} must not be None (Reactive Streams rule 2.13)")


def _guarded(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception as error:  # it has no place to go
        report_undeliverable(error)
