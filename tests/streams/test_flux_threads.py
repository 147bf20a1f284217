"""Flux and other threads: who may call what from where, how often the loop is woken, and what a closed loop means."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from streams import UNBOUNDED, BackpressureStrategy, EmitResult, Flux, FluxSink
from streams.testing import ManualPublisher, TestSubscriber

__all__ = ()

R = TypeVar("R")
Settle = Callable[[], Awaitable[None]]

OK, FAIL_CANCELLED, FAIL_TERMINATED = EmitResult.OK, EmitResult.FAIL_CANCELLED, EmitResult.FAIL_TERMINATED
UNLIMITED = BackpressureStrategy.buffer(None)
DROP = BackpressureStrategy.DROP


def in_thread(work: Callable[[], R]) -> R:
    """Do `work` in another thread while this one, with its loop, stands still."""
    results: list[R] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def open_sink(
    strategy: BackpressureStrategy = UNLIMITED, *, demand: int = UNBOUNDED
) -> tuple[FluxSink[Any], TestSubscriber[Any]]:
    sinks: list[FluxSink[Any]] = []
    subscriber = TestSubscriber[Any](initial_request=demand)
    Flux.create(sinks.append, strategy).subscribe(subscriber)
    return sinks[0], subscriber


@pytest.fixture
def wake_ups(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Callable[..., object]]]:
    """Count the calls of the running loop's call_soon_threadsafe from now on."""

    def count() -> list[Callable[..., object]]:
        loop = asyncio.get_running_loop()
        calls: list[Callable[..., object]] = []
        schedule = loop.call_soon_threadsafe

        def counting(callback: Callable[..., object], *args: Any, **options: Any) -> asyncio.Handle:
            calls.append(callback)
            return schedule(callback, *args, **options)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
        return calls

    return count


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# Signals from threads.


async def test_items_from_a_thread_arrive_in_the_thread_of_the_loop(settle: Settle) -> None:
    heard_in: list[int] = []

    class Noting(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            super().on_next(item)
            heard_in.append(threading.get_ident())

    sinks: list[FluxSink[str]] = []
    subscriber = Noting()
    Flux.create(sinks.append, UNLIMITED).subscribe(subscriber)
    assert in_thread(lambda: [sinks[0].next(item) for item in "abc"]) == [OK, OK, OK]
    assert subscriber.values == []
    await settle()
    assert subscriber.values == ["a", "b", "c"]
    assert set(heard_in) == {threading.get_ident()}


@pytest.mark.parametrize("succeeds", [True, False])
async def test_terminal_from_a_thread_comes_behind_its_items(succeeds: bool, settle: Settle) -> None:
    sink, subscriber = open_sink()

    def produce() -> tuple[EmitResult, EmitResult, EmitResult]:
        return sink.next("a"), sink.complete() if succeeds else sink.error(LookupError()), sink.next("b")

    assert in_thread(produce) == (OK, OK, FAIL_TERMINATED)
    await settle()
    assert subscriber.values == ["a"]
    assert subscriber.completed is succeeds
    assert subscriber.violations == []


async def test_many_items_from_a_thread_wake_a_subscriber_once(
    wake_ups: Callable[[], list[Callable[..., object]]], settle: Settle
) -> None:
    sink, subscriber = open_sink()
    calls = wake_ups()
    for batch in range(1, 4):
        in_thread(lambda: [sink.next(item) for item in range(1000)])
        assert len(calls) == batch
        await settle()
        assert len(subscriber.values) == 1000 * batch


async def test_long_backlog_is_delivered_in_several_turns_of_the_loop() -> None:
    sink, subscriber = open_sink()
    in_thread(lambda: [sink.next(item) for item in range(5000)])
    steps: list[int] = []
    while len(subscriber.values) < 5000:
        before = len(subscriber.values)
        await asyncio.sleep(0)
        steps.append(len(subscriber.values) - before)
    assert max(steps) <= 1024
    assert subscriber.values == list(range(5000))


async def test_many_items_from_a_thread_wake_a_waiting_iterator_once(
    wake_ups: Callable[[], list[Callable[..., object]]],
) -> None:
    sinks: list[FluxSink[int]] = []
    batches = Flux.create(sinks.append, UNLIMITED).batches(5000)
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    calls = wake_ups()
    in_thread(lambda: [sinks[0].next(item) for item in range(1000)])
    assert len(calls) == 1
    assert await waiting == list(range(1000))


async def test_items_from_a_thread_wake_nobody_while_the_consumer_is_busy(
    wake_ups: Callable[[], list[Callable[..., object]]],
) -> None:
    sinks: list[FluxSink[int]] = []
    batches = Flux.create(sinks.append, UNLIMITED).batches(5000)
    sinks[0].next(-1)
    async for batch in batches:
        if batch != [-1]:
            assert batch == list(range(1000))
            break
        calls = wake_ups()
        in_thread(lambda: [sinks[0].next(item) for item in range(1000)])
        assert calls == []


@pytest.mark.usefixtures("hasty_switches")
async def test_several_threads_feed_one_stream_and_nothing_is_lost() -> None:
    threads: list[threading.Thread] = []

    def producer(sink: FluxSink[tuple[int, int]]) -> None:
        def feed(name: int) -> None:
            for number in range(300):
                sink.next((name, number))

        threads.extend(threading.Thread(target=feed, args=(name,)) for name in range(4))
        for thread in threads:
            thread.start()

    taken: list[tuple[int, int]] = []
    async for batch in Flux.create(producer, UNLIMITED).batches(64):
        taken += batch
        if len(taken) == 1200:
            break
    for name in range(4):
        assert [number for who, number in taken if who == name] == list(range(300))


async def test_cancel_and_request_may_come_from_a_thread(settle: Settle) -> None:
    sink, subscriber = open_sink(demand=0)
    sink.next("a")
    sink.next("b")
    in_thread(lambda: subscriber.request(1))
    await settle()
    assert subscriber.values == ["a"]
    in_thread(subscriber.cancel)
    assert sink.next("c") is FAIL_CANCELLED


async def test_cancel_from_a_thread_calls_the_callbacks_of_the_sink_on_the_loop(settle: Settle) -> None:
    called_in: list[int] = []
    sink, subscriber = open_sink()
    sink.on_cancel(lambda: called_in.append(threading.get_ident()))
    sink.on_dispose(lambda: called_in.append(threading.get_ident()))
    in_thread(subscriber.cancel)
    assert called_in == []
    await settle()
    assert called_in == [threading.get_ident()] * 2


async def test_request_from_a_thread_tells_on_request_on_the_loop(settle: Settle) -> None:
    told_in: list[int] = []
    sink, subscriber = open_sink(demand=0)
    sink.on_request(lambda _: told_in.append(threading.get_ident()))
    in_thread(lambda: subscriber.request(1))
    await settle()
    assert told_in == [threading.get_ident()]


async def test_late_error_from_a_thread_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    sink, subscriber = open_sink()
    subscriber.cancel()
    assert in_thread(lambda: sink.error(LookupError("late"))) is FAIL_CANCELLED
    assert [record.name for record in caplog.records] == ["streams"]
    assert "late" in caplog.text


# send_blocking.


async def test_send_blocking_waits_for_room_in_its_thread() -> None:
    def feed(sink: FluxSink[int]) -> list[EmitResult]:
        results = [sink.send_blocking(number) for number in range(100)]
        sink.complete()
        return results

    feeding: list[asyncio.Future[list[EmitResult]]] = []

    def producer(sink: FluxSink[int]) -> None:
        feeding.append(asyncio.ensure_future(asyncio.to_thread(feed, sink)))

    assert [item async for item in Flux.create(producer, BackpressureStrategy.suspend())] == list(range(100))
    assert await feeding[0] == [OK] * 100


@pytest.mark.usefixtures("hasty_switches")
@pytest.mark.parametrize("capacity", [0, 1, 7])
async def test_senders_in_threads_and_on_the_loop_keep_their_order(capacity: int) -> None:
    async def producer(sink: FluxSink[tuple[str, int]]) -> None:
        def feed(name: str) -> None:
            for number in range(50):
                sink.send_blocking((name, number))

        async def feed_here() -> None:
            for number in range(50):
                await sink.send(("loop", number))

        await asyncio.gather(feed_here(), asyncio.to_thread(feed, "one"), asyncio.to_thread(feed, "two"))

    taken = [item async for item in Flux.create(producer, BackpressureStrategy.suspend(capacity))]
    for name in ("loop", "one", "two"):
        assert [number for who, number in taken if who == name] == list(range(50))


async def test_send_blocking_that_waits_hears_of_the_cancel() -> None:
    sink, subscriber = open_sink(BackpressureStrategy.suspend(), demand=0)
    sending = asyncio.ensure_future(asyncio.to_thread(sink.send_blocking, "a"))
    ahead = asyncio.ensure_future(sink.send("b"))
    subscriber.cancel()
    assert await sending is FAIL_CANCELLED
    assert await ahead is FAIL_CANCELLED


# A loop that is gone.


def subscribe_and_close_the_loop(
    subscribe: Callable[[Flux[Any]], object], sinks: list[FluxSink[Any]], disposed: list[bool]
) -> object:
    """Leave behind a subscription whose loop has been closed without a cancel."""

    def producer(sink: FluxSink[Any]) -> None:
        sinks.append(sink)
        sink.on_dispose(lambda: disposed.append(True))

    async def main() -> object:
        consumer = subscribe(Flux.create(producer, UNLIMITED))
        await asyncio.sleep(0)
        return consumer

    loop = asyncio.new_event_loop()
    consumer = loop.run_until_complete(main())
    loop.close()
    return consumer


def wait_in_a_bare_coroutine(flux: Flux[Any]) -> object:
    """Let an iterator wait, in a coroutine that nobody resumes."""
    batches = flux.batches(8)
    waiting = batches.__anext__()
    waiting.send(None)
    return batches, waiting


def forward_in_a_bare_coroutine(flux: Flux[Any]) -> object:
    """Let it forward, in a coroutine that nobody resumes."""
    forwarding = flux.batches(8).forward(lambda items: pytest.fail("it wrote"))
    forwarding.send(None)
    return forwarding


SUBSCRIBERS: list[Callable[[Flux[Any]], object]] = [
    lambda flux: flux.subscribe(TestSubscriber()),
    wait_in_a_bare_coroutine,
    forward_in_a_bare_coroutine,
]


@pytest.mark.parametrize("run", [in_thread, lambda work: work()], ids=["from a thread", "from the loop's old thread"])
@pytest.mark.parametrize("subscribe", SUBSCRIBERS, ids=["subscriber", "iterator", "forwarding"])
def test_next_after_the_loop_was_closed_never_raises_and_ends_the_stream(
    subscribe: Callable[[Flux[Any]], object], run: Callable[[Callable[[], Any]], Any]
) -> None:
    sinks: list[FluxSink[Any]] = []
    disposed: list[bool] = []
    consumer = subscribe_and_close_the_loop(subscribe, sinks, disposed)
    assert run(lambda: [sinks[0].next("a"), sinks[0].next("b")]) == [OK, FAIL_CANCELLED]
    assert run(sinks[0].complete) is FAIL_CANCELLED
    assert disposed == [True]
    counts = sinks[0].statistics
    assert (counts.emitted, counts.delivered, counts.dropped, counts.rejected) == (2, 0, 1, 1)
    del consumer


def test_a_source_is_stopped_when_the_loop_of_its_consumer_was_closed() -> None:
    publisher = ManualPublisher[str]()

    async def main() -> None:
        Flux.from_publisher(publisher).subscribe(TestSubscriber[str]())

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    in_thread(lambda: publisher.next("a"))
    assert publisher.cancel_count == 1


async def test_from_publisher_takes_signals_from_a_thread(settle: Settle) -> None:
    publisher = ManualPublisher[str]()
    subscriber = TestSubscriber[str](initial_request=2)
    Flux.from_publisher(publisher).subscribe(subscriber)

    def emit() -> None:
        publisher.next("a", "b")
        publisher.complete()

    in_thread(emit)
    await settle()
    assert subscriber.values == ["a", "b"]
    assert subscriber.completed
    assert subscriber.violations == []
