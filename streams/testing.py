"""Tools for testing streams, the ones of this project and yours."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streams.affinity import LoopThread
from streams.arguments import positive_int, shown
from streams.boundary import checked_subscriber, refuse_none
from streams.reactive import UNBOUNDED
from streams.strategy import StreamStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.clock import TimerHandle
    from streams.reactive import Subscriber, Subscription

__all__ = ("ManualPublisher", "TestSubscriber", "VirtualClock")

T = TypeVar("T")

_NS_PER_MS = 1_000_000
_MAX_DURATION_MS = 10**12


class TestSubscriber(Generic[T]):
    """A Subscriber that records what it hears and whether that was legal, after RxJava's TestSubscriber.

    Attributes:
        values: the items, in order of arrival.
        error: the failure, or None.
        completed: whether the stream completed.
        subscription: what `on_subscribe` gave, or None.
        violations: one line for each signal that the rules forbid: without subscription, beyond demand, after a
            terminal, or before another signal has returned. Empty is good.

    Args:
        initial_request: requested when subscribed; 0: nothing is.

    Raises:
        TypeError, ValueError: `initial_request` is not an int of at least 0.
    """

    __test__ = False

    def __init__(self, initial_request: int = UNBOUNDED) -> None:
        positive_int("initial_request", initial_request, minimum=0)
        self.values: list[T] = []
        self.error: Exception | None = None
        self.completed = False
        self.subscription: Subscription | None = None
        self.violations: list[str] = []
        self._initial_request = initial_request
        self._demand = 0
        self._busy = threading.Lock()
        self._waiters: list[_Waiter] = []

    # ------------------------------------------------------------------ leftwards

    def request(self, n: int) -> None:
        """Request `n` items.

        Raises:
            RuntimeError: not subscribed yet.
        """
        if isinstance(n, int) and n > 0:
            self._demand = min(self._demand + n, UNBOUNDED)
        self._subscribed().request(n)

    def cancel(self) -> None:
        """Cancel the subscription.

        Raises:
            RuntimeError: not subscribed yet.
        """
        self._subscribed().cancel()

    # ------------------------------------------------------------------ rightwards

    def on_subscribe(self, subscription: Subscription) -> None:
        """Keep the subscription and make the initial request; a second one is cancelled (rule 2.5)."""
        refuse_none("subscription", subscription)
        if self.subscription is not None:
            self.violations.append("on_subscribe came twice (rule 2.12)")
            subscription.cancel()
            return
        self.subscription = subscription
        if self._initial_request:
            self.request(self._initial_request)

    def on_next(self, item: T) -> None:
        """Record an item."""
        with self._signal("on_next", item):
            if not self._demand:
                self._flag("came without demand (rule 1.1)", "on_next", item)
            elif self._demand < UNBOUNDED:
                self._demand -= 1
            self.values.append(item)

    def on_error(self, error: Exception) -> None:
        """Record the failure."""
        refuse_none("error", error)
        with self._signal("on_error", error):
            self.error = error

    def on_complete(self) -> None:
        """Record the completion."""
        with self._signal("on_complete"):
            self.completed = True

    @contextmanager
    def _signal(self, method: str, *arguments: object) -> Generator[None]:
        """Look at the rules that hold for every signal, and tell those who wait."""
        if self.subscription is None:
            self._flag("came before on_subscribe (rule 1.9)", method, *arguments)
        if self.terminated:
            self._flag("came after a terminal (rule 1.7)", method, *arguments)
        alone = self._busy.acquire(blocking=False)
        if not alone:
            self._flag("came while another signal was being handled (rule 1.3)", method, *arguments)
        try:
            yield
        finally:
            if alone:
                self._busy.release()
            for waiter in tuple(self._waiters):
                waiter.tell()

    def _flag(self, problem: str, method: str, *arguments: object) -> None:
        self.violations.append(f"{method}({', '.join(map(shown, arguments))}) {problem}")

    # ------------------------------------------------------------------ waiting

    @property
    def terminated(self) -> bool:
        """Whether a terminal has come."""
        return self.completed or self.error is not None

    async def wait_terminated(self, timeout_s: float = 10) -> None:
        """Wait for the terminal, from whatever thread it comes.

        Raises:
            TimeoutError: it did not come in `timeout_s` seconds.
        """
        await self._wait(lambda: self.terminated, timeout_s)

    async def wait_count(self, count: int, timeout_s: float = 10) -> None:
        """Wait until `count` items have come, from whatever thread.

        Raises:
            TimeoutError: they did not come in `timeout_s` seconds.
        """
        await self._wait(lambda: len(self.values) >= count, timeout_s)

    async def _wait(self, fulfilled: Callable[[], bool], timeout_s: float) -> None:
        waiter = _Waiter(fulfilled)
        self._waiters.append(waiter)
        try:
            waiter.look()
            async with asyncio.timeout(timeout_s):
                await waiter.done
        finally:
            self._waiters.remove(waiter)

    def _subscribed(self) -> Subscription:
        if self.subscription is None:
            raise RuntimeError("this subscriber has no subscription yet")
        return self.subscription


class _Waiter:
    """A coroutine that waits until something holds, looked at anew after each signal."""

    def __init__(self, fulfilled: Callable[[], bool]) -> None:
        self._fulfilled = fulfilled
        self._thread = LoopThread()
        self.done = self._thread.loop.create_future()

    def tell(self) -> None:
        """Look again, in the thread of the loop."""
        self._thread.run(self.look)

    def look(self) -> None:
        if not self.done.done() and self._fulfilled():
            self.done.set_result(None)


class ManualPublisher(Generic[T]):
    """A Publisher that emits what it is told, whatever the demand, and records what it is asked for.

    Attributes:
        requests: the argument of every `request`, in order.
        cancel_count: how often `cancel` was called.
        subscriber: who subscribed last, or None.
    """

    def __init__(self) -> None:
        self.requests: list[int] = []
        self.cancel_count = 0
        self.subscriber: Subscriber[T] | None = None

    def subscribe(self, subscriber: Subscriber[T]) -> None:
        """Connect `subscriber` and give it a subscription that only records."""
        self.subscriber = checked_subscriber(subscriber)
        subscriber.on_subscribe(_ManualSubscription(self))

    def next(self, *items: T) -> None:
        """Emit these items."""
        for item in items:
            self._connected().on_next(item)

    def error(self, error: Exception) -> None:
        """Fail."""
        self._connected().on_error(error)

    def complete(self) -> None:
        """Complete."""
        self._connected().on_complete()

    @property
    def requested(self) -> int:
        """The sum of all requests."""
        return sum(self.requests)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.cancel_count > 0

    def _connected(self) -> Subscriber[T]:
        if self.subscriber is None:
            raise RuntimeError("this publisher has no subscriber yet")
        return self.subscriber


class _ManualSubscription:
    def __init__(self, publisher: ManualPublisher[Any]) -> None:
        self._publisher = publisher

    def request(self, n: int) -> None:
        self._publisher.requests.append(n)

    def cancel(self) -> None:
        self._publisher.cancel_count += 1

    @property
    def statistics(self) -> StreamStatistics:
        return StreamStatistics(0, 0, 0, 0, 0, 0, 0, max(0, self._publisher.requested))


class VirtualClock:
    """A `Clock` whose time moves only when it is told to, so that no test ever waits.

    Callbacks fire in the order of their due times, equal ones in the order of their calls, each with
    `now_ns()` at its due time. A callback scheduled for a time that has passed fires with the next
    move, and time never runs backwards. What a callback raises leaves the call that moved the clock;
    the timers behind it stay scheduled.

    `advance`, `advance_to` and `run` are for plain callbacks. Coroutines that wait on
    `sleep_until` need turns of the loop to go on: `advance_async` and `run_until_idle` give them
    `settle_turns` turns before the first and after every due time, counted anew whenever a timer was
    set or cancelled on this clock. A coroutine that passes through more turns than that between two
    uses of the clock needs a larger `settle_turns`; work in threads is not waited for.

    Raises:
        TypeError, ValueError: `start_ns` is not an int of at least 0, or `settle_turns` not one of at least 1.

    Example:
        >>> clock = VirtualClock()
        >>> _ = clock.call_at(2_000_000, lambda: print("due at", clock.now_ns()))
        >>> clock.advance(5)
        due at 2000000
        >>> clock.now_ns()
        5000000
    """

    __test__ = False
    __slots__ = ("_activity_count", "_now_ns", "_sequence", "_settle_turns", "_timers")

    def __init__(self, start_ns: int = 0, *, settle_turns: int = 32) -> None:
        """Start at `start_ns` with nothing scheduled."""
        positive_int("start_ns", start_ns, minimum=0)
        positive_int("settle_turns", settle_turns)
        self._now_ns = start_ns
        self._settle_turns = settle_turns
        self._sequence = itertools.count()
        self._activity_count = 0
        self._timers: list[_VirtualTimer] = []

    def now_ns(self) -> int:
        """Read the virtual time in nanoseconds."""
        return self._now_ns

    @property
    def next_due_ns(self) -> int | None:
        """When the next callback is due, None when nothing is scheduled."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0].due_ns if self._timers else None

    @property
    def scheduled_count(self) -> int:
        """How many callbacks wait for their time; 0 shows that nothing was left behind."""
        return sum(timer.callback is not None for timer in self._timers)

    def call_at(self, due_ns: int, callback: Callable[[], object]) -> TimerHandle:
        """Schedule `callback`, see `Clock.call_at`; it fires only while the clock is moved."""
        timer = _VirtualTimer(due_ns, next(self._sequence), callback, self._note_activity)
        heapq.heappush(self._timers, timer)
        self._note_activity()
        return timer

    def advance(self, duration_ms: float) -> None:
        """Move the time on by `duration_ms` milliseconds and fire what becomes due.

        Raises:
            TypeError, ValueError: `duration_ms` is not a number from 0 to 1e12.
        """
        self.advance_to(self._after(duration_ms))

    def advance_to(self, target_ns: int) -> None:
        """Move the time on to `target_ns` and fire what becomes due, what is due at `target_ns` included.

        Raises:
            TypeError, ValueError: `target_ns` is not an int, or has passed.
        """
        positive_int("target_ns", target_ns, minimum=0)
        if target_ns < self._now_ns:
            raise ValueError(f"target_ns must be at least now_ns() = {self._now_ns}; got {target_ns}")
        while (due_ns := self.next_due_ns) is not None and due_ns <= target_ns:
            self._fire_next()
        self._now_ns = max(self._now_ns, target_ns)

    def run(self, *, max_callbacks: int = 1_000_000) -> None:
        """Move from due time to due time until nothing is scheduled.

        Raises:
            RuntimeError: `max_callbacks` fired and something is still scheduled: a timer renews itself for ever.
        """
        for _ in range(max_callbacks):
            if self.next_due_ns is None:
                return
            self._fire_next()
        self._refuse_endless(max_callbacks)

    async def advance_async(self, duration_ms: float) -> None:
        """Do what `advance` does, and let the coroutines it wakes go on before each next due time.

        Raises:
            TypeError, ValueError: `duration_ms` is not a number from 0 to 1e12.
        """
        target_ns = self._after(duration_ms)
        await self._settle()
        while (due_ns := self.next_due_ns) is not None and due_ns <= target_ns:
            self.advance_to(max(due_ns, self._now_ns))
            await self._settle()
        self._now_ns = max(self._now_ns, target_ns)

    async def run_until_idle(self, *, max_moves: int = 1_000_000) -> None:
        """Do what `run` does, and let the coroutines it wakes go on before each next due time.

        Raises:
            RuntimeError: the clock was moved `max_moves` times and something is still scheduled.
        """
        await self._settle()
        for _ in range(max_moves):
            if (due_ns := self.next_due_ns) is None:
                return
            self.advance_to(max(due_ns, self._now_ns))
            await self._settle()
        self._refuse_endless(max_moves)

    def _after(self, duration_ms: float) -> int:
        accepted = "a number of milliseconds from 0 to 1e12"
        if not isinstance(duration_ms, int | float) or isinstance(duration_ms, bool):
            raise TypeError(f"duration_ms must be {accepted}; got {shown(duration_ms)}")
        if not 0 <= duration_ms <= _MAX_DURATION_MS:
            raise ValueError(f"duration_ms must be {accepted}; got {shown(duration_ms)}")
        return self._now_ns + round(duration_ms * _NS_PER_MS)

    def _fire_next(self) -> None:
        timer = heapq.heappop(self._timers)
        self._now_ns = max(self._now_ns, timer.due_ns)
        callback, timer.callback = timer.callback, None
        # `next_due_ns` has taken the cancelled ones off the heap.
        assert callback is not None
        callback()

    def _refuse_endless(self, limit: int) -> None:
        if self.next_due_ns is not None:
            raise RuntimeError(f"{limit} times moved and still something scheduled: does a timer renew itself?")

    async def _settle(self) -> None:
        # A loop does not say whether it is idle, so quiet turns are counted.
        quiet_turns = 0
        while quiet_turns < self._settle_turns:
            seen = self._activity_count
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if seen == self._activity_count else 0

    def _note_activity(self) -> None:
        self._activity_count += 1


class _VirtualTimer:
    __slots__ = ("_on_cancel", "callback", "due_ns", "sequence")

    def __init__(
        self, due_ns: int, sequence: int, callback: Callable[[], object], on_cancel: Callable[[], None]
    ) -> None:
        self.due_ns = due_ns
        self.sequence = sequence
        self.callback: Callable[[], object] | None = callback
        self._on_cancel = on_cancel

    def __lt__(self, other: _VirtualTimer) -> bool:
        return (self.due_ns, self.sequence) < (other.due_ns, other.sequence)

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._on_cancel()
