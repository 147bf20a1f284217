"""The publishers of this project, in every way that one can be made, as subjects of the checks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable
from operator import add
from typing import Any

import reactivex
from reactivex.abc import ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from streams import (
    BackpressureStrategy,
    BufferOverflow,
    Flowable,
    FlowableEmitter,
    Flux,
    FluxSink,
    limit_rate,
    on_backpressure_buffer,
    on_backpressure_drop,
    on_backpressure_error,
    on_backpressure_latest,
    on_backpressure_reduce,
)
from tests.streams.conformance.by_hand import STRATEGIES
from tests.streams.conformance.harness import Failure, Subject

__all__ = ("FLUX", "FLUX_OPERATORS", "LOSSLESS", "RX_OPERATORS", "SUBJECTS", "subject")

Make = Callable[[int, Exception | None], Any]
UNBOUNDED_BUFFER = BackpressureStrategy.buffer(None)


def subject(name: str, make: Make, *, lossless: bool = True, pulls: bool = False) -> Subject:
    """Make a subject of `make(count, failure)`, which completes where the failure is None."""
    return Subject(name, lambda n: make(n, None), lambda n: make(n, Failure()), lossless, pulls)


# --- Producers ---------------------------------------------------------------------------------------------------


def end(sink: FluxSink[int], failure: Exception | None) -> None:
    if failure is None:
        sink.complete()
    else:
        sink.error(failure)


def in_a_thread(work: Callable[[], object]) -> None:
    """Run `work` in a thread of its own, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def run_here(work: Callable[[], object]) -> None:
    work()


def flux_create(strategy: BackpressureStrategy, run: Callable[[Callable[[], object]], None] = run_here) -> Make:
    """Emit all at once, whatever the demand."""

    def make(count: int, failure: Exception | None) -> Flux[int]:
        def producer(sink: FluxSink[int]) -> None:
            def work() -> None:
                for item in range(count):
                    sink.next(item)
                end(sink, failure)

            run(work)

        return Flux.create(producer, strategy)

    return make


def flux_create_on_request(
    strategy: BackpressureStrategy, run: Callable[[Callable[[], object]], None] = run_here
) -> Make:
    """Emit what is requested: no strategy ever has to act."""

    def make(count: int, failure: Exception | None) -> Flux[int]:
        def producer(sink: FluxSink[int]) -> None:
            items = iter(range(count))
            left = count

            def emit(n: int) -> None:
                nonlocal left
                for item in itertools.islice(items, n):
                    left -= 1
                    sink.next(item)
                if not left and not sink.is_cancelled:
                    end(sink, failure)

            if count:
                sink.on_request(lambda n: run(lambda: emit(min(n, count))))
            else:
                end(sink, failure)

        return Flux.create(producer, strategy)

    return make


def flux_create_coroutine(strategy: BackpressureStrategy) -> Make:
    """Await each item's room, and end by returning or raising."""

    def make(count: int, failure: Exception | None) -> Flux[int]:
        async def producer(sink: FluxSink[int]) -> None:
            for item in range(count):
                await sink.send(item)
            if failure is not None:
                raise failure

        return Flux.create(producer, strategy)

    return make


class Countable:
    """An async iterable that can be read again, as a source that is pulled."""

    def __init__(self, count: int, failure: Exception | None) -> None:
        self._count = count
        self._failure = failure

    async def __aiter__(self) -> AsyncIterator[int]:
        for item in range(self._count):
            yield item
        if self._failure is not None:
            raise self._failure


def flowable_create(
    strategy: BackpressureStrategy,
    run: Callable[[Callable[[], object]], None] = run_here,
    *,
    serialized: bool = False,
) -> Make:
    """Emit all at once, whatever the demand."""

    def make(count: int, failure: Exception | None) -> Flowable[int]:
        def producer(emitter: FlowableEmitter[int]) -> None:
            out = emitter.serialize() if serialized else emitter

            def work() -> None:
                for item in range(count):
                    out.on_next(item)
                if failure is None:
                    out.on_completed()
                else:
                    out.on_error(failure)

            run(work)

        return Flowable.create(producer, strategy)

    return make


def observable(count: int, failure: Exception | None) -> reactivex.Observable[int]:
    """Emit all at once, as Rx sources do."""

    def subscribe(observer: ObserverBase[int], _: SchedulerBase | None = None) -> Disposable:
        for item in range(count):
            observer.on_next(item)
        if failure is None:
            observer.on_completed()
        else:
            observer.on_error(failure)
        return Disposable()

    return reactivex.Observable(subscribe)


def just(count: int, failure: Exception | None) -> Flux[int]:
    """Pull for completion by `Flux.just`; it cannot fail, so a failure is a source that emits on request."""
    if failure is None:
        return Flux.just(*range(count)) if count else Flux.empty()
    if not count:
        return Flux.error(failure)
    return flux_create_on_request(UNBOUNDED_BUFFER)(count, failure)  # type: ignore[no-any-return]


def flux_then(operator: Callable[[Flux[int]], Any]) -> Make:
    return lambda count, failure: operator(just(count, failure))


def rx_then(*operators: Callable[[Any], Any]) -> Make:
    return lambda count, failure: observable(count, failure).pipe(*operators)


# --- The tables --------------------------------------------------------------------------------------------------

_FLUX_STRATEGIES = {
    **STRATEGIES,
    "MISSING": BackpressureStrategy.MISSING,
    "suspend(0)": BackpressureStrategy.suspend(),
    "suspend(2)": BackpressureStrategy.suspend(2),
}
_WAITING = {
    "suspend(0)": BackpressureStrategy.suspend(),
    "suspend(2)": BackpressureStrategy.suspend(2),
    "buffer(3, SUSPEND)": BackpressureStrategy.buffer(3, BufferOverflow.SUSPEND),
    "buffer(None)": UNBOUNDED_BUFFER,
}

FLUX_MAKERS = (
    subject("Flux.just", just),
    subject("Flux.from_async_iterable", lambda n, e: Flux.from_async_iterable(Countable(n, e)), pulls=True),
    subject("Flux.from_publisher", lambda n, e: Flux.from_publisher(just(n, e))),
    subject(
        "Flux.from_publisher of a Flowable", lambda n, e: Flux.from_publisher(flowable_create(UNBOUNDED_BUFFER)(n, e))
    ),
    subject("Flux.create, function", flux_create(UNBOUNDED_BUFFER)),
    subject("Flux.create, thread", flux_create(UNBOUNDED_BUFFER, in_a_thread)),
    subject("Flux.create, thread on request, DROP", flux_create_on_request(BackpressureStrategy.DROP, in_a_thread)),
    *(subject(f"Flux.create, on request, {n}", flux_create_on_request(s)) for n, s in _FLUX_STRATEGIES.items()),
    *(subject(f"Flux.create, coroutine, {n}", flux_create_coroutine(s)) for n, s in _WAITING.items()),
    *(
        subject(f"Flux.create, function, {n}", flux_create(STRATEGIES[n]), lossless=False)
        for n in ("ERROR", "DROP", "LATEST")
    ),
)

FLUX_OPERATORS = (
    subject("Flux.on_backpressure_buffer", flux_then(lambda flux: flux.on_backpressure_buffer(None))),
    subject("Flux.on_backpressure_buffer, ttl", flux_then(lambda flux: flux.on_backpressure_buffer(128, ttl_s=3600))),
    subject("Flux.on_backpressure_drop", flux_then(lambda flux: flux.on_backpressure_drop()), lossless=False),
    subject("Flux.on_backpressure_latest", flux_then(lambda flux: flux.on_backpressure_latest()), lossless=False),
    subject("Flux.on_backpressure_error", flux_then(lambda flux: flux.on_backpressure_error()), lossless=False),
    subject("Flux.on_backpressure_reduce", flux_then(lambda flux: flux.on_backpressure_reduce(add)), lossless=False),
    subject("Flux.limit_rate(1)", flux_then(lambda flux: flux.limit_rate(1))),
    subject("Flux.limit_rate(8)", flux_then(lambda flux: flux.limit_rate(8))),
    subject("Flux.limit_rate(4, 0)", flux_then(lambda flux: flux.limit_rate(4, 0))),
)

RX_MAKERS = (
    subject("Flowable.create", flowable_create(UNBOUNDED_BUFFER)),
    subject("Flowable.create, serialized", flowable_create(UNBOUNDED_BUFFER, serialized=True)),
    subject("Flowable.create, thread", flowable_create(UNBOUNDED_BUFFER, in_a_thread)),
    *(
        subject(f"Flowable.create, {n}", flowable_create(s), lossless=False)
        for n, s in STRATEGIES.items()
        if n != "buffer(None)"
    ),
)

RX_OPERATORS = (
    subject("on_backpressure_buffer", rx_then(on_backpressure_buffer(None))),
    subject("on_backpressure_buffer, delay_error", rx_then(on_backpressure_buffer(None, delay_error=True))),
    subject("on_backpressure_drop", rx_then(on_backpressure_drop()), lossless=False),
    subject("on_backpressure_latest", rx_then(on_backpressure_latest()), lossless=False),
    subject("on_backpressure_error", rx_then(on_backpressure_error()), lossless=False),
    subject("on_backpressure_reduce", rx_then(on_backpressure_reduce(add)), lossless=False),
    subject("limit_rate(1)", rx_then(on_backpressure_buffer(None), limit_rate(1))),
    subject("limit_rate(8, 2)", rx_then(on_backpressure_buffer(None), limit_rate(8, 2))),
    subject(
        "Flux.to_observable, on_backpressure_buffer",
        lambda n, e: just(n, e).to_observable().pipe(on_backpressure_buffer(None)),
    ),
)

FLUX = (*FLUX_MAKERS, *FLUX_OPERATORS)
SUBJECTS = (*FLUX, *RX_MAKERS, *RX_OPERATORS)
LOSSLESS = tuple(subject for subject in SUBJECTS if subject.lossless)
