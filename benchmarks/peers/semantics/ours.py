"""The schedules through our own operators: Flowable for RxJava, Flux for Reactor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from benchmarks.peers.semantics.schedules import Schedule, Seen, Step
from streams import (
    BackpressureStrategy,
    BufferOverflow,
    BufferOverflowError,
    Flowable,
    FlowableEmitter,
    Flux,
    on_backpressure_buffer,
    on_backpressure_drop,
    on_backpressure_error,
    on_backpressure_latest,
    on_backpressure_reduce,
)
from streams.testing import ManualPublisher, TestSubscriber

__all__ = ("run_ours",)

Item = str | None

_STRATEGIES: Final = {
    "missing": BackpressureStrategy.MISSING,
    "error": BackpressureStrategy.ERROR,
    "drop": BackpressureStrategy.DROP,
    "latest": BackpressureStrategy.LATEST,
    "buffer": BackpressureStrategy.buffer(None),
}
_OVERFLOWS: Final = {
    ("rxjava", "drop_latest"): BufferOverflow.DROP_NEWEST_HELD,
    ("reactor", "drop_latest"): BufferOverflow.DROP_INCOMING,
}


class _SourceFailureError(Exception):
    pass


class _CallbackFailureError(Exception):
    pass


class _Log:
    """Keeps what was seen during each step."""

    def __init__(self, schedule: Schedule) -> None:
        self._raises = schedule.callback == "raises"
        self._begin()

    def _begin(self) -> None:
        self.next: list[Item] = []
        self.dropped: list[Item] = []
        self.ends: list[str] = []

    def tell_dropped(self, item: Item) -> None:
        self.dropped.append(item)
        if self._raises:
            raise _CallbackFailureError

    def take(self) -> Seen:
        seen = Seen(tuple(self.next), tuple(self.dropped), tuple(self.ends))
        self._begin()
        return seen


class _Consumer(TestSubscriber[Item]):
    """A TestSubscriber that can act from inside `on_next`."""

    def __init__(self, schedule: Schedule, log: _Log) -> None:
        super().__init__(initial_request=0)
        self._schedule = schedule
        self._log = log

    def on_next(self, item: Item) -> None:
        super().on_next(item)
        self._log.next.append(item)
        if len(self.values) == self._schedule.cancel_after:
            self.cancel()
        elif self._schedule.refill:
            self.request(self._schedule.refill)

    def on_error(self, error: Exception) -> None:
        super().on_error(error)
        self._log.ends.append(_word(error))

    def on_complete(self) -> None:
        super().on_complete()
        self._log.ends.append("complete")


class _Producer(Protocol):
    """The left end of a stream."""

    def next(self, item: Any, /) -> object: ...
    def error(self, error: Exception, /) -> object: ...
    def complete(self) -> object: ...


class _RxProducer:
    """An RxPY observer as a left end: the emitter of `Flowable.create`."""

    def __init__(self) -> None:
        self.observer: Any = None

    def connect(self, observer: FlowableEmitter[Any]) -> None:
        self.observer = observer

    def next(self, item: Item) -> None:
        self.observer.on_next(item)

    def error(self, error: Exception) -> None:
        self.observer.on_error(error)

    def complete(self) -> None:
        self.observer.on_completed()


def run_ours(schedules: Sequence[Schedule]) -> list[tuple[Seen, ...]]:
    """Run each schedule; what was seen during each of its steps.

    Raises:
        AssertionError: a stream broke a rule that its strategy does not break on purpose.
    """

    async def run_all() -> list[tuple[Seen, ...]]:
        # Late errors are undeliverable here as there; what became of them is not compared.
        asyncio.get_running_loop().set_exception_handler(_ignore)
        return [_run(schedule) for schedule in schedules]

    return asyncio.run(run_all())


def _ignore(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What is undeliverable is nobody's outcome."""


def _run(schedule: Schedule) -> tuple[Seen, ...]:
    log = _Log(schedule)
    consumer = _Consumer(schedule, log)
    open_stream = _open_flowable if schedule.library == "rxjava" else _open_flux
    producer = open_stream(schedule, consumer, log.tell_dropped)
    log.take()
    outcome: list[Seen] = []
    for step in schedule.steps:
        _act(step, producer, consumer)
        outcome.append(log.take())
    assert schedule.strategy == "missing" or not consumer.violations, (schedule.name, consumer.violations)
    return tuple(outcome)


def _act(step: Step, producer: _Producer, consumer: _Consumer) -> None:
    match step.signal:
        case "emit":
            producer.next(step.item)
        case "request":
            consumer.request(step.n)
        case "complete":
            producer.complete()
        case "error":
            producer.error(_SourceFailureError())
        case "cancel":
            consumer.cancel()
        case "pass":
            pass


def _open_flowable(schedule: Schedule, consumer: _Consumer, on_drop: Callable[[Item], None]) -> _Producer:
    producer = _RxProducer()
    if schedule.strategy is not None:
        stream = Flowable.create(producer.connect, _STRATEGIES[schedule.strategy], on_drop=on_drop)
    else:
        # Before an operator stands an Observable that passes everything on, whatever the demand.
        source = Flowable.create(producer.connect, BackpressureStrategy.MISSING)
        stream = source.pipe(_rx_operator(schedule, on_drop))
    stream.subscribe(consumer)
    return producer


def _rx_operator(schedule: Schedule, on_drop: Callable[[Item], None]) -> Callable[[Any], Flowable[Any]]:
    match schedule.operator:
        case "drop":
            return on_backpressure_drop(on_drop)
        case "latest":
            return on_backpressure_latest(on_drop)
        case "error":
            return on_backpressure_error()
        case "reduce":
            return on_backpressure_reduce(lambda held, incoming: f"{held}+{incoming}")
        case _:
            return on_backpressure_buffer(
                schedule.capacity,
                overflow=_overflow(schedule),
                delay_error=bool(schedule.delay_error),
                on_drop=on_drop,
            )


def _open_flux(schedule: Schedule, consumer: _Consumer, on_drop: Callable[[Item], None]) -> _Producer:
    if schedule.strategy is not None:
        sinks: list[Any] = []
        Flux.create(sinks.append, _STRATEGIES[schedule.strategy], on_drop=on_drop).subscribe(consumer)
        return sinks[0]  # type: ignore[no-any-return]
    source: ManualPublisher[Item] = ManualPublisher()
    _protected_flux(schedule, Flux[Item].from_publisher(source), on_drop).subscribe(consumer)
    return source


def _protected_flux(schedule: Schedule, source: Flux[Item], on_drop: Callable[[Item], None]) -> Flux[Item]:
    match schedule.operator:
        case "drop":
            return source.on_backpressure_drop(on_drop)
        case "latest":
            return source.on_backpressure_latest(on_drop)
        case "error":
            return source.on_backpressure_error()
        case _:
            return source.on_backpressure_buffer(schedule.capacity, overflow=_overflow(schedule), on_drop=on_drop)


def _overflow(schedule: Schedule) -> BufferOverflow:
    if schedule.overflow is None:
        return BufferOverflow.ERROR
    return _OVERFLOWS.get((schedule.library, schedule.overflow)) or BufferOverflow(schedule.overflow)


def _word(error: Exception) -> str:
    match error:
        case _SourceFailureError():
            return "source"
        case _CallbackFailureError():
            return "callback"
        case BufferOverflowError():
            return "overflow" + (", cause callback" if isinstance(error.__cause__, _CallbackFailureError) else "")
        case ValueError():
            return "bad request"
        case _:
            return type(error).__name__
