"""Time as the streams see it: a clock that is read, and that calls back when something is due.

Whatever paces, expires or times out takes a `Clock`, so that a test can hand it a
`streams.testing.VirtualClock` and never wait. `LoopClock` is the real one.

A server that paces thousands of streams with one sleep each spends most of its time on the loop's
timer heap and wakes once per token. `LoopClock` puts due times into buckets of one millisecond and
keeps a single timer of the loop pending, for the earliest bucket: all streams that are due in the
same millisecond share one wake-up.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from contextvars import Context
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Clock", "LoopClock", "TimerHandle", "sleep_until")

_TICK_NS = 1_000_000
# Few: what a callback begins, a write say, is done in the next turn, and a new stream needs many turns to begin. With
# 256, of 800 streams on a busy core a hundred had not begun after a second, and tokens were late by twice as much.
_MAX_CALLBACKS_PER_TURN = 16
# Ticks of buckets that were cancelled empty stay in the heap until they outnumber the live ones by this many.
_SPARE_TICKS = 64
_DUE_NS = attrgetter("due_ns")


class TimerHandle(Protocol):
    """What `Clock.call_at` gives back."""

    def cancel(self) -> None:
        """Withdraw the callback; after it ran, and a second time, this changes nothing."""
        ...


class Clock(Protocol):
    """Something that tells the time and calls back at a time."""

    def now_ns(self) -> int:
        """Read the time in nanoseconds, on the scale of `time.monotonic_ns()`."""
        ...

    def call_at(self, due_ns: int, callback: Callable[[], object]) -> TimerHandle:
        """Call `callback` once, never before `due_ns` and never inside this call.

        A time that has passed is due at once. The callback must not wait.
        """
        ...


class LoopClock:
    """The real clock of one event loop; `LoopClock.current()` gives the one all streams of a loop share.

    A callback runs at the first millisecond boundary at or after its due time, plus what the loop is
    late. Callbacks of one wake-up run in the order of their due times, equal ones in the order of
    their calls, and in an empty context. At most 16 run in one turn of the loop, the rest in the next
    turns, so that a crowd of due timers leaves the loop responsive. What a callback raises goes to the
    loop's exception handler and the others still run.

    Everything here belongs to the loop's thread. While nothing is scheduled nothing is pending on the
    loop, and the loop is never kept alive.
    """

    __slots__ = ("__weakref__", "_buckets", "_context", "_loop", "_ready", "_ticks", "_wakeup", "_wakeup_tick")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make a clock of its own for `loop`; `current()` is what streams use."""
        self._loop = ref(loop)
        self._buckets: dict[int, dict[_Timer, None]] = {}
        self._ticks: list[int] = []
        self._ready: deque[_Timer] = deque()
        self._wakeup: asyncio.TimerHandle | None = None
        self._wakeup_tick = 0
        self._context = Context()

    @classmethod
    def current(cls) -> LoopClock:
        """Give the clock of the running event loop, always the same one for a loop.

        Raises:
            RuntimeError: no event loop runs in this thread.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            message = "LoopClock.current() needs a running event loop; call it from a coroutine, or pass a clock"
            raise RuntimeError(message) from None
        clock = _clocks.get(loop)
        if clock is None:
            clock = _clocks[loop] = cls(loop)
        return clock

    # The function itself, without a frame of ours around it: this is read once per token.
    now_ns = staticmethod(time.monotonic_ns)

    def call_at(self, due_ns: int, callback: Callable[[], object]) -> TimerHandle:
        """Call `callback` on the loop at `due_ns` or up to a millisecond later, see `Clock.call_at`.

        Costs a dictionary entry; only the first timer of a millisecond costs more.

        Raises:
            RuntimeError: not called on the clock's own loop.
        """
        if asyncio.get_running_loop() is not self._loop():
            raise RuntimeError("this clock belongs to another event loop; use LoopClock.current()")
        tick = -(-due_ns // _TICK_NS)
        timer = _Timer(tick, due_ns, callback, self._forget)
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {timer: None}
            heapq.heappush(self._ticks, tick)
            self._arm()
        else:
            bucket[timer] = None
        return timer

    def _arm(self) -> None:
        """Have the one loop timer wake us for the earliest thing to do."""
        tick = self._next_tick()
        if tick is None:
            return
        if self._wakeup is not None:
            if self._wakeup_tick <= tick:
                return
            self._wakeup.cancel()
        # Whole milliseconds: uvloop rounds a delay to the nearest one and would wake too early.
        delay_s = max(0, tick - time.monotonic_ns() // _TICK_NS) * (_TICK_NS / 1e9)
        loop = asyncio.get_running_loop()
        self._wakeup = loop.call_later(delay_s, self._fire, context=self._context)
        self._wakeup_tick = tick

    def _next_tick(self) -> int | None:
        if self._ready:
            return 0
        while self._ticks and self._ticks[0] not in self._buckets:
            heapq.heappop(self._ticks)
        return self._ticks[0] if self._ticks else None

    def _fire(self) -> None:
        self._wakeup = None
        self._collect_due()
        try:
            # Timers made by these callbacks wait for the next turn, even those already due.
            for _ in range(min(len(self._ready), _MAX_CALLBACKS_PER_TURN)):
                self._run(self._ready.popleft())
        finally:
            self._arm()

    def _collect_due(self) -> None:
        # A loop may wake a timer early (its own resolution, a cached time): only our reading counts.
        now_tick = time.monotonic_ns() // _TICK_NS
        while self._ticks and self._ticks[0] <= now_tick:
            bucket = self._buckets.pop(heapq.heappop(self._ticks), ())
            self._ready.extend(sorted(bucket, key=_DUE_NS))

    def _run(self, timer: _Timer) -> None:
        callback = timer.callback
        timer.callback = timer.on_cancel = None
        if callback is None:
            return
        try:
            callback()
        except Exception as exc:
            context = {"message": f"the callback of a timer due at {timer.due_ns} ns failed", "exception": exc}
            asyncio.get_running_loop().call_exception_handler(context)

    def _forget(self, timer: _Timer) -> None:
        bucket = self._buckets.get(timer.tick)
        if bucket is None:
            return
        bucket.pop(timer, None)
        if bucket:
            return
        del self._buckets[timer.tick]
        if not self._buckets:
            self._ticks.clear()
            self._disarm()
        elif len(self._ticks) > 2 * len(self._buckets) + _SPARE_TICKS:
            self._ticks = list(self._buckets)
            heapq.heapify(self._ticks)

    def _disarm(self) -> None:
        if self._wakeup is not None and not self._ready:
            self._wakeup.cancel()
            self._wakeup = None


class _Timer:
    """One callback of a `LoopClock`; it holds neither callback nor clock once it ran or was cancelled."""

    __slots__ = ("callback", "due_ns", "on_cancel", "tick")

    def __init__(
        self, tick: int, due_ns: int, callback: Callable[[], object], on_cancel: Callable[[_Timer], None]
    ) -> None:
        self.tick = tick
        self.due_ns = due_ns
        self.callback: Callable[[], object] | None = callback
        self.on_cancel: Callable[[_Timer], None] | None = on_cancel

    def cancel(self) -> None:
        on_cancel = self.on_cancel
        self.callback = self.on_cancel = None
        if on_cancel is not None:
            on_cancel(self)


_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClock] = WeakKeyDictionary()


async def sleep_until(clock: Clock, due_ns: int) -> None:
    """Wait until `clock` reads at least `due_ns`; cancelling the wait withdraws its timer.

    Returns at once, without a turn of the loop, when that time has passed.
    """
    if clock.now_ns() >= due_ns:
        return
    waiter = asyncio.get_running_loop().create_future()

    def wake() -> None:
        # The wait may have been cancelled in the very turn in which it became due.
        if not waiter.done():
            waiter.set_result(None)

    timer = clock.call_at(due_ns, wake)
    try:
        await waiter
    finally:
        timer.cancel()
