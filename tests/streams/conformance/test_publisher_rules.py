"""Section 1 of the rules: what a Publisher owes to its Subscriber."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st

from streams import (
    UNBOUNDED,
    AlreadySubscribedError,
    BackpressureStrategy,
    BufferOverflow,
    Flowable,
    FlowableEmitter,
    Flux,
    FluxSink,
    on_backpressure_buffer,
)
from streams.reactive import Publisher
from tests.streams.conformance import harness
from tests.streams.conformance.by_hand import (
    CREATORS,
    OPERATORS,
    STRATEGIES,
    ByHand,
)
from tests.streams.conformance.harness import Failure, Probe, Settle, Subject, deviations
from tests.streams.conformance.subjects import FLUX, LOSSLESS, SUBJECTS

__all__ = ()

every_publisher = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
every_lossless = pytest.mark.parametrize("subject", LOSSLESS, ids=lambda subject: subject.name)
every_flux = pytest.mark.parametrize("subject", FLUX, ids=lambda subject: subject.name)
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
both_creators = pytest.mark.parametrize("create", CREATORS.values(), ids=CREATORS)
both_libraries = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)

Create = Callable[..., ByHand]

# --- 1.1 ---------------------------------------------------------------------------------------------------------


@every_lossless
async def test_1_01_delivers_what_is_requested_and_no_more(subject: Subject, settle: Settle) -> None:
    assert await harness.delivers_what_is_requested(subject, settle) == []


@both_creators
@every_strategy
async def test_1_01_delivered_never_exceeds_requested(create: Create, strategy: BackpressureStrategy) -> None:
    @given(st.lists(st.sampled_from(["next", "request 1", "request 3"]), max_size=40))
    def holds_in_any_order(actions: list[str]) -> None:
        stream, probe, requested = create(strategy), Probe(), 0
        stream.publisher.subscribe(probe)
        for number, action in enumerate(actions):
            if action == "next":
                stream.next(number)
            else:
                n = int(action.removeprefix("request "))
                requested += n
                probe.request(n)
            assert len(probe.values) <= requested
            assert probe.violations == []
        assert probe.values == sorted(probe.values)

    holds_in_any_order()


@both_creators
async def test_1_01_is_not_kept_under_missing_and_the_checks_see_it(create: Create) -> None:
    stream, probe = create(BackpressureStrategy.MISSING), Probe(1)
    stream.publisher.subscribe(probe)

    stream.next("asked for")
    stream.next("not asked for")

    assert probe.values == ["asked for", "not asked for"]
    assert probe.violations == ["on_next('not asked for') came without demand (rule 1.1)"]


# --- 1.2 ---------------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_02_may_end_before_demand_is_met(subject: Subject, settle: Settle) -> None:
    assert await harness.may_end_before_demand_is_met(subject, settle) == []


# --- 1.3 ---------------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_03_signals_one_at_a_time(subject: Subject, settle: Settle) -> None:
    assert await harness.signals_one_at_a_time(subject, settle) == []


@both_creators
async def test_1_03_an_item_emitted_inside_on_next_comes_after_it(create: Create) -> None:
    def emit_another(probe: Probe) -> None:
        if len(probe.values) < 5:
            stream.next(len(probe.values))

    stream, probe = create(BackpressureStrategy.buffer(None)), Probe(UNBOUNDED, on_item=emit_another)
    stream.publisher.subscribe(probe)

    stream.next(0)

    assert deviations(probe, [0, 1, 2, 3, 4]) == []


def flux_for_threads(emits: list[Callable[[object], object]]) -> Publisher[Any]:
    return Flux.create(lambda sink: emits.append(sink.next), BackpressureStrategy.buffer(None))


def flowable_for_threads(emits: list[Callable[[object], object]]) -> Publisher[Any]:
    return Flowable.create(lambda emitter: emits.append(emitter.serialize().on_next), BackpressureStrategy.buffer(None))


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("stream_for_threads", [flux_for_threads, flowable_for_threads], ids=CREATORS)
async def test_1_03_threads_that_emit_at_once_are_heard_one_after_the_other(
    stream_for_threads: Callable[[list[Callable[[object], object]]], Publisher[Any]],
) -> None:
    threads, count = 4, 500
    emits: list[Callable[[object], object]] = []
    probe = Probe(UNBOUNDED)
    stream_for_threads(emits).subscribe(probe)

    def work(thread: int) -> None:
        for item in range(count):
            emits[0]((thread, item))

    await in_threads(*(partial(work, thread) for thread in range(threads)))
    await probe.wait_count(threads * count)

    assert probe.violations == []
    for thread in range(threads):
        assert [item for by, item in probe.values if by == thread] == list(range(count))


async def in_threads(*works: Callable[[], object]) -> None:
    """Start these at once, each in a thread, and wait for them without stopping the loop."""
    start = threading.Barrier(len(works))

    def work_at_once(work: Callable[[], object]) -> None:
        start.wait()
        work()

    await asyncio.gather(*(asyncio.to_thread(work_at_once, work) for work in works))


# --- 1.4 ---------------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_04_fails_with_on_error(subject: Subject, settle: Settle) -> None:
    assert await harness.fails_with_on_error(subject, settle) == []


def raising(_: Any) -> None:
    raise Failure


async def raising_coroutine(_: FluxSink[int]) -> None:
    raise Failure


async def raising_iterator() -> AsyncIterator[int]:
    raise Failure
    yield 0


class RaisingIterable:
    """Fails when it is asked for an iterator."""

    def __aiter__(self) -> AsyncIterator[int]:
        raise Failure


class RaisingPublisher:
    """Fails when it is subscribed."""

    def subscribe(self, _: object) -> None:
        raise Failure


class RaisingObservable(reactivex.Observable[int]):
    """Fails when it is subscribed."""

    def subscribe(self, *args: Any, **options: Any) -> Any:
        raise Failure


RAISING_SOURCES: dict[str, Callable[[], Publisher[int]]] = {
    "function": lambda: Flux.create(raising, BackpressureStrategy.DROP),
    "coroutine": lambda: Flux.create(raising_coroutine, BackpressureStrategy.DROP),
    "async generator": lambda: Flux.from_async_iterable(raising_iterator()),
    "async iterable": lambda: Flux.from_async_iterable(RaisingIterable()),
    "publisher": lambda: Flux.from_publisher(RaisingPublisher()),
    "emitter function": lambda: Flowable.create(raising, BackpressureStrategy.DROP),
    "observable": lambda: RaisingObservable().pipe(on_backpressure_buffer(1)),
}


@pytest.mark.parametrize("make", RAISING_SOURCES.values(), ids=RAISING_SOURCES)
async def test_1_04_a_source_that_raises_fails_the_stream_once(
    make: Callable[[], Publisher[int]], settle: Settle
) -> None:
    probe = Probe(1)
    make().subscribe(probe)
    await settle()

    assert probe.signals == ["on_subscribe", "on_error"]
    assert isinstance(probe.error, Failure)


@both_creators
@pytest.mark.parametrize("strategy", ["ERROR", "DROP", "LATEST", "buffer(2, DROP_OLDEST)"])
async def test_1_04_an_on_drop_that_raises_fails_the_stream_once(create: Create, strategy: str) -> None:
    stream, probe = create(STRATEGIES[strategy], on_drop=raising), Probe()
    stream.publisher.subscribe(probe)

    for item in range(5):
        stream.next(item)
    probe.request(UNBOUNDED)

    assert probe.end == "failed"
    failure = probe.error.__cause__ if strategy == "ERROR" and probe.error else probe.error
    assert isinstance(failure, Failure)
    assert probe.violations == []


@both_creators
async def test_1_04_a_reducer_that_raises_fails_the_stream_once(create: Create) -> None:
    def fold(held: int, incoming: int) -> int:
        raise Failure

    stream, probe = create(BackpressureStrategy.reduce(fold)), Probe()
    stream.publisher.subscribe(probe)

    for item in range(3):
        stream.next(item)
    probe.request(UNBOUNDED)

    assert deviations(probe, [0], "failed") == []
    assert isinstance(probe.error, Failure)


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("maker", [Flux.create, Flowable.create], ids=CREATORS)
async def test_1_04_what_is_no_exception_passes_through(
    maker: Callable[..., Publisher[int]], exception: type[BaseException]
) -> None:
    def producer(_: object) -> None:
        raise exception

    probe = Probe(1)
    with pytest.raises(exception):
        maker(producer, BackpressureStrategy.DROP).subscribe(probe)

    assert probe.signals == ["on_subscribe"]


# --- 1.5 ---------------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_05_completes_with_the_last_item(subject: Subject, settle: Settle) -> None:
    assert await harness.completes_with_the_last_item(subject, settle) == []


# --- 1.6, 1.7 ----------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_06_after_a_terminal_request_and_cancel_change_nothing(subject: Subject, settle: Settle) -> None:
    assert await harness.is_silent_after_the_end(subject, settle) == []


@pytest.mark.parametrize("end", ["complete", "fail"])
async def test_1_06_a_terminal_disposes_of_what_belongs_to_the_subscription_once(end: str) -> None:
    heard: list[str] = []

    def producer(sink: FluxSink[int]) -> None:
        sink.on_cancel(lambda: heard.append("cancel")).on_dispose(lambda: heard.append("dispose"))
        sinks.append(sink)

    sinks: list[FluxSink[int]] = []
    probe = Probe()
    Flux.create(producer, BackpressureStrategy.DROP).subscribe(probe)

    if end == "complete":
        sinks[0].complete()
    else:
        sinks[0].error(Failure())
    probe.cancel()
    probe.cancel()

    assert heard == ["dispose"]
    assert sinks[0].is_cancelled


TERMINALS = ["complete", "fail", "overflow"]


@both_creators
@pytest.mark.parametrize("held", [0, 2])
@pytest.mark.parametrize("end", TERMINALS)
async def test_1_07_nothing_follows_a_terminal(
    create: Create, held: int, end: str, settle: Settle, loop_errors: list[dict[str, Any]]
) -> None:
    stream, probe = create(BackpressureStrategy.buffer(2)), Probe()
    stream.publisher.subscribe(probe)
    for item in range(held):
        stream.next(item)
    if end == "overflow":
        for item in range(held, 3):
            stream.next(item)
    elif end == "complete":
        stream.complete()
    else:
        stream.fail(Failure("first"))

    def signal(late: str) -> None:
        stream.next(late)
        stream.complete()
        stream.fail(Failure(late))

    signal("late")
    probe.request(UNBOUNDED)
    signal("later")
    await settle()

    kept = 2 if end == "overflow" else held
    assert deviations(probe, list(range(kept)), "completed" if end == "complete" else "failed") == []
    # A late error is not swallowed: it goes to the loop's exception handler.
    assert [str(context["exception"]) for context in loop_errors] == ["late", "later"]


# --- 1.8 ---------------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_08_nothing_follows_a_cancel(subject: Subject, settle: Settle) -> None:
    assert await harness.is_silent_after_cancel(subject, settle) == []


@both_creators
@every_strategy
async def test_1_08_after_cancel_no_strategy_lets_a_signal_through(
    create: Create, strategy: BackpressureStrategy, loop_errors: list[dict[str, Any]]
) -> None:
    stream, probe = create(strategy), Probe(5)
    stream.publisher.subscribe(probe)

    probe.cancel()
    stream.next(0)
    stream.complete()
    stream.fail(Failure())

    assert deviations(probe, []) == []
    assert len(loop_errors) == 1


@pytest.mark.usefixtures("eager_switching")
async def test_1_08_a_cancel_on_the_loop_stops_items_of_other_threads_at_once(settle: Settle) -> None:
    sinks: list[FluxSink[int]] = []
    probe = Probe(UNBOUNDED)
    Flux.create(sinks.append, BackpressureStrategy.buffer(64, BufferOverflow.DROP_INCOMING)).subscribe(probe)

    def work() -> None:
        for number in itertools.count():
            sinks[0].next(number)
            if sinks[0].is_cancelled:
                return

    working = asyncio.create_task(asyncio.to_thread(work))
    await probe.wait_count(10)
    probe.cancel()
    await working
    await settle()

    assert probe.violations == []
    counted = sinks[0].statistics
    assert counted.emitted == counted.delivered + counted.dropped + counted.rejected
    assert counted.delivered == len(probe.values)


# --- 1.9 ---------------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_09_on_subscribe_is_the_first_signal_and_comes_once(subject: Subject, settle: Settle) -> None:
    assert await harness.subscribes_first_and_once(subject, settle) == []


@every_flux
async def test_1_09_no_subscriber_is_a_type_error(subject: Subject, settle: Settle) -> None:
    assert await harness.refuses_no_subscriber(subject, settle) == []


@every_publisher
async def test_1_09_a_subscriber_that_lacks_a_method_is_a_type_error(subject: Subject) -> None:
    class Half:
        def on_subscribe(self, _: object) -> None: ...
        def on_next(self, _: object) -> None: ...

    with pytest.raises(TypeError, match="lacks on_error, on_complete"):
        subject.finite(1).subscribe(Half())  # type: ignore[arg-type]


# --- 1.10, 1.11 --------------------------------------------------------------------------------------------------


@every_publisher
async def test_1_10_each_subscriber_gets_the_whole_stream(subject: Subject, settle: Settle) -> None:
    assert await harness.serves_each_subscriber(subject, settle) == []


async def test_1_10_an_iterator_can_be_read_once_and_refuses_a_second_subscriber(settle: Settle) -> None:
    async def three() -> AsyncIterator[int]:
        for item in range(3):
            yield item

    stream, first, second = Flux.from_async_iterable(three()), Probe(UNBOUNDED), Probe(UNBOUNDED)
    stream.subscribe(first)
    stream.subscribe(second)
    await settle()

    assert deviations(first, [0, 1, 2], "completed") == []
    assert second.signals == ["on_subscribe", "on_error"]
    assert isinstance(second.error, AlreadySubscribedError)


@every_publisher
async def test_1_10_the_same_subscriber_twice_is_its_own_affair(subject: Subject, settle: Settle) -> None:
    probe, publisher = Probe(UNBOUNDED), subject.finite(3)
    publisher.subscribe(probe)
    publisher.subscribe(probe)
    await settle()

    # This one cancels its second subscription (rule 2.5); the first is not disturbed.
    assert probe.violations == ["on_subscribe came twice (rule 2.12)"]
    assert probe.values == [0, 1, 2]


@every_lossless
async def test_1_11_is_unicast_each_subscription_has_its_own_source_and_demand(
    subject: Subject, settle: Settle
) -> None:
    publisher, slow, fast = subject.finite(5), Probe(1), Probe(UNBOUNDED)
    publisher.subscribe(slow)
    publisher.subscribe(fast)
    await settle()
    assert deviations(slow, [0]) == []
    assert deviations(fast, [0, 1, 2, 3, 4], "completed") == []

    slow.request(2)
    await settle()
    assert deviations(slow, [0, 1, 2]) == []
    slow.cancel()


@pytest.mark.parametrize("maker", [Flux.create, Flowable.create], ids=CREATORS)
async def test_1_11_the_producer_runs_once_for_each_subscription(maker: Callable[..., Publisher[int]]) -> None:
    runs: list[FluxSink[int] | FlowableEmitter[int]] = []
    publisher = maker(runs.append, BackpressureStrategy.DROP)

    for _ in range(3):
        publisher.subscribe(Probe())

    assert len({id(run) for run in runs}) == 3
