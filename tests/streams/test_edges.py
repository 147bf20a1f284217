"""The edges that are easy to forget: exceptions that are no Exception, loops that close, other loops, finalizers."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from reactivex import operators as ops

from streams import (
    BackpressureStrategy,
    Emitter,
    Flowable,
    Flux,
    FluxSink,
    OverflowBuffer,
    StreamClosedError,
    on_backpressure_buffer,
    on_backpressure_drop,
)
from streams.overflow import BufferOverflow, EmitResult
from streams.testing import TestSubscriber

__all__ = ()

Settle = Callable[[], Awaitable[None]]
UNLIMITED = BackpressureStrategy.buffer(None)


class Stop(BaseException):
    """Something like KeyboardInterrupt, that pytest lets a test raise."""


class Interrupted(TestSubscriber[int]):
    def on_next(self, item: int) -> None:
        super().on_next(item)
        raise Stop


# A failure is never taken for an end.


async def test_stream_that_fails_with_stop_async_iteration_does_not_end_the_loop_quietly() -> None:
    with pytest.raises(RuntimeError, match="failed with StopAsyncIteration"):
        await Flux.error(StopAsyncIteration()).for_each(asyncio.sleep)


async def test_handler_that_raises_stop_iteration_is_heard_by_its_sender() -> None:
    def handler(items: list[str]) -> Awaitable[None]:
        raise StopIteration

    emitter: Emitter[str] = Emitter()
    emitter.attach(handler)
    with pytest.raises(RuntimeError, match="the handler raised StopIteration"):
        await emitter.send("a")


async def test_error_of_several_subscriptions_does_not_gather_their_tracebacks() -> None:
    error = LookupError("always the same")
    flux = Flux.error(error)
    depths = []
    for _ in range(3):
        with pytest.raises(LookupError):
            await anext(aiter(flux))
        frame, depth = error.__traceback__, 0
        while frame is not None:
            frame, depth = frame.tb_next, depth + 1
        depths.append(depth)
    assert len(set(depths)) == 1


# What is no Exception passes through, and leaves nothing behind that nobody takes from.


async def test_interrupt_in_on_next_passes_through_and_cancels() -> None:
    subscriber = Interrupted()
    sinks: list[FluxSink[int]] = []
    Flux.create(sinks.append, UNLIMITED).subscribe(subscriber)
    with pytest.raises(Stop):
        sinks[0].next(1)
    assert sinks[0].next(2) is EmitResult.FAIL_CANCELLED


@pytest.mark.parametrize("operators", [(), (ops.map(lambda item: item),)], ids=["created", "through an operator"])
def test_interrupt_in_an_rx_observer_passes_through_and_cancels(operators: tuple[Any, ...]) -> None:
    emitters: list[Any] = []

    def interrupt(item: int) -> None:
        raise Stop

    Flowable.create(emitters.append, UNLIMITED).pipe(*operators).subscribe(interrupt)
    with pytest.raises(Stop):
        emitters[0].on_next(1)
    assert emitters[0].is_cancelled


async def test_interrupt_in_on_drop_stops_the_source_and_the_other_items_are_told_of() -> None:
    told: list[str] = []

    def on_drop(item: str) -> None:
        told.append(item)
        if item == "a":
            raise Stop

    sinks: list[FluxSink[str]] = []
    subscriber = TestSubscriber[str](initial_request=0)
    Flux.create(sinks.append, BackpressureStrategy.buffer(3), on_drop=on_drop).subscribe(subscriber)
    ended: list[str] = []
    sinks[0].on_dispose(lambda: ended.append("disposed"))
    for item in "abc":
        sinks[0].next(item)
    with pytest.raises(Stop):
        subscriber.cancel()
    sinks[0].next("late")
    assert ended == ["disposed"]
    assert told == ["a", "b", "c"]


# A finalizer may run amid anything.


def test_finalizer_that_cancels_while_an_item_is_folded_waits_for_the_decision() -> None:
    def reduce_and_cancel(held: str, incoming: str) -> str:
        buffer.cancel()
        return held + incoming

    dropped: list[str] = []
    buffer = OverflowBuffer[str](1, None, reduce_and_cancel, on_drop=dropped.append)
    buffer.offer("a")
    assert buffer.offer("b") is EmitResult.MERGED
    assert buffer.is_cancelled
    assert dropped == ["ab"]
    assert buffer.statistics.emitted == 2


class Clinging:
    """An item whose finalizer offers another one."""

    buffer: OverflowBuffer[Any]

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        if self.number < 100:
            self.buffer.offer(Clinging(self.number + 100))


def test_finalizer_of_an_evicted_item_may_offer() -> None:
    buffer = OverflowBuffer[Any](1, BufferOverflow.DROP_OLDEST)
    Clinging.buffer = buffer
    for number in range(3):
        assert buffer.offer(Clinging(number)) is EmitResult.OK
    gc.collect()
    statistics = buffer.statistics
    assert statistics.held == 1
    assert statistics.emitted == statistics.dropped + statistics.held == 5


def test_send_without_a_place_to_wait_says_so() -> None:
    coroutine = OverflowBuffer[str](0, BufferOverflow.SUSPEND).send("a")
    with pytest.raises(RuntimeError, match="nobody has set wait_for_room"):
        coroutine.send(None)


# Loops.


@pytest.mark.slow
@pytest.mark.parametrize("way", ["flux", "emitter"])
def test_sender_in_a_thread_is_answered_when_the_loop_has_closed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.flux.LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr("streams.emitter.LOOK_AGAIN_S", 0.01)
    waiting = threading.Event()
    answers: list[object] = []

    def send(send_blocking: Callable[[str], object]) -> None:
        waiting.set()
        try:
            answers.append(send_blocking("a"))
        except StreamClosedError as error:
            answers.append(type(error))

    async def open_and_leave() -> None:
        if way == "flux":
            sinks: list[FluxSink[str]] = []
            Flux.create(sinks.append, BackpressureStrategy.suspend(0)).subscribe(TestSubscriber(0))
            thread = threading.Thread(target=send, args=(sinks[0].send_blocking,))
        else:
            emitter: Emitter[str] = Emitter()
            emitter.attach(never)
            thread = threading.Thread(target=send, args=(emitter.send_blocking,))
        threads.append(thread)
        thread.start()
        await asyncio.to_thread(waiting.wait)

    async def never(items: list[str]) -> None:
        await asyncio.Event().wait()

    threads: list[threading.Thread] = []
    asyncio.run(open_and_leave())
    threads[0].join(10)
    assert answers in ([EmitResult.FAIL_CANCELLED], [StreamClosedError])


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("way", ["flux", "emitter"])
async def test_sender_in_a_thread_looks_now_and_then_whether_the_loop_is_closed(
    way: str, is_closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.flux.LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr("streams.emitter.LOOK_AGAIN_S", 0.001)
    loop = asyncio.get_running_loop()
    looked, go_on = asyncio.Event(), asyncio.Event()
    here = threading.get_ident()
    answers = [is_closed]  # asyncio itself asks, too, when the thread is through

    def look() -> bool:
        if threading.get_ident() == here:
            return False
        loop.call_soon_threadsafe(looked.set)
        return answers.pop() if answers else False

    async def handler(items: list[str]) -> None:
        await go_on.wait()

    if way == "flux":
        sinks: list[FluxSink[str]] = []
        subscriber = TestSubscriber[str](initial_request=0)
        Flux.create(sinks.append, BackpressureStrategy.suspend(0)).subscribe(subscriber)
        sent = asyncio.ensure_future(asyncio.to_thread(sinks[0].send_blocking, "a"))
        with monkeypatch.context() as patch:
            patch.setattr(loop, "is_closed", look)
            await looked.wait()
        if not is_closed:  # a request would answer the sender before it has found out that the loop is closed
            subscriber.request(1)
        assert await sent is (EmitResult.FAIL_CANCELLED if is_closed else EmitResult.OK)
        return
    emitter: Emitter[str] = Emitter()
    emitter.attach(handler)
    sending = asyncio.ensure_future(asyncio.to_thread(emitter.send_blocking, "a"))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "is_closed", look)
        await looked.wait()
        if is_closed:
            with pytest.raises(StreamClosedError):
                await sending
    go_on.set()
    if not is_closed:
        await sending
        emitter.complete()
    await emitter.wait_closed()


async def test_send_from_another_loop_is_refused_and_nothing_is_stored() -> None:
    sinks: list[FluxSink[str]] = []
    subscriber = TestSubscriber[str](initial_request=0)
    Flux.create(sinks.append, BackpressureStrategy.suspend(0)).subscribe(subscriber)

    def send() -> None:
        asyncio.run(sinks[0].send("a"))

    with pytest.raises(RuntimeError, match="use send_blocking"):
        await asyncio.to_thread(send)
    subscriber.request(1)
    assert subscriber.values == []


async def test_async_generator_is_closed_when_its_stream_is_cancelled_before_its_first_turn(settle: Settle) -> None:
    ended: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append("closed")

    iterator = source()
    await anext(iterator)
    subscriber = TestSubscriber[int]()
    Flux.from_async_iterable(iterator).subscribe(subscriber)
    subscriber.cancel()
    await settle()
    assert ended == ["closed"]


async def test_iterator_that_fails_to_close_is_reported(settle: Settle, loop_errors: list[dict[str, Any]]) -> None:
    class Stubborn:
        def __aiter__(self) -> Stubborn:
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            raise LookupError("it does not close")

    subscriber = TestSubscriber[int]()
    Flux.from_async_iterable(Stubborn()).subscribe(subscriber)
    await settle()
    assert subscriber.completed
    assert [str(context["exception"]) for context in loop_errors] == ["it does not close"]


async def test_items_that_are_there_leave_the_loop_its_turns() -> None:
    subscriber = TestSubscriber[int]()
    Flux.just(*range(5000)).subscribe(subscriber)
    assert len(subscriber.values) < 5000
    await subscriber.wait_terminated()
    assert subscriber.values == list(range(5000))


async def test_cancel_among_items_that_are_there_ends_them(settle: Settle) -> None:
    subscriber = TestSubscriber[int]()
    Flux.just(*range(5000)).subscribe(subscriber)
    subscriber.cancel()
    seen = len(subscriber.values)
    await settle()
    assert len(subscriber.values) == seen


async def test_rx_operator_behind_a_flux_stops_an_inline_producer() -> None:
    emitted: list[int] = []

    def produce(sink: FluxSink[int]) -> None:
        while not sink.is_cancelled:
            emitted.append(len(emitted))
            sink.next(emitted[-1])

    taken: list[int] = []
    Flux.create(produce, UNLIMITED).to_observable().pipe(ops.take(2)).subscribe(taken.append)
    assert taken == [0, 1]
    assert emitted == [0, 1]


async def test_flux_as_observable_that_is_disposed_before_it_starts_never_starts() -> None:
    started: list[str] = []
    observable = Flux.create(lambda sink: started.append("started"), UNLIMITED).to_observable()

    def subscribe_and_dispose(_: object) -> None:
        observable.subscribe().dispose()

    Flowable.create(lambda emitter: emitter.on_next("go"), UNLIMITED).subscribe(subscribe_and_dispose)
    assert started == []


if sys.version_info >= (3, 12):

    async def test_handler_may_be_attached_on_a_loop_with_eager_tasks() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        taken: list[str] = []

        async def handler(items: list[str]) -> None:
            taken.extend(items)

        emitter: Emitter[str] = Emitter()
        await emitter.send("early")
        emitter.attach(handler)
        await emitter.send("a")
        emitter.complete()
        await emitter.wait_closed()
        assert taken == ["early", "a"]


async def test_subscriber_whose_on_next_would_have_to_be_awaited_is_refused() -> None:
    class Waiting(TestSubscriber[int]):
        async def on_next(self, item: int) -> None:  # type: ignore[override]
            raise AssertionError

    waiting: Any = Waiting()
    with pytest.raises(TypeError, match="on_next must not be a coroutine function"):
        Flux.just(1).subscribe(waiting)


@pytest.mark.parametrize("make", [Flux.create, Flowable.create])
def test_generator_function_is_no_producer(make: Callable[..., object]) -> None:
    def produce(sink: object) -> Any:
        yield

    with pytest.raises(TypeError, match="producer must be a"):
        make(produce, UNLIMITED)


@pytest.mark.parametrize(
    "call",
    [
        lambda: on_backpressure_drop(5),  # type: ignore[arg-type]
        lambda: on_backpressure_buffer(1)(5),  # type: ignore[arg-type]
        lambda: Flowable.create(print, UNLIMITED).subscribe(5),  # type: ignore[arg-type]
        lambda: Flux.empty().on_backpressure_drop(5),  # type: ignore[arg-type]
        lambda: Emitter().on_timeout(5),  # type: ignore[arg-type]
        lambda: Emitter().on_error(5),  # type: ignore[arg-type]
        lambda: Emitter().on_completion(5),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_function_is_refused_by_name_where_it_is_given(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"must be .*; got 5"):
        call()
