"""Section 3 of the rules: what `request` and `cancel` mean, from whatever place they are called."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex

from streams import (
    UNBOUNDED,
    BackpressureStrategy,
    BufferOverflow,
    Flowable,
    FlowableEmitter,
    Flux,
    FluxSink,
    StreamStatistics,
    limit_rate,
    on_backpressure_buffer,
)
from streams.reactive import Publisher, Subscription
from tests.streams.conformance import harness
from tests.streams.conformance.by_hand import CREATORS, OPERATORS, STRATEGIES, ByHand
from tests.streams.conformance.harness import Failure, Probe, Settle, Subject, deviations
from tests.streams.conformance.subjects import LOSSLESS, SUBJECTS

__all__ = ()

every_publisher = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
every_lossless = pytest.mark.parametrize("subject", LOSSLESS, ids=lambda subject: subject.name)
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
both_creators = pytest.mark.parametrize("create", CREATORS.values(), ids=CREATORS)
both_libraries = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)

Create = Callable[..., ByHand]
BUFFER = BackpressureStrategy.buffer(None)


def sink_of(probe: Probe, strategy: BackpressureStrategy = BUFFER) -> FluxSink[Any]:
    """Subscribe `probe` to a Flux and return its sink."""
    sinks: list[FluxSink[Any]] = []
    Flux.create(sinks.append, strategy).subscribe(probe)
    return sinks[0]


# --- 3.1 ---------------------------------------------------------------------------------------------------------


async def test_3_01_request_and_cancel_of_another_thread_reach_the_source_on_the_loop(settle: Settle) -> None:
    heard: list[tuple[str, int]] = []
    probe = Probe()
    sink = sink_of(probe)
    sink.on_request(lambda n: heard.append((f"request({n})", threading.get_ident())))
    sink.on_cancel(lambda: heard.append(("cancel()", threading.get_ident())))

    await asyncio.to_thread(probe.request, 3)
    await asyncio.to_thread(probe.cancel)
    await settle()

    here = threading.get_ident()
    assert heard == [("request(3)", here), ("cancel()", here)]


@both_creators
async def test_3_01_what_another_thread_requests_arrives(create: Create, settle: Settle) -> None:
    stream, probe = create(BUFFER), Probe()
    stream.publisher.subscribe(probe)
    for item in range(3):
        stream.next(item)

    await asyncio.to_thread(probe.request, 2)
    await settle()

    assert deviations(probe, [0, 1]) == []


# --- 3.2, 3.3 ----------------------------------------------------------------------------------------------------


@every_publisher
async def test_3_02_request_inside_on_subscribe_and_on_next(subject: Subject, settle: Settle) -> None:
    assert await harness.signals_one_at_a_time(subject, settle) == []


COUNT = 100_000


def emit_all(sink: FluxSink[int]) -> None:
    for item in range(COUNT):
        sink.next(item)
    sink.complete()


def emit_on_request(sink: FluxSink[int]) -> None:
    items = iter(range(COUNT))

    def emit(n: int) -> None:
        for _ in range(n):
            item = next(items, None)
            if item is None:
                sink.complete()
                return
            sink.next(item)

    sink.on_request(emit)


async def send_all(sink: FluxSink[int]) -> None:
    for item in range(COUNT):
        await sink.send(item)


def emit_all_rx(emitter: FlowableEmitter[int]) -> None:
    for item in range(COUNT):
        emitter.on_next(item)
    emitter.on_completed()


def buffered() -> Flowable[int]:
    return reactivex.range(COUNT).pipe(on_backpressure_buffer(None))


DEEP: dict[str, Callable[[], Publisher[int]]] = {
    "Flux.just": lambda: Flux.just(*range(COUNT)),
    "Flux.create": lambda: Flux.create(emit_all, BUFFER),
    "Flux.create, on request": lambda: Flux.create(emit_on_request, BackpressureStrategy.ERROR),
    "Flux.create, suspend": lambda: Flux.create(send_all, BackpressureStrategy.suspend()),
    "Flux.from_publisher": lambda: Flux.from_publisher(Flux.just(*range(COUNT))),
    "Flux.on_backpressure_buffer": lambda: Flux.just(*range(COUNT)).on_backpressure_buffer(None),
    "Flux.limit_rate": lambda: Flux.just(*range(COUNT)).limit_rate(3),
    "Flowable.create": lambda: Flowable.create(emit_all_rx, BUFFER),
    "on_backpressure_buffer": buffered,
    "limit_rate": lambda: buffered().pipe(limit_rate(3)),
}


class StepByStep:
    """Requests the next item inside on_next, and measures how deep the stack is there."""

    def __init__(self) -> None:
        self.count = self.nested_count = 0
        self.depths: list[int] = []
        self.ended = asyncio.Event()
        self._inside = False

    def on_subscribe(self, subscription: Subscription) -> None:
        self._subscription = subscription
        subscription.request(1)

    def on_next(self, item: int) -> None:
        self.nested_count += self._inside
        self._inside = True
        assert item == self.count
        self.count += 1
        if self.count % 1000 == 0:
            self.depths.append(stack_depth())
        self._subscription.request(1)
        self._inside = False

    def on_error(self, error: Exception) -> None:
        raise error

    def on_complete(self) -> None:
        self.ended.set()


def stack_depth() -> int:
    depth, frame = 0, inspect.currentframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


@pytest.mark.slow
@pytest.mark.no_cover  # a trace function for each of so many lines is ten times the test
@pytest.mark.parametrize("make", DEEP.values(), ids=DEEP)
async def test_3_03_a_hundred_thousand_requests_inside_on_next_do_not_deepen_the_stack(
    make: Callable[[], Publisher[int]],
) -> None:
    subscriber = StepByStep()
    make().subscribe(subscriber)
    await subscriber.ended.wait()

    assert (subscriber.count, subscriber.nested_count) == (COUNT, 0)
    # Some come inside subscribe and others inside a turn of the loop, but all at a few levels.
    assert max(subscriber.depths) - min(subscriber.depths) < 40


# --- 3.4 ---------------------------------------------------------------------------------------------------------


async def test_3_04_request_returns_before_a_pulled_source_works(settle: Settle) -> None:
    async def source() -> AsyncIterator[int]:
        for item in range(3):
            pulled.append(item)
            yield item

    pulled: list[int] = []
    probe = Probe()
    Flux.from_async_iterable(source()).subscribe(probe)
    await settle()

    probe.request(4)
    assert pulled == []

    await settle()
    assert deviations(probe, [0, 1, 2], "completed") == []


async def turns_until(done: Callable[[], bool]) -> int:
    """Count the turns that a task of the same loop gets until `done`."""
    turns = 0
    while not done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_3_04_a_source_that_never_waits_lets_other_tasks_run(settle: Settle) -> None:
    async def firehose() -> AsyncIterator[int]:
        for item in range(6400):
            yield item

    probe = Probe(UNBOUNDED)
    Flux.from_async_iterable(firehose()).subscribe(probe)

    assert await turns_until(lambda: probe.terminated) >= 100


async def test_3_04_a_long_drain_lets_other_tasks_run() -> None:
    probe = Probe()
    sink = sink_of(probe)
    for item in range(10_000):
        sink.next(item)
    sink.complete()

    probe.request(UNBOUNDED)

    assert len(probe.values) < 10_000
    assert await turns_until(lambda: probe.terminated) >= 5
    assert deviations(probe, list(range(10_000)), "completed") == []


@pytest.mark.usefixtures("eager_switching")
async def test_3_04_a_thread_that_never_stops_lets_other_tasks_run() -> None:
    def firehose() -> None:
        while not sink.is_cancelled:
            sink.next("more")

    probe = Probe(UNBOUNDED)
    sink = sink_of(probe, BackpressureStrategy.buffer(64, BufferOverflow.DROP_INCOMING))
    working = asyncio.create_task(asyncio.to_thread(firehose))

    await turns_until(lambda: len(probe.values) > 1000)
    probe.cancel()
    await working

    assert probe.violations == []


# --- 3.5 ---------------------------------------------------------------------------------------------------------


async def test_3_05_cancel_does_not_wait_for_the_producer_to_clean_up(settle: Settle) -> None:
    async def producer(sink: FluxSink[int]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await cleaning.wait()
            cleaned.append(True)

    cleaning, cleaned = asyncio.Event(), list[bool]()
    probe = Probe(1)
    Flux.create(producer, BUFFER).subscribe(probe)
    await settle()

    probe.cancel()
    assert cleaned == []

    cleaning.set()
    await settle()
    assert cleaned == [True]


@pytest.mark.parametrize("from_thread", [False, True], ids=["on the loop", "from threads"])
async def test_3_05_cancel_again_and_at_once_disposes_once(from_thread: bool, settle: Settle) -> None:
    heard: list[str] = []
    probe = Probe(1)
    sink = sink_of(probe)
    sink.on_cancel(lambda: heard.append("cancel")).on_dispose(lambda: heard.append("dispose"))

    if from_thread:
        await asyncio.gather(*(asyncio.to_thread(probe.cancel) for _ in range(3)))
    else:
        for _ in range(3):
            probe.cancel()
    await settle()

    assert heard == ["cancel", "dispose"]


async def test_3_05_cancel_again_calls_the_cancellable_of_an_emitter_once() -> None:
    heard: list[str] = []
    probe = Probe(1)
    Flowable.create(lambda emitter: emitter.set_cancellable(lambda: heard.append("cancel")), BUFFER).subscribe(probe)

    for _ in range(3):
        probe.cancel()

    assert heard == ["cancel"]


# --- 3.6, 3.7, 3.8 -----------------------------------------------------------------------------------------------


@every_publisher
async def test_3_06_request_after_cancel_is_a_no_op(subject: Subject, settle: Settle) -> None:
    assert await harness.ignores_requests_after_cancel(subject, settle) == []


@both_creators
async def test_3_07_cancel_after_cancel_is_a_no_op(create: Create) -> None:
    stream, probe = create(BUFFER), Probe()
    stream.publisher.subscribe(probe)
    stream.next(0)

    for _ in range(3):
        probe.cancel()

    assert probe.subscription is not None
    assert probe.subscription.statistics == StreamStatistics(1, 0, 1, 0, 0, 0, 1, 0)
    assert deviations(probe, []) == []


@every_lossless
async def test_3_08_requests_add_up(subject: Subject, settle: Settle) -> None:
    probe = Probe(2)
    subject.finite(10).subscribe(probe)
    probe.request(3)
    await settle()

    assert deviations(probe, [0, 1, 2, 3, 4]) == []
    probe.cancel()


# --- 3.9 ---------------------------------------------------------------------------------------------------------


@every_lossless
async def test_3_09_a_request_below_one_or_no_int_fails_the_stream(subject: Subject, settle: Settle) -> None:
    assert await harness.refuses_a_request_that_is_none(subject, settle) == []


@both_creators
@every_strategy
async def test_3_09_the_error_overtakes_what_is_held_and_stops_the_source(
    create: Create, strategy: BackpressureStrategy
) -> None:
    stream, probe = create(strategy), Probe(1)
    stream.publisher.subscribe(probe)
    stream.next(0)
    if strategy not in (BackpressureStrategy.ERROR,):
        stream.next(1)

    probe.request(0)
    stream.next(2)

    assert deviations(probe, [0], "failed") == []
    assert isinstance(probe.error, ValueError)


async def test_3_09_the_source_is_cancelled(settle: Settle) -> None:
    async def producer(sink: FluxSink[int]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(sink.is_cancelled)
            raise

    stopped: list[bool] = []
    probe = Probe(1)
    Flux.create(producer, BUFFER).subscribe(probe)
    await settle()

    probe.request(-1)
    await settle()

    assert stopped == [True]


# --- 3.10, 3.11 --------------------------------------------------------------------------------------------------


@both_creators
async def test_3_10_request_delivers_what_is_held_before_it_returns(create: Create) -> None:
    stream, probe = create(BUFFER), Probe()
    stream.publisher.subscribe(probe)
    for item in range(3):
        stream.next(item)

    probe.request(2)

    assert probe.values == [0, 1]


@both_creators
@pytest.mark.parametrize("end", ["completed", "failed"])
async def test_3_11_the_last_held_item_brings_the_terminal_with_it(create: Create, end: str) -> None:
    stream, probe = create(BUFFER), Probe()
    stream.publisher.subscribe(probe)
    stream.next(0)
    if end == "completed":
        stream.complete()
    else:
        stream.fail(Failure())
    assert deviations(probe, []) == []

    probe.request(1)

    assert deviations(probe, [0], end) == []


# --- 3.12, 3.13, 3.14 --------------------------------------------------------------------------------------------


@every_publisher
async def test_3_12_cancel_inside_on_next_stops_the_signals_at_once(subject: Subject, settle: Settle) -> None:
    assert await harness.is_silent_after_cancel(subject, settle) == []


@every_publisher
async def test_3_13_cancel_forgets_the_subscriber(subject: Subject, settle: Settle) -> None:
    assert await harness.forgets_a_cancelled_subscriber(subject, settle) == []


class Item:
    """Something that can be referred to weakly."""


@both_creators
@pytest.mark.parametrize("how", ["cancel", "complete", "fail"])
async def test_3_13_a_producer_that_keeps_its_end_keeps_neither_subscriber_nor_items(
    create: Create, how: str, settle: Settle
) -> None:
    stream, probe, item = create(BUFFER), Probe(1), Item()
    stream.publisher.subscribe(probe)
    stream.next(Item())
    if how == "cancel":
        stream.next(item)
        probe.cancel()
    elif how == "complete":
        stream.complete()
    else:
        stream.fail(Failure())
    await settle()

    subscription, gone, item_gone = probe.subscription, weakref.ref(probe), weakref.ref(item)
    del probe, item
    gc.collect()

    assert subscription is not None
    assert gone() is None
    assert item_gone() is None


@both_libraries
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("on_backpressure_buffer", (8,)),
        ("on_backpressure_drop", ()),
        ("on_backpressure_latest", ()),
        ("on_backpressure_error", ()),
        ("on_backpressure_reduce", (lambda held, _: held,)),
    ],
)
async def test_3_13_an_operator_forgets_the_subscriber_though_its_source_lives_on(
    operator: Create, name: str, arguments: tuple[Any, ...]
) -> None:
    stream, probe = operator(name, *arguments), Probe(1)
    stream.publisher.subscribe(probe)
    stream.next(0)
    probe.cancel()

    subscription, gone = probe.subscription, weakref.ref(probe)
    del probe
    gc.collect()

    assert subscription is not None
    assert gone() is None


async def test_3_14_cancel_ends_the_producer_of_this_subscription_and_of_no_other(settle: Settle) -> None:
    async def producer(sink: FluxSink[int]) -> None:
        number = len(running)
        running.append(number)
        try:
            await asyncio.Event().wait()
        finally:
            running.remove(number)

    running: list[int] = []
    stream, first, second = Flux.create(producer, BUFFER), Probe(1), Probe(1)
    stream.subscribe(first)
    stream.subscribe(second)
    await settle()
    assert running == [0, 1]

    first.cancel()
    await settle()
    assert running == [1]

    second.cancel()


# --- 3.15, 3.16 --------------------------------------------------------------------------------------------------


def raising(*_: object) -> None:
    raise Failure


def emit_two(emitter: FlowableEmitter[int]) -> None:
    emitter.on_next(0)
    emitter.on_next(1)


@pytest.mark.parametrize(
    "stream",
    [
        Flux.create(lambda sink: sink.on_cancel(raising), BUFFER),
        Flux.create(lambda sink: sink.on_dispose(raising), BUFFER),
        Flowable.create(lambda emitter: emitter.set_cancellable(raising), BUFFER),
        Flux.create(lambda sink: (sink.next(0), sink.next(1)), BUFFER, on_drop=raising),
        Flowable.create(emit_two, BUFFER, on_drop=raising),
    ],
    ids=["on_cancel", "on_dispose", "set_cancellable", "Flux on_drop", "Flowable on_drop"],
)
async def test_3_15_cancel_returns_normally_and_what_a_callback_raises_is_reported(
    stream: Publisher[int], loop_errors: list[dict[str, Any]]
) -> None:
    probe = Probe(1)
    stream.subscribe(probe)

    probe.cancel()

    assert probe.end is None
    assert probe.violations == []
    assert [type(context["exception"]) for context in loop_errors] == [Failure]


async def test_3_16_request_returns_normally_and_what_on_request_raises_fails_the_stream() -> None:
    probe = Probe()
    sink_of(probe).on_request(raising)

    probe.request(1)

    assert probe.signals == ["on_subscribe", "on_error"]
    assert isinstance(probe.error, Failure)


# --- 3.17 --------------------------------------------------------------------------------------------------------


@every_publisher
async def test_3_17_demand_has_no_upper_limit(subject: Subject, settle: Settle) -> None:
    assert await harness.takes_demand_without_end(subject, settle) == []


@both_creators
async def test_3_17_unbounded_demand_saturates_and_is_not_counted_down(create: Create) -> None:
    stream, probe = create(BUFFER), Probe()
    stream.publisher.subscribe(probe)
    assert probe.subscription is not None

    for n in (UNBOUNDED // 2, UNBOUNDED // 2):
        probe.request(n)
    assert probe.subscription.statistics.demand == UNBOUNDED - 1

    probe.request(2)
    assert probe.subscription.statistics.demand == UNBOUNDED

    stream.next(0)
    assert probe.subscription.statistics.demand == UNBOUNDED
