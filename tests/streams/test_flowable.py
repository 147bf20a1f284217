"""Flowable.create by example: strategies, the emitter, and who may subscribe, as RxJava's Flowable.create has them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.observer import Observer

from streams import (
    UNBOUNDED,
    BackpressureStrategy,
    BufferOverflow,
    BufferOverflowError,
    Flowable,
    FlowableEmitter,
)
from streams.testing import TestSubscriber

__all__ = ()

Settle = Callable[[], Awaitable[None]]
Errors = list[dict[str, Any]]

MISSING, ERROR, DROP, LATEST = (
    BackpressureStrategy.MISSING,
    BackpressureStrategy.ERROR,
    BackpressureStrategy.DROP,
    BackpressureStrategy.LATEST,
)
buffer, reduce = BackpressureStrategy.buffer, BackpressureStrategy.reduce
UNLIMITED = buffer(None)


def concat(held: str, incoming: str) -> str:
    return held + incoming


def fail(*_: object) -> Any:
    raise LookupError("the callback failed")


def open_emitter(
    strategy: BackpressureStrategy = UNLIMITED,
    *,
    demand: int = UNBOUNDED,
    on_drop: Callable[[Any], object] | None = None,
) -> tuple[FlowableEmitter[Any], TestSubscriber[Any]]:
    """Subscribe to a Flowable.create whose emitter is kept by the test."""
    emitters: list[FlowableEmitter[Any]] = []
    subscriber = TestSubscriber[Any](initial_request=demand)
    Flowable.create(emitters.append, strategy, on_drop=on_drop).subscribe(subscriber)
    return emitters[0], subscriber


def emit_all(emitter: FlowableEmitter[Any], items: Any) -> None:
    for item in items:
        emitter.on_next(item)


def abc(emitter: FlowableEmitter[str]) -> None:
    emit_all(emitter, "abc")
    emitter.on_completed()


def heard_by(subscriber: TestSubscriber[Any]) -> list[object]:
    return subscriber.values + ([type(subscriber.error).__name__] if subscriber.error else [])


# Every strategy: five items meet a demand of one, then all is requested.

STRATEGIES: list[tuple[BackpressureStrategy, str, str]] = [
    (MISSING, "a b c d e", ""),
    (BackpressureStrategy.IGNORE, "a b c d e", ""),
    (ERROR, "a BufferOverflowError", "b"),
    (DROP, "a", "b c d e"),
    (LATEST, "a e", "b c d"),
    (buffer(2), "a b c BufferOverflowError", "d"),
    (buffer(None), "a b c d e", ""),
    (buffer(2, BufferOverflow.DROP_OLDEST), "a d e", "b c"),
    (buffer(2, BufferOverflow.DROP_INCOMING), "a b c", "d e"),
    (buffer(2, BufferOverflow.DROP_NEWEST_HELD), "a b e", "c d"),
    (reduce(concat), "a bcde", ""),
    (reduce(concat, 2), "a bc BufferOverflowError", "d"),
]


@pytest.mark.parametrize(("strategy", "heard", "dropped"), STRATEGIES)
def test_create_strategy_decides_what_is_heard_and_what_is_lost(
    strategy: BackpressureStrategy, heard: str, dropped: str
) -> None:
    lost: list[str] = []
    emitter, subscriber = open_emitter(strategy, demand=1, on_drop=lost.append)
    emit_all(emitter, "abcde")
    emitter.on_completed()
    subscriber.request(UNBOUNDED)
    assert heard_by(subscriber) == heard.split()
    assert lost == dropped.split()
    assert subscriber.completed is (subscriber.error is None)
    counts = emitter.statistics
    assert counts.emitted == counts.delivered + counts.dropped + counts.merged + counts.rejected == 5


@pytest.mark.parametrize(("strategy", "_heard", "_dropped"), STRATEGIES)
def test_create_delivers_everything_to_unbounded_demand(
    strategy: BackpressureStrategy, _heard: str, _dropped: str
) -> None:
    emitter, subscriber = open_emitter(strategy)
    emit_all(emitter, "abcde")
    emitter.on_completed()
    assert subscriber.values == ["a", "b", "c", "d", "e"]
    assert subscriber.completed
    assert subscriber.violations == []
    assert emitter.statistics.delivered == 5


@pytest.mark.parametrize("strategy", [BackpressureStrategy.suspend(), buffer(4, BufferOverflow.SUSPEND)])
def test_create_refuses_suspend_because_on_next_cannot_wait(strategy: BackpressureStrategy) -> None:
    with pytest.raises(ValueError, match=r"use Flux\.create"):
        Flowable.create(abc, strategy)


async def _coroutine_producer(_: FlowableEmitter[str]) -> None: ...


async def _async_generator(_: FlowableEmitter[str]) -> AsyncIterator[str]:
    yield "a"


@pytest.mark.parametrize("producer", [None, _coroutine_producer, partial(_coroutine_producer), _async_generator])
def test_create_refuses_what_is_no_function(producer: Any) -> None:
    with pytest.raises(TypeError, match="producer must be a function"):
        Flowable.create(producer, DROP)


@pytest.mark.parametrize(
    ("arguments", "name"), [({"strategy": "drop"}, "strategy"), ({"strategy": DROP, "on_drop": 1}, "on_drop")]
)
def test_create_refuses_bad_arguments_by_name(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Flowable.create(abc, **arguments)


@pytest.mark.parametrize("strategy", [UNLIMITED, LATEST, reduce(concat)])
def test_create_delivers_what_is_held_before_an_error(strategy: BackpressureStrategy) -> None:
    emitter, subscriber = open_emitter(strategy, demand=0)
    emitter.on_next("a")
    emitter.on_error(LookupError())
    assert not subscriber.terminated
    subscriber.request(1)
    assert heard_by(subscriber) == ["a", "LookupError"]


def test_create_terminal_needs_no_demand_when_nothing_is_held() -> None:
    emitter, subscriber = open_emitter(demand=0)
    emitter.on_completed()
    assert subscriber.completed


def test_create_none_is_an_item() -> None:
    emitter, subscriber = open_emitter()
    emitter.on_next(None)
    assert subscriber.values == [None]


# The producer.


def test_producer_runs_once_per_subscription() -> None:
    flowable = Flowable.create(abc, UNLIMITED)
    for _ in range(2):
        subscriber = TestSubscriber[str]()
        flowable.subscribe(subscriber)
        assert subscriber.values == ["a", "b", "c"]


def test_producer_that_raises_fails_the_stream() -> None:
    subscriber = TestSubscriber[str](initial_request=0)
    Flowable.create(fail, DROP).subscribe(subscriber)
    assert isinstance(subscriber.error, LookupError)


def test_endless_synchronous_producer_stops_when_take_has_had_enough() -> None:
    rounds: list[int] = []

    def producer(emitter: FlowableEmitter[int]) -> None:
        while not emitter.is_cancelled:
            rounds.append(len(rounds))
            emitter.on_next(len(rounds))

    values: list[int] = []
    Flowable.create(producer, LATEST).pipe(ops.take(3)).subscribe(values.append)
    assert values == [1, 2, 3]
    assert len(rounds) == 3


def test_endless_synchronous_producer_stops_at_a_cancel_inside_on_next() -> None:
    class First(TestSubscriber[int]):
        def on_next(self, item: int) -> None:
            super().on_next(item)
            self.cancel()

    def producer(emitter: FlowableEmitter[int]) -> None:
        while not emitter.is_cancelled:
            emitter.on_next(1)

    subscriber = First()
    Flowable.create(producer, DROP).subscribe(subscriber)
    assert subscriber.values == [1]


def test_producer_is_not_started_for_a_subscriber_that_cancels_at_once() -> None:
    class Uninterested(TestSubscriber[str]):
        def on_subscribe(self, subscription: Any) -> None:
            subscription.cancel()

    started: list[object] = []
    Flowable.create(started.append, DROP).subscribe(Uninterested())
    assert started == []


def test_producer_is_not_started_when_it_is_cancelled_before_its_turn_on_the_trampoline() -> None:
    started: list[object] = []
    values: list[object] = []
    flowable = Flowable.create(started.append, DROP)
    reactivex.of("a").pipe(ops.merge(flowable), ops.take(1)).subscribe(values.append)
    assert (values, started) == (["a"], [])


# The emitter.


def test_emitter_ignores_items_after_a_terminal_and_after_cancel() -> None:
    for end in (FlowableEmitter.on_completed, lambda _: None):
        emitter, subscriber = open_emitter()
        end(emitter)
        if not subscriber.terminated:
            subscriber.cancel()
        emitter.on_next("a")
        assert subscriber.values == []
        assert subscriber.violations == []
        assert emitter.statistics.rejected == 1


def test_emitter_try_on_error_says_whether_it_was_delivered(caplog: pytest.LogCaptureFixture) -> None:
    emitter, subscriber = open_emitter()
    error = LookupError()
    assert emitter.try_on_error(error)
    assert subscriber.error is error
    assert not emitter.try_on_error(LookupError())
    assert caplog.records == []


def test_emitter_try_on_error_is_false_after_cancel() -> None:
    emitter, subscriber = open_emitter()
    subscriber.cancel()
    assert not emitter.try_on_error(LookupError())


def test_emitter_late_error_is_logged_where_no_loop_runs(caplog: pytest.LogCaptureFixture) -> None:
    emitter, _ = open_emitter()
    emitter.on_completed()
    emitter.on_error(LookupError("late"))
    assert "late" in caplog.text


async def test_emitter_late_error_goes_to_the_exception_handler_of_a_running_loop(loop_errors: Errors) -> None:
    emitter, subscriber = open_emitter()
    subscriber.cancel()
    late = LookupError()
    emitter.on_error(late)
    assert [context["exception"] for context in loop_errors] == [late]


@pytest.mark.parametrize("method", ["on_error", "try_on_error"])
def test_emitter_refuses_an_error_that_is_none(method: str) -> None:
    emitter, _ = open_emitter()
    with pytest.raises(TypeError, match="error must be an instance of Exception"):
        getattr(emitter, method)("text")


def test_emitter_requested_is_the_outstanding_demand() -> None:
    emitter, subscriber = open_emitter(demand=2)
    emitter.on_next("a")
    assert emitter.requested == 1
    subscriber.request(UNBOUNDED)
    assert emitter.requested == UNBOUNDED


@pytest.mark.parametrize(
    "end",
    [
        lambda emitter, subscriber: subscriber.cancel(),
        lambda emitter, subscriber: emitter.on_completed(),
        lambda emitter, subscriber: emitter.on_error(LookupError()),
        lambda emitter, subscriber: subscriber.request(0),
    ],
)
def test_emitter_cancellable_is_called_once_at_every_end(end: Callable[..., object]) -> None:
    calls: list[str] = []
    emitter, subscriber = open_emitter()
    emitter.set_cancellable(lambda: calls.append("released"))
    end(emitter, subscriber)
    subscriber.cancel()
    assert calls == ["released"]


def test_emitter_new_cancellable_calls_the_old_one() -> None:
    calls: list[str] = []
    emitter, subscriber = open_emitter()
    emitter.set_cancellable(lambda: calls.append("first"))
    emitter.set_cancellable(lambda: calls.append("second"))
    assert calls == ["first"]
    subscriber.cancel()
    assert calls == ["first", "second"]


def test_emitter_cancellable_set_after_the_end_is_called_at_once() -> None:
    calls: list[str] = []
    emitter, subscriber = open_emitter()
    subscriber.cancel()
    emitter.set_cancellable(lambda: calls.append("released"))
    emitter.set_cancellable(None)
    assert calls == ["released"]


def test_emitter_cancellable_is_called_when_the_subscriber_raises_in_its_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    emitter, subscriber = open_emitter()
    subscriber.on_complete = fail  # type: ignore[method-assign]
    emitter.set_cancellable(lambda: calls.append("released"))
    emitter.on_completed()
    assert calls == ["released"]
    assert "the callback failed" in caplog.text


@pytest.mark.parametrize("strategy", [UNLIMITED, DROP, ERROR, LATEST, MISSING])
def test_emitter_serialized_takes_items_from_threads(strategy: BackpressureStrategy) -> None:
    emitter, subscriber = open_emitter(strategy)
    serialized = emitter.serialize()
    assert serialized.serialize() is serialized
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [
        threading.Thread(target=emit_all, args=(serialized, [(name, number) for number in range(200)]))
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    serialized.on_completed()
    assert subscriber.completed
    assert subscriber.violations == []
    for name in range(4):
        assert [number for who, number in subscriber.values if who == name] == list(range(200))


# Who may subscribe.


def test_subscriber_gets_what_it_requests() -> None:
    subscriber = TestSubscriber[str](initial_request=1)
    Flowable.create(abc, UNLIMITED).subscribe(subscriber)
    assert subscriber.values == ["a"]
    subscriber.request(1)
    assert subscriber.values == ["a", "b"]
    assert subscriber.violations == []


def test_subscriber_request_inside_on_next_never_nests() -> None:
    class OneByOne(TestSubscriber[int]):
        def on_next(self, item: int) -> None:
            super().on_next(item)
            self.request(1)

    subscriber = OneByOne(initial_request=1)
    Flowable.create(partial(emit_all, items=range(1000)), UNLIMITED).subscribe(subscriber)
    assert subscriber.values == list(range(1000))
    assert subscriber.violations == []


def test_producer_emitting_inside_on_next_never_nests() -> None:
    class Echo(TestSubscriber[int]):
        def on_next(self, item: int) -> None:
            super().on_next(item)
            if item < 3:
                emitters[0].on_next(item + 1)
            else:
                emitters[0].on_completed()

    emitters: list[FlowableEmitter[int]] = []
    subscriber = Echo()
    Flowable.create(emitters.append, ERROR).subscribe(subscriber)
    emitters[0].on_next(0)
    assert subscriber.values == [0, 1, 2, 3]
    assert subscriber.completed
    assert subscriber.violations == []


def test_rx_observer_gets_everything() -> None:
    heard: list[object] = []
    observer = Observer[str](heard.append, heard.append, lambda: heard.append("completed"))
    Flowable.create(abc, DROP).subscribe(observer)
    assert heard == ["a", "b", "c", "completed"]


def test_callbacks_get_everything() -> None:
    heard: list[object] = []
    Flowable.create(abc, DROP).subscribe(heard.append, None, lambda: heard.append("completed"))
    Flowable.create(fail, DROP).subscribe(heard.append, lambda error: heard.append(type(error)))
    assert heard == ["a", "b", "c", "completed", LookupError]


def test_no_consumer_at_all_is_legal_in_rx(caplog: pytest.LogCaptureFixture) -> None:
    Flowable.create(abc, DROP).subscribe()
    assert caplog.records == []
    Flowable.create(fail, DROP).subscribe()
    assert "the callback failed" in caplog.text


def test_dispose_cancels() -> None:
    emitters: list[FlowableEmitter[str]] = []
    values: list[str] = []
    disposable = Flowable.create(emitters.append, DROP).subscribe(values.append)
    emitters[0].on_next("a")
    disposable.dispose()
    disposable.dispose()
    emitters[0].on_next("b")
    assert values == ["a"]
    assert emitters[0].is_cancelled


@pytest.mark.parametrize("serialized", [False, True])
def test_observer_that_raises_is_cancelled_and_hears_nothing_more(
    serialized: bool, caplog: pytest.LogCaptureFixture
) -> None:
    values: list[str] = []

    def on_next(item: str) -> None:
        values.append(item)
        fail()

    def producer(emitter: FlowableEmitter[str]) -> None:
        abc(emitter.serialize() if serialized else emitter)

    Flowable.create(producer, UNLIMITED).subscribe(on_next, fail, fail)
    assert values == ["a"]
    assert caplog.text.count("an error that no consumer can hear") == 1


def test_base_exceptions_pass_through() -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    emitters: list[FlowableEmitter[str]] = []
    Flowable.create(emitters.append, UNLIMITED).subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        emitters[0].on_next("a")


async def _coroutine(_: object) -> None: ...


class _CoroutineObserver:
    async def on_next(self, _: object) -> None: ...
    def on_error(self, _: Exception) -> None: ...
    def on_completed(self) -> None: ...


@pytest.mark.parametrize("on_next", [_coroutine, partial(_coroutine), _CoroutineObserver()])
def test_coroutine_function_as_observer_is_refused(on_next: Any) -> None:
    with pytest.raises(TypeError, match="use `async for` or for_each"):
        Flowable.create(abc, DROP).subscribe(on_next)


def test_incomplete_subscriber_is_refused() -> None:
    class Half:
        def on_subscribe(self, _: object) -> None: ...

    with pytest.raises(TypeError, match="lacks on_next, on_error, on_complete"):
        Flowable.create(abc, DROP).subscribe(Half())  # type: ignore[arg-type]


def test_wrong_request_fails_the_stream() -> None:
    emitter, subscriber = open_emitter()
    subscriber.request(-1)
    assert isinstance(subscriber.error, ValueError)
    assert emitter.is_cancelled


# Taking with async for, batches, for_each.


async def test_async_for_takes_a_flowable() -> None:
    assert [item async for item in Flowable.create(abc, UNLIMITED)] == ["a", "b", "c"]


async def test_batches_take_a_flowable() -> None:
    assert [batch async for batch in Flowable.create(abc, UNLIMITED).batches(2)] == [["a", "b"], ["c"]]


async def test_for_each_waits_for_its_consumer() -> None:
    heard: list[str] = []

    async def consumer(item: str) -> None:
        await asyncio.sleep(0)
        heard.append(item)

    await Flowable.create(abc, UNLIMITED).for_each(consumer)
    assert heard == ["a", "b", "c"]


async def test_async_for_raises_what_the_stream_fails_with() -> None:
    with pytest.raises(BufferOverflowError):
        async for _ in Flowable.create(abc, ERROR):
            pass


async def test_leaving_async_for_cancels_and_releases() -> None:
    calls: list[str] = []

    def producer(emitter: FlowableEmitter[str]) -> None:
        emitter.set_cancellable(lambda: calls.append("released"))
        emit_all(emitter, "ab")

    async for _ in Flowable.create(producer, UNLIMITED):
        break
    assert calls == ["released"]


async def test_async_for_takes_from_a_producer_in_a_thread() -> None:
    threads: list[threading.Thread] = []

    def producer(emitter: FlowableEmitter[int]) -> None:
        def feed() -> None:
            emit_all(emitter, range(1000))
            emitter.on_completed()

        threads.append(threading.Thread(target=feed))
        threads[0].start()

    assert [item async for item in Flowable.create(producer, UNLIMITED)] == list(range(1000))


def test_taking_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        aiter(Flowable.create(abc, DROP))


def test_producer_in_a_thread_outlives_a_closed_loop() -> None:
    emitters: list[FlowableEmitter[str]] = []
    released: list[bool] = []

    async def main() -> object:
        items = aiter(Flowable.create(emitters.append, UNLIMITED))
        emitters[0].set_cancellable(lambda: released.append(True))
        waiting = items.__anext__()
        waiting.send(None)
        return items, waiting

    loop = asyncio.new_event_loop()
    consumer = loop.run_until_complete(main())
    loop.close()
    thread = threading.Thread(target=emitters[0].on_next, args=("a",))
    thread.start()
    thread.join()
    assert emitters[0].is_cancelled
    assert released == [True]
    del consumer
