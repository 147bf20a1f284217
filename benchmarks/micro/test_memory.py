"""What an open, idle subscription holds: the Python objects that tracemalloc counts, the consumer's own included."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable

import pytest

from benchmarks.micro.race import Memory, Row
from streams.flux import Flux, FluxSink
from streams.overflow import BackpressureStrategy
from streams.reactive import Subscription

__all__ = ()

MANY = 10_000
FEW = 100
GOAL_BYTES = 3 * 1024


class IdleSubscriber:
    """The least that a Subscriber is: it keeps its subscription and asks for one item."""

    __slots__ = ("subscription",)

    def on_subscribe(self, subscription: Subscription) -> None:
        self.subscription = subscription
        subscription.request(1)

    def on_next(self, item: object) -> None:
        pass

    def on_error(self, error: Exception) -> None:
        pass

    def on_complete(self) -> None:
        pass


def idle(sink: FluxSink[object]) -> None:
    """A producer that has nothing to give yet."""


def subscribed() -> object:
    subscriber = IdleSubscriber()
    Flux.create(idle, BackpressureStrategy.buffer(256)).subscribe(subscriber)
    return subscriber


def subscribed_after_one_item() -> object:
    subscriber = IdleSubscriber()
    sinks: list[FluxSink[object]] = []
    Flux.create(sinks.append, BackpressureStrategy.buffer(256)).subscribe(subscriber)
    sinks[0].next(None)
    return subscriber


def batches() -> object:
    return Flux.create(idle, BackpressureStrategy.buffer(256)).batches(256)


def bytes_each(open_one: Callable[[], object], count: int) -> float:
    """Return the bytes that one of `count` holds, without the list that holds them all."""
    kept: list[object] = [None] * count
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for place in range(count):
            kept[place] = open_one()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / count


@pytest.mark.parametrize(
    ("name", "open_one"),
    [
        ("subscribe(minimal Subscriber)", subscribed),
        ("subscribe(minimal Subscriber), one item passed", subscribed_after_one_item),
        ("batches(256)", batches),
    ],
)
def test_idle_subscription(
    name: str,
    open_one: Callable[[], object],
    is_measuring: bool,
    note: Callable[[Row], None],
    runner: asyncio.Runner,
) -> None:
    async def measure(count: int) -> float:
        return bytes_each(open_one, count)

    runner.run(measure(FEW))  # what is made once, at the first use
    count = MANY if is_measuring else FEW
    note(Memory(f"idle Flux: {name}", runner.run(measure(count)), GOAL_BYTES))
