"""Streams that a test feeds by hand: the same four calls, whichever variant is behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import reactivex.subject

import streams
from streams import BackpressureStrategy, BufferOverflow, Flowable, FlowableEmitter, Flux, FluxSink
from streams.reactive import Publisher
from streams.testing import ManualPublisher

__all__ = (
    "CREATORS",
    "OPERATORS",
    "STRATEGIES",
    "ByHand",
    "flowable_create",
    "flux_create",
    "flux_operator",
    "rx_operator",
)


class ByHand(NamedTuple):
    """A stream and the hands that feed it, once it has a subscriber."""

    publisher: Publisher[Any]
    next: Callable[[Any], object]
    complete: Callable[[], object]
    fail: Callable[[Exception], object]


def flux_create(strategy: BackpressureStrategy, *, on_drop: Callable[[Any], object] | None = None) -> ByHand:
    """Feed the sink of `Flux.create`."""
    sinks: list[FluxSink[Any]] = []
    return ByHand(
        Flux.create(sinks.append, strategy, on_drop=on_drop),
        lambda item: sinks[-1].next(item),
        lambda: sinks[-1].complete(),
        lambda error: sinks[-1].error(error),
    )


def flowable_create(strategy: BackpressureStrategy, *, on_drop: Callable[[Any], object] | None = None) -> ByHand:
    """Feed the emitter of `Flowable.create`."""
    emitters: list[FlowableEmitter[Any]] = []
    return ByHand(
        Flowable.create(emitters.append, strategy, on_drop=on_drop),
        lambda item: emitters[-1].on_next(item),
        lambda: emitters[-1].on_completed(),
        lambda error: emitters[-1].on_error(error),
    )


def flux_operator(name: str, *args: Any, **options: Any) -> ByHand:
    """Feed a ManualPublisher in front of an operator of Flux."""
    source: ManualPublisher[Any] = ManualPublisher()
    stream = getattr(Flux.from_publisher(source), name)(*args, **options)
    return ByHand(stream, source.next, source.complete, source.error)


def rx_operator(name: str, *args: Any, **options: Any) -> ByHand:
    """Feed a Subject in front of an RxPY operator."""
    source: reactivex.subject.Subject[Any] = reactivex.subject.Subject()
    stream = source.pipe(getattr(streams, name)(*args, **options))
    return ByHand(stream, source.on_next, source.on_completed, source.on_error)


CREATORS = {"Flux.create": flux_create, "Flowable.create": flowable_create}
OPERATORS = {"Flux": flux_operator, "Rx": rx_operator}

STRATEGIES = {
    "ERROR": BackpressureStrategy.ERROR,
    "DROP": BackpressureStrategy.DROP,
    "LATEST": BackpressureStrategy.LATEST,
    "buffer(None)": BackpressureStrategy.buffer(None),
    "buffer(2)": BackpressureStrategy.buffer(2),
    "buffer(2, DROP_OLDEST)": BackpressureStrategy.buffer(2, BufferOverflow.DROP_OLDEST),
    "buffer(2, DROP_INCOMING)": BackpressureStrategy.buffer(2, BufferOverflow.DROP_INCOMING),
    "buffer(2, DROP_NEWEST_HELD)": BackpressureStrategy.buffer(2, BufferOverflow.DROP_NEWEST_HELD),
    "reduce": BackpressureStrategy.reduce(max),
    "reduce(max_merged=2)": BackpressureStrategy.reduce(max, max_merged=2),
}
"""What both variants take: not MISSING, which ignores demand, nor a strategy that suspends."""
