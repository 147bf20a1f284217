"""Boundary, Delivery and Relay: signals are carried one at a time, and the source is stopped once."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from streams import UNBOUNDED, BackpressureStrategy, BufferOverflowError, EmitResult
from streams.affinity import LoopThread
from streams.boundary import Boundary, DirectDelivery, LoopDelivery, Relay, checked_subscriber, refuse_none, unbounded
from streams.testing import ManualPublisher, TestSubscriber

__all__ = ()

DROP, ERROR, UNLIMITED = BackpressureStrategy.DROP, BackpressureStrategy.ERROR, BackpressureStrategy.buffer(None)


def fail(*_: object) -> Any:
    raise LookupError("the callback failed")


def deliver(
    strategy: BackpressureStrategy = UNLIMITED, *, demand: int = UNBOUNDED
) -> tuple[Boundary[Any], DirectDelivery[Any], TestSubscriber[Any]]:
    """Connect a boundary with a subscriber, without a source."""
    boundary: Boundary[Any] = Boundary(strategy)
    subscriber = TestSubscriber[Any](initial_request=demand)
    delivery = DirectDelivery(boundary, subscriber)
    delivery.start()
    return boundary, delivery, subscriber


# Boundary: the source is stopped, and the end is told.


@pytest.mark.parametrize(
    "end",
    [
        lambda boundary: boundary.cancel(),
        lambda boundary: boundary.request(0),
        lambda boundary: [boundary.buffer.offer(item) for item in "ab"],
    ],
    ids=["cancel", "wrong request", "overflow"],
)
def test_source_is_stopped_once_when_it_did_not_end_by_itself(end: Callable[[Boundary[Any]], object]) -> None:
    boundary: Boundary[Any] = Boundary(BackpressureStrategy.buffer(1))
    calls: list[str] = []
    boundary.connect(lambda: calls.append("stop"))
    end(boundary)
    boundary.cancel()
    assert calls == ["stop"]


def test_source_that_ended_by_itself_is_not_stopped_behind_its_terminal() -> None:
    boundary, _, subscriber = deliver()
    calls: list[str] = []
    boundary.connect(lambda: calls.append("stop"))
    boundary.buffer.complete()
    boundary.cancel()
    assert subscriber.completed
    assert calls == []


def test_source_that_connects_after_the_cancel_is_stopped_at_once() -> None:
    boundary, _, subscriber = deliver()
    calls: list[str] = []
    subscriber.cancel()
    boundary.connect(lambda: calls.append("stop"))
    assert calls == ["stop"]


def test_stop_that_raises_is_reported_and_cancel_returns_normally(caplog: pytest.LogCaptureFixture) -> None:
    boundary, _, subscriber = deliver()
    boundary.connect(fail)
    subscriber.cancel()
    assert "the callback failed" in caplog.text


@pytest.mark.parametrize("cancelled", [True, False])
def test_end_is_told_once_and_whether_it_was_a_cancel(cancelled: bool) -> None:
    boundary, _, subscriber = deliver()
    heard: list[bool] = []
    boundary.on_end(heard.append)
    if cancelled:
        subscriber.cancel()
    else:
        boundary.buffer.complete()
    subscriber.cancel()
    assert heard == [cancelled]


def test_fail_after_the_end_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    boundary, _, _ = deliver()
    assert boundary.fail(LookupError("first")) is EmitResult.OK
    assert boundary.fail(LookupError("second")) is EmitResult.FAIL_TERMINATED
    assert "second" in caplog.text
    assert "first" not in caplog.text


def test_statistics_are_those_of_the_buffer() -> None:
    boundary, _, subscriber = deliver(DROP, demand=1)
    for item in "ab":
        boundary.buffer.offer(item)
    assert subscriber.subscription is not None
    assert subscriber.subscription.statistics == boundary.statistics
    assert (boundary.statistics.delivered, boundary.statistics.dropped) == (1, 1)


# Delivery.


@pytest.mark.parametrize("way", ["offer", "push"])
def test_items_are_delivered_in_order_and_one_at_a_time(way: str) -> None:
    class Greedy(TestSubscriber[int]):
        def on_next(self, item: int) -> None:
            super().on_next(item)
            if item < 4:
                put(item + 1)

    boundary: Boundary[int] = Boundary(UNLIMITED)
    subscriber = Greedy()
    delivery = DirectDelivery(boundary, subscriber)
    delivery.start()
    put: Callable[[int], object] = delivery.push if way == "push" else boundary.buffer.offer
    put(0)
    assert subscriber.values == [0, 1, 2, 3, 4]
    assert subscriber.violations == []


def test_pushed_item_without_unbounded_demand_goes_through_the_strategy() -> None:
    boundary, delivery, subscriber = deliver(DROP, demand=1)
    delivery.push("a")
    delivery.push("b")
    assert subscriber.values == ["a"]
    assert boundary.statistics.dropped == 1


def test_terminal_inside_on_next_comes_after_it() -> None:
    class Ending(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            super().on_next(item)
            boundary.buffer.complete()
            assert not self.completed

    boundary: Boundary[str] = Boundary(UNLIMITED)
    subscriber = Ending()
    delivery = DirectDelivery(boundary, subscriber)
    delivery.start()
    delivery.push("a")
    assert subscriber.completed
    assert subscriber.violations == []


@pytest.mark.parametrize("way", ["offer", "push"])
def test_subscriber_that_raises_is_cancelled_and_the_source_is_stopped(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(TestSubscriber[str]):
        on_next = fail  # type: ignore[assignment]

    boundary: Boundary[str] = Boundary(UNLIMITED)
    delivery = DirectDelivery(boundary, Failing())
    delivery.start()
    calls: list[str] = []
    boundary.connect(lambda: calls.append("stop"))
    put: Callable[[str], object] = delivery.push if way == "push" else boundary.buffer.offer
    put("a")
    put("b")
    assert calls == ["stop"]
    assert boundary.buffer.is_cancelled
    assert caplog.text.count("an error that no consumer can hear") == 1


@pytest.mark.parametrize(
    ("on_subscribe", "wanted"),
    [(lambda s: s.request(1), True), (lambda s: None, True), (lambda s: s.cancel(), False), (fail, False)],
)
def test_start_says_whether_the_source_is_wanted(
    on_subscribe: Callable[..., object], wanted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber = TestSubscriber[str]()
    subscriber.on_subscribe = on_subscribe  # type: ignore[method-assign,assignment]
    assert DirectDelivery(Boundary[str](DROP), subscriber).start() is wanted
    assert bool(caplog.records) is (on_subscribe is fail)


def test_failure_from_another_thread_waits_for_the_item_that_is_being_handed_over() -> None:
    class Slow(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            super().on_next(item)
            other = threading.Thread(target=boundary.request, args=(0,))
            other.start()
            other.join()
            assert self.error is None

    boundary: Boundary[str] = Boundary(UNLIMITED)
    subscriber = Slow()
    delivery = DirectDelivery(boundary, subscriber)
    delivery.start()
    delivery.push("a")
    assert isinstance(subscriber.error, ValueError)
    assert subscriber.values == ["a"]
    assert subscriber.violations == []


async def test_long_delivery_from_other_threads_gives_the_loop_its_turns() -> None:
    boundary: Boundary[int] = Boundary(UNLIMITED)
    subscriber = TestSubscriber[int]()
    LoopDelivery(boundary, subscriber, LoopThread()).start()

    def offer_all() -> None:
        for number in range(3000):
            boundary.buffer.offer(number)

    thread = threading.Thread(target=offer_all)
    thread.start()
    thread.join()  # the loop has had no turn
    seen_at_turns: list[int] = []
    while len(subscriber.values) < 3000:
        await asyncio.sleep(0)
        seen_at_turns.append(len(subscriber.values))
    assert len(seen_at_turns) > 1
    assert subscriber.values == list(range(3000))


def test_subscriber_is_not_kept_alive_after_its_cancel() -> None:
    boundary, delivery, subscriber = deliver()
    gone = weakref.ref(subscriber)
    subscriber.cancel()
    del subscriber, delivery
    gc.collect()
    assert gone() is None
    assert boundary.buffer.is_cancelled


# Relay.


def test_relay_carries_all_signals() -> None:
    boundary, _, subscriber = deliver()
    publisher = ManualPublisher[str]()
    publisher.subscribe(Relay(boundary, unbounded))
    assert publisher.requests == [UNBOUNDED]
    publisher.next("a")
    publisher.complete()
    assert subscriber.values == ["a"]
    assert subscriber.completed


def test_relay_carries_errors_and_reports_late_ones(caplog: pytest.LogCaptureFixture) -> None:
    boundary, _, subscriber = deliver()
    publisher = ManualPublisher[str]()
    publisher.subscribe(Relay(boundary, unbounded))
    publisher.error(LookupError("first"))
    publisher.error(LookupError("second"))
    assert str(subscriber.error) == "first"
    assert "second" in caplog.text


def test_relay_cancels_a_source_that_overflows() -> None:
    boundary, _, subscriber = deliver(ERROR, demand=0)
    publisher = ManualPublisher[str]()
    publisher.subscribe(Relay(boundary, unbounded))
    publisher.next("a", "b")
    assert isinstance(subscriber.error, BufferOverflowError)
    assert publisher.cancel_count == 1


def test_relay_cancels_a_second_subscription() -> None:
    boundary, _, _ = deliver()
    relay = Relay(boundary, unbounded)
    first, second = ManualPublisher[str](), ManualPublisher[str]()
    first.subscribe(relay)
    second.subscribe(relay)
    assert (first.cancel_count, second.cancel_count, second.requests) == (0, 1, [])


def test_relay_of_a_cancelled_boundary_cancels_and_requests_nothing() -> None:
    boundary, _, subscriber = deliver()
    subscriber.cancel()
    publisher = ManualPublisher[str]()
    publisher.subscribe(Relay(boundary, unbounded))
    assert (publisher.cancel_count, publisher.requests) == (1, [])


@pytest.mark.parametrize("signal", ["on_subscribe", "on_error"])
def test_relay_refuses_none_where_a_signal_needs_something(signal: str) -> None:
    boundary, _, _ = deliver()
    with pytest.raises(TypeError, match=r"rule 2\.13"):
        getattr(Relay(boundary, unbounded), signal)(None)


# Checks.


def test_checked_subscriber_names_what_is_missing() -> None:
    class Half:
        def on_subscribe(self, _: object) -> None: ...
        def on_next(self, _: object) -> None: ...

    with pytest.raises(TypeError, match="lacks on_error, on_complete"):
        checked_subscriber(Half())
    subscriber = TestSubscriber[str]()
    assert checked_subscriber(subscriber) is subscriber


def test_refuse_none_accepts_everything_else() -> None:
    refuse_none("item", 0)
    with pytest.raises(TypeError, match="item must not be None"):
        refuse_none("item", None)
