"""Emitter, after Spring's SseEmitter: plain push, without demand and without a buffer. The producer waits for the tail.

What differs from Spring, on purpose: `send` is awaited instead of blocking a thread, early sends are bounded,
completion callbacks run also when the emitter completed before it got its handler, and one that is registered after
the end runs at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from streams.affinity import LOOK_AGAIN_S, LoopThread, report_undeliverable, start_task
from streams.arguments import checked_callback, checked_exception, positive_seconds
from streams.clock import LoopClock
from streams.eager import Begun, Failed, StandIn
from streams.errors import StreamClosedError
from streams.strategy import StreamStatistics

if TYPE_CHECKING:
    from streams.clock import Clock, TimerHandle

__all__ = ("Emitter",)

T = TypeVar("T")

_EARLY = 256  # sends that are kept before there is a handler; Spring keeps them without a bound


class _State(Enum):
    """Forwards only: EARLY -> ATTACHED -> CLOSING -> CLOSED, where each step may be left out."""

    EARLY = "early"  # no handler yet
    ATTACHED = "attached"
    CLOSING = "closing"  # complete was called: what was sent before goes first
    CLOSED = "closed"


class _Sent(NamedTuple):
    """One item on its way, and who waits for it: called with None when it was taken, else with what went wrong."""

    item: Any
    answer: Callable[[Exception | None], object] | None


_ATTACHED: Final = _State.ATTACHED  # Python 3.11 takes a tenth of a microsecond to look up a member of an enum
_AT_ONCE: Final = (_Sent(None, None),)  # in hand while a sender takes the handler's first step: nobody waits yet


class Emitter(Generic[T]):
    """A producer's end that waits for its one consumer, item by item.

    Args:
        timeout_s: how many seconds after `attach` the emitter ends by itself; None: never.
        clock: measures the timeout; the loop's own unless given.

    Raises:
        TypeError, ValueError: a timeout that is not a finite number above 0.
    """

    def __init__(self, timeout_s: float | None = None, *, clock: Clock | None = None) -> None:
        positive_seconds("timeout_s", timeout_s, "never")
        self._timeout_s = timeout_s
        self._clock = clock
        self._timer: TimerHandle | None = None
        self._lock = threading.Lock()
        self._state = _State.EARLY
        self._error: Exception | None = None
        self._waiting: deque[_Sent] = deque()
        self._in_hand: Sequence[_Sent] = ()
        self._begun: Begun | Failed | None = None
        self._thread: LoopThread | None = None
        self._attached = False
        self._pump: StandIn[list[T]] | None = None
        self._news: asyncio.Event | None = None
        self._on_timeout: list[Callable[[], object]] = []
        self._on_error: list[Callable[[Exception], object]] = []
        self._on_completion: list[Callable[[], object]] = []
        self._delivered = self._dropped = self._rejected = self._peak_held = 0
        self._ending = "the emitter has ended"

    # ------------------------------------------------------------------ the producer's end

    async def send(self, item: T) -> None:
        """Hand one item over: returns when the handler has taken it.

        Before there is a handler the item is kept and this returns at once, for the first 256 items; then it waits.
        Items whose sends wait together may be handed over together, in order. A cancelled send that still waits is
        withdrawn.

        A handler that need not wait takes the item within this call, which then waits for nothing: the loop gets no
        turn. A source that sends without a pause gives it one now and then, as `play` does every 64 items.

        Raises:
            StreamClosedError: the emitter has ended, or ends while this waits.
            RuntimeError: called by the handler, which would wait for itself.
            Exception: what the handler raised on this item; the emitter has failed with it, do not call complete.
        """
        pump, begun = self._pump, None
        if pump is not None and asyncio.get_running_loop() is pump.loop:
            sender = asyncio.current_task(pump.loop)
            if sender is pump.task:
                raise RuntimeError("send in the emitter's own handler would wait for itself: send from another task")
            if sender is not None and self._take_at_once():
                begun = pump.begin(sender, [item])
                if begun is None:
                    self._count_taken_at_once()
                    return
        await self._send_and_wait(item, begun)

    def send_blocking(self, item: T) -> None:
        """Do as `send` does, from another thread, which waits.

        Raises:
            RuntimeError: called in a thread that runs an event loop, which would stop.
            StreamClosedError, Exception: as `send`.
        """
        if _runs_loop():
            raise RuntimeError("send_blocking would stop the event loop; in its thread use `await emitter.send(item)`")
        answers: list[Exception | None] = []
        answered = threading.Event()

        def answer(error: Exception | None) -> None:
            answers.append(error)
            answered.set()

        if not self._must_wait(_Sent(item, answer)):
            return
        while not answered.wait(LOOK_AGAIN_S):
            if self._thread is not None and self._thread.loop.is_closed():
                self._finish(StreamClosedError("the event loop of the handler is closed"))
        if answers[0] is not None:
            raise answers[0]

    def complete(self) -> None:
        """End well, behind what has been sent. From any thread; again, and after any other end, it does nothing."""
        self._close(None)

    def complete_with_error(self, error: Exception) -> None:
        """End with `error`, behind what has been sent: `on_error` callbacks hear of it, then those of `on_completion`.

        From any thread. After an end the error is reported as undeliverable.

        Raises:
            TypeError: not an Exception.
        """
        if not self._close(checked_exception(error)):
            report_undeliverable(error)

    # ------------------------------------------------------------------ callbacks

    def on_timeout(self, callback: Callable[[], object]) -> None:
        """Hear, in order of registration and before `on_completion`, that `timeout_s` has passed."""
        self._on_timeout.append(checked_callback("callback", callback, optional=False))

    def on_error(self, callback: Callable[[Exception], object]) -> None:
        """Hear, before `on_completion`, what the handler raised or what `complete_with_error` was given."""
        self._on_error.append(checked_callback("callback", callback, optional=False))

    def on_completion(self, callback: Callable[[], object]) -> None:
        """Hear, once, that the emitter has ended, in whatever way: the place to clean up. At once if it has."""
        checked_callback("callback", callback, optional=False)
        with self._lock:
            ended = self._state is _State.CLOSED
            if not ended:
                self._on_completion.append(callback)
        if ended:
            _call_all([callback])

    # ------------------------------------------------------------------ the consumer's end

    def attach(self, handler: Callable[[list[T]], Awaitable[object]]) -> None:
        """Give the emitter its consumer: `handler` is awaited with one non-empty list of items after the other.

        What was sent before comes first, in order. If it raises, the emitter fails with that exception.

        Raises:
            RuntimeError: there is a handler already, or no event loop is running.
            TypeError: not a function.
        """
        if not callable(handler):
            raise TypeError(f"handler must be a coroutine function of (items); got {handler!r}")
        thread = LoopThread("attaching a handler")
        with self._lock:
            if self._attached:
                raise RuntimeError("the emitter has its handler already")
            if self._state is _State.EARLY:
                self._state = _State.ATTACHED
            self._thread = thread
            self._news = asyncio.Event()
            self._attached = True
        # Outside the lock: a loop with eager tasks runs its first step here and now.
        context = copy_context()
        start_task(thread.loop, self._hand_over(handler, context), context)
        if self._timeout_s is not None and self._state is not _State.CLOSED:
            clock = self._clock or LoopClock.current()
            self._timer = clock.call_at(clock.now_ns() + round(self._timeout_s * 1_000_000_000), self._time_out)

    def cancel(self) -> None:
        """End at once because the consumer has gone: a handler that works is cancelled, sends that wait raise.

        They raise StreamClosedError; then `on_completion` callbacks run. In the thread of the loop. Again it does
        nothing.
        """
        self._stop()

    async def wait_closed(self) -> None:
        """Wait until the emitter has ended and its callbacks have run. Raises nothing."""
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        thread = LoopThread()
        self.on_completion(lambda: thread.run(partial(_settle, closed, None)))
        await closed

    @property
    def statistics(self) -> StreamStatistics:
        """The counts so far: a snapshot. A send that waits is not counted; one that the handler works on is held."""
        with self._lock:
            held = self._held()
            counted = self._delivered + self._dropped + self._rejected + held
            peak = max(self._peak_held, held)
            return StreamStatistics(counted, self._delivered, self._dropped, 0, self._rejected, held, peak, 0)

    # ------------------------------------------------------------------ at once, in the sender's own turn

    def _take_at_once(self) -> bool:
        """Take one item in hand if nothing is before it and the pump waits. In the loop's thread, not in the pump.

        Needs no lock: nobody else takes items while this thread is here, and what a thread sends just now, or
        completes, comes behind.
        """
        if self._in_hand or self._waiting or self._state is not _ATTACHED:
            return False
        self._in_hand = _AT_ONCE
        self._peak_held = self._peak_held or 1
        return True

    def _count_taken_at_once(self) -> None:
        with self._lock:
            if self._in_hand is _AT_ONCE:
                self._in_hand = ()
                self._delivered += 1
                return
        raise StreamClosedError(self._ending)  # the handler has ended the emitter, and the item was dropped

    def _leave_to_pump(self, sent: _Sent, begun: Begun | Failed) -> None:
        """Have the pump finish what the sender began, as if it had begun it itself."""
        self._begun = begun
        self._tell_pump()
        with self._lock:
            if self._in_hand is _AT_ONCE:
                self._in_hand = (sent,)
                return
        raise StreamClosedError(self._ending)

    # ------------------------------------------------------------------ through the pump

    async def _send_and_wait(self, item: T, begun: Begun | Failed | None) -> None:
        """Have the pump hand the item over, or finish handing it over if that has begun, and wait for it."""
        thread = LoopThread("sending")
        answer: asyncio.Future[None] = thread.loop.create_future()

        def settle(error: Exception | None) -> None:
            thread.run(partial(_settle, answer, error))

        sent = _Sent(item, settle)
        if begun is not None:
            self._leave_to_pump(sent, begun)
        elif not self._must_wait(sent):
            return
        try:
            await answer
        except asyncio.CancelledError:
            self._withdraw(sent)
            raise

    def _must_wait(self, sent: _Sent) -> bool:
        """Put one item in line; False if nobody has to wait for it."""
        with self._lock:
            if self._state in {_State.CLOSING, _State.CLOSED}:
                self._rejected += 1
                raise StreamClosedError("the emitter has ended: nothing can be sent any more")
            early = self._state is _State.EARLY and len(self._waiting) < _EARLY
            self._waiting.append(_Sent(sent.item, None) if early else sent)
        if not early:
            self._tell_pump()
        return not early

    def _withdraw(self, sent: _Sent) -> None:
        with self._lock:
            for place, waiting in enumerate(self._waiting):
                if waiting is sent:
                    del self._waiting[place]
                    return

    def _tell_pump(self) -> None:
        thread, news = self._thread, self._news
        if thread is not None and news is not None and not thread.run(news.set):
            self._finish(StreamClosedError("the event loop of the handler is closed"))

    async def _hand_over(self, handler: Callable[[list[T]], Awaitable[object]], context: Context) -> None:
        """Hand over all that waits, again and again, until the emitter closes."""
        task = asyncio.current_task()
        assert task is not None
        self._pump = StandIn(task, context, handler)
        failure: Exception | None = None
        try:
            while await self._next_in_hand():
                begun, self._begun = self._begun, None
                await (begun or handler([sent.item for sent in self._in_hand]))
                self._answer_taken()
            failure = self._error
        except Exception as error:  # whatever it is, it is the emitter's end
            failure = error
            if not self._on_error and all(sent.answer is None for sent in self._in_hand):
                report_undeliverable(error)  # early items have no sender who waits, and nobody else listens
        except asyncio.CancelledError:
            failure = StreamClosedError("the task that hands items over was cancelled")
            raise
        finally:
            self._finish(failure)

    async def _next_in_hand(self) -> bool:
        """Wait for items, take all that wait; False when the emitter is to close and all is handed over."""
        news = self._news
        assert news is not None
        while True:
            news.clear()
            if self._begun is not None:
                return True
            with self._lock:
                self._take_waiting()
                if self._in_hand:
                    return True
                if self._state is not _State.ATTACHED:
                    return False
            try:
                await news.wait()
            except asyncio.CancelledError as cancellation:
                if self._begun is None:
                    raise
                self._begun.cancel(cancellation)

    def _take_waiting(self) -> None:
        early = [sent for sent in self._waiting if sent.answer is None]  # they stand first, and go first
        self._in_hand = early or tuple(self._waiting)
        for _ in self._in_hand:
            self._waiting.popleft()
        self._peak_held = max(self._peak_held, len(self._in_hand))

    def _answer_taken(self) -> None:
        with self._lock:
            taken, self._in_hand = self._in_hand, ()
            self._delivered += len(taken)
        for sent in taken:
            if sent.answer is not None:
                sent.answer(None)

    # ------------------------------------------------------------------ the end

    def _close(self, error: Exception | None) -> bool:
        with self._lock:
            if self._state in {_State.CLOSING, _State.CLOSED}:
                return False
            self._state = _State.CLOSING
            self._error = error
            pending = self._attached or bool(self._waiting)
        if pending:
            self._tell_pump()
        else:  # nothing to hand over, and nobody to do it
            self._finish(error)
        return True

    def _time_out(self) -> None:
        self._stop(timed_out=True)

    def _stop(self, *, timed_out: bool = False) -> None:
        if self._finish(None, timed_out=timed_out) and self._pump is not None:
            self._pump.task.cancel()

    def _finish(self, failure: Exception | None, *, timed_out: bool = False) -> bool:
        """Close for good, answer everybody who still waits, and run the callbacks; False if that was done before."""
        with self._lock:
            if self._state is _State.CLOSED:
                return False
            self._state = _State.CLOSED
            if timed_out:
                self._ending = "the emitter timed out"
            in_hand, self._in_hand = self._in_hand, ()
            waiting, self._waiting = self._waiting, deque()
            early = sum(sent.answer is None for sent in waiting)
            self._dropped += len(in_hand) + early
            self._rejected += len(waiting) - early
            callbacks: list[Callable[[], object]] = list(self._on_timeout) if timed_out else []
            if failure is not None:
                callbacks += [partial(callback, failure) for callback in self._on_error]
            callbacks += self._on_completion
        if self._timer is not None:
            self._timer.cancel()
        closed = StreamClosedError(self._ending)
        for sent in in_hand:
            _answer(sent, failure or closed)
        for sent in waiting:
            _answer(sent, closed)
        _call_all(callbacks)
        return True

    def _held(self) -> int:
        return len(self._in_hand) + sum(sent.answer is None for sent in self._waiting)


def _answer(sent: _Sent, error: Exception) -> None:
    if sent.answer is not None:
        sent.answer(error)


def _settle(answer: asyncio.Future[None], error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    elif isinstance(error, StopIteration):  # no future takes it
        answer.set_exception(RuntimeError(f"the handler raised {error!r}"))
    else:
        answer.set_exception(error)


def _call_all(callbacks: list[Callable[[], object]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception as error:  # the others still run
            report_undeliverable(error)


def _runs_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
