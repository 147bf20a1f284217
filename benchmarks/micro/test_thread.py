"""From a thread to an event loop: a producer in a thread of its own, a consumer on the loop that does nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import culsans
import janus
import pytest

from benchmarks.micro.race import FEW, MANY, Contender, Item, Race, make_item
from streams.emitter import Emitter
from streams.flowable import Flowable
from streams.flux import Flux, FluxSink
from streams.overflow import BackpressureStrategy

__all__ = ()

CAPACITY = 256

Hop = Callable[[int], Coroutine[Any, Any, int]]


def contender(runner: asyncio.Runner, name: str, hop: Hop, item_count: int = MANY) -> Contender:
    return Contender(name, lambda count: runner.run(hop(count)), item_count)


def start_thread(give: Callable[[Item], object], count: int, end: Callable[[], object]) -> threading.Thread:
    """Start a thread that gives `count` items, then calls `end`."""

    def produce() -> None:
        for index in range(count):
            give(make_item(index))
        end()

    thread = threading.Thread(target=produce)
    thread.start()
    return thread


def nothing() -> None:
    """A queue has no end."""


# ---------------------------------------------------------------------- peers


async def get_all(count: int, put: Callable[[Item], object], get: Callable[[], Awaitable[Item]]) -> int:
    thread = start_thread(put, count, nothing)
    for arrived in range(count):
        assert (await get())["index"] == arrived
    thread.join()
    return count


async def janus_queue(count: int) -> int:
    queue: janus.Queue[Item] = janus.Queue(CAPACITY)
    try:
        return await get_all(count, queue.sync_q.put, queue.async_q.get)
    finally:
        await queue.aclose()


async def culsans_queue(count: int) -> int:
    queue: culsans.Queue[Item] = culsans.Queue(CAPACITY)
    try:
        return await get_all(count, queue.sync_q.put, queue.async_q.get)
    finally:
        await queue.aclose()


async def wake_per_item(count: int) -> int:
    queue: asyncio.Queue[Item] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    return await get_all(count, lambda item: loop.call_soon_threadsafe(queue.put_nowait, item), queue.get)


async def bare_deque(count: int) -> int:
    """Only append, and wake a parked consumer once: what is left when there are no rules at all."""
    loop = asyncio.get_running_loop()
    held: deque[Item] = deque()
    news = asyncio.Event()
    parked = False

    def put(item: Item) -> None:
        nonlocal parked
        held.append(item)
        if parked:
            parked = False
            loop.call_soon_threadsafe(news.set)

    thread = start_thread(put, count, nothing)
    arrived = 0
    while arrived < count:
        news.clear()
        parked = True
        if held:
            parked = False
        else:
            await news.wait()
        while held:
            arrived += len([held.popleft() for _ in range(min(CAPACITY, len(held)))])
    thread.join()
    return arrived


# ---------------------------------------------------------------------- ours


def flux(strategy: BackpressureStrategy, give: Callable[[FluxSink[Item]], Callable[[Item], object]]) -> Hop:
    async def hop(count: int) -> int:
        threads: list[threading.Thread] = []

        def produce(sink: FluxSink[Item]) -> None:
            threads.append(start_thread(give(sink), count, sink.complete))

        arrived = 0
        async for batch in Flux.create(produce, strategy).batches(CAPACITY):
            arrived += len(batch)
        threads[0].join()
        return arrived

    return hop


async def flowable(count: int) -> int:
    threads: list[threading.Thread] = []

    def produce(emitter: Any) -> None:
        threads.append(start_thread(emitter.on_next, count, emitter.on_completed))

    arrived = 0
    async for batch in Flowable.create(produce, BackpressureStrategy.buffer(None)).batches(CAPACITY):
        arrived += len(batch)
    threads[0].join()
    return arrived


async def emitter_send_blocking(count: int) -> int:
    emitter: Emitter[Item] = Emitter()
    arrived = 0
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handle(items: list[Item]) -> None:
        nonlocal arrived
        arrived += len(items)

    emitter.on_completion(lambda: loop.call_soon_threadsafe(ended.set))
    emitter.attach(handle)
    thread = start_thread(emitter.send_blocking, count, emitter.complete)
    await ended.wait()
    thread.join()
    return arrived


UNBOUNDED = BackpressureStrategy.buffer(None)
OURS = {
    "thread -> FluxSink.next -> batches, buffer(None)": (flux(UNBOUNDED, lambda sink: sink.next), MANY),
    "thread -> FluxSink.send_blocking -> batches, suspend(256)": (
        flux(BackpressureStrategy.suspend(CAPACITY), lambda sink: sink.send_blocking),
        FEW,
    ),
    "thread -> Flowable on_next -> batches, buffer(None)": (flowable, MANY),
    "thread -> Emitter.send_blocking -> handler": (emitter_send_blocking, FEW // 10),
}
PEERS = {
    "janus": (janus_queue, FEW),
    "bare deque": (bare_deque, MANY),
    "culsans": (culsans_queue, FEW),
    "call_soon_threadsafe per item": (wake_per_item, FEW),
}
GOALS = {"janus": 10.0, "bare deque": 0.6}


@pytest.mark.parametrize("peer", PEERS)
def test_flux_next_from_a_thread(peer: str, race: Race, runner: asyncio.Runner) -> None:
    name, hop = next((name, hop) for name, (hop, _) in OURS.items())
    race(contender(runner, name, hop), contender(runner, peer, *PEERS[peer]), GOALS.get(peer))


@pytest.mark.parametrize("name", list(OURS)[1:])
def test_other_ways_from_a_thread(name: str, race: Race, runner: asyncio.Runner) -> None:
    race(contender(runner, name, *OURS[name]), contender(runner, "janus", janus_queue, FEW))
