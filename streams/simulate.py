"""One stream on a virtual clock: a source's schedule, a strategy and a slow consumer give a trace of all that happens.

Nothing sleeps, and no rule is written a second time: the core is the one that Flux and Flowable stand on, this module
only says what comes when. At one instant,

    1. items reach their age limit
    2. a reader is no longer busy, a subscriber requests and gets what is due, then it may cancel
    3. the source emits all its items of this instant, as a producer does that gives the loop no turn between them
    4. a waiting reader wakes, and finds all of them
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from heapq import heappop, heappush
from itertools import count, repeat
from typing import Any, Final, NoReturn

from streams.arguments import shown
from streams.overflow import EMPTY, OverflowBuffer, Terminal
from streams.reactive import UNBOUNDED
from streams.schedules import DemandSchedule, SlowReader, SourceSchedule, ns
from streams.strategy import BackpressureStrategy, EmitResult, checked_strategy
from streams.traces import DropReason, Step, StepKind, Trace

__all__ = ("DemandSchedule", "DropReason", "SlowReader", "SourceSchedule", "Step", "StepKind", "Trace", "simulate")

_REJECTED: Final = (EmitResult.FAIL_CANCELLED, EmitResult.FAIL_TERMINATED)
_LOST_TO: Final = {EmitResult.FAIL_OVERFLOW: DropReason.OVERFLOW, EmitResult.FAIL_TERMINATED: DropReason.ERROR}


def simulate(
    strategy: BackpressureStrategy,
    source: SourceSchedule,
    consumer: SlowReader | DemandSchedule,
    *,
    delay_error: bool = True,
    ttl_ns: int | None = None,
) -> Trace:
    """Run one stream from virtual time 0 until nothing more can happen.

    Args:
        strategy: what to do when the consumer is slower.
        source: what is emitted when.
        consumer: who takes it when.
        delay_error: whether a failure waits behind the held items or overtakes those that are not promised.
        ttl_ns: how long an item may be held unpromised, in nanoseconds; None: for ever.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
        Exception: what a Join raised after the source had failed, so that it is no signal any more.
    """
    if not isinstance(source, SourceSchedule):
        raise TypeError(f"source must be a SourceSchedule; got {shown(source)}")
    if not isinstance(consumer, SlowReader | DemandSchedule):
        raise TypeError(f"consumer must be a SlowReader or a DemandSchedule; got {shown(consumer)}")
    run = _Run(checked_strategy(strategy), source, delay_error, ttl_ns)
    if isinstance(consumer, SlowReader):
        run.start_reader(consumer)
    else:
        run.start_subscriber(consumer)
    return run.to_the_end()


class _Turn(IntEnum):
    """Who goes first at one instant."""

    CONSUMER = 1
    LEAVING = 2
    SOURCE = 3
    WAKING = 4


class _Run:
    """The agenda of one simulation, and its steps so far."""

    def __init__(
        self, strategy: BackpressureStrategy, source: SourceSchedule, delay_error: bool, ttl_ns: int | None
    ) -> None:
        self._lost: list[Any] = []
        self._resumed: list[EmitResult] = []
        self._buffer: OverflowBuffer[Any] = OverflowBuffer.of(
            strategy, delay_error=delay_error, ttl_ns=ttl_ns, on_drop=self._lost.append, on_undeliverable=_raise
        )
        self._source = source
        self._emitted = 0
        self._steps: list[Step] = []
        self._dropped = self._demand = 0  # as the steps tell it
        self._now_ns = 0
        self._agenda: list[tuple[int, _Turn, int, Callable[[], object]]] = []
        self._order = count()
        self._plan_source()

    def to_the_end(self) -> Trace:
        """Do what is due, instant by instant."""
        while True:
            expiry_ns = self._buffer.next_expiry_ns
            if expiry_ns is not None and (not self._agenda or expiry_ns <= self._agenda[0][0]):
                self._now_ns = max(self._now_ns, expiry_ns)
                self._buffer.expire(self._now_ns)
                self._tell_effects(DropReason.AGE)
            elif self._agenda:
                self._now_ns, _, _, action = heappop(self._agenda)
                action()
            else:
                return Trace(tuple(self._steps), self._buffer.statistics)

    def _plan(self, at_ns: int, turn: _Turn, action: Callable[[], object]) -> None:
        heappush(self._agenda, (max(at_ns, self._now_ns), turn, next(self._order), action))

    # ------------------------------------------------------------------ the source

    def _plan_source(self) -> None:
        if self._emitted < len(self._source.emissions):
            at_ms, item = self._source.emissions[self._emitted]
            self._plan(ns(at_ms), _Turn.SOURCE, lambda: self._emit(item))
        elif self._source.end_ms is not None:
            self._plan(ns(self._source.end_ms), _Turn.SOURCE, self._end)

    def _emit(self, item: Any) -> None:
        if not self._buffer.is_active:
            return
        result = self._buffer.offer_or_wait(item, self._resumed.append, self._now_ns)
        if result is EmitResult.WOULD_SUSPEND:
            self._tell(StepKind.SUSPEND, item)
        else:
            self._tell_emitted(item, result)

    def _end(self) -> None:
        if not self._buffer.is_active:
            return
        error = self._source.error
        _ = self._buffer.complete() if error is None else self._buffer.fail(error)
        self._tell(StepKind.END, error=error)
        self._tell_effects()

    # ------------------------------------------------------------------ the consumer

    def start_reader(self, reader: SlowReader) -> None:
        """Have a reader take one item after the other."""
        busy_ns = reader.busy_ns()
        turn = _Turn.WAKING

        def read() -> None:
            nonlocal turn
            demand = self._buffer.demand
            items = self._buffer.take(1)
            for item in items:
                if not demand:
                    self._tell(StepKind.DEMAND, n=1)
                self._tell(StepKind.DELIVER, item)
                self._plan(self._now_ns + next(busy_ns), _Turn.CONSUMER, read)
            self._tell_effects()
            if not items:
                turn = _Turn.CONSUMER  # an item that the wait itself lets in is taken without a turn of the loop
                terminal = self._buffer.wait(wake, reader.prefetch)
                turn = _Turn.WAKING
                if terminal is not None:
                    self._tell_terminal(terminal)
                self._tell_effects()

        def wake() -> None:
            self._plan(self._now_ns, turn, read)

        self._plan(0, _Turn.CONSUMER, read)
        self._plan_cancel(reader.cancel_ms)

    def start_subscriber(self, demand: DemandSchedule) -> None:
        """Have a subscriber request by the clock, and get what is due at once."""

        def request(n: int) -> None:
            self._buffer.request(n)
            self._tell(StepKind.DEMAND, n=n)
            self._tell_effects()

        def deliver() -> None:
            signal = self._buffer.next_signal(wake)
            if isinstance(signal, Terminal):
                self._tell_terminal(signal)
            elif signal is not EMPTY:
                self._tell(StepKind.DELIVER, signal)
                self._plan(self._now_ns, _Turn.CONSUMER, deliver)
            self._tell_effects()

        def wake() -> None:
            self._plan(self._now_ns, _Turn.CONSUMER, deliver)

        for at_ms, n in demand.requests:
            self._plan(ns(at_ms), _Turn.CONSUMER, partial(request, n))
        self._plan(0, _Turn.CONSUMER, deliver)
        self._plan_cancel(demand.cancel_ms)

    def _plan_cancel(self, cancel_ms: float | None) -> None:
        if cancel_ms is not None:
            self._plan(ns(cancel_ms), _Turn.LEAVING, self._cancel)

    def _cancel(self) -> None:
        self._buffer.cancel()
        self._tell(StepKind.CANCEL)
        self._tell_effects(DropReason.CANCEL)
        self._agenda.clear()

    # ------------------------------------------------------------------ the trace

    def _tell(self, kind: StepKind, item: Any = None, n: int = 0, **facts: Any) -> None:
        if kind is StepKind.DEMAND:
            self._demand = min(self._demand + n, UNBOUNDED)
        elif kind is StepKind.DROP:
            self._dropped += 1
        elif kind is StepKind.DELIVER and self._demand < UNBOUNDED:
            self._demand = max(0, self._demand - 1)
        counts = self._buffer.statistics
        self._steps.append(Step(self._now_ns, kind, counts.held, counts.demand, item, n, **facts))

    def _tell_emitted(self, item: Any, result: EmitResult) -> None:
        self._tell(StepKind.EMIT, item, result=result)
        if result is EmitResult.MERGED:
            self._tell(StepKind.MERGE, item)
        elif result in _REJECTED and not self._lost:  # an item whose reducer raised is lost, not rejected
            self._tell(StepKind.REJECT, item)
        self._emitted += 1
        self._plan_source()
        self._tell_effects(_LOST_TO.get(result, DropReason.STRATEGY))

    def _tell_terminal(self, terminal: Terminal) -> None:
        self._tell(StepKind.TERMINAL, error=terminal.error)
        self._agenda.clear()

    def _tell_effects(self, reason: DropReason = DropReason.ERROR) -> None:
        """Tell what the last call to the core did besides: demand it changed, items it lost, a source it resumed."""
        change = self._buffer.demand - self._demand
        if change:
            self._tell(StepKind.DEMAND, n=change)
        unmade = self._buffer.statistics.dropped - self._dropped - len(self._lost)
        lost = [*self._lost, *repeat(None, unmade)]
        self._lost.clear()
        for item in lost:
            self._tell(StepKind.DROP, item, reason=reason)
        if self._resumed:
            _, item = self._source.emissions[self._emitted]
            self._tell(StepKind.RESUME, item)
            self._tell_emitted(item, self._resumed.pop())


def _raise(error: Exception) -> NoReturn:
    raise error
