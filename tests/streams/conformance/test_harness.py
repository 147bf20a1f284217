"""The harness itself: each check catches the publisher that breaks its rule, and every rule has a test or a reason."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.reactive import UNBOUNDED, Publisher
from streams.strategy import StreamStatistics
from tests.streams.conformance import harness
from tests.streams.conformance.harness import CHECKS, Check, Failure, Probe, Settle, Subject

__all__ = ()

# --- Which rules are tested --------------------------------------------------------------------------------------

RULES = {
    *(f"1.{n}" for n in range(1, 12)),
    *(f"2.{n}" for n in range(1, 14)),
    *(f"3.{n}" for n in range(1, 18)),
    *(f"4.{n}" for n in range(1, 3)),
}

NOT_CLAIMED: dict[str, str] = {}
"""Rules that no test checks, with the reason."""

CLAIMED_IN_PART = {
    "1.9": "an Rx `subscribe()` without arguments runs a Flowable for its effects, so None is no error there",
    "1.1": "MISSING ignores demand, which is what it is for",
    "1.5": "from_async_iterable sees the end only when it is asked for more than there is",
    "2.7": "a Flowable calls its source where its consumer calls it: a consumer in several threads must take turns",
    "2.12": "the same subscriber may be subscribed twice; whether it refuses the second is its own affair",
    "3.1": "not detected: a Flux hops to its loop, a Flowable takes request and cancel from any thread",
    "3.4": "a synchronous source emits inside request what was requested, as rule 3.10 allows",
}
"""Rules that are kept with an exception, and what it is."""


def rules_with_a_test() -> set[str]:
    """Collect the rules that the tests beside this file name: `test_1_01_...` is 1.1."""
    names = {
        node.name
        for file in Path(__file__).parent.glob("test_*_rules.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    return {f"{section}.{int(number)}" for _, section, number, *_ in (name.split("_") for name in names)}


def test_every_rule_is_tested_or_not_claimed_for_a_reason() -> None:
    assert rules_with_a_test() | set(NOT_CLAIMED) == RULES
    assert rules_with_a_test() & set(NOT_CLAIMED) == set()
    assert set(CLAIMED_IN_PART) <= rules_with_a_test()


# --- A publisher that keeps the rules, and those that break one each -----------------------------------------------


class Numbers:
    """A publisher of 0, 1, ... n - 1 that keeps the rules: what the broken ones are made from."""

    def __init__(self, count: int, failure: Exception | None = None) -> None:
        self.count = count
        self.failure = failure

    def subscribe(self, subscriber: Any) -> None:
        if subscriber is None:
            raise TypeError("no subscriber")
        subscription = self.new_subscription(subscriber)
        subscriber.on_subscribe(subscription)
        subscription.drain()

    def new_subscription(self, subscriber: Any) -> NumbersSubscription:
        return NumbersSubscription(self, subscriber)


class NumbersSubscription:
    """Emits in a loop that is never entered twice."""

    def __init__(self, publisher: Numbers, subscriber: Any) -> None:
        self.publisher = publisher
        self.subscriber = subscriber
        self.emitted = 0
        self.demand = 0
        self.draining = False
        self.rejected: Exception | None = None

    def request(self, n: int) -> None:
        if isinstance(n, int) and not isinstance(n, bool) and n > 0:
            self.demand += n
        elif self.rejected is None:
            kind = ValueError if type(n) is int else TypeError
            self.rejected = kind(f"rule 3.9: {n!r} was requested")
        self.drain()

    def cancel(self) -> None:
        self.subscriber = None

    @property
    def statistics(self) -> StreamStatistics:
        return StreamStatistics(self.emitted, self.emitted, 0, 0, 0, 0, 0, self.demand)

    def drain(self) -> None:
        if self.draining:
            return
        self.draining = True
        while self.subscriber is not None and self.rejected is None and self.may_emit():
            self.demand -= 1
            self.emitted += 1
            self.subscriber.on_next(self.emitted - 1)
        if self.subscriber is not None and (self.rejected or self.emitted >= self.publisher.count):
            self.end(self.rejected or self.publisher.failure)
        self.draining = False

    def may_emit(self) -> bool:
        return self.demand > 0 and self.emitted < self.publisher.count

    def end(self, failure: Exception | None) -> None:
        subscriber, self.subscriber = self.subscriber, None
        if failure is None:
            subscriber.on_complete()
        else:
            subscriber.on_error(failure)


def broken(subscription: type[NumbersSubscription]) -> type[Numbers]:
    """Make a publisher whose subscriptions are of this type."""

    class Broken(Numbers):
        def new_subscription(self, subscriber: Any) -> NumbersSubscription:
            return subscription(self, subscriber)

    return Broken


class OverEmits(NumbersSubscription):
    def may_emit(self) -> bool:
        return self.demand > -1 and self.emitted < self.publisher.count


class Nests(NumbersSubscription):
    def request(self, n: int) -> None:
        self.draining = False
        super().request(n)


class UsesTwoThreads(NumbersSubscription):
    """Hands on from a second thread what is requested while the first is inside on_next."""

    def request(self, n: int) -> None:
        thread = threading.Thread(target=self.request_there, args=(n,))
        thread.start()
        thread.join()

    def request_there(self, n: int) -> None:
        self.draining = False
        super().request(n)


class ReplacesDemand(NumbersSubscription):
    def request(self, n: int) -> None:
        self.demand = 0
        super().request(n)


class WaitsForAllDemand(NumbersSubscription):
    """Emits only when it has as many items as were requested."""

    def may_emit(self) -> bool:
        return super().may_emit() and self.publisher.count >= self.demand + self.emitted


class NeverEnds(NumbersSubscription):
    def end(self, failure: Exception | None) -> None:
        pass


class EndsOnDemand(NumbersSubscription):
    def end(self, failure: Exception | None) -> None:
        if self.demand:
            super().end(failure)


class CompletesWhenItFails(NumbersSubscription):
    def end(self, failure: Exception | None) -> None:
        super().end(failure if failure is self.rejected else None)


class EndsTwice(NumbersSubscription):
    def end(self, failure: Exception | None) -> None:
        subscriber = self.subscriber
        super().end(failure)
        subscriber.on_complete()


class GoesOnAfterTheEnd(NumbersSubscription):
    def end(self, failure: Exception | None) -> None:
        subscriber = self.subscriber
        super().end(failure)
        subscriber.on_next(self.emitted)


class AnswersRequestsAfterTheEnd(NumbersSubscription):
    def end(self, failure: Exception | None) -> None:
        self.late = self.subscriber
        super().end(failure)

    def request(self, n: int) -> None:
        super().request(n)
        if self.subscriber is None and hasattr(self, "late"):
            self.late.on_error(Failure())


class IgnoresCancel(NumbersSubscription):
    def cancel(self) -> None:
        pass


class CompletesOnCancel(NumbersSubscription):
    def cancel(self) -> None:
        if self.subscriber is not None:
            self.end(None)


class IgnoresBadRequests(NumbersSubscription):
    def request(self, n: int) -> None:
        if isinstance(n, int) and n > 0:
            super().request(n)


class OverflowsItsCounter(NumbersSubscription):
    def request(self, n: int) -> None:
        super().request(n)
        if self.demand > UNBOUNDED:
            self.demand -= 2**64


class RetainsSubscribers(Numbers):
    def __init__(self, count: int, failure: Exception | None = None) -> None:
        super().__init__(count, failure)
        self.subscribers: list[Any] = []

    def subscribe(self, subscriber: Any) -> None:
        self.subscribers.append(subscriber)
        super().subscribe(subscriber)


class NoOnSubscribe(Numbers):
    def subscribe(self, subscriber: Any) -> None:
        if subscriber is None:
            raise TypeError("no subscriber")
        subscription = self.new_subscription(subscriber)
        subscription.demand = UNBOUNDED
        subscription.drain()


class SubscribesTwice(Numbers):
    def subscribe(self, subscriber: Any) -> None:
        super().subscribe(subscriber)
        subscriber.on_subscribe(self.new_subscription(subscriber))


class AcceptsNobody(Numbers):
    def subscribe(self, subscriber: Any) -> None:
        if subscriber is not None:
            super().subscribe(subscriber)


class ServesOne(Numbers):
    served = False

    def subscribe(self, subscriber: Any) -> None:
        if not self.served:
            self.served = True
            super().subscribe(subscriber)


def subject_of(publisher: Callable[..., Publisher[Any]]) -> Subject:
    return Subject("under test", publisher, lambda count: publisher(count, Failure()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_correct_publisher_passes_every_check(check: Check, settle: Settle) -> None:
    assert await check(subject_of(Numbers), settle) == []


CAUGHT: list[tuple[type[Numbers], Check, str]] = [
    (broken(OverEmits), harness.delivers_what_is_requested, "without demand (rule 1.1)"),
    (broken(ReplacesDemand), harness.delivers_what_is_requested, "expected the items"),
    (broken(WaitsForAllDemand), harness.may_end_before_demand_is_met, "expected the items"),
    (broken(Nests), harness.signals_one_at_a_time, "inside another on_next"),
    (broken(UsesTwoThreads), harness.signals_one_at_a_time, "inside another on_next"),
    (broken(CompletesWhenItFails), harness.fails_with_on_error, "expected the end failed"),
    (broken(NeverEnds), harness.completes_with_the_last_item, "expected the end completed"),
    (broken(EndsOnDemand), harness.completes_with_the_last_item, "expected the end completed"),
    (broken(EndsTwice), harness.is_silent_after_the_end, "after a terminal (rule 1.7)"),
    (broken(GoesOnAfterTheEnd), harness.is_silent_after_the_end, "after a terminal (rule 1.7)"),
    (broken(AnswersRequestsAfterTheEnd), harness.is_silent_after_the_end, "after a terminal (rule 1.7)"),
    (broken(IgnoresCancel), harness.is_silent_after_cancel, "after cancel (rule 1.8)"),
    (broken(CompletesOnCancel), harness.is_silent_after_cancel, "expected the end None"),
    (NoOnSubscribe, harness.subscribes_first_and_once, "the first signal was ['on_next']"),
    (NoOnSubscribe, harness.subscribes_first_and_once, "before on_subscribe (rule 1.9)"),
    (SubscribesTwice, harness.subscribes_first_and_once, "on_subscribe came twice"),
    (AcceptsNobody, harness.refuses_no_subscriber, "subscribe(None) was accepted"),
    (ServesOne, harness.serves_each_subscriber, "expected the items [0, 1, 2], got []"),
    (broken(IgnoresCancel), harness.ignores_requests_after_cancel, "after cancel (rule 1.8)"),
    (broken(IgnoresBadRequests), harness.refuses_a_request_that_is_none, "expected the end failed"),
    (RetainsSubscribers, harness.forgets_a_cancelled_subscriber, "still known"),
    (broken(IgnoresCancel), harness.forgets_a_cancelled_subscriber, "still known"),
    (broken(OverflowsItsCounter), harness.takes_demand_without_end, "expected the items"),
]


@pytest.mark.parametrize(("publisher", "check", "said"), CAUGHT)
async def test_a_publisher_that_breaks_a_rule_is_caught(
    publisher: type[Numbers], check: Check, said: str, settle: Settle
) -> None:
    wrong = await check(subject_of(publisher), settle)

    assert any(said in line for line in wrong), wrong


def test_every_check_has_been_seen_to_catch_something() -> None:
    assert {check for _, check, _ in CAUGHT} == set(CHECKS)


def test_a_probe_tells_a_nested_item_from_a_following_one() -> None:
    def nest(probe: Probe) -> None:
        if len(probe.values) == 1:
            probe.on_next("nested")

    probe = Probe(UNBOUNDED, on_item=nest)
    Numbers(2).subscribe(probe)

    assert probe.violations == ["on_next('nested') came inside another on_next (rules 1.3, 3.3)"]
