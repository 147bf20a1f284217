"""One source, exposed three ways: what differs between the variants, and nothing else.

    flux      sink.send          -> the boundary -> batches   -> write
    rx        emitter.on_next    -> the boundary -> batches   -> write
    emitter   emitter.send                       -> tray      -> write

`feed` plays the source into an `Intake`; `write` is the tail. Both are the same for all three. Where the client itself
has demand (WebSocket), Flux and Flowable are subscribed with just that demand, and the emitter's handler waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from streams import (
    BackpressureStrategy,
    EmitResult,
    Emitter,
    Flowable,
    FlowableEmitter,
    Flux,
    FluxSink,
    StreamStatistics,
    Subscription,
    Token,
)
from streams.affinity import LoopThread, start_task

__all__ = ("ClientDemand", "Exposure", "Feed", "Intake", "Write", "expose")


class Intake(NamedTuple):
    """How a source hands tokens to a stream: each answers None or a result, of which FAIL_* means that it has ended.

    Attributes:
        send: on the loop; waits where the stream makes its producer wait.
        send_blocking: the same from a thread, which waits.
        offer: on the loop; takes a token at once, or says WOULD_SUSPEND. None: this stream always makes wait.
    """

    send: Callable[[Token], Awaitable[EmitResult | None]]
    send_blocking: Callable[[Token], EmitResult | None]
    offer: Callable[[Token], EmitResult | None] | None = None


Feed = Callable[[Intake], Awaitable[object]]
"""Plays the source into a stream."""
Write = Callable[[list[Token]], Awaitable[object] | None]
"""Writes tokens; what it returns, if anything, has to be awaited before the next ones."""


class Exposure(Protocol):
    """One stream of one variant, consumed once."""

    @property
    def statistics(self) -> StreamStatistics:
        """The counts of the stream so far: a snapshot."""
        ...

    async def deliver(self, write: Write) -> None:
        """Call `write(tokens)` for all tokens of the stream, and await what it returns.

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
        self._early = [initial] if initial else []

    def request(self, n: int) -> None:
        """Add `n`.

        Raises:
            ValueError: it is below 1 (rule 3.9).
        """
        if n < 1:
            raise ValueError(f"request must be at least 1 (Reactive Streams rule 3.9); got {n}")
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
        """Wait for demand, and use up one."""
        while not self._open:
            self._news.clear()
            await self._news.wait()
        self._open -= 1

    def _add(self, n: int) -> None:
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
        return _Emitted(feed, max_items, demand)
    stream = _flux(feed, strategy) if variant == "flux" else _flowable(feed, strategy)
    return _Pulled(stream, max_items, prefetch) if demand is None else _Requested(stream, demand)


def _flux(feed: Feed, strategy: BackpressureStrategy) -> Flux[Token]:
    async def produce(sink: FluxSink[Token]) -> None:
        await feed(Intake(sink.send, sink.send_blocking, sink.next))

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
                await feed(Intake(send, push, push))
            except Exception as error:  # whatever it is, it is the stream's terminal
                emitter.try_on_error(error)
            else:
                emitter.on_completed()

        thread = LoopThread()
        task = start_task(thread.loop, run())
        emitter.set_cancellable(lambda: thread.run(task.cancel))  # an overflow may happen in a producer's thread

    return Flowable.create(produce, strategy)


class _Pulled:
    """A Flux or Flowable, taken in batches."""

    def __init__(self, stream: Flux[Token] | Flowable[Token], max_items: int, prefetch: int) -> None:
        self._batches = stream.batches(max_items, prefetch)

    @property
    def statistics(self) -> StreamStatistics:
        return self._batches.statistics

    async def deliver(self, write: Write) -> None:
        await self._batches.forward(write)


class _Requested:
    """A Flux or Flowable with a Subscriber whose demand is the client's: it takes what was requested, nothing else.

    The signals of a Flowable come in the threads of its producers.
    """

    def __init__(self, stream: Flux[Token] | Flowable[Token], demand: ClientDemand) -> None:
        self._demand = demand
        self._thread = LoopThread()
        self._subscription: Subscription | None = None
        self._taken: deque[Token] = deque()
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
        self._thread.run(self._news.set)

    def on_error(self, error: Exception) -> None:
        self._error = error
        self.on_complete()

    def on_complete(self) -> None:
        self._ended = True
        self._thread.run(self._news.set)

    async def deliver(self, write: Write) -> None:
        assert self._subscription is not None
        try:
            while not (self._ended and not self._taken):
                await self._news.wait()
                self._news.clear()
                tokens = [self._taken.popleft() for _ in range(len(self._taken))]
                if tokens and (writing := write(tokens)) is not None:
                    await writing
        finally:
            self._subscription.cancel()
        if self._error is not None:
            raise self._error


class _Emitted:
    """An Emitter, whose handler puts tokens on the tray of the tail."""

    def __init__(self, feed: Feed, max_items: int, demand: ClientDemand | None) -> None:
        self._feed = feed
        self._emitter: Emitter[Token] = Emitter()
        self._tray = _Tray(max_items, demand)

    @property
    def statistics(self) -> StreamStatistics:
        return self._emitter.statistics

    async def deliver(self, write: Write) -> None:
        emitter, tray = self._emitter, self._tray
        emitter.on_error(tray.fail)
        emitter.on_completion(tray.end)
        emitter.attach(tray.put)
        feeding = start_task(asyncio.get_running_loop(), self._run_feed())
        try:
            while tokens := await tray.take():
                if (writing := write(tokens)) is not None:
                    await writing
        finally:
            feeding.cancel()
            emitter.cancel()

    async def _run_feed(self) -> None:
        emitter = self._emitter
        try:
            await self._feed(Intake(emitter.send, emitter.send_blocking))
        except Exception as error:  # whatever it is, the stream fails with it, unless it came of the stream's own end
            if not self._tray.has_ended:
                emitter.complete_with_error(error)
        else:
            emitter.complete()


class _Tray:
    """What an emitter's handler has taken and the tail is about to write: the tokens of one turn of the loop.

    While the tail writes, which lasts as long as the client takes nothing, the handler waits, and so does the producer.

    Args:
        max_items: how many tokens are written at once.
        demand: what the client has requested: no other token is taken. None: whatever comes.

    Attributes:
        has_ended: whether no token will come any more.
    """

    def __init__(self, max_items: int, demand: ClientDemand | None) -> None:
        self._max_items = max_items
        self._demand = demand
        self._tokens: list[Token] = []
        self._is_writing = False
        self.has_ended = False
        self._error: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Future[None] | None = None  # what the tail awaits
        self._room: asyncio.Future[None] | None = None  # what the handler awaits
        if demand is not None:
            demand.collect()

    async def put(self, tokens: list[Token]) -> None:
        """Take tokens from the emitter, waiting for demand and for the tail."""
        for token in tokens:
            if self._demand is not None:
                await self._demand.spend()
            while self._is_writing or len(self._tokens) >= self._max_items:
                self._room = self._loop.create_future()
                await self._room
            self._tokens.append(token)
            _wake(self._news)

    async def take(self) -> list[Token]:
        """Wait for tokens; none when the stream has completed. Raises what it failed with."""
        self._is_writing = False
        _wake(self._room)
        while not self._tokens and not self.has_ended:
            self._news = self._loop.create_future()
            await self._news
        if self._error is not None and not self._tokens:
            raise self._error
        tokens, self._tokens = self._tokens, []
        self._is_writing = True
        return tokens

    def fail(self, error: Exception) -> None:
        """Note what the stream fails with, behind the tokens that were taken."""
        self._error = error

    def end(self) -> None:
        """Note that no token will come any more."""
        self.has_ended = True
        _wake(self._news)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
