"""Flux and FluxSink by example, in one thread: strategies, sink, makers and operators, as Reactor's Flux has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from streams import (
    UNBOUNDED,
    AlreadySubscribedError,
    BackpressureStrategy,
    BufferOverflow,
    BufferOverflowError,
    EmitResult,
    Flux,
    FluxSink,
    StreamClosedError,
    Subscription,
)
from streams.affinity import LoopThread
from streams.boundary import Boundary
from streams.testing import ManualPublisher, TestSubscriber, VirtualClock

__all__ = ()

Settle = Callable[[], Awaitable[None]]
Errors = list[dict[str, Any]]

OK, DROPPED, MERGED = EmitResult.OK, EmitResult.DROPPED, EmitResult.MERGED
WOULD_SUSPEND, FAIL_OVERFLOW = EmitResult.WOULD_SUSPEND, EmitResult.FAIL_OVERFLOW
FAIL_TERMINATED, FAIL_CANCELLED = EmitResult.FAIL_TERMINATED, EmitResult.FAIL_CANCELLED

MISSING, ERROR, DROP, LATEST = (
    BackpressureStrategy.MISSING,
    BackpressureStrategy.ERROR,
    BackpressureStrategy.DROP,
    BackpressureStrategy.LATEST,
)
buffer, reduce, suspend = BackpressureStrategy.buffer, BackpressureStrategy.reduce, BackpressureStrategy.suspend
UNLIMITED = buffer(None)


def concat(held: str, incoming: str) -> str:
    return held + incoming


def square(number: int) -> int:
    return number * number


def fail(*_: object) -> Any:
    raise LookupError("the callback failed")


def open_sink(
    strategy: BackpressureStrategy = UNLIMITED,
    *,
    demand: int = UNBOUNDED,
    on_drop: Callable[[Any], object] | None = None,
) -> tuple[FluxSink[Any], TestSubscriber[Any]]:
    """Subscribe to a Flux.create whose sink is kept by the test."""
    sinks: list[FluxSink[Any]] = []
    subscriber = TestSubscriber[Any](initial_request=demand)
    Flux.create(sinks.append, strategy, on_drop=on_drop).subscribe(subscriber)
    return sinks[0], subscriber


def open_operator(
    operator: Callable[[Flux[Any]], Flux[Any]], *, demand: int = 0
) -> tuple[FluxSink[Any], TestSubscriber[Any]]:
    """Subscribe to an operator on a source that pushes whatever the demand is."""
    sinks: list[FluxSink[Any]] = []
    subscriber = TestSubscriber[Any](initial_request=demand)
    operator(Flux.create(sinks.append, MISSING)).subscribe(subscriber)
    return sinks[0], subscriber


# Every strategy: five items meet a demand of one, then all is requested and the producer completes.

STRATEGIES: list[tuple[BackpressureStrategy, list[EmitResult], str]] = [
    (MISSING, [OK, OK, OK, OK, OK], "a b c d e"),
    (BackpressureStrategy.IGNORE, [OK, OK, OK, OK, OK], "a b c d e"),
    (ERROR, [OK, FAIL_OVERFLOW, FAIL_TERMINATED, FAIL_TERMINATED, FAIL_TERMINATED], "a BufferOverflowError"),
    (DROP, [OK, DROPPED, DROPPED, DROPPED, DROPPED], "a"),
    (LATEST, [OK, OK, OK, OK, OK], "a e"),
    (buffer(2), [OK, OK, OK, FAIL_OVERFLOW, FAIL_TERMINATED], "a b c BufferOverflowError"),
    (buffer(None), [OK, OK, OK, OK, OK], "a b c d e"),
    (buffer(2, BufferOverflow.DROP_OLDEST), [OK, OK, OK, OK, OK], "a d e"),
    (buffer(2, BufferOverflow.DROP_INCOMING), [OK, OK, OK, DROPPED, DROPPED], "a b c"),
    (buffer(2, BufferOverflow.DROP_NEWEST_HELD), [OK, OK, OK, OK, OK], "a b e"),
    (buffer(2, BufferOverflow.SUSPEND), [OK, OK, OK, WOULD_SUSPEND, WOULD_SUSPEND], "a b c"),
    (suspend(), [OK, WOULD_SUSPEND, WOULD_SUSPEND, WOULD_SUSPEND, WOULD_SUSPEND], "a"),
    (suspend(3), [OK, OK, OK, OK, WOULD_SUSPEND], "a b c d"),
    (reduce(concat), [OK, OK, MERGED, MERGED, MERGED], "a bcde"),
    (reduce(concat, 2), [OK, OK, MERGED, FAIL_OVERFLOW, FAIL_TERMINATED], "a bc BufferOverflowError"),
]


@pytest.mark.parametrize(("strategy", "results", "heard"), STRATEGIES)
async def test_create_strategy_decides_results_and_what_is_heard(
    strategy: BackpressureStrategy, results: list[EmitResult], heard: str
) -> None:
    sink, subscriber = open_sink(strategy, demand=1)
    assert [sink.next(item) for item in "abcde"] == results
    sink.complete()
    subscriber.request(UNBOUNDED)
    assert subscriber.values + ([type(subscriber.error).__name__] if subscriber.error else []) == heard.split()
    assert subscriber.completed is (subscriber.error is None)


@pytest.mark.parametrize("strategy", [row[0] for row in STRATEGIES])
async def test_create_statistics_always_add_up(strategy: BackpressureStrategy) -> None:
    sink, subscriber = open_sink(strategy, demand=1)
    for item in "abcde":
        sink.next(item)
        counts = sink.statistics
        assert counts.emitted == counts.delivered + counts.dropped + counts.merged + counts.rejected + counts.held
    subscriber.cancel()
    counts = sink.statistics
    assert counts.emitted == counts.delivered + counts.dropped + counts.merged + counts.rejected
    assert subscriber.subscription is not None
    assert subscriber.subscription.statistics == counts


@pytest.mark.parametrize(
    ("strategy", "dropped"),
    [
        (ERROR, "b"),
        (DROP, "b c d e"),
        (LATEST, "b c d"),
        (buffer(2), "d"),
        (buffer(2, BufferOverflow.DROP_OLDEST), "b c"),
        (buffer(2, BufferOverflow.DROP_INCOMING), "d e"),
        (buffer(2, BufferOverflow.DROP_NEWEST_HELD), "c d"),
        (reduce(concat, 2), "d"),
        (suspend(), ""),
    ],
)
async def test_create_on_drop_hears_of_every_lost_item(strategy: BackpressureStrategy, dropped: str) -> None:
    lost: list[str] = []
    sink, _ = open_sink(strategy, demand=1, on_drop=lost.append)
    for item in "abcde":
        sink.next(item)
    assert lost == dropped.split()


async def test_create_drops_what_is_held_at_cancel_and_tells_oldest_first() -> None:
    lost: list[str] = []
    sink, subscriber = open_sink(buffer(4), demand=0, on_drop=lost.append)
    for item in "abc":
        sink.next(item)
    subscriber.cancel()
    assert lost == ["a", "b", "c"]
    assert sink.statistics.dropped == 3


async def test_create_on_drop_that_raises_fails_the_stream_with_it() -> None:
    sink, subscriber = open_sink(DROP, demand=0, on_drop=fail)
    assert sink.next("a") is DROPPED
    assert isinstance(subscriber.error, LookupError)
    assert sink.next("b") is FAIL_TERMINATED


async def test_create_overflow_error_keeps_its_place_when_on_drop_raises() -> None:
    sink, subscriber = open_sink(ERROR, demand=0, on_drop=fail)
    sink.next("a")
    assert isinstance(subscriber.error, BufferOverflowError)
    assert isinstance(subscriber.error.__cause__, LookupError)


async def test_create_reducer_that_raises_fails_behind_the_held_item() -> None:
    sink, subscriber = open_sink(reduce(fail), demand=0)
    assert [sink.next(item) for item in "ab"] == [OK, FAIL_TERMINATED]
    assert subscriber.error is None
    subscriber.request(1)
    assert subscriber.values == ["a"]
    assert isinstance(subscriber.error, LookupError)


async def test_create_none_is_an_item() -> None:
    sink, subscriber = open_sink()
    assert sink.next(None) is OK
    assert subscriber.values == [None]


@pytest.mark.parametrize("strategy", [UNLIMITED, LATEST, reduce(concat), suspend(1)])
async def test_create_delivers_what_is_held_before_an_error(strategy: BackpressureStrategy) -> None:
    sink, subscriber = open_sink(strategy, demand=0)
    sink.next("a")
    assert sink.error(LookupError()) is OK
    assert not subscriber.terminated
    subscriber.request(1)
    assert subscriber.values == ["a"]
    assert isinstance(subscriber.error, LookupError)


@pytest.mark.parametrize("end", [lambda sink: sink.complete(), lambda sink: sink.error(LookupError())])
async def test_create_terminal_needs_no_demand_when_nothing_is_held(end: Callable[[FluxSink[Any]], object]) -> None:
    sink, subscriber = open_sink(demand=0)
    end(sink)
    assert subscriber.terminated


async def test_create_items_are_delivered_in_order_and_never_nested() -> None:
    class Greedy(TestSubscriber[Any]):
        def on_next(self, item: Any) -> None:
            super().on_next(item)
            if item < 3:
                inner.next(item + 1)
            self.request(1)

    sinks: list[FluxSink[Any]] = []
    greedy = Greedy(initial_request=1)
    Flux.create(sinks.append, UNLIMITED).subscribe(greedy)
    inner = sinks[0]
    inner.next(0)
    assert greedy.values == [0, 1, 2, 3]
    assert greedy.violations == []


# The producer.


async def test_function_producer_runs_inline_once_per_subscription() -> None:
    def producer(sink: FluxSink[Any]) -> None:
        for item in "abc":
            sink.next(item)
        sink.complete()

    flux = Flux.create(producer, UNLIMITED)
    for _ in range(2):
        subscriber = TestSubscriber[str]()
        flux.subscribe(subscriber)
        assert subscriber.values == ["a", "b", "c"]
        assert subscriber.completed


async def test_function_producer_that_returns_leaves_the_stream_open() -> None:
    _, subscriber = open_sink()
    assert not subscriber.terminated


async def test_coroutine_producer_completes_the_stream_when_it_returns(settle: Settle) -> None:
    async def producer(sink: FluxSink[str]) -> None:
        for item in "abc":
            assert await sink.send(item) is OK

    subscriber = TestSubscriber[str]()
    Flux.create(producer, suspend()).subscribe(subscriber)
    assert subscriber.values == []
    await settle()
    assert subscriber.values == ["a", "b", "c"]
    assert subscriber.completed


async def test_coroutine_producer_that_ended_the_stream_itself_is_left_alone(settle: Settle) -> None:
    async def producer(sink: FluxSink[str]) -> None:
        sink.complete()

    subscriber = TestSubscriber[str]()
    Flux.create(producer, DROP).subscribe(subscriber)
    await settle()
    assert subscriber.completed
    assert subscriber.violations == []


@pytest.mark.parametrize("waits_first", [False, True])
async def test_producer_that_raises_fails_the_stream(waits_first: bool, settle: Settle) -> None:
    async def coroutine_producer(_: FluxSink[str]) -> None:
        fail()

    subscriber = TestSubscriber[str](initial_request=0)
    Flux.create(coroutine_producer if waits_first else fail, DROP).subscribe(subscriber)
    await settle()
    assert isinstance(subscriber.error, LookupError)


async def test_coroutine_producer_is_cancelled_with_its_subscription(settle: Settle) -> None:
    ended: list[str] = []

    async def producer(sink: FluxSink[str]) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled" if sink.is_cancelled else "not cancelled")

    subscriber = TestSubscriber[str]()
    Flux.create(producer, DROP).subscribe(subscriber)
    await settle()
    subscriber.cancel()
    await settle()
    assert ended == ["cancelled"]
    assert not subscriber.terminated


async def test_coroutine_producer_cancelled_before_its_first_turn_never_runs(settle: Settle) -> None:
    started: list[FluxSink[str]] = []

    async def producer(sink: FluxSink[str]) -> None:
        started.append(sink)

    subscriber = TestSubscriber[str]()
    Flux.create(producer, DROP).subscribe(subscriber)
    subscriber.cancel()
    await settle()
    assert started == []


async def test_coroutine_producer_is_cancelled_when_an_item_overflows(settle: Settle) -> None:
    ended: list[BaseException] = []

    async def producer(sink: FluxSink[str]) -> None:
        sink.next("a")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as error:
            ended.append(error)
            raise

    subscriber = TestSubscriber[str](initial_request=0)
    Flux.create(producer, ERROR).subscribe(subscriber)
    await settle()
    assert isinstance(subscriber.error, BufferOverflowError)
    assert len(ended) == 1


async def test_coroutine_producer_whose_task_is_cancelled_by_somebody_else_fails_the_stream(settle: Settle) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def producer(_: FluxSink[str]) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.get_running_loop().create_future()

    subscriber = TestSubscriber[str]()
    Flux.create(producer, DROP).subscribe(subscriber)
    await settle()
    assert tasks[0] is not None
    tasks[0].cancel()
    await settle()
    assert isinstance(subscriber.error, StreamClosedError)


async def test_producer_is_not_started_for_a_subscriber_that_cancels_at_once() -> None:
    class Uninterested(TestSubscriber[str]):
        def on_subscribe(self, subscription: Any) -> None:
            subscription.cancel()

    started: list[FluxSink[Any]] = []
    Flux.create(started.append, DROP).subscribe(Uninterested())
    assert started == []


async def test_producer_is_not_started_for_a_subscriber_whose_first_request_is_wrong() -> None:
    class Wrong(TestSubscriber[Any]):
        def on_subscribe(self, subscription: Subscription) -> None:
            super().on_subscribe(subscription)
            subscription.request(-1)

    started: list[FluxSink[Any]] = []
    subscriber = Wrong(initial_request=0)
    Flux.create(started.append, DROP).subscribe(subscriber)
    assert started == []
    assert isinstance(subscriber.error, ValueError)


# The sink after the end.


async def test_next_after_a_terminal_is_rejected() -> None:
    sink, subscriber = open_sink()
    assert sink.complete() is OK
    assert [sink.next("a"), sink.complete()] == [FAIL_TERMINATED, FAIL_TERMINATED]
    assert await sink.send("b") is FAIL_TERMINATED
    assert sink.statistics.rejected == 2
    assert subscriber.values == []
    assert subscriber.violations == []


async def test_next_after_complete_is_rejected_while_items_are_still_held() -> None:
    sink, subscriber = open_sink(demand=0)
    sink.next("a")
    sink.complete()
    assert sink.next("b") is FAIL_TERMINATED
    subscriber.request(9)
    assert subscriber.values == ["a"]


async def test_next_after_cancel_is_rejected() -> None:
    sink, subscriber = open_sink()
    subscriber.cancel()
    assert [sink.next("a"), sink.complete()] == [FAIL_CANCELLED, FAIL_CANCELLED]
    assert subscriber.values == []


@pytest.mark.parametrize("cancelled", [False, True])
async def test_late_error_goes_to_the_exception_handler_of_the_loop(cancelled: bool, loop_errors: Errors) -> None:
    sink, subscriber = open_sink()
    if cancelled:
        subscriber.cancel()
    else:
        sink.complete()
    late = LookupError()
    assert sink.error(late) is (FAIL_CANCELLED if cancelled else FAIL_TERMINATED)
    assert [context["exception"] for context in loop_errors] == [late]


@pytest.mark.parametrize("error", [None, "text", LookupError, asyncio.CancelledError()])
async def test_error_refuses_what_is_no_exception(error: Any) -> None:
    sink, _ = open_sink()
    with pytest.raises(TypeError, match="error must be an instance of Exception"):
        sink.error(error)


async def test_is_cancelled_turns_true_with_the_cancel() -> None:
    sink, subscriber = open_sink()
    assert not sink.is_cancelled
    subscriber.cancel()
    assert sink.is_cancelled


async def test_requested_is_the_outstanding_demand() -> None:
    sink, subscriber = open_sink(demand=2)
    assert sink.requested == 2
    sink.next("a")
    assert sink.requested == 1
    subscriber.request(UNBOUNDED)
    sink.next("b")
    assert sink.requested == UNBOUNDED


# send: waiting under suspend.


async def test_send_under_a_rule_that_never_waits_returns_at_once() -> None:
    sink, _ = open_sink(DROP, demand=0)
    assert await sink.send("a") is DROPPED


async def test_send_waits_for_room_first_come_first_served(settle: Settle) -> None:
    sink, subscriber = open_sink(suspend(1), demand=0)
    sends = [asyncio.create_task(sink.send(item)) for item in "abcd"]
    await settle()
    assert [send.done() for send in sends] == [True, False, False, False]
    assert sink.next("e") is WOULD_SUSPEND
    subscriber.request(2)
    await settle()
    assert [send.done() for send in sends] == [True, True, True, False]
    subscriber.request(2)
    assert await asyncio.gather(*sends) == [OK, OK, OK, OK]
    assert subscriber.values == ["a", "b", "c", "d"]
    assert sink.statistics.emitted == 4


async def test_send_to_a_rendezvous_waits_for_demand(settle: Settle) -> None:
    sink, subscriber = open_sink(suspend(), demand=0)
    send = asyncio.create_task(sink.send("a"))
    await settle()
    assert not send.done()
    assert sink.statistics.held == 0
    subscriber.request(1)
    assert await send is OK
    assert subscriber.values == ["a"]


async def test_send_to_a_rendezvous_hands_over_to_a_consumer_that_waits() -> None:
    sinks: list[FluxSink[str]] = []
    items = aiter(Flux.create(sinks.append, suspend()))
    assert await sinks[0].send("a") is OK
    assert await anext(items) == "a"
    second = asyncio.ensure_future(sinks[0].send("b"))
    assert await anext(items) == "b"
    assert await second is OK


@pytest.mark.parametrize("cancelled", [False, True])
async def test_send_that_waits_hears_of_the_end(cancelled: bool, settle: Settle) -> None:
    sink, subscriber = open_sink(suspend(), demand=0)
    send = asyncio.create_task(sink.send("a"))
    await settle()
    if cancelled:
        subscriber.cancel()
    else:
        sink.complete()
    assert await send is (FAIL_CANCELLED if cancelled else FAIL_TERMINATED)
    assert sink.statistics.rejected == 1


async def test_send_whose_wait_is_cancelled_does_not_store_its_item(settle: Settle) -> None:
    sink, subscriber = open_sink(suspend(), demand=0)
    sends = [asyncio.create_task(sink.send(item)) for item in "ab"]
    await settle()
    sends[0].cancel()
    await settle()
    subscriber.request(2)
    await settle()
    assert sends[0].cancelled()
    assert subscriber.values == ["b"]
    assert sink.statistics.emitted == 1


@pytest.mark.parametrize("cancel_first", [False, True])
async def test_send_cancelled_in_the_turn_in_which_room_came_has_stored_its_item(
    cancel_first: bool, settle: Settle
) -> None:
    sink, subscriber = open_sink(suspend(), demand=0)
    send = asyncio.create_task(sink.send("a"))
    await settle()
    if cancel_first:
        send.cancel()
    subscriber.request(1)
    send.cancel()
    await settle()
    assert send.cancelled()
    assert subscriber.values == ["a"]


async def test_send_looks_again_for_room_before_it_waits() -> None:
    boundary: Boundary[str] = Boundary(suspend())
    sink = FluxSink(boundary, LoopThread())
    wait = boundary.buffer.wait_for_room

    async def wait_when_room_has_come(item: str) -> EmitResult:
        boundary.request(1)
        return await wait(item)

    boundary.buffer.wait_for_room = wait_when_room_has_come
    assert await sink.send("a") is OK
    assert boundary.buffer.take(1) == ["a"]


async def test_send_blocking_in_the_thread_of_the_loop_is_refused() -> None:
    sink, _ = open_sink()
    with pytest.raises(RuntimeError, match=r"await sink\.send"):
        sink.send_blocking("a")


# on_request, on_cancel, on_dispose.


async def test_on_request_hears_what_there_is_then_each_increment() -> None:
    heard: list[int] = []
    sink, subscriber = open_sink(demand=3)
    assert sink.on_request(heard.append) is sink
    subscriber.request(2)
    sink.next("a")
    subscriber.request(4)
    assert heard == [3, 2, 4]


async def test_on_request_hears_nothing_while_there_is_no_demand() -> None:
    heard: list[int] = []
    sink, _ = open_sink(demand=0)
    sink.on_request(heard.append)
    assert heard == []


async def test_on_request_is_told_before_held_items_are_delivered() -> None:
    heard: list[object] = []

    class Noting(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            heard.append(item)

    sinks: list[FluxSink[str]] = []
    subscriber = Noting(initial_request=0)
    Flux.create(sinks.append, UNLIMITED).subscribe(subscriber)
    sinks[0].on_request(heard.append)
    sinks[0].next("a")
    subscriber.request(1)
    assert heard == [1, "a"]


async def test_on_request_answers_demand_like_a_pull() -> None:
    def producer(sink: FluxSink[int]) -> None:
        sink.on_request(lambda n: [sink.next(n) for _ in range(n)])

    subscriber = TestSubscriber[int](initial_request=1)
    Flux.create(producer, ERROR).subscribe(subscriber)
    subscriber.request(3)
    assert subscriber.values == [1, 3, 3, 3]
    assert subscriber.violations == []


async def test_on_request_is_taken_once_only() -> None:
    sink, _ = open_sink()
    sink.on_request(lambda _: None)
    with pytest.raises(RuntimeError, match="one callback only"):
        sink.on_request(lambda _: None)


@pytest.mark.parametrize("demand", [0, 1])
async def test_on_request_that_raises_fails_the_stream(demand: int) -> None:
    sink, subscriber = open_sink(demand=demand)
    sink.on_request(fail)
    subscriber.request(1)
    assert isinstance(subscriber.error, LookupError)
    assert sink.is_cancelled


@pytest.mark.parametrize(
    ("end", "heard"),
    [
        (lambda sink, subscriber: subscriber.cancel(), ["cancel True", "dispose True"]),
        (lambda sink, subscriber: sink.complete(), ["dispose True"]),
        (lambda sink, subscriber: sink.error(LookupError()), ["dispose True"]),
        (lambda sink, subscriber: subscriber.request(0), ["dispose True"]),
    ],
)
async def test_on_cancel_hears_only_a_cancel_and_on_dispose_every_end(
    end: Callable[[FluxSink[Any], TestSubscriber[Any]], object], heard: list[str]
) -> None:
    calls: list[str] = []
    sink, subscriber = open_sink()
    sink.on_dispose(lambda: calls.append(f"dispose {sink.is_cancelled}"))
    sink.on_cancel(lambda: calls.append(f"cancel {sink.is_cancelled}"))
    end(sink, subscriber)
    subscriber.cancel()
    assert calls == heard


async def test_on_dispose_comes_behind_the_terminal() -> None:
    sink, subscriber = open_sink(demand=0)
    completed: list[bool] = []
    sink.on_dispose(lambda: completed.append(subscriber.completed))
    sink.next("a")
    sink.complete()
    assert completed == []
    subscriber.request(1)
    assert completed == [True]


async def test_second_callback_of_a_kind_is_called_at_once_and_the_first_stays() -> None:
    calls: list[str] = []
    sink, subscriber = open_sink()
    for name in ("first", "second"):
        sink.on_cancel(lambda name=name: calls.append(f"{name} cancel"))  # type: ignore[misc]
        sink.on_dispose(lambda name=name: calls.append(f"{name} dispose"))  # type: ignore[misc]
    assert calls == ["second cancel", "second dispose"]
    subscriber.cancel()
    assert calls[2:] == ["first cancel", "first dispose"]


@pytest.mark.parametrize(("cancelled", "heard"), [(True, ["cancel", "dispose"]), (False, ["dispose"])])
async def test_callbacks_registered_after_the_end_are_called_at_once_if_that_end_is_theirs(
    cancelled: bool, heard: list[str]
) -> None:
    calls: list[str] = []
    sink, subscriber = open_sink()
    if cancelled:
        subscriber.cancel()
    else:
        sink.complete()
    sink.on_cancel(lambda: calls.append("cancel")).on_dispose(lambda: calls.append("dispose"))
    assert calls == heard


async def test_callbacks_that_raise_do_not_stop_each_other_nor_the_cancel(loop_errors: Errors) -> None:
    sink, subscriber = open_sink()
    sink.on_cancel(fail).on_dispose(fail)
    subscriber.cancel()
    assert [type(context["exception"]) for context in loop_errors] == [LookupError, LookupError]
    assert sink.is_cancelled


# The subscriber.


async def test_subscriber_may_cancel_inside_on_next() -> None:
    class First(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            super().on_next(item)
            self.cancel()

    subscriber = First()
    sinks: list[FluxSink[str]] = []
    Flux.create(sinks.append, UNLIMITED).subscribe(subscriber)
    assert [sinks[0].next(item) for item in "ab"] == [OK, FAIL_CANCELLED]
    assert subscriber.values == ["a"]


async def test_subscriber_that_raises_in_on_next_is_cancelled_and_hears_nothing_more(loop_errors: Errors) -> None:
    class Failing(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            super().on_next(item)
            fail()

    subscriber = Failing()
    sinks: list[FluxSink[str]] = []
    Flux.create(sinks.append, UNLIMITED).subscribe(subscriber)
    assert sinks[0].next("a") is OK
    assert sinks[0].next("b") is FAIL_CANCELLED
    assert subscriber.values == ["a"]
    assert not subscriber.terminated
    assert [type(context["exception"]) for context in loop_errors] == [LookupError]


@pytest.mark.parametrize("method", ["on_subscribe", "on_complete", "on_error"])
async def test_subscriber_that_raises_elsewhere_is_reported(method: str, loop_errors: Errors) -> None:
    subscriber = TestSubscriber[str]()
    setattr(subscriber, method, fail)
    disposed: list[bool] = []

    def producer(sink: FluxSink[str]) -> None:
        sink.on_dispose(lambda: disposed.append(True))
        if method == "on_error":
            sink.error(ValueError())
        else:
            sink.complete()

    Flux.create(producer, DROP).subscribe(subscriber)
    assert [type(context["exception"]) for context in loop_errors] == [LookupError]
    assert disposed == ([] if method == "on_subscribe" else [True])


async def test_base_exceptions_pass_through() -> None:
    class Interrupted(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            raise KeyboardInterrupt

    sinks: list[FluxSink[str]] = []
    Flux.create(sinks.append, UNLIMITED).subscribe(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        sinks[0].next("a")


async def test_each_subscription_has_its_own_boundary() -> None:
    sinks: list[FluxSink[str]] = []
    flux = Flux.create(sinks.append, DROP)
    first, second = TestSubscriber[str](initial_request=1), TestSubscriber[str](initial_request=0)
    flux.subscribe(first)
    flux.subscribe(second)
    assert [sink.next("a") for sink in sinks] == [OK, DROPPED]
    assert (first.values, second.values) == (["a"], [])


@pytest.mark.parametrize("subscriber", [None, object(), print])
async def test_subscribe_refuses_what_is_no_subscriber(subscriber: Any) -> None:
    with pytest.raises(TypeError, match="on_subscribe"):
        Flux.empty().subscribe(subscriber)


@pytest.mark.parametrize(
    "use", [lambda flux: flux.subscribe(TestSubscriber()), lambda flux: flux.batches(1), lambda flux: aiter(flux)]
)
def test_without_a_running_loop_nothing_can_be_subscribed(use: Callable[[Flux[Any]], object]) -> None:
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        use(Flux.just("a"))


# What create and the makers refuse.


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Flux.create(None, DROP), TypeError, "producer"),  # type: ignore[arg-type]
        (lambda: Flux.create(print, "drop"), TypeError, "strategy"),  # type: ignore[arg-type]
        (lambda: Flux.create(print, DROP, on_drop=1), TypeError, "on_drop"),  # type: ignore[arg-type]
        (lambda: Flux.from_async_iterable(["a"]), TypeError, "async iterable"),  # type: ignore[arg-type]
        (lambda: Flux.from_publisher(["a"]), TypeError, "subscribe"),  # type: ignore[arg-type]
        (lambda: Flux.error("text"), TypeError, "error must be an instance of Exception"),  # type: ignore[arg-type]
        (lambda: Flux.empty().on_backpressure_buffer(0), ValueError, "capacity"),
        (lambda: Flux.empty().on_backpressure_buffer(1, overflow="x"), TypeError, "overflow"),  # type: ignore[arg-type]
        (lambda: Flux.empty().on_backpressure_buffer(1, overflow=BufferOverflow.SUSPEND), ValueError, "SUSPEND"),
        (lambda: Flux.empty().on_backpressure_reduce(1), TypeError, "reducer"),  # type: ignore[arg-type]
        (lambda: Flux.empty().on_backpressure_drop(1), TypeError, "on_drop"),  # type: ignore[arg-type]
        (lambda: Flux.empty().limit_rate(0), ValueError, "high"),
    ],
)
def test_makers_and_operators_refuse_bad_arguments_by_name(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_create_refuses_an_async_generator_function_as_producer() -> None:
    async def producer(sink: FluxSink[str]) -> AsyncIterator[str]:
        yield "a"

    with pytest.raises(TypeError, match="producer must be"):
        Flux.create(producer, DROP)


@pytest.mark.parametrize("ttl_s", [0, -1, True, float("nan"), float("inf"), "1"])
def test_ttl_refuses_what_is_no_finite_time(ttl_s: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="ttl_s must be"):
        Flux.empty().on_backpressure_buffer(1, ttl_s=ttl_s)


# just, empty, error.


async def test_just_emits_as_demand_allows_and_completes_with_the_last_item() -> None:
    subscriber = TestSubscriber[str](initial_request=0)
    Flux.just("a", "b", "c").subscribe(subscriber)
    subscriber.request(1)
    assert subscriber.values == ["a"]
    subscriber.request(2)
    assert subscriber.values == ["a", "b", "c"]
    assert subscriber.completed


async def test_just_stops_at_a_cancel_inside_on_next() -> None:
    class First(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            super().on_next(item)
            self.cancel()

    subscriber = First()
    Flux.just("a", "b").subscribe(subscriber)
    assert subscriber.values == ["a"]
    assert subscriber.subscription is not None
    assert subscriber.subscription.statistics.emitted == 1


@pytest.mark.parametrize("flux", [Flux.just(), Flux.empty()])
async def test_just_of_nothing_and_empty_complete_without_demand(flux: Flux[Any]) -> None:
    subscriber = TestSubscriber[Any](initial_request=0)
    flux.subscribe(subscriber)
    assert subscriber.completed


async def test_error_fails_without_demand() -> None:
    error = LookupError()
    subscriber = TestSubscriber[Any](initial_request=0)
    Flux.error(error).subscribe(subscriber)
    assert subscriber.error is error


# from_async_iterable: pull.


class Countdown:
    """An async iterable that can be read many times, and notes how it is used."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.advanced = 0
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                self.advanced += 1
                yield number
        finally:
            self.closed += 1


async def test_from_async_iterable_advances_only_for_demand(settle: Settle) -> None:
    source = Countdown(9)
    subscriber = TestSubscriber[int](initial_request=0)
    Flux.from_async_iterable(source).subscribe(subscriber)
    seen = []
    for n in (0, 1, 3):
        if n:
            subscriber.request(n)
        await settle()
        seen.append((source.advanced, len(subscriber.values)))
    assert seen == [(0, 0), (1, 1), (4, 4)]
    subscriber.cancel()


async def test_from_async_iterable_never_runs_ahead_of_a_slow_loop() -> None:
    source = Countdown(5)
    ahead = [source.advanced - item async for item in Flux.from_async_iterable(source)]
    assert ahead == [1] * 5
    assert source.closed == 1


async def test_from_async_iterable_can_be_read_again_if_the_iterable_can() -> None:
    flux = Flux.from_async_iterable(Countdown(2))
    assert [item async for item in flux] == [item async for item in flux] == [0, 1]


async def test_from_async_iterable_refuses_a_second_subscriber_to_an_iterator() -> None:
    flux = Flux.from_async_iterable(aiter(Countdown(1)))
    assert [item async for item in flux] == [0]
    with pytest.raises(AlreadySubscribedError):
        await anext(aiter(flux))


async def test_from_async_iterable_is_closed_on_cancel(settle: Settle) -> None:
    source = Countdown(9)
    subscriber = TestSubscriber[int](initial_request=1)
    Flux.from_async_iterable(source).subscribe(subscriber)
    await settle()
    assert source.closed == 0
    subscriber.cancel()
    await settle()
    assert source.closed == 1


async def test_from_async_iterable_cancelled_while_it_waits_for_its_source(settle: Settle) -> None:
    ended: list[str] = []

    async def stuck() -> AsyncIterator[str]:
        try:
            await asyncio.get_running_loop().create_future()
            yield "never"
        finally:
            ended.append("closed")

    subscriber = TestSubscriber[str]()
    Flux.from_async_iterable(stuck()).subscribe(subscriber)
    await settle()
    subscriber.cancel()
    await settle()
    assert ended == ["closed"]


async def test_from_async_iterable_cancelled_before_its_first_turn_reads_nothing(settle: Settle) -> None:
    source = Countdown(9)
    subscriber = TestSubscriber[int]()
    Flux.from_async_iterable(source).subscribe(subscriber)
    subscriber.cancel()
    await settle()
    assert source.advanced == 0


async def test_from_async_iterable_fails_with_what_its_source_raises(settle: Settle) -> None:
    async def failing() -> AsyncIterator[str]:
        yield "a"
        fail()

    subscriber = TestSubscriber[str]()
    Flux.from_async_iterable(failing()).subscribe(subscriber)
    await settle()
    assert subscriber.values == ["a"]
    assert isinstance(subscriber.error, LookupError)


async def test_from_async_iterable_needs_no_aclose(settle: Settle) -> None:
    class Bare:
        def __init__(self) -> None:
            self.items = iter("ab")

        def __aiter__(self) -> Bare:
            return self

        async def __anext__(self) -> str:
            try:
                return next(self.items)
            except StopIteration:
                raise StopAsyncIteration from None

    subscriber = TestSubscriber[str]()
    Flux.from_async_iterable(Bare()).subscribe(subscriber)
    await settle()
    assert subscriber.values == ["a", "b"]
    assert subscriber.completed


async def test_from_async_iterable_that_never_waits_gives_other_tasks_turns() -> None:
    source = Countdown(2_000)
    subscriber = TestSubscriber[int]()
    Flux.from_async_iterable(source).subscribe(subscriber)
    steps = []
    while not subscriber.completed:
        before = source.advanced
        await asyncio.sleep(0)
        steps.append(source.advanced - before)
    assert max(steps) <= 64
    assert sum(steps) == 2_000


# from_publisher.


async def test_from_publisher_passes_demand_cancel_and_signals_on() -> None:
    publisher = ManualPublisher[str]()
    subscriber = TestSubscriber[str](initial_request=2)
    Flux.from_publisher(publisher).subscribe(subscriber)
    subscriber.request(3)
    assert publisher.requests == [2, 3]
    publisher.next("a", "b")
    assert subscriber.values == ["a", "b"]
    subscriber.cancel()
    assert publisher.cancel_count == 1


async def test_from_publisher_ends_as_its_source_ends() -> None:
    failing, completing = ManualPublisher[str](), ManualPublisher[str]()
    failed, completed = TestSubscriber[str](initial_request=0), TestSubscriber[str](initial_request=0)
    Flux.from_publisher(failing).subscribe(failed)
    Flux.from_publisher(completing).subscribe(completed)
    failing.error(LookupError())
    completing.complete()
    assert isinstance(failed.error, LookupError)
    assert completed.completed
    assert (failing.cancelled, completing.cancelled) == (False, False)


async def test_from_publisher_that_sends_more_than_requested_is_cancelled() -> None:
    publisher = ManualPublisher[str]()
    subscriber = TestSubscriber[str](initial_request=1)
    Flux.from_publisher(publisher).subscribe(subscriber)
    publisher.next("a", "b", "c")
    assert subscriber.values == ["a"]
    assert isinstance(subscriber.error, BufferOverflowError)
    assert publisher.cancel_count == 1


async def test_from_publisher_cancels_a_second_subscription() -> None:
    publisher, intruder = ManualPublisher[str](), ManualPublisher[str]()
    Flux.from_publisher(publisher).subscribe(TestSubscriber[str]())
    assert publisher.subscriber is not None
    intruder.subscribe(publisher.subscriber)
    assert (publisher.cancelled, intruder.cancelled) == (False, True)


async def test_from_publisher_cancels_a_subscription_that_comes_after_the_cancel() -> None:
    class Slow(ManualPublisher[str]):
        def subscribe(self, subscriber: Any) -> None:
            self.subscriber = subscriber

    slow, late = Slow(), ManualPublisher[str]()
    subscriber = TestSubscriber[str]()
    Flux.from_publisher(slow).subscribe(subscriber)
    subscriber.cancel()
    assert slow.subscriber is not None
    late.subscribe(slow.subscriber)
    assert late.requests == []
    assert late.cancelled


async def test_from_publisher_whose_subscribe_raises_fails_the_stream() -> None:
    class Broken:
        def subscribe(self, _: Any) -> None:
            fail()

    subscriber = TestSubscriber[str]()
    Flux.from_publisher(Broken()).subscribe(subscriber)
    assert isinstance(subscriber.error, LookupError)


@pytest.mark.parametrize("signal", ["on_subscribe", "on_error"])
async def test_from_publisher_refuses_none_as_a_signal(signal: str) -> None:
    publisher = ManualPublisher[str]()
    Flux.from_publisher(publisher).subscribe(TestSubscriber[str]())
    with pytest.raises(TypeError, match="must not be None"):
        getattr(publisher.subscriber, signal)(None)


# to_observable.


async def test_to_observable_pushes_all_into_rx_operators() -> None:
    values: list[int] = []
    Flux.just(1, 2, 3).to_observable().pipe(ops.map(square)).subscribe(values.append)
    assert values == [1, 4, 9]


async def test_to_observable_dispose_cancels() -> None:
    sinks: list[FluxSink[str]] = []
    values: list[str] = []
    disposable = Flux.create(sinks.append, DROP).to_observable().subscribe(values.append)
    assert sinks[0].requested == UNBOUNDED
    sinks[0].next("a")
    disposable.dispose()
    assert sinks[0].next("b") is FAIL_CANCELLED
    assert values == ["a"]


async def test_to_observable_passes_errors_on() -> None:
    heard: list[object] = []
    chain = reactivex.concat(reactivex.of("a"), Flux.error(LookupError()).to_observable())
    chain.subscribe(heard.append, lambda error: heard.append(type(error)))
    assert heard == ["a", LookupError]


# Operators: five items from a source that ignores demand meet a demand of one.

Operator = Callable[[Flux[Any]], Flux[Any]]

OPERATORS: list[tuple[str, Operator, str]] = [
    ("drop", lambda flux: flux.on_backpressure_drop(), "a"),
    ("latest", lambda flux: flux.on_backpressure_latest(), "a e"),
    ("error", lambda flux: flux.on_backpressure_error(), "a BufferOverflowError"),
    ("reduce", lambda flux: flux.on_backpressure_reduce(concat), "a bcde"),
    # An overflow overtakes what reduce holds, as any error does.
    ("reduce at most 2", lambda flux: flux.on_backpressure_reduce(concat, 2), "a BufferOverflowError"),
    ("buffer unbounded", lambda flux: flux.on_backpressure_buffer(None), "a b c d e"),
    ("buffer 2", lambda flux: flux.on_backpressure_buffer(2), "a b c BufferOverflowError"),
    (
        "buffer 2, errors overtake",
        lambda flux: flux.on_backpressure_buffer(2, delay_error=False),
        "a BufferOverflowError",
    ),
    (
        "buffer 2, drop oldest",
        lambda flux: flux.on_backpressure_buffer(2, overflow=BufferOverflow.DROP_OLDEST),
        "a d e",
    ),
    (
        "buffer 2, drop incoming",
        lambda flux: flux.on_backpressure_buffer(2, overflow=BufferOverflow.DROP_INCOMING),
        "a b c",
    ),
    (
        "buffer 2, drop newest held",
        lambda flux: flux.on_backpressure_buffer(2, overflow=BufferOverflow.DROP_NEWEST_HELD),
        "a b e",
    ),
]


@pytest.mark.parametrize(("operator", "heard"), [row[1:] for row in OPERATORS], ids=[row[0] for row in OPERATORS])
async def test_operator_decides_what_a_slow_consumer_hears(operator: Operator, heard: str) -> None:
    source, subscriber = open_operator(operator, demand=1)
    for item in "abcde":
        source.next(item)
    source.complete()
    subscriber.request(UNBOUNDED)
    assert subscriber.values + ([type(subscriber.error).__name__] if subscriber.error else []) == heard.split()
    assert subscriber.completed is (subscriber.error is None)
    assert subscriber.violations == []


@pytest.mark.parametrize("operator", [row[1] for row in OPERATORS], ids=[row[0] for row in OPERATORS])
async def test_operator_requests_everything_and_passes_cancel_on(operator: Operator) -> None:
    publisher = ManualPublisher[str]()
    subscriber = TestSubscriber[str](initial_request=0)
    operator(Flux.from_publisher(publisher)).subscribe(subscriber)
    assert publisher.requests == [UNBOUNDED]
    subscriber.cancel()
    assert publisher.cancel_count == 1


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        (lambda flux: flux.on_backpressure_buffer(4), ["a"]),
        (lambda flux: flux.on_backpressure_buffer(4, delay_error=False), []),
        (lambda flux: flux.on_backpressure_buffer(4, overflow=BufferOverflow.DROP_OLDEST), ["a"]),
        (lambda flux: flux.on_backpressure_latest(), []),
        (lambda flux: flux.on_backpressure_reduce(concat), []),
    ],
)
async def test_operator_says_whether_a_source_error_overtakes_what_is_held(
    operator: Operator, values: list[str]
) -> None:
    source, subscriber = open_operator(operator)
    source.next("a")
    source.error(LookupError())
    assert (subscriber.error is None) is bool(values)
    subscriber.request(1)
    assert subscriber.values == values
    assert isinstance(subscriber.error, LookupError)


@pytest.mark.parametrize(
    ("operator", "dropped"),
    [
        (lambda flux, on_drop: flux.on_backpressure_drop(on_drop), "a b c"),
        (lambda flux, on_drop: flux.on_backpressure_latest(on_drop), "a b"),
        (lambda flux, on_drop: flux.on_backpressure_buffer(1, on_drop=on_drop), "b"),
        (lambda flux, on_drop: flux.on_backpressure_buffer(1, delay_error=False, on_drop=on_drop), "b a"),
    ],
)
async def test_operator_tells_on_drop_of_what_is_lost(operator: Callable[..., Flux[Any]], dropped: str) -> None:
    lost: list[str] = []
    source, _ = open_operator(lambda flux: operator(flux, lost.append))
    for item in "abc":
        source.next(item)
    assert lost == dropped.split()


async def test_operator_that_overflows_cancels_its_source() -> None:
    cancelled: list[bool] = []
    source, _ = open_operator(lambda flux: flux.on_backpressure_error())
    source.on_cancel(lambda: cancelled.append(True))
    source.next("a")
    assert cancelled == [True]
    assert source.next("b") is FAIL_CANCELLED


async def test_operators_chain() -> None:
    flux = Flux.just(*range(6)).on_backpressure_buffer(None).on_backpressure_latest().limit_rate(2)
    assert [item async for item in flux][-1] == 5


# ttl_s, on virtual time.


def open_aging(ttl_s: float, **options: Any) -> tuple[VirtualClock, FluxSink[Any], TestSubscriber[Any], list[Any]]:
    clock = VirtualClock()
    lost: list[Any] = []
    sink, subscriber = open_operator(
        lambda flux: flux.on_backpressure_buffer(8, ttl_s=ttl_s, clock=clock, on_drop=lost.append, **options)
    )
    return clock, sink, subscriber, lost


async def test_ttl_drops_each_item_when_it_has_waited_so_long() -> None:
    clock, sink, subscriber, lost = open_aging(ttl_s=0.1)
    for item in "abc":
        sink.next(item)
        clock.advance(40)
    assert lost == ["a"]
    subscriber.request(1)
    assert subscriber.values == ["b"]
    clock.advance(100)
    assert lost == ["a", "c"]
    assert clock.scheduled_count == 0


async def test_ttl_spares_what_is_requested_in_time() -> None:
    clock, sink, subscriber, lost = open_aging(ttl_s=0.1)
    sink.next("a")
    clock.advance(99)
    subscriber.request(1)
    clock.advance(1000)
    assert (subscriber.values, lost) == (["a"], [])


async def test_ttl_completes_once_the_rest_has_expired() -> None:
    clock, sink, subscriber, lost = open_aging(ttl_s=0.1)
    sink.next("a")
    sink.complete()
    assert not subscriber.completed
    clock.advance(100)
    assert lost == ["a"]
    assert subscriber.completed


async def test_ttl_and_overflow_rule_hold_together() -> None:
    clock, sink, subscriber, lost = open_aging(ttl_s=1, overflow=BufferOverflow.DROP_OLDEST)
    for item in range(10):
        sink.next(item)
    assert lost == [0, 1]
    subscriber.request(9)
    assert subscriber.values == [2, 3, 4, 5, 6, 7, 8, 9]
    clock.advance(2000)
    assert lost == [0, 1]


@pytest.mark.parametrize("held", [False, True])
async def test_ttl_leaves_no_timer_behind_a_cancel(held: bool) -> None:
    clock, sink, subscriber, lost = open_aging(ttl_s=1)
    if held:
        sink.next("a")
    subscriber.cancel()
    assert clock.scheduled_count == 0
    assert lost == (["a"] if held else [])


async def test_ttl_without_a_clock_uses_the_one_of_the_loop() -> None:
    flux = Flux.just("a", "b").on_backpressure_buffer(4, ttl_s=3600)
    assert [item async for item in flux] == ["a", "b"]
