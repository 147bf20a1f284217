"""The tools of `streams.testing` but the clock: TestSubscriber and ManualPublisher."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from streams import UNBOUNDED, StreamStatistics
from streams.testing import ManualPublisher, TestSubscriber

__all__ = ()

Signal = Callable[[TestSubscriber[str]], None]
FAILURE = ValueError("out of tokens")

SIGNALS: dict[str, Signal] = {
    "on_next('a')": lambda subscriber: subscriber.on_next("a"),
    "on_error(ValueError('out of tokens'))": lambda subscriber: subscriber.on_error(FAILURE),
    "on_complete()": lambda subscriber: subscriber.on_complete(),
}
each_signal = pytest.mark.parametrize(("name", "signal"), SIGNALS.items(), ids=SIGNALS)


def connected(initial_request: int = UNBOUNDED) -> tuple[ManualPublisher[str], TestSubscriber[str]]:
    publisher, subscriber = ManualPublisher[str](), TestSubscriber[str](initial_request)
    publisher.subscribe(subscriber)
    return publisher, subscriber


# --- TestSubscriber: what it records -------------------------------------------------------------------------------


def test_a_subscriber_records_items_and_completion() -> None:
    publisher, subscriber = connected()
    assert not subscriber.terminated

    publisher.next("a", "b")
    publisher.complete()

    assert subscriber.values == ["a", "b"]
    assert subscriber.completed
    assert subscriber.error is None
    assert subscriber.terminated
    assert subscriber.violations == []


def test_a_subscriber_records_a_failure() -> None:
    publisher, subscriber = connected()

    publisher.next("a")
    publisher.error(FAILURE)

    assert subscriber.values == ["a"]
    assert subscriber.error is FAILURE
    assert not subscriber.completed
    assert subscriber.terminated


def test_a_subscriber_is_none_of_pytest_s_test_classes() -> None:
    assert TestSubscriber.__test__ is False


@pytest.mark.parametrize(("initial_request", "requests"), [(UNBOUNDED, [UNBOUNDED]), (3, [3]), (0, [])])
def test_a_subscriber_requests_at_first_what_it_is_told(initial_request: int, requests: list[int]) -> None:
    publisher, _ = connected(initial_request)

    assert publisher.requests == requests


@pytest.mark.parametrize(("initial_request", "error"), [(-1, ValueError), ("x", TypeError), (True, TypeError)])
def test_a_subscriber_refuses_a_first_request_that_is_none(initial_request: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"initial_request must be an int >= 0; got {initial_request!r}"):
        TestSubscriber(initial_request)


def test_request_and_cancel_go_to_the_subscription() -> None:
    publisher, subscriber = connected(0)

    subscriber.request(2)
    subscriber.request(0)
    subscriber.cancel()

    assert publisher.requests == [2, 0]
    assert publisher.cancel_count == 1


@pytest.mark.parametrize("action", [lambda s: s.request(1), lambda s: s.cancel()], ids=["request", "cancel"])
def test_without_subscription_there_is_nobody_to_ask(action: Signal) -> None:
    with pytest.raises(RuntimeError, match="no subscription yet"):
        action(TestSubscriber())


# --- TestSubscriber: what it flags ---------------------------------------------------------------------------------


@each_signal
def test_a_signal_before_on_subscribe_is_flagged(name: str, signal: Signal) -> None:
    subscriber = TestSubscriber[str]()

    signal(subscriber)

    assert f"{name} came before on_subscribe (rule 1.9)" in subscriber.violations


@each_signal
@pytest.mark.parametrize("terminal", [name for name in SIGNALS if not name.startswith("on_next")])
def test_a_signal_after_a_terminal_is_flagged(name: str, signal: Signal, terminal: str) -> None:
    _, subscriber = connected()
    SIGNALS[terminal](subscriber)
    assert subscriber.violations == []

    signal(subscriber)

    assert subscriber.violations == [f"{name} came after a terminal (rule 1.7)"]


def test_an_item_beyond_demand_is_flagged_and_kept() -> None:
    publisher, subscriber = connected(1)

    publisher.next("a", "b")
    subscriber.request(1)
    publisher.next("c")

    assert subscriber.values == ["a", "b", "c"]
    assert subscriber.violations == ["on_next('b') came without demand (rule 1.1)"]


def test_an_item_is_put_into_words_only_for_a_violation() -> None:
    class Item:
        shown = 0

        def __repr__(self) -> str:
            Item.shown += 1
            return "Item()"

    publisher, subscriber = ManualPublisher[Item](), TestSubscriber[Item](1)
    publisher.subscribe(subscriber)

    publisher.next(Item())
    assert (Item.shown, subscriber.violations) == (0, [])

    publisher.next(Item())
    assert (Item.shown, subscriber.violations) == (1, ["on_next(Item()) came without demand (rule 1.1)"])


def test_unbounded_demand_is_never_used_up() -> None:
    publisher, subscriber = connected(UNBOUNDED)
    subscriber.request(5)

    publisher.next(*"abcdef")

    assert subscriber.violations == []


@pytest.mark.parametrize("bad", [0, -1, 1.5, None])
def test_a_request_that_is_none_grants_nothing(bad: int) -> None:
    publisher, subscriber = connected(0)

    subscriber.request(bad)
    publisher.next("a")

    assert subscriber.violations == ["on_next('a') came without demand (rule 1.1)"]


def test_a_second_subscription_is_flagged_and_cancelled() -> None:
    first, subscriber = connected(1)
    second = ManualPublisher[str]()

    second.subscribe(subscriber)

    assert subscriber.violations == ["on_subscribe came twice (rule 2.12)"]
    assert second.cancelled
    assert not first.cancelled
    first.next("a")
    assert subscriber.values == ["a"]


@each_signal
def test_a_signal_from_another_thread_inside_a_signal_is_flagged(name: str, signal: Signal) -> None:
    class Lingers(list[str]):
        """Lets another thread signal while it takes an item."""

        def append(self, item: str) -> None:
            super().append(item)
            if len(self) == 1:
                other = threading.Thread(target=signal, args=(subscriber,))
                other.start()
                other.join()

    publisher, subscriber = connected()
    subscriber.values = Lingers()

    publisher.next("first")

    assert subscriber.violations == [f"{name} came while another signal was being handled (rule 1.3)"]


def test_a_signal_after_a_returned_one_is_not_flagged() -> None:
    publisher, subscriber = connected()

    thread = threading.Thread(target=publisher.next, args=("a",))
    thread.start()
    thread.join()
    publisher.next("b")

    assert subscriber.values == ["a", "b"]
    assert subscriber.violations == []


def test_no_subscription_and_no_error_are_type_errors() -> None:
    subscriber = TestSubscriber[str]()

    with pytest.raises(TypeError, match="subscription must not be None"):
        subscriber.on_subscribe(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="error must not be None"):
        subscriber.on_error(None)  # type: ignore[arg-type]


# --- TestSubscriber: waiting ---------------------------------------------------------------------------------------


async def test_what_has_come_already_is_not_waited_for() -> None:
    publisher, subscriber = connected()
    publisher.next("a")
    publisher.complete()

    await subscriber.wait_count(1)
    await subscriber.wait_terminated()


@pytest.mark.parametrize("end", ["complete", "error"])
async def test_waiting_ends_with_signals_of_another_thread(end: str, settle: Callable[[], Awaitable[None]]) -> None:
    publisher, subscriber = connected()

    def work() -> None:
        publisher.next("a", "b", "c")
        if end == "complete":
            publisher.complete()
        else:
            publisher.error(FAILURE)

    waiting = asyncio.gather(subscriber.wait_count(2), subscriber.wait_count(3), subscriber.wait_terminated())
    await settle()
    await asyncio.to_thread(work)
    await waiting

    assert subscriber.values == ["a", "b", "c"]
    assert subscriber.terminated


async def test_waiting_ends_with_signals_of_the_loop(settle: Callable[[], Awaitable[None]]) -> None:
    publisher, subscriber = connected()
    waiting = asyncio.create_task(subscriber.wait_count(2))
    await settle()

    publisher.next("a")
    await settle()
    assert not waiting.done()

    publisher.next("b")
    await waiting

    assert subscriber.values == ["a", "b"]


@pytest.mark.parametrize(
    "wait",
    [lambda subscriber: subscriber.wait_count(2, 0), lambda subscriber: subscriber.wait_terminated(0)],
    ids=["wait_count", "wait_terminated"],
)
async def test_waiting_for_what_does_not_come_times_out_and_the_subscriber_goes_on(
    wait: Callable[[TestSubscriber[str]], asyncio.Future[None]],
) -> None:
    publisher, subscriber = connected()
    publisher.next("a")

    with pytest.raises(TimeoutError):
        await wait(subscriber)
    publisher.next("b")

    assert subscriber.values == ["a", "b"]


# --- ManualPublisher -----------------------------------------------------------------------------------------------


def test_a_publisher_emits_whatever_the_demand() -> None:
    publisher, subscriber = connected(0)

    publisher.next("a", "b")

    assert subscriber.values == ["a", "b"]
    assert len(subscriber.violations) == 2


def test_a_publisher_records_what_it_is_asked_for() -> None:
    publisher, subscriber = connected(2)
    assert (publisher.requests, publisher.requested, publisher.cancelled) == ([2], 2, False)

    subscriber.request(3)
    subscriber.cancel()
    subscriber.cancel()

    assert (publisher.requests, publisher.requested) == ([2, 3], 5)
    assert (publisher.cancel_count, publisher.cancelled) == (2, True)


def test_a_publisher_s_subscription_counts_requests_alone() -> None:
    _, subscriber = connected(2)
    assert subscriber.subscription is not None
    assert subscriber.subscription.statistics == StreamStatistics(0, 0, 0, 0, 0, 0, 0, 2)

    subscriber.request(-7)
    assert subscriber.subscription.statistics.demand == 0


def test_a_publisher_emits_to_who_subscribed_last() -> None:
    publisher, first = connected()
    second = TestSubscriber[str]()

    publisher.subscribe(second)
    publisher.next("a")

    assert publisher.subscriber is second
    assert (first.values, second.values) == ([], ["a"])


@pytest.mark.parametrize(
    "emit",
    [
        lambda publisher: publisher.next("a"),
        lambda publisher: publisher.complete(),
        lambda publisher: publisher.error(FAILURE),
    ],
    ids=["next", "complete", "error"],
)
def test_a_publisher_without_subscriber_cannot_emit(emit: Callable[[ManualPublisher[str]], None]) -> None:
    with pytest.raises(RuntimeError, match="no subscriber yet"):
        emit(ManualPublisher())


@pytest.mark.parametrize("wrong", [None, "text", print])
def test_a_publisher_refuses_what_is_no_subscriber(wrong: object) -> None:
    with pytest.raises(TypeError, match="a Subscriber has the methods"):
        ManualPublisher[str]().subscribe(wrong)  # type: ignore[arg-type]
