"""One source, exposed three ways: what differs between the variants, and nothing else.

    flux      sink.send          -> the boundary -> batches   -> write
    rx        emitter.on_next    -> the boundary -> batches   -> write
    emitter   emitter.send                       -> handler   -> write

`feed` plays the source into a `send`; `write` is the tail. Both are the same for all three. Where the client itself
has demand (WebSocket), Flux and Flowable are subscribed with just that demand, and the emitter's handler waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from streams import (
    BackpressureStrategy,
    EmitResult,
    Emitter,
    Flowable,
    FlowableEmitter,
    Flux,
    FluxSink,
    StreamClosedError,
    StreamStatistics,
    Subscription,
    Token,
)

__all__ = ("ClientDemand", "Exposure", "Feed", "Send", "SendBlocking", "Write", "expose")

Send = Callable[[Token], Awaitable["EmitResult | None"]]
SendBlocking = Callable[[Token], "EmitResult | None"]
Feed = Callable[[Send, SendBlocking], Awaitable[object]]
"""Plays the source into a stream: on the loop through the first, or from threads through the second."""
Write = Callable[[list[Token]], Awaitable[object]]


class Exposure(Protocol):
    """One stream of one variant, consumed once."""

    @property
    def statistics(self) -> StreamStatistics:
        """The counts of the stream so far: a snapshot."""
        ...

    async def deliver(self, write: Write) -> None:
        """Await `write(tokens)` for all tokens of the stream.

        Returns when the stream has completed, raises what it failed with or what `write` raised. Cancelling it
        cancels the stream and its source.
        """


class ClientDemand:
    """Demand that comes from the other side of the wire.

    Args:
        initial: what is requested at first.
    """

    def __init__(self, initial: int) -> None:
        self._open = 0
        self._listener: Callable[[int], object] | None = None
        self._news = asyncio.Event()
        self._bad: ValueError | None = None
        self._early = [initial] if initial else []

    def request(self, n: int) -> None:
        """Add `n`, whatever it is: the stream judges it (rule 3.9)."""
        if self._listener is None:
            self._early.append(n)
        else:
            self._listener(n)

    def connect(self, listener: Callable[[int], object]) -> None:
        """Pass on what was requested so far, and all that comes."""
        self._listener = listener
        for n in self._early:
            listener(n)

    def collect(self) -> None:
        """Keep demand here, for a consumer that calls `spend`."""
        self.connect(self._add)

    async def spend(self) -> None:
        """Wait for demand, and use up one.

        Raises:
            ValueError: less than 1 was requested (rule 3.9).
        """
        while not self._open:
            if self._bad is not None:
                raise self._bad
            self._news.clear()
            await self._news.wait()
        self._open -= 1

    def _add(self, n: int) -> None:
        if n < 1:
            self._bad = ValueError(f"request must be at least 1 (Reactive Streams rule 3.9); got {n}")
        else:
            self._open += n
        self._news.set()


def expose(
    variant: str,
    feed: Feed,
    strategy: BackpressureStrategy,
    *,
    max_items: int,
    prefetch: int,
    demand: ClientDemand | None = None,
) -> Exposure:
    """Return the stream of `feed` as `variant` exposes it, taken as the socket accepts or as `demand` says."""
    if variant == "emitter":
        return _Emitted(feed, demand)
    stream = _flux(feed, strategy) if variant == "flux" else _flowable(feed, strategy)
    return _Pulled(stream, max_items, prefetch) if demand is None else _Requested(stream, demand)


def _flux(feed: Feed, strategy: BackpressureStrategy) -> Flux[Token]:
    async def produce(sink: FluxSink[Token]) -> None:
        await feed(sink.send, sink.send_blocking)

    return Flux.create(produce, strategy)


def _flowable(feed: Feed, strategy: BackpressureStrategy) -> Flowable[Token]:
    def produce(emitter: FlowableEmitter[Token]) -> None:
        emitter = emitter.serialize()

        def push(token: Token) -> EmitResult | None:
            emitter.on_next(token)
            return EmitResult.FAIL_CANCELLED if emitter.is_cancelled else None

        async def send(token: Token) -> EmitResult | None:
            return push(token)

        async def run() -> None:
            try:
                await feed(send, push)
            except Exception as error:  # whatever it is, it is the stream's terminal
                emitter.try_on_error(error)
            else:
                emitter.on_completed()

        task = asyncio.get_running_loop().create_task(run())
        emitter.set_cancellable(task.cancel)

    return Flowable.create(produce, strategy)


class _Pulled:
    """A Flux or Flowable, taken in batches."""

    def __init__(self, stream: Flux[Token] | Flowable[Token], max_items: int, prefetch: int) -> None:
        self._batches = stream.batches(max_items, prefetch)

    @property
    def statistics(self) -> StreamStatistics:
        return self._batches.statistics

    async def deliver(self, write: Write) -> None:
        try:
            async for tokens in self._batches:
                await write(tokens)
        finally:
            await self._batches.aclose()


class _Requested:
    """A Flux or Flowable with a Subscriber whose demand is the client's: it takes what was requested, nothing else."""

    def __init__(self, stream: Flux[Token] | Flowable[Token], demand: ClientDemand) -> None:
        self._demand = demand
        self._subscription: Subscription | None = None
        self._taken: list[Token] = []
        self._news = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        stream.subscribe(self)

    @property
    def statistics(self) -> StreamStatistics:
        assert self._subscription is not None
        return self._subscription.statistics

    def on_subscribe(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._demand.connect(subscription.request)

    def on_next(self, item: Token) -> None:
        self._taken.append(item)
        self._news.set()

    def on_error(self, error: Exception) -> None:
        self._error = error
        self.on_complete()

    def on_complete(self) -> None:
        self._ended = True
        self._news.set()

    async def deliver(self, write: Write) -> None:
        assert self._subscription is not None
        try:
            while not (self._ended and not self._taken):
                await self._news.wait()
                self._news.clear()
                tokens, self._taken = self._taken, []
                if tokens:
                    await write(tokens)
        finally:
            self._subscription.cancel()
        if self._error is not None:
            raise self._error


class _Emitted:
    """An Emitter, whose handler is the tail."""

    def __init__(self, feed: Feed, demand: ClientDemand | None) -> None:
        self._feed = feed
        self._demand = demand
        self._emitter: Emitter[Token] = Emitter()

    @property
    def statistics(self) -> StreamStatistics:
        return self._emitter.statistics

    async def deliver(self, write: Write) -> None:
        emitter, demand = self._emitter, self._demand

        async def write_on_demand(tokens: list[Token]) -> None:
            assert demand is not None
            for token in tokens:
                await demand.spend()
                await write([token])

        if demand is not None:
            demand.collect()
        failures: list[Exception] = []
        emitter.on_error(failures.append)
        emitter.attach(write if demand is None else write_on_demand)
        try:
            await self._feed(emitter.send, emitter.send_blocking)
            emitter.complete()
            await emitter.wait_closed()
        except StreamClosedError:
            # Of several producers one may hear only that the emitter has ended, before another hears why.
            if failures:
                raise failures[0] from None
            raise
        finally:
            emitter.cancel()
