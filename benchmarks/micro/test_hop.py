"""One hop on one event loop: a producer, a boundary, a consumer that does nothing, beside asyncio.Queue(256) put/get.

A producer that cannot wait gives the loop a turn every 256 items, as a queue of 256 would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio
import culsans
import janus
import pytest

from benchmarks.micro.race import FEW, MANY, Contender, Item, Race, make_item
from streams.emitter import Emitter
from streams.flowable import Flowable
from streams.flux import Flux, FluxSink
from streams.overflow import BackpressureStrategy, BufferOverflow, EmitResult, Join
from streams.strategy import StreamStatistics

__all__ = ()

CAPACITY = 256

Hop = Callable[[int], Coroutine[Any, Any, int]]


def contender(runner: asyncio.Runner, name: str, hop: Hop, item_count: int = MANY) -> Contender:
    return Contender(name, lambda count: runner.run(hop(count)), item_count)


# ---------------------------------------------------------------------- peers


async def queue_put_get(count: int) -> int:
    queue: asyncio.Queue[Item] = asyncio.Queue(CAPACITY)
    return await put_and_get(count, queue.put, queue.get)


async def put_and_get(count: int, put: Callable[[Item], Awaitable[None]], get: Callable[[], Awaitable[Item]]) -> int:
    async def produce() -> None:
        for index in range(count):
            await put(make_item(index))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce())
        for arrived in range(count):
            assert (await get())["index"] == arrived
    return count


async def queue_nowait(count: int) -> int:
    queue: asyncio.Queue[Item] = asyncio.Queue(CAPACITY)

    async def produce() -> None:
        for index in range(count):
            item = make_item(index)
            try:
                queue.put_nowait(item)
            except asyncio.QueueFull:
                await queue.put(item)

    arrived = 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce())
        while arrived < count:
            await queue.get()
            arrived += 1
            with suppress(asyncio.QueueEmpty):
                while True:
                    queue.get_nowait()
                    arrived += 1
    return arrived


async def anyio_send_receive(count: int) -> int:
    send, receive = anyio.create_memory_object_stream[Item](CAPACITY)
    with send, receive:
        return await put_and_get(count, send.send, receive.receive)


async def anyio_nowait(count: int) -> int:
    send, receive = anyio.create_memory_object_stream[Item](CAPACITY)

    async def produce() -> None:
        for index in range(count):
            item = make_item(index)
            try:
                send.send_nowait(item)
            except anyio.WouldBlock:
                await send.send(item)

    arrived = 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce())
        while arrived < count:
            await receive.receive()
            arrived += 1
            with suppress(anyio.WouldBlock):
                while True:
                    receive.receive_nowait()
                    arrived += 1
    send.close()
    receive.close()
    return arrived


async def janus_queue(count: int) -> int:
    queue: janus.Queue[Item] = janus.Queue(CAPACITY)
    try:
        return await put_and_get(count, queue.async_q.put, queue.async_q.get)
    finally:
        await queue.aclose()


async def culsans_queue(count: int) -> int:
    queue: culsans.Queue[Item] = culsans.Queue(CAPACITY)
    try:
        return await put_and_get(count, queue.async_q.put, queue.async_q.get)
    finally:
        await queue.aclose()


# ---------------------------------------------------------------------- ours


async def push(offer: Callable[[Item], object], count: int) -> None:
    for start in range(0, count, CAPACITY):
        for index in range(start, min(start + CAPACITY, count)):
            offer(make_item(index))
        await asyncio.sleep(0)


async def with_next(sink: FluxSink[Item], count: int) -> None:
    await push(sink.next, count)


async def with_send(sink: FluxSink[Item], count: int) -> None:
    for index in range(count):
        await sink.send(make_item(index))


Give = Callable[[FluxSink[Item], int], Awaitable[None]]


def accounted(arrived: int, counts: StreamStatistics) -> int:
    """Return how many items arrived or are known to be lost or merged."""
    assert arrived == counts.delivered
    return counts.delivered + counts.dropped + counts.merged


def flux_batches(give: Give, strategy: BackpressureStrategy, prefetch: int = 1) -> Hop:
    async def hop(count: int) -> int:
        arrived = 0
        batches = Flux.create(lambda sink: give(sink, count), strategy).batches(CAPACITY, prefetch)
        async for batch in batches:
            arrived += len(batch)
        return accounted(arrived, batches.statistics)

    return hop


def flux_items(give: Give, strategy: BackpressureStrategy) -> Hop:
    async def hop(count: int) -> int:
        arrived = 0
        items = aiter(Flux.create(lambda sink: give(sink, count), strategy))
        async for _ in items:
            arrived += 1
        return accounted(arrived, items.statistics)

    return hop


def flowable_batches(strategy: BackpressureStrategy) -> Hop:
    async def hop(count: int) -> int:
        emitters: list[Any] = []
        batches = Flowable.create(emitters.append, strategy).batches(CAPACITY, CAPACITY)

        async def produce() -> None:
            await push(emitters[0].on_next, count)
            emitters[0].on_completed()

        arrived = 0
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(produce())
            async for batch in batches:
                arrived += len(batch)
        return accounted(arrived, batches.statistics)

    return hop


async def emitter_send(count: int) -> int:
    emitter: Emitter[Item] = Emitter()
    arrived = 0

    async def handle(items: list[Item]) -> None:
        nonlocal arrived
        arrived += len(items)

    emitter.attach(handle)
    for index in range(count):
        await emitter.send(make_item(index))
    emitter.complete()
    return arrived


# ---------------------------------------------------------------------- beside each other


def newest(held: Item, incoming: Item) -> Item:
    return incoming


LOSSLESS = BackpressureStrategy.buffer(None)
PUSHED = {
    "MISSING": BackpressureStrategy.MISSING,
    "ERROR": BackpressureStrategy.ERROR,
    "DROP": BackpressureStrategy.DROP,
    "LATEST": BackpressureStrategy.LATEST,
    "buffer(256)": BackpressureStrategy.buffer(CAPACITY),
    "buffer(256, DROP_OLDEST)": BackpressureStrategy.buffer(CAPACITY, BufferOverflow.DROP_OLDEST),
    "buffer(None)": LOSSLESS,
    "reduce(f)": BackpressureStrategy.reduce(newest),
    "reduce(Join)": BackpressureStrategy.reduce(Join(lambda parts: parts[-1])),
}
SUSPENDED = {f"suspend({capacity})": BackpressureStrategy.suspend(capacity) for capacity in (0, CAPACITY)}
PEERS = {
    "asyncio.Queue nowait": (queue_nowait, MANY),
    "anyio send/receive": (anyio_send_receive, FEW),
    "anyio nowait": (anyio_nowait, MANY),
    "janus": (janus_queue, FEW),
    "culsans": (culsans_queue, FEW),
}


@pytest.fixture
def queue(runner: asyncio.Runner) -> Contender:
    return contender(runner, "asyncio.Queue put/get", queue_put_get)


GOALS = {
    "FluxSink.next -> batches, buffer(None)": (flux_batches(with_next, LOSSLESS), 3.0),
    "FluxSink.send -> batches, suspend(256)": (flux_batches(with_send, BackpressureStrategy.suspend(CAPACITY)), 2.2),
    "FluxSink.next -> async for, buffer(None)": (flux_items(with_next, LOSSLESS), 1.8),
}


@pytest.mark.parametrize("name", GOALS)
def test_hop_of_the_goals(name: str, race: Race, runner: asyncio.Runner, queue: Contender) -> None:
    hop, goal = GOALS[name]
    race(contender(runner, name, hop), queue, goal)


@pytest.mark.parametrize("strategy", PUSHED)
def test_flux_next(strategy: str, race: Race, runner: asyncio.Runner, queue: Contender) -> None:
    hop = flux_batches(with_next, PUSHED[strategy], prefetch=CAPACITY)
    race(contender(runner, f"FluxSink.next -> batches, prefetch 256, {strategy}", hop), queue)


@pytest.mark.parametrize("strategy", SUSPENDED)
def test_flux_send(strategy: str, race: Race, runner: asyncio.Runner, queue: Contender) -> None:
    hop = flux_batches(with_send, SUSPENDED[strategy], prefetch=CAPACITY)
    race(contender(runner, f"FluxSink.send -> batches, prefetch 256, {strategy}", hop), queue)


@pytest.mark.parametrize("strategy", PUSHED)
def test_flowable_on_next(strategy: str, race: Race, runner: asyncio.Runner, queue: Contender) -> None:
    hop = flowable_batches(PUSHED[strategy])
    race(contender(runner, f"Flowable on_next -> batches, prefetch 256, {strategy}", hop), queue)


def test_emitter_send(race: Race, runner: asyncio.Runner, queue: Contender) -> None:
    race(contender(runner, "Emitter.send -> handler", emitter_send, FEW), queue)


@pytest.mark.parametrize("name", PEERS)
def test_peer(name: str, race: Race, runner: asyncio.Runner, queue: Contender) -> None:
    hop, item_count = PEERS[name]
    race(contender(runner, name, hop, item_count), queue)


def test_reader_that_prefetches_a_turn_loses_nothing(runner: asyncio.Runner) -> None:
    """What the figures of DROP and ERROR rest on: they carry every item, too."""
    results = {EmitResult.OK}

    async def hop() -> int:
        async def produce(sink: FluxSink[Item]) -> None:
            await push(lambda item: results.add(sink.next(item)), 1_000)

        return len([item async for batch in Flux.create(produce, PUSHED["ERROR"]).batches(256, 256) for item in batch])

    assert runner.run(hop()) == 1_000
    assert results == {EmitResult.OK}
