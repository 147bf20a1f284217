"""The operators on_backpressure_* and limit_rate, with Rx operators around them, on virtual time where time counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable, Subject
from reactivex import operators as ops
from reactivex.scheduler import NewThreadScheduler
from reactivex.testing import TestScheduler

from streams import (
    UNBOUNDED,
    BackpressureStrategy,
    BufferOverflow,
    BufferOverflowError,
    Flowable,
    FlowableEmitter,
    limit_rate,
    on_backpressure_buffer,
    on_backpressure_drop,
    on_backpressure_error,
    on_backpressure_latest,
    on_backpressure_reduce,
)
from streams.testing import TestSubscriber

__all__ = ()

Operator = Callable[[Observable[Any]], Flowable[Any]]


def concat(held: str, incoming: str) -> str:
    return held + incoming


def square(number: int) -> int:
    return number * number


def is_even(number: int) -> bool:
    return number % 2 == 0


def fail(*_: object) -> Any:
    raise LookupError("the callback failed")


def protect(operator: Operator, *, demand: int = 0) -> tuple[Subject[Any], TestSubscriber[Any]]:
    """Subscribe with `demand` to an operator on a source that pushes whatever the demand is."""
    source = Subject[Any]()
    subscriber = TestSubscriber[Any](initial_request=demand)
    source.pipe(operator).subscribe(subscriber)
    return source, subscriber


def push(source: Subject[Any], items: Any) -> None:
    for item in items:
        source.on_next(item)


def heard_by(subscriber: TestSubscriber[Any]) -> list[object]:
    return subscriber.values + ([type(subscriber.error).__name__] if subscriber.error else [])


# Five items meet a demand of one, then all is requested.

OPERATORS: list[tuple[str, Operator, str]] = [
    ("drop", on_backpressure_drop(), "a"),
    ("latest", on_backpressure_latest(), "a e"),
    ("error", on_backpressure_error(), "a BufferOverflowError"),
    ("reduce", on_backpressure_reduce(concat), "a bcde"),
    ("reduce at most 2", on_backpressure_reduce(concat, 2), "a BufferOverflowError"),
    ("buffer unbounded", on_backpressure_buffer(None), "a b c d e"),
    ("buffer 2", on_backpressure_buffer(2), "a BufferOverflowError"),
    ("buffer 2, errors delayed", on_backpressure_buffer(2, delay_error=True), "a b c BufferOverflowError"),
    ("buffer 2, drop oldest", on_backpressure_buffer(2, overflow=BufferOverflow.DROP_OLDEST), "a d e"),
    ("buffer 2, drop incoming", on_backpressure_buffer(2, overflow=BufferOverflow.DROP_INCOMING), "a b c"),
    ("buffer 2, drop newest held", on_backpressure_buffer(2, overflow=BufferOverflow.DROP_NEWEST_HELD), "a b e"),
]
EVERY_OPERATOR = pytest.mark.parametrize("operator", [row[1] for row in OPERATORS], ids=[row[0] for row in OPERATORS])


@pytest.mark.parametrize(("operator", "heard"), [row[1:] for row in OPERATORS], ids=[row[0] for row in OPERATORS])
def test_operator_decides_what_a_slow_consumer_hears(operator: Operator, heard: str) -> None:
    source, subscriber = protect(operator, demand=1)
    push(source, "abcde")
    source.on_completed()
    subscriber.request(UNBOUNDED)
    assert heard_by(subscriber) == heard.split()
    assert subscriber.completed is (subscriber.error is None)
    assert subscriber.violations == []


@EVERY_OPERATOR
def test_operator_is_transparent_to_unbounded_demand(operator: Operator) -> None:
    values: list[str] = []
    reactivex.from_iterable("abcde").pipe(operator).subscribe(values.append)
    assert values == ["a", "b", "c", "d", "e"]


@EVERY_OPERATOR
def test_operator_disposes_its_source_on_cancel(operator: Operator) -> None:
    source, subscriber = protect(operator)
    assert source.observers
    subscriber.cancel()
    assert not source.observers
    push(source, "a")
    assert subscriber.values == []


@EVERY_OPERATOR
def test_operator_completes_without_demand_when_nothing_is_held(operator: Operator) -> None:
    source, subscriber = protect(operator)
    source.on_completed()
    assert subscriber.completed


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        (on_backpressure_buffer(4), []),
        (on_backpressure_buffer(4, delay_error=True), ["a"]),
        (on_backpressure_buffer(4, overflow=BufferOverflow.DROP_OLDEST), []),
        (on_backpressure_buffer(4, overflow=BufferOverflow.DROP_OLDEST, delay_error=True), ["a"]),
        (on_backpressure_latest(), []),
        (on_backpressure_reduce(concat), []),
    ],
)
def test_operator_says_whether_a_source_error_overtakes_what_is_held(operator: Operator, values: list[str]) -> None:
    source, subscriber = protect(operator)
    push(source, "a")
    source.on_error(LookupError())
    assert (subscriber.error is None) is bool(values)
    subscriber.request(1)
    assert heard_by(subscriber) == [*values, "LookupError"]


@pytest.mark.parametrize("operator", [on_backpressure_latest(), on_backpressure_buffer(4)])
def test_operator_completion_waits_for_what_is_held(operator: Operator) -> None:
    source, subscriber = protect(operator)
    push(source, "a")
    source.on_completed()
    assert not subscriber.completed
    subscriber.request(1)
    assert subscriber.values == ["a"]
    assert subscriber.completed


@pytest.mark.parametrize(
    ("make", "dropped"),
    [
        (on_backpressure_drop, "a b c"),
        (on_backpressure_latest, "a b"),
        (lambda on_drop: on_backpressure_buffer(1, on_drop=on_drop), "b a"),
        (lambda on_drop: on_backpressure_buffer(1, delay_error=True, on_drop=on_drop), "b"),
        (lambda on_drop: on_backpressure_buffer(1, overflow=BufferOverflow.DROP_OLDEST, on_drop=on_drop), "a b"),
        (lambda on_drop: on_backpressure_buffer(1, overflow=BufferOverflow.DROP_NEWEST_HELD, on_drop=on_drop), "a b"),
        (lambda on_drop: on_backpressure_buffer(1, overflow=BufferOverflow.DROP_INCOMING, on_drop=on_drop), "b c"),
    ],
)
def test_operator_tells_on_drop_of_what_is_lost(make: Callable[[Any], Operator], dropped: str) -> None:
    lost: list[str] = []
    source, _ = protect(make(lost.append))
    push(source, "abc")
    assert lost == dropped.split()


@pytest.mark.parametrize("make", [on_backpressure_drop, on_backpressure_latest])
def test_operator_whose_on_drop_raises_disposes_its_source_and_fails(make: Callable[[Any], Operator]) -> None:
    source, subscriber = protect(make(fail))
    push(source, "ab")
    assert isinstance(subscriber.error, LookupError)
    assert not source.observers
    subscriber.request(1)
    assert subscriber.values == []


def test_operator_whose_reducer_raises_disposes_its_source_and_fails() -> None:
    source, subscriber = protect(on_backpressure_reduce(fail))
    push(source, "ab")
    assert isinstance(subscriber.error, LookupError)
    assert not source.observers


@pytest.mark.parametrize("operator", [on_backpressure_error(), on_backpressure_buffer(1)])
def test_operator_that_overflows_disposes_its_source(operator: Operator) -> None:
    source, subscriber = protect(operator)
    push(source, "ab")
    assert isinstance(subscriber.error, BufferOverflowError)
    assert not source.observers


class BrokenObservable(Observable[Any]):
    def subscribe(self, *_: Any, **__: Any) -> Any:
        fail()


@pytest.mark.parametrize("source", [Observable[Any](fail), BrokenObservable()])
def test_operator_on_a_source_that_fails_to_subscribe_fails_the_stream(source: Observable[Any]) -> None:
    subscriber = TestSubscriber[Any]()
    source.pipe(on_backpressure_drop()).subscribe(subscriber)
    assert isinstance(subscriber.error, LookupError)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: on_backpressure_buffer(0), ValueError, "capacity"),
        (lambda: on_backpressure_buffer(True), TypeError, "capacity"),
        (lambda: on_backpressure_buffer(1, overflow="x"), TypeError, "overflow"),  # type: ignore[arg-type]
        (lambda: on_backpressure_buffer(1, overflow=BufferOverflow.SUSPEND), ValueError, "SUSPEND"),
        (lambda: on_backpressure_reduce(None), TypeError, "reducer"),  # type: ignore[arg-type]
        (lambda: on_backpressure_reduce(concat, 0), ValueError, "max_merged"),
        (lambda: limit_rate(0), ValueError, "high"),
        (lambda: limit_rate(1, 1.5), TypeError, "low"),  # type: ignore[arg-type]
        (lambda: limit_rate(1)(reactivex.of(1)), TypeError, "needs a Flowable"),
        (lambda: reactivex.of(1).pipe(on_backpressure_drop(1)), TypeError, "on_drop"),  # type: ignore[arg-type]
    ],
)
def test_operators_refuse_bad_arguments_by_name(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


# Rx operators after a Flowable.


def numbers(count: int) -> Flowable[int]:
    return reactivex.range(count).pipe(on_backpressure_buffer(None))


def test_rx_map_and_filter_follow_a_flowable() -> None:
    values: list[int] = []
    numbers(5).pipe(ops.filter(is_even), ops.map(square)).subscribe(values.append)
    assert values == [0, 4, 16]


def test_rx_take_cancels_a_flowable() -> None:
    source = Subject[int]()
    values: list[int] = []
    source.pipe(on_backpressure_latest(), ops.take(2)).subscribe(values.append)
    push(source, range(5))
    assert values == [0, 1]
    assert not source.observers


def test_rx_take_stops_an_endless_source_in_front() -> None:
    values: list[int] = []
    reactivex.repeat_value(7).pipe(on_backpressure_drop(), ops.take(3)).subscribe(values.append)
    assert values == [7, 7, 7]


def test_rx_merge_and_concat_take_flowables() -> None:
    merged: list[int] = []
    reactivex.merge(numbers(3), numbers(2)).subscribe(merged.append)
    chained: list[int] = []
    numbers(2).pipe(ops.concat(numbers(3))).subscribe(chained.append)
    assert sorted(merged) == [0, 0, 1, 1, 2]
    assert chained == [0, 1, 0, 1, 2]


def test_rx_retry_subscribes_anew() -> None:
    attempts: list[int] = []

    def producer(emitter: Any) -> None:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise LookupError
        emitter.on_next("a")
        emitter.on_completed()

    values: list[str] = []
    Flowable.create(producer, BackpressureStrategy.DROP).pipe(ops.retry(5)).subscribe(values.append)
    assert (attempts, values) == ([0, 1, 2], ["a"])


def test_rx_operators_before_the_backpressure_operator_push_into_it() -> None:
    subscriber = TestSubscriber[int](initial_request=2)
    squares = reactivex.range(10).pipe(ops.map(square))
    squares.pipe(on_backpressure_latest()).subscribe(subscriber)
    assert subscriber.values == [0, 1]
    subscriber.request(1)
    assert subscriber.values == [0, 1, 81]
    assert subscriber.completed


# Virtual time.


def test_interval_passes_through_on_the_scheduler_it_is_subscribed_with() -> None:
    scheduler = TestScheduler()
    results = scheduler.start(lambda: reactivex.interval(100).pipe(on_backpressure_buffer(8)), disposed=650)
    ticks: list[Any] = results.messages  # subscribed at 200
    assert [(tick.time, tick.value.value) for tick in ticks] == [(300, 0), (400, 1), (500, 2), (600, 3)]


@pytest.mark.parametrize(
    ("operator", "seen"),
    [
        (on_backpressure_buffer(None), [0, 1, 2, 3]),
        (on_backpressure_drop(), [0, 2, 4, 6]),
        (on_backpressure_latest(), [0, 1, 3, 5]),
        (on_backpressure_reduce(max), [0, 1, 3, 5]),
    ],
)
def test_interval_meets_a_consumer_that_takes_every_second_tick(operator: Operator, seen: list[int]) -> None:
    scheduler = TestScheduler()
    subscriber = TestSubscriber[int](initial_request=1)
    reactivex.interval(100).pipe(operator).subscribe(subscriber, scheduler=scheduler)
    for _ in range(3):
        scheduler.advance_by(200)
        subscriber.request(1)
    scheduler.advance_by(100)
    assert subscriber.values == seen
    subscriber.cancel()
    before = subscriber.values.copy()
    scheduler.advance_by(1000)
    assert subscriber.values == before


# Threads.


async def test_rx_source_in_a_thread_is_taken_with_async_for() -> None:
    source = reactivex.range(500).pipe(ops.subscribe_on(NewThreadScheduler()))
    assert [item async for item in source.pipe(on_backpressure_buffer(None))] == list(range(500))


async def test_rx_sources_in_two_threads_are_merged_into_one_loop() -> None:
    sources = [
        reactivex.range(300).pipe(ops.map(lambda n, who=who: (who, n)), ops.subscribe_on(NewThreadScheduler()))  # type: ignore[misc]
        for who in "ab"
    ]
    taken = [item async for item in reactivex.merge(*sources).pipe(on_backpressure_buffer(None))]
    for who in "ab":
        assert [number for name, number in taken if name == who] == list(range(300))


def test_cancel_from_a_thread_stops_a_source_in_this_one() -> None:
    source, subscriber = protect(on_backpressure_drop(), demand=UNBOUNDED)
    push(source, "a")
    thread = threading.Thread(target=subscriber.cancel)
    thread.start()
    thread.join()
    push(source, "b")
    assert subscriber.values == ["a"]


# limit_rate.


@pytest.mark.parametrize(
    ("high", "low", "outstanding"),
    [(4, 2, [3, 4, 3, 4, 3, 4]), (4, None, [3, 2, 4, 3, 2, 4]), (4, 0, [3, 2, 1, 4, 3, 2]), (1, None, [1] * 6)],
)
def test_limit_rate_replaces_what_has_gone_on_in_portions(high: int, low: int | None, outstanding: list[int]) -> None:
    requested: list[int] = []

    def producer(emitter: FlowableEmitter[int]) -> None:
        assert emitter.requested == high
        for number in range(6):
            emitter.on_next(number)
            requested.append(emitter.requested)

    subscriber = TestSubscriber[int]()
    Flowable.create(producer, BackpressureStrategy.ERROR).pipe(limit_rate(high, low)).subscribe(subscriber)
    assert subscriber.values == list(range(6))
    assert requested == outstanding


def test_limit_rate_is_transparent() -> None:
    values: list[int] = []
    numbers(100).pipe(limit_rate(8)).subscribe(values.append)
    assert values == list(range(100))


def test_limit_rate_shields_a_source_from_a_greedy_consumer() -> None:
    source = Subject[int]()
    subscriber = TestSubscriber[int]()
    source.pipe(on_backpressure_drop(), limit_rate(4)).subscribe(subscriber)
    push(source, range(8))
    assert subscriber.values == list(range(8))
    subscriber.cancel()
    assert not source.observers


def test_limit_rate_follows_a_slow_consumer() -> None:
    source = Subject[int]()
    subscriber = TestSubscriber[int](initial_request=1)
    lost: list[int] = []
    source.pipe(on_backpressure_drop(lost.append), limit_rate(4)).subscribe(subscriber)
    push(source, range(6))
    assert (subscriber.values, lost) == ([0], [4, 5])
    subscriber.request(3)
    push(source, range(6, 9))
    assert (subscriber.values, lost) == ([0, 1, 2, 3], [4, 5])


@pytest.mark.parametrize("succeeds", [True, False])
def test_limit_rate_passes_terminals_behind_what_it_holds(succeeds: bool) -> None:
    source = Subject[int]()
    subscriber = TestSubscriber[int](initial_request=1)
    source.pipe(on_backpressure_buffer(8), limit_rate(4)).subscribe(subscriber)
    push(source, range(2))
    if succeeds:
        source.on_completed()
    else:
        source.on_error(LookupError())
    assert not subscriber.terminated
    subscriber.request(1)
    assert subscriber.values == [0, 1]
    assert subscriber.completed is succeeds
