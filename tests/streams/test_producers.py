"""Sources through every variant, on the loop and from threads: the exact text arrives, and every fault ends well."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from streams import (
    BackpressureStrategy,
    Emitter,
    Flowable,
    FlowableEmitter,
    Flux,
    FluxSink,
    SourceFailure,
    Token,
    TokenSource,
    join_tokens,
    parse_source,
)
from streams.overflow import Join
from streams.pacing import play, play_in_threads

__all__ = ()

Settle = Callable[[], Awaitable[None]]
Stream = Callable[[TokenSource, "Driver"], AsyncGenerator[Token]]

UNLIMITED, SUSPEND = BackpressureStrategy.buffer(None), BackpressureStrategy.suspend(4)


class Driver:
    """Plays a source on the loop, or by `producers` threads."""

    def __init__(self, executor: ThreadPoolExecutor, producers: int | None) -> None:
        self.executor = executor
        self.producers = producers

    async def drive(self, source: TokenSource, send: Any, send_blocking: Any) -> None:
        if self.producers is None:
            await play(source, send)
        else:
            await play_in_threads(source, send_blocking, producers=self.producers, executor=self.executor)


async def through_flux(source: TokenSource, driver: Driver, strategy: BackpressureStrategy) -> AsyncGenerator[Token]:
    async def producer(sink: FluxSink[Token]) -> None:
        await driver.drive(source, sink.send, sink.send_blocking)

    async for batch in Flux.create(producer, strategy).batches(64):
        for token in batch:
            yield token


async def through_flowable(source: TokenSource, driver: Driver) -> AsyncGenerator[Token]:
    def producer(emitter: FlowableEmitter[Token]) -> None:
        serialized = emitter.serialize()

        async def send(token: Token) -> None:
            serialized.on_next(token)

        async def run() -> None:
            try:
                await driver.drive(source, send, serialized.on_next)
            except SourceFailure as failure:
                serialized.on_error(failure)
            else:
                serialized.on_completed()

        running = asyncio.ensure_future(run())
        emitter.set_cancellable(running.cancel)

    async for token in Flowable.create(producer, UNLIMITED):
        yield token


async def through_emitter(source: TokenSource, driver: Driver) -> AsyncGenerator[Token]:
    """Put an emitter between the source and a rendezvous, so that it can be read like the others."""

    async def producer(sink: FluxSink[Token]) -> None:
        emitter = Emitter[Token]()

        async def handler(tokens: list[Token]) -> None:
            for token in tokens:
                await sink.send(token)

        emitter.attach(handler)
        try:
            await driver.drive(source, emitter.send, emitter.send_blocking)
        finally:
            emitter.complete()
            await emitter.wait_closed()

    async for token in Flux.create(producer, BackpressureStrategy.suspend()):
        yield token


VARIANTS: dict[str, Stream] = {
    "flux that waits": partial(through_flux, strategy=SUSPEND),
    "flux that buffers": partial(through_flux, strategy=UNLIMITED),
    "flowable": through_flowable,
    "emitter": through_emitter,
}
SOURCES = [
    parse_source("counter"),
    parse_source("counter", count=500),
    parse_source("counter", count=0),
    parse_source("demo"),
]
every_variant = pytest.mark.parametrize("stream", VARIANTS.values(), ids=VARIANTS.keys())
every_driver = pytest.mark.parametrize("producers", [None, 1, 3], ids=["loop", "1 thread", "3 threads"])


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(5) as executor:
        yield executor


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def assert_each_producer_kept_its_order(tokens: list[Token]) -> None:
    for producer in {token.producer for token in tokens}:
        indexes = [token.index for token in tokens if token.producer == producer]
        assert indexes == sorted(indexes)


@every_variant
@every_driver
@pytest.mark.parametrize("source", SOURCES, ids=["counter", "counter 500", "counter 0", "demo"])
async def test_the_exact_text_arrives(
    source: TokenSource, producers: int | None, stream: Stream, pool: ThreadPoolExecutor
) -> None:
    tokens = [token async for token in stream(source, Driver(pool, producers))]
    assert [token.text for token in sorted(tokens, key=lambda token: token.index)] == list(source.played_texts())
    if producers in {None, 1}:
        assert [token.index for token in tokens] == list(range(len(source)))


@every_variant
@pytest.mark.usefixtures("hasty_switches")
async def test_order_per_producer_holds(stream: Stream, pool: ThreadPoolExecutor) -> None:
    tokens = [token async for token in stream(parse_source("counter", count=600), Driver(pool, 4))]
    assert len(tokens) == 600
    assert {token.producer for token in tokens} == {0, 1, 2, 3}
    assert_each_producer_kept_its_order(tokens)


@every_variant
@every_driver
async def test_source_that_fails_ends_the_stream_behind_its_tokens(
    producers: int | None, stream: Stream, pool: ThreadPoolExecutor
) -> None:
    tokens: list[Token] = []

    async def read() -> None:
        async for token in stream(parse_source("counter", fail_after=7), Driver(pool, producers)):
            tokens.append(token)  # noqa: PERF401 - what came before the failure is kept

    with pytest.raises(SourceFailure):
        await read()
    assert sorted(token.index for token in tokens) == list(range(7))


@every_variant
@every_driver
async def test_source_that_hangs_is_left_by_a_cancel(
    producers: int | None, stream: Stream, pool: ThreadPoolExecutor, settle: Settle
) -> None:
    tokens: list[Token] = []

    async def read() -> None:
        async for token in stream(parse_source("counter", hang_after=7), Driver(pool, producers)):
            tokens.append(token)
            if len(tokens) == 7:
                complete.set()

    complete = asyncio.Event()
    reading = asyncio.create_task(read())
    await complete.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await settle()
    assert sorted(token.index for token in tokens) == list(range(7))


@every_variant
@every_driver
async def test_consumer_that_leaves_stops_the_source(
    producers: int | None, stream: Stream, pool: ThreadPoolExecutor, settle: Settle
) -> None:
    reading = stream(parse_source("counter", count=10**12), Driver(pool, producers))
    async for token in reading:
        if token.index >= 20:
            break
    await reading.aclose()
    await settle()


async def test_text_is_whole_when_a_slow_reader_merges(pool: ThreadPoolExecutor) -> None:
    source = parse_source("demo")
    strategy = BackpressureStrategy.reduce(Join(join_tokens))
    tokens = [token async for token in through_flux(source, Driver(pool, None), strategy)]
    assert "".join(token.text for token in tokens) == "".join(source.played_texts())
    assert sum(token.merged for token in tokens) == len(source)
    assert len(tokens) < len(source)
