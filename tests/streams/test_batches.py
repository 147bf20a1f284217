"""Taking with `async for`, batches and for_each: what is requested when, and how a loop is left."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from streams import AlreadySubscribedError, BackpressureStrategy, BufferOverflowError, EmitResult, Flux, FluxSink
from streams.batches import Batches
from streams.testing import ManualPublisher

__all__ = ()

Settle = Callable[[], Awaitable[None]]

OK, DROPPED, FAIL_CANCELLED = EmitResult.OK, EmitResult.DROPPED, EmitResult.FAIL_CANCELLED
DROP, UNLIMITED = BackpressureStrategy.DROP, BackpressureStrategy.buffer(None)
STRATEGIES = [UNLIMITED, BackpressureStrategy.buffer(64), BackpressureStrategy.suspend(64)]


def open_flux(strategy: BackpressureStrategy = UNLIMITED) -> tuple[Flux[Any], list[FluxSink[Any]]]:
    """Make a Flux whose sinks, one per subscription, are kept by the test."""
    sinks: list[FluxSink[Any]] = []
    return Flux.create(sinks.append, strategy), sinks


def open_batches(
    strategy: BackpressureStrategy = UNLIMITED, *, max_items: int = 8, prefetch: int = 1
) -> tuple[Batches[Any], FluxSink[Any]]:
    flux, sinks = open_flux(strategy)
    return flux.batches(max_items, prefetch), sinks[0]


def offer(sink: FluxSink[Any], items: str) -> list[EmitResult]:
    return [sink.next(item) for item in items]


# What is in a list.


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_batch_is_all_that_is_ready_at_most_max_items(strategy: BackpressureStrategy) -> None:
    batches, sink = open_batches(strategy, max_items=3)
    offer(sink, "abcdefg")
    sink.complete()
    assert [batch async for batch in batches] == [["a", "b", "c"], ["d", "e", "f"], ["g"]]


async def test_batch_is_never_empty() -> None:
    batches, sink = open_batches()
    sink.complete()
    assert [batch async for batch in batches] == []


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_async_for_gives_the_same_one_at_a_time(strategy: BackpressureStrategy) -> None:
    flux, sinks = open_flux(strategy)
    items = aiter(flux)
    offer(sinks[0], "abc")
    sinks[0].complete()
    assert [item async for item in items] == ["a", "b", "c"]


async def test_items_before_an_error_are_taken_then_it_is_raised_once() -> None:
    batches, sink = open_batches(max_items=1)
    offer(sink, "ab")
    sink.error(LookupError())
    assert [await anext(batches), await anext(batches)] == [["a"], ["b"]]
    with pytest.raises(LookupError):
        await anext(batches)
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_end_stays_the_end() -> None:
    flux = Flux.just("a")
    items = aiter(flux)
    assert await anext(items) == "a"
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(items)


async def test_on_dispose_hears_when_the_iterator_took_the_terminal() -> None:
    disposed: list[bool] = []
    batches, sink = open_batches()
    sink.on_dispose(lambda: disposed.append(True))
    sink.complete()
    assert disposed == []
    assert [batch async for batch in batches] == []
    assert disposed == [True]


# Demand.


@pytest.mark.parametrize("prefetch", [1, 5, 256])
async def test_demand_is_prefetch_while_it_waits(prefetch: int, settle: Settle) -> None:
    batches, sink = open_batches(prefetch=prefetch)
    assert sink.requested == prefetch
    for _ in range(2):
        waiting = asyncio.ensure_future(anext(batches))
        await settle()
        assert sink.requested == prefetch
        sink.next("a")
        assert await waiting == ["a"]


@pytest.mark.parametrize("prefetch", [1, 5, 256])
async def test_nothing_is_outstanding_while_the_body_runs(prefetch: int) -> None:
    batches, sink = open_batches(prefetch=prefetch)
    offer(sink, "ab")
    async for batch in batches:
        assert sink.requested == batches.statistics.demand == 0
        if batch == ["c"]:
            break
        sink.next("c")


async def test_waking_requests_exactly_what_is_held() -> None:
    publisher = ManualPublisher[str]()
    batches = Flux.from_publisher(publisher).on_backpressure_buffer(64).batches(8)
    publisher.next("a", "b", "c")
    assert batches.statistics.demand == 1
    assert await anext(batches) == ["a", "b", "c"]
    counts = batches.statistics
    assert (counts.delivered, counts.held, counts.demand) == (3, 0, 0)


async def test_waking_with_more_held_than_max_items_leaves_the_rest_unrequested() -> None:
    batches, sink = open_batches(max_items=2)
    offer(sink, "abcde")
    assert await anext(batches) == ["a", "b"]
    counts = batches.statistics
    assert (counts.delivered, counts.held, counts.demand) == (2, 3, 0)


async def test_source_that_hears_of_demand_keeps_what_it_was_promised() -> None:
    publisher = ManualPublisher[str]()
    batches = Flux.from_publisher(publisher).batches(8, prefetch=4)
    assert publisher.requests == [4]
    publisher.next("a")
    assert await anext(batches) == ["a"]
    assert batches.statistics.demand == 3
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    assert publisher.requests == [4, 1]
    publisher.complete()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_on_request_hears_of_the_demand_of_an_iterator() -> None:
    heard: list[int] = []
    batches, sink = open_batches(prefetch=2)
    sink.on_request(heard.append)
    offer(sink, "abcd")
    assert await anext(batches) == ["a", "b", "c", "d"]
    assert heard == [2, 2]


async def test_under_drop_an_idle_reader_with_prefetch_1_loses_the_second_item_of_a_burst() -> None:
    batches, sink = open_batches(DROP)
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    assert offer(sink, "ab") == [OK, DROPPED]
    assert await waiting == ["a"]


async def test_under_drop_prefetch_takes_a_burst() -> None:
    batches, sink = open_batches(DROP, prefetch=3)
    assert offer(sink, "abcd") == [OK, OK, OK, DROPPED]
    assert await anext(batches) == ["a", "b", "c"]


@pytest.mark.parametrize("prefetch", [1, 256])
async def test_under_drop_a_slow_body_is_a_slow_consumer(prefetch: int) -> None:
    batches, sink = open_batches(DROP, prefetch=prefetch)
    sink.next("a")
    async for _ in batches:
        assert offer(sink, "bc") == [DROPPED, DROPPED]
        break


async def test_under_suspend_a_slow_body_makes_the_producer_wait(settle: Settle) -> None:
    async def producer(sink: FluxSink[int]) -> None:
        for number in range(6):
            await sink.send(number)
            sent.append(number)

    sent: list[int] = []
    lead: list[int] = []
    async for item in Flux.create(producer, BackpressureStrategy.suspend()):
        await settle()
        lead.append(sent[-1] - item)
    assert max(lead) == 0


# Leaving the loop.


async def leave_by_break(flux: Flux[Any]) -> None:
    async for _ in flux.batches(1):
        break


async def leave_items_by_break(flux: Flux[Any]) -> None:
    async for _ in flux:
        break


async def leave_by_return(flux: Flux[Any]) -> None:
    async for _ in flux:
        return


async def leave_by_exception(flux: Flux[Any]) -> None:
    with pytest.raises(LookupError):  # noqa: PT012 - the loop is what is left
        async for _ in flux:
            raise LookupError


async def leave_by_aclose(flux: Flux[Any]) -> None:
    items = aiter(flux)
    await anext(items)
    await items.aclose()


async def leave_by_task_cancellation_in_the_body(flux: Flux[Any]) -> None:
    async def body() -> None:
        async for _ in flux:
            await asyncio.get_running_loop().create_future()

    await cancelled(body())


async def leave_by_task_cancellation_in_the_wait(flux: Flux[Any]) -> None:
    async def body() -> None:
        async for _ in flux:
            pass

    await cancelled(body())


async def leave_for_each_by_exception(flux: Flux[Any]) -> None:
    async def consumer(_: object) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await flux.for_each(consumer)


async def cancelled(work: Any) -> None:
    task = asyncio.ensure_future(work)
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "leave",
    [
        leave_by_break,
        leave_items_by_break,
        leave_by_return,
        leave_by_exception,
        leave_by_aclose,
        leave_by_task_cancellation_in_the_body,
        leave_by_task_cancellation_in_the_wait,
        leave_for_each_by_exception,
    ],
)
async def test_leaving_cancels_within_one_turn_of_the_loop(leave: Callable[[Flux[Any]], Awaitable[None]]) -> None:
    cancels: list[str] = []
    sinks: list[FluxSink[Any]] = []

    def producer(sink: FluxSink[Any]) -> None:
        sinks.append(sink)
        sink.on_cancel(lambda: cancels.append("cancel"))
        offer(sink, "ab")

    await leave(Flux.create(producer, UNLIMITED))
    await asyncio.sleep(0)
    assert cancels == ["cancel"]
    assert sinks[0].next("c") is FAIL_CANCELLED
    counts = sinks[0].statistics
    assert counts.emitted == counts.delivered + counts.dropped + counts.rejected


async def test_iterator_that_is_forgotten_cancels() -> None:
    batches, sink = open_batches()
    assert not sink.is_cancelled
    del batches
    gc.collect()
    assert sink.is_cancelled


async def test_iterator_at_its_end_cancels_nothing() -> None:
    cancels: list[str] = []
    batches, sink = open_batches()
    sink.on_cancel(lambda: cancels.append("cancel"))
    sink.complete()
    assert [batch async for batch in batches] == []
    await batches.aclose()
    del batches
    assert cancels == []


async def test_claimed_items_count_as_held_and_are_dropped_by_a_cancel() -> None:
    flux, sinks = open_flux()
    items = aiter(flux)
    offer(sinks[0], "abc")
    assert await anext(items) == "a"
    counts = items.statistics
    assert (counts.delivered, counts.held) == (1, 2)
    await items.aclose()
    counts = items.statistics
    assert (counts.delivered, counts.held, counts.dropped) == (1, 0, 2)
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_aclose_ends_a_wait_in_another_task() -> None:
    batches, _ = open_batches()
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    await batches.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting


# Waiting.


async def test_wait_that_is_cancelled_may_be_repeated_and_loses_nothing() -> None:
    batches, sink = open_batches(DROP)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(batches), 0)
        await cancelled(anext(batches))
    assert sink.next("a") is OK
    assert await anext(batches) == ["a"]


async def test_wait_cancelled_in_the_turn_of_its_item_leaves_the_item() -> None:
    batches, sink = open_batches()
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    sink.next("a")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await anext(batches) == ["a"]


@pytest.mark.parametrize("strategy", [UNLIMITED, DROP])
async def test_second_wait_at_a_time_is_refused_and_the_first_goes_on(strategy: BackpressureStrategy) -> None:
    batches, sink = open_batches(strategy)
    first = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one consumer at a time"):
        await anext(batches)
    assert sink.next("a") is OK
    assert await first == ["a"]


# forward.


class Writer:
    """A consumer that notes each batch; it makes wait for `room` whenever there is one."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.room: asyncio.Event | None = None

    def write(self, items: list[str]) -> Awaitable[object] | None:
        self.batches.append(items)
        return None if self.room is None else self.room.wait()


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_forward_writes_what_a_loop_would_take(strategy: BackpressureStrategy, settle: Settle) -> None:
    batches, sink = open_batches(strategy, max_items=3)
    writer = Writer()
    forwarding = asyncio.ensure_future(batches.forward(writer.write))
    for items in ("abcde", "f"):
        offer(sink, items)
        await settle()
    sink.complete()
    await forwarding
    assert writer.batches == [["a", "b", "c"], ["d", "e"], ["f"]]


async def test_forward_takes_nothing_while_a_write_makes_it_wait(settle: Settle) -> None:
    batches, sink = open_batches(DROP)
    writer = Writer()
    writer.room = asyncio.Event()
    forwarding = asyncio.ensure_future(batches.forward(writer.write))
    await settle()
    assert offer(sink, "a") == [OK]
    await settle()
    assert (offer(sink, "b"), sink.requested) == ([DROPPED], 0)
    writer.room.set()
    await settle()
    assert offer(sink, "c") == [OK]
    sink.complete()
    await forwarding
    assert writer.batches == [["a"], ["c"]]


async def test_forward_raises_what_the_stream_fails_with_behind_its_items() -> None:
    batches, sink = open_batches()
    writer = Writer()
    offer(sink, "a")
    sink.error(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await batches.forward(writer.write)
    assert writer.batches == [["a"]]


@pytest.mark.parametrize("error", [ValueError("the socket broke"), StopIteration()])
async def test_forward_raises_what_a_write_raises_and_cancels(error: Exception) -> None:
    batches, sink = open_batches()

    def write(items: list[str]) -> None:
        raise error

    offer(sink, "a")
    with pytest.raises((ValueError, RuntimeError), match=r"the socket broke|write raised StopIteration"):
        await batches.forward(write)
    assert sink.is_cancelled


async def test_forward_raises_what_it_waits_for_raises_and_cancels() -> None:
    batches, sink = open_batches()

    async def write(items: list[str]) -> None:
        raise ValueError("the socket broke")

    offer(sink, "a")
    with pytest.raises(ValueError, match="the socket broke"):
        await batches.forward(write)
    assert sink.is_cancelled


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("makes_wait", [False, True])
async def test_forward_that_is_cancelled_at_any_turn_cancels_and_writes_no_more(turns: int, makes_wait: bool) -> None:
    batches, sink = open_batches()
    writer = Writer()
    writer.room = asyncio.Event() if makes_wait else None
    forwarding = asyncio.ensure_future(batches.forward(writer.write))
    await asyncio.sleep(0)
    offer(sink, "a")
    for _ in range(turns):
        await asyncio.sleep(0)
    forwarding.cancel()
    await asyncio.wait([forwarding])
    assert forwarding.cancelled()
    written = len(writer.batches)
    assert offer(sink, "b") == [FAIL_CANCELLED]
    await asyncio.sleep(0)
    assert len(writer.batches) == written


async def test_write_may_cancel_the_task_that_forwards_and_is_the_last(settle: Settle) -> None:
    written: list[list[str]] = []

    async def never() -> None: ...

    def write(items: list[str]) -> Awaitable[object] | None:
        written.append(items)
        forwarding.cancel()
        if items == ["b"]:
            raise ValueError("too late")
        return never()

    for item in "ab":
        batches, sink = open_batches()
        forwarding = asyncio.ensure_future(batches.forward(write))
        await settle()
        offer(sink, item)
        with pytest.raises(asyncio.CancelledError):
            await forwarding
    assert written == [["a"], ["b"]]


async def test_forward_gives_the_others_a_turn_however_much_is_ready() -> None:
    batches, sink = open_batches(max_items=1)
    offer(sink, "a" * 100)
    sink.complete()
    writer = Writer()
    forwarding = asyncio.ensure_future(batches.forward(writer.write))
    await asyncio.sleep(0)
    assert 0 < len(writer.batches) < 100
    await forwarding
    assert len(writer.batches) == 100


async def test_forward_ends_when_another_task_closes_the_iterator(settle: Settle) -> None:
    batches, sink = open_batches()
    forwarding = asyncio.ensure_future(batches.forward(Writer().write))
    await settle()
    await batches.aclose()
    await forwarding
    await batches.forward(Writer().write)
    assert sink.is_cancelled


async def test_forward_ends_when_the_iterator_is_closed_while_a_write_makes_it_wait(settle: Settle) -> None:
    batches, sink = open_batches()
    writer = Writer()
    writer.room = asyncio.Event()
    forwarding = asyncio.ensure_future(batches.forward(writer.write))
    sink.next("a")
    await settle()
    await batches.aclose()
    writer.room.set()
    await forwarding
    assert writer.batches == [["a"]]


async def test_forward_goes_on_when_a_wait_before_it_is_woken_late(settle: Settle) -> None:
    batches, sink = open_batches()
    await cancelled(anext(batches))
    producing = threading.Thread(target=lambda: sink.next("a"))
    producing.start()
    producing.join()
    writer = Writer()
    forwarding = asyncio.ensure_future(batches.forward(writer.write))
    await settle()
    sink.next("b")
    sink.complete()
    await forwarding
    assert writer.batches == [["a"], ["b"]]


async def test_cancellation_that_a_write_raises_is_for_the_caller(settle: Settle) -> None:
    batches, sink = open_batches()

    def write(items: list[str]) -> None:
        raise asyncio.CancelledError

    forwarding = asyncio.ensure_future(batches.forward(write))
    await settle()
    sink.next("a")
    await asyncio.wait([forwarding])
    assert forwarding.cancelled()


async def test_interruption_of_a_write_passes_through_the_loop() -> None:
    batches, sink = open_batches()

    def write(items: list[str]) -> None:
        raise KeyboardInterrupt

    sink.next("a")
    with pytest.raises(KeyboardInterrupt):
        await batches.forward(write)


async def test_forward_is_refused_while_another_waits_and_leaves_it_alone(settle: Settle) -> None:
    batches, sink = open_batches()
    first = asyncio.ensure_future(anext(batches))
    await settle()
    with pytest.raises(RuntimeError, match="one consumer at a time"):
        await batches.forward(Writer().write)
    sink.next("a")
    assert await first == ["a"]


async def test_forward_writes_in_the_context_of_its_caller(settle: Settle) -> None:
    name: ContextVar[str] = ContextVar("name")
    batches, sink = open_batches()
    name.set("consumer")
    seen: list[str] = []
    forwarding = asyncio.ensure_future(batches.forward(lambda items: seen.append(name.get())))
    await settle()
    name.set("producer")
    sink.next("a")
    sink.complete()
    await forwarding
    assert seen == ["consumer"]


async def test_forward_takes_what_a_thread_gives() -> None:
    batches, sink = open_batches(max_items=64)
    writer = Writer()

    def produce() -> None:
        for index in range(1000):
            sink.next(str(index))
        sink.complete()

    producing = asyncio.get_running_loop().run_in_executor(None, produce)
    await batches.forward(writer.write)
    await producing
    assert [item for batch in writer.batches for item in batch] == [str(index) for index in range(1000)]


# for_each, and what is refused.


async def test_for_each_awaits_its_consumer_item_by_item() -> None:
    heard: list[str] = []

    async def consumer(item: str) -> None:
        await asyncio.sleep(0)
        heard.append(item)

    await Flux.just("a", "b").for_each(consumer)
    assert heard == ["a", "b"]


async def test_for_each_raises_what_the_stream_fails_with() -> None:
    async def consumer(_: object) -> None: ...

    with pytest.raises(BufferOverflowError):
        await Flux.just(*range(9)).on_backpressure_error().for_each(consumer)


@pytest.mark.parametrize(("max_items", "prefetch"), [(0, 1), (1, 0), (-1, 1)])
async def test_batches_refuses_numbers_below_1(max_items: int, prefetch: int) -> None:
    with pytest.raises(ValueError, match="must be an int >= 1"):
        Flux.empty().batches(max_items, prefetch)


@pytest.mark.parametrize(("max_items", "prefetch"), [(None, 1), (1, 1.5), (True, 1), (1, "1")])
async def test_batches_refuses_what_is_no_number(max_items: Any, prefetch: Any) -> None:
    with pytest.raises(TypeError, match="must be an int >= 1"):
        Flux.empty().batches(max_items, prefetch)


async def test_each_call_of_batches_is_a_subscription_of_its_own() -> None:
    flux = Flux.just("a", "b")
    assert [batch async for batch in flux.batches(1)] == [batch async for batch in flux.batches(1)] == [["a"], ["b"]]


async def test_iterators_are_async_iterables() -> None:
    batches = Flux.just("a").batches(1)
    assert aiter(batches) is batches


async def test_failure_of_a_second_subscription_is_raised_where_it_is_taken() -> None:
    source = aiter(Flux.just("a"))
    flux = Flux.from_async_iterable(source)
    assert [item async for item in flux] == ["a"]
    with pytest.raises(AlreadySubscribedError):
        await anext(flux.batches(1))
