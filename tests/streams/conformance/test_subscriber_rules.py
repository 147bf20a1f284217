"""Section 2 of the rules: what everything that subscribes owes to its Publisher.

What subscribes here is an operator, a bridge to or from Rx, an iterator, or the TestSubscriber. Each is attached to a
ManualPublisher, which records what it is asked for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from streams import UNBOUNDED, Flowable, Flux, StreamStatistics, limit_rate, on_backpressure_buffer
from streams.testing import ManualPublisher, TestSubscriber
from tests.streams.conformance.harness import Failure, Settle

__all__ = ()

Detach = Callable[[], object]
Attach = Callable[[ManualPublisher[Any], list[Any]], Detach]


class Listener(TestSubscriber[Any]):
    """Writes items, "complete" and errors into one list."""

    def __init__(self, heard: list[Any], initial_request: int = UNBOUNDED) -> None:
        super().__init__(initial_request)
        self._heard = heard

    def on_next(self, item: Any) -> None:
        super().on_next(item)
        self._heard.append(item)

    def on_error(self, error: Exception) -> None:
        super().on_error(error)
        self._heard.append(error)

    def on_complete(self) -> None:
        super().on_complete()
        self._heard.append("complete")


def a_flux(operate: Callable[[Flux[Any]], Any], request: int = UNBOUNDED) -> Attach:
    def attach(source: ManualPublisher[Any], heard: list[Any]) -> Detach:
        listener = Listener(heard, request)
        operate(Flux.from_publisher(source)).subscribe(listener)
        return listener.cancel

    return attach


def an_observer(operate: Callable[[Flux[Any]], Any]) -> Attach:
    def attach(source: ManualPublisher[Any], heard: list[Any]) -> Detach:
        stream = operate(Flux.from_publisher(source))
        disposable = stream.subscribe(heard.append, heard.append, lambda: heard.append("complete"))
        return disposable.dispose  # type: ignore[no-any-return]

    return attach


def an_iterator(take: Callable[[Flux[Any], list[Any]], Awaitable[None]]) -> Attach:
    def attach(source: ManualPublisher[Any], heard: list[Any]) -> Detach:
        async def read() -> None:
            try:
                await take(Flux.from_publisher(source), heard)
            except Exception as error:
                heard.append(error)
            else:
                heard.append("complete")

        return asyncio.create_task(read()).cancel

    return attach


async def read_items(stream: Flux[Any], heard: list[Any]) -> None:
    async for item in stream:
        heard.append(item)  # noqa: PERF401 - what has come is seen while the loop goes on


async def read_batches(stream: Flux[Any], heard: list[Any]) -> None:
    async for batch in stream.batches(3, prefetch=4):
        heard.extend(batch)


def directly(source: ManualPublisher[Any], heard: list[Any]) -> Detach:
    listener = Listener(heard)
    source.subscribe(listener)
    return listener.cancel


def nothing(flux: Flux[Any]) -> Flux[Any]:
    return flux


# Each with what it asks its publisher for at first.
CONSUMERS: dict[str, tuple[Attach, int]] = {
    "TestSubscriber": (directly, UNBOUNDED),
    "from_publisher": (a_flux(nothing, 7), 7),
    "on_backpressure_buffer": (a_flux(lambda flux: flux.on_backpressure_buffer(8)), UNBOUNDED),
    "on_backpressure_buffer, ttl": (a_flux(lambda flux: flux.on_backpressure_buffer(8, ttl_s=60)), UNBOUNDED),
    "on_backpressure_drop": (a_flux(lambda flux: flux.on_backpressure_drop()), UNBOUNDED),
    "on_backpressure_latest": (a_flux(lambda flux: flux.on_backpressure_latest()), UNBOUNDED),
    "on_backpressure_error": (a_flux(lambda flux: flux.on_backpressure_error()), UNBOUNDED),
    "on_backpressure_reduce": (a_flux(lambda flux: flux.on_backpressure_reduce(max)), UNBOUNDED),
    "limit_rate": (a_flux(lambda flux: flux.limit_rate(8)), 8),
    "to_observable": (an_observer(lambda flux: flux.to_observable()), UNBOUNDED),
    "to_observable, on_backpressure_buffer": (
        an_observer(lambda flux: flux.to_observable().pipe(on_backpressure_buffer(8))),
        UNBOUNDED,
    ),
    "async for": (an_iterator(read_items), 1),
    "batches": (an_iterator(read_batches), 4),
}

each = pytest.mark.parametrize(("attach", "demand"), CONSUMERS.values(), ids=CONSUMERS)
each_consumer = pytest.mark.parametrize("attach", [attach for attach, _ in CONSUMERS.values()], ids=CONSUMERS)
# Those that carry signals over to a boundary: all but the TestSubscriber.
each_relay = pytest.mark.parametrize(
    "attach",
    [attach for name, (attach, _) in CONSUMERS.items() if name != "TestSubscriber"],
    ids=[name for name in CONSUMERS if name != "TestSubscriber"],
)
TERMINALS: dict[str, Callable[[ManualPublisher[Any]], None]] = {
    "complete": lambda source: source.complete(),
    "error": lambda source: source.error(Failure()),
}
both_terminals = pytest.mark.parametrize("end", TERMINALS.values(), ids=TERMINALS)


class Hold:
    """A Subscription that records its calls and the threads they come from."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self._inside = threading.Lock()

    def request(self, n: int) -> None:
        self._note(f"request({n})")

    def cancel(self) -> None:
        self._note("cancel()")

    @property
    def statistics(self) -> StreamStatistics:
        return StreamStatistics(0, 0, 0, 0, 0, 0, 0, 0)

    def _note(self, call: str) -> None:
        assert self._inside.acquire(blocking=False), "two calls at once"
        self.calls.append(call)
        self.threads.add(threading.get_ident())
        self._inside.release()


# --- 2.1, 2.2 ----------------------------------------------------------------------------------------------------


@each
async def test_2_01_demand_is_signalled_and_is_what_the_consumer_can_take(
    attach: Attach, demand: int, settle: Settle
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    detach = attach(source, [])
    await settle()

    assert source.requested == demand

    detach()


async def test_2_02_a_slow_reader_keeps_neither_its_publisher_nor_other_tasks_waiting(settle: Settle) -> None:
    source: ManualPublisher[int] = ManualPublisher()
    working, go_on = asyncio.Event(), asyncio.Event()
    read: list[int] = []

    async def work(item: int) -> None:
        working.set()
        await go_on.wait()
        read.append(item)

    reading = asyncio.create_task(Flux.from_publisher(source).on_backpressure_buffer(8).for_each(work))
    await settle()
    source.next(0)
    await working.wait()
    source.next(1, 2)  # returns though nobody has taken the first
    source.complete()
    assert read == []

    go_on.set()
    await reading
    assert read == [0, 1, 2]


# --- 2.3, 2.4 ----------------------------------------------------------------------------------------------------


@each_consumer
@both_terminals
@pytest.mark.parametrize("items", [0, 2])
async def test_2_03_a_terminal_is_answered_with_no_call(
    attach: Attach, end: Callable[[ManualPublisher[Any]], None], items: int, settle: Settle
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    attach(source, [])
    await settle()
    for item in range(items):
        source.next(item)
        await settle()
    asked = list(source.requests)

    end(source)
    await settle()

    assert source.requests == asked
    assert not source.cancelled


@each_relay
@both_terminals
async def test_2_04_after_a_terminal_closing_cancels_nothing(
    attach: Attach, end: Callable[[ManualPublisher[Any]], None], settle: Settle
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    detach = attach(source, [])
    await settle()
    end(source)
    await settle()

    detach()
    await settle()

    assert not source.cancelled


@pytest.mark.parametrize(
    "operate",
    [
        nothing,
        lambda flux: flux.on_backpressure_buffer(8),
        lambda flux: flux.limit_rate(8, 1),
        lambda flux: flux.limit_rate(2),
    ],
    ids=["from_publisher", "on_backpressure_buffer", "limit_rate(8, 1)", "limit_rate(2)"],
)
@both_terminals
async def test_2_04_requests_while_the_rest_drains_do_not_go_to_a_publisher_that_has_ended(
    operate: Callable[[Flux[Any]], Flux[Any]], end: Callable[[ManualPublisher[Any]], None]
) -> None:
    class EndsInside(Listener):
        """The source ends while an item is being handled, and more is requested behind it."""

        def on_next(self, item: Any) -> None:
            super().on_next(item)
            if item == 0:
                source.next(1)
                end(source)
                asked.extend(source.requests)
                self.request(5)

    source: ManualPublisher[Any] = ManualPublisher()
    heard: list[Any] = []
    asked: list[int] = []
    operate(Flux.from_publisher(source)).subscribe(EndsInside(heard, 2))

    source.next(0)

    assert heard[:2] == [0, 1]
    assert len(heard) == 3
    assert source.requests == asked


@both_terminals
async def test_2_04_limit_rate_asks_an_ended_publisher_for_nothing(
    end: Callable[[ManualPublisher[Any]], None],
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    heard: list[Any] = []
    listener = Listener(heard, 0)
    Flux.from_publisher(source).limit_rate(4).subscribe(listener)

    source.next(0, 1, 2, 3)
    end(source)
    listener.request(4)

    assert heard[:4] == [0, 1, 2, 3]
    assert len(heard) == 5
    assert source.requests == [4]


# --- 2.5, 2.6 ----------------------------------------------------------------------------------------------------


@each_consumer
async def test_2_05_a_second_subscription_is_cancelled_and_the_first_goes_on(attach: Attach, settle: Settle) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    heard: list[Any] = []
    detach = attach(source, heard)
    await settle()
    second = Hold()

    assert source.subscriber is not None
    source.subscriber.on_subscribe(second)
    assert second.calls == ["cancel()"]
    assert not source.cancelled

    source.next(0)
    await settle()
    assert heard == [0]

    detach()


@each_consumer
async def test_2_06_a_consumer_that_leaves_cancels_once(attach: Attach, settle: Settle) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    detach = attach(source, [])
    await settle()
    source.next(0)

    detach()
    await settle()

    assert source.cancel_count == 1


async def leave_by_break(stream: Flux[Any]) -> None:
    async for _ in stream:
        break


async def leave_by_error(stream: Flux[Any]) -> None:
    async def fail(_: object) -> None:
        raise Failure

    with pytest.raises(Failure):
        await stream.for_each(fail)


async def leave_by_closing(stream: Flux[Any]) -> None:
    async with aclosing(stream.batches(8)) as batches:
        await anext(batches)


async def leave_by_cancellation(stream: Flux[Any]) -> None:
    async def read() -> None:
        async for _ in stream:
            arrived.set()

    arrived = asyncio.Event()
    reading = asyncio.create_task(read())
    await arrived.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_by_closing, leave_by_cancellation])
async def test_2_06_leaving_a_loop_cancels_once(leave: Callable[[Flux[Any]], Awaitable[None]], settle: Settle) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    leaving = asyncio.ensure_future(leave(Flux.from_publisher(source)))
    await settle()
    source.next(0)

    await leaving
    await settle()

    assert source.cancel_count == 1


# --- 2.7 ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("operate", [nothing, lambda flux: flux.limit_rate(8)], ids=["from_publisher", "limit_rate"])
async def test_2_07_request_and_cancel_of_many_threads_go_up_one_after_the_other(
    operate: Callable[[Flux[Any]], Flux[Any]], settle: Settle
) -> None:
    class OnHold:
        def subscribe(self, subscriber: Any) -> None:
            subscriber.on_subscribe(hold)

    hold, listener = Hold(), Listener([], 0)
    operate(Flux.from_publisher(OnHold())).subscribe(listener)
    subscription = listener.subscription
    assert subscription is not None

    def work() -> None:
        for _ in range(50):
            subscription.request(1)
        subscription.cancel()

    await asyncio.gather(*(asyncio.to_thread(work) for _ in range(4)))
    await settle()

    assert hold.threads == {threading.get_ident()}
    assert hold.calls.count("cancel()") == 1
    assert hold.calls[-1] == "cancel()"


# --- 2.8, 2.9, 2.10 ----------------------------------------------------------------------------------------------


@each_relay
async def test_2_08_items_that_come_after_cancel_are_dropped_in_silence(attach: Attach, settle: Settle) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    heard: list[Any] = []
    detach = attach(source, heard)
    await settle()

    detach()
    await settle()
    heard.clear()
    source.next(*range(100))
    source.complete()
    await settle()

    assert heard == []


async def test_2_08_items_that_come_after_cancel_are_counted_as_rejected() -> None:
    source: ManualPublisher[int] = ManualPublisher()
    subscriber: TestSubscriber[int] = TestSubscriber(3)
    Flux.from_publisher(source).subscribe(subscriber)

    subscriber.cancel()
    source.next(0, 1, 2)

    assert subscriber.subscription is not None
    assert subscriber.subscription.statistics == StreamStatistics(3, 0, 0, 0, 3, 0, 0, 3)


@each_consumer
async def test_2_09_completion_is_taken_with_and_without_items(attach: Attach, settle: Settle) -> None:
    for items in ([], [0, 1]):
        source: ManualPublisher[Any] = ManualPublisher()
        heard: list[Any] = []
        attach(source, heard)
        await settle()
        for item in items:
            source.next(item)
            await settle()

        source.complete()
        await settle()

        assert heard == [*items, "complete"]


@each_consumer
async def test_2_10_a_failure_is_taken_with_and_without_items(attach: Attach, settle: Settle) -> None:
    for items in ([], [0, 1]):
        source: ManualPublisher[Any] = ManualPublisher()
        heard: list[Any] = []
        attach(source, heard)
        await settle()
        for item in items:
            source.next(item)
            await settle()

        failure = Failure()
        source.error(failure)
        await settle()

        assert heard == [*items, failure]


@both_terminals
@pytest.mark.parametrize(
    "operate",
    [nothing, lambda flux: flux.on_backpressure_latest(), lambda flux: flux.limit_rate(4)],
    ids=["from_publisher", "latest", "limit_rate"],
)
async def test_2_09_and_2_10_a_terminal_needs_no_request_before_it(
    operate: Callable[[Flux[Any]], Flux[Any]], end: Callable[[ManualPublisher[Any]], None]
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    subscriber: TestSubscriber[Any] = TestSubscriber(0)
    operate(Flux.from_publisher(source)).subscribe(subscriber)

    end(source)

    assert subscriber.terminated
    assert subscriber.violations == []


# --- 2.11, 2.12 --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("count", [1000])
async def test_2_11_signals_of_another_thread_are_taken_on_the_loop_and_in_order(count: int) -> None:
    class NotesThreads(Listener):
        def on_next(self, item: Any) -> None:
            super().on_next(item)
            threads.add(threading.get_ident())

    source: ManualPublisher[int] = ManualPublisher()
    threads: set[int] = set()
    subscriber = NotesThreads([])
    Flux.from_publisher(source).subscribe(subscriber)

    def work() -> None:
        source.next(*range(count))
        source.complete()

    await asyncio.to_thread(work)
    await subscriber.wait_terminated()

    assert subscriber.values == list(range(count))
    assert subscriber.violations == []
    assert threads == {threading.get_ident()}


async def test_2_11_signals_of_another_thread_wake_an_iterator(settle: Settle) -> None:
    source: ManualPublisher[int] = ManualPublisher()
    heard: list[int] = []
    reading = asyncio.create_task(read_items(Flux.from_publisher(source).on_backpressure_buffer(None), heard))
    await settle()

    await asyncio.to_thread(source.next, *range(100))
    await asyncio.to_thread(source.complete)
    await reading

    assert heard == list(range(100))


@each_relay
async def test_2_12_each_subscription_is_made_with_a_subscriber_of_its_own(attach: Attach, settle: Settle) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    subscribers: list[Any] = []
    for _ in range(2):
        detach = attach(source, [])
        await settle()
        subscribers.append(source.subscriber)
        detach()

    assert subscribers[0] is not subscribers[1]


# --- 2.13 --------------------------------------------------------------------------------------------------------


@each_consumer
async def test_2_13_no_subscription_and_no_error_are_type_errors(attach: Attach, settle: Settle) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    detach = attach(source, [])
    await settle()

    assert source.subscriber is not None
    for signal in (source.subscriber.on_subscribe, source.subscriber.on_error):
        with pytest.raises(TypeError, match="must not be None"):
            signal(None)  # type: ignore[arg-type]

    detach()


@each_consumer
async def test_2_13_none_is_an_item(attach: Attach, settle: Settle) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    heard: list[Any] = []
    attach(source, heard)
    await settle()

    source.next(None)
    await settle()
    source.complete()
    await settle()

    assert heard == [None, "complete"]


class Raises(TestSubscriber[Any]):
    """Raises in the one callback that is named."""

    def __init__(self, where: str, exception: BaseException) -> None:
        super().__init__(5)
        self._where = where
        self._exception = exception

    def on_subscribe(self, subscription: Any) -> None:
        super().on_subscribe(subscription)
        self._raise_in("on_subscribe")

    def on_next(self, item: Any) -> None:
        super().on_next(item)
        self._raise_in("on_next")

    def on_error(self, error: Exception) -> None:
        super().on_error(error)
        self._raise_in("on_error")

    def on_complete(self) -> None:
        super().on_complete()
        self._raise_in("on_complete")

    def _raise_in(self, callback: str) -> None:
        if callback == self._where:
            raise self._exception


def flux_of(source: ManualPublisher[Any]) -> Flux[Any]:
    return Flux.from_publisher(source)


def flowable_of(source: ManualPublisher[Any]) -> Flowable[Any]:
    return Flux.from_publisher(source).to_observable().pipe(on_backpressure_buffer(8))  # type: ignore[no-any-return]


def limited_flowable_of(source: ManualPublisher[Any]) -> Flowable[Any]:
    return limit_rate(8)(flowable_of(source))


each_variant = pytest.mark.parametrize("stream_of", [flux_of, flowable_of, limited_flowable_of])


@each_variant
async def test_2_13_a_subscriber_that_raises_is_cancelled_and_hears_nothing_more(
    stream_of: Callable[[ManualPublisher[Any]], Any], loop_errors: list[dict[str, Any]]
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    failure = Failure()
    subscriber = Raises("on_next", failure)
    stream_of(source).subscribe(subscriber)

    source.next(0, 1)  # the producer is not hit by it
    source.complete()

    assert subscriber.values == [0]
    assert not subscriber.terminated
    assert source.cancel_count == 1
    assert [context["exception"] for context in loop_errors] == [failure]


@each_variant
async def test_2_13_a_subscriber_that_raises_in_on_subscribe_is_not_connected(
    stream_of: Callable[[ManualPublisher[Any]], Any], loop_errors: list[dict[str, Any]]
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    failure = Failure()
    subscriber = Raises("on_subscribe", failure)

    stream_of(source).subscribe(subscriber)

    assert source.subscriber is None
    assert subscriber.values == []
    assert [context["exception"] for context in loop_errors] == [failure]


@each_variant
@pytest.mark.parametrize(("where", "end"), [("on_complete", "complete"), ("on_error", "error")])
async def test_2_13_a_subscriber_that_raises_in_a_terminal_is_reported_and_that_is_all(
    stream_of: Callable[[ManualPublisher[Any]], Any], where: str, end: str, loop_errors: list[dict[str, Any]]
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    failure = Failure()
    stream_of(source).subscribe(Raises(where, failure))

    TERMINALS[end](source)

    assert not source.cancelled
    assert [context["exception"] for context in loop_errors] == [failure]


@each_variant
@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_2_13_what_is_no_exception_passes_through_to_who_signals(
    stream_of: Callable[[ManualPublisher[Any]], Any], exception: type[BaseException]
) -> None:
    source: ManualPublisher[Any] = ManualPublisher()
    stream_of(source).subscribe(Raises("on_next", exception()))

    with pytest.raises(exception):
        source.next(0)


@pytest.mark.parametrize("where", ["on_next", "on_error", "on_completed"])
async def test_2_13_an_rx_observer_that_raises_is_treated_alike(where: str, loop_errors: list[dict[str, Any]]) -> None:
    def raise_in(callback: str) -> Callable[..., None]:
        return partial(fail_if, callback == where)

    def fail_if(wanted: bool, *_: object) -> None:
        if wanted:
            raise failure

    source: ManualPublisher[Any] = ManualPublisher()
    failure = Failure()
    flowable_of(source).subscribe(raise_in("on_next"), raise_in("on_error"), raise_in("on_completed"))

    source.next(0)
    TERMINALS["error" if where == "on_error" else "complete"](source)

    assert [context["exception"] for context in loop_errors] == [failure]
    assert source.cancel_count == (where == "on_next")
