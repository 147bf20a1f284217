"""The rules for publishers, as functions that say what a publisher does wrong.

A check subscribes a `Probe` to a stream of 0, 1, 2, ..., acts the rule's part, and returns one line for each thing
that the rule forbids: an empty list is good. `test_harness.py` shows that each check catches a publisher that breaks
its rule.

Source: Reactive Streams 1.0.4, and the method names of its TCK.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from streams.reactive import UNBOUNDED, Publisher, Subscription
from streams.testing import TestSubscriber

__all__ = ("CHECKS", "Check", "Failure", "Probe", "Settle", "Subject", "deviations")

Settle = Callable[[], Awaitable[None]]


class Failure(Exception):  # noqa: N818 - the fault of a source
    """What a source fails with in these tests."""


class Probe(TestSubscriber[Any]):
    """A TestSubscriber that also acts while it is being signalled, and flags what comes meanwhile or after its cancel.

    Args:
        initial_request: requested when subscribed; 0: nothing is.
        on_item: called with this probe inside every `on_next`.
    """

    def __init__(self, initial_request: int = 0, on_item: Callable[[Probe], object] | None = None) -> None:
        super().__init__(initial_request)
        self.signals: list[str] = []
        self.on_item = on_item
        self.cancelled = False
        self._inside = threading.Lock()

    def on_subscribe(self, subscription: Subscription) -> None:
        self.signals.append("on_subscribe")
        super().on_subscribe(subscription)

    def on_next(self, item: Any) -> None:
        self._note("on_next")
        alone = self._inside.acquire(blocking=False)
        if not alone:
            self.violations.append(f"on_next({item!r}) came inside another on_next (rules 1.3, 3.3)")
        try:
            super().on_next(item)
            if self.on_item is not None:
                self.on_item(self)
        finally:
            if alone:
                self._inside.release()

    def on_error(self, error: Exception) -> None:
        self._note("on_error")
        super().on_error(error)

    def on_complete(self) -> None:
        self._note("on_complete")
        super().on_complete()

    def cancel(self) -> None:
        super().cancel()
        self.cancelled = True

    @property
    def end(self) -> str | None:
        """How the stream ended for this subscriber: "completed", "failed", or None."""
        if self.error is not None:
            return "failed"
        return "completed" if self.completed else None

    def _note(self, signal: str) -> None:
        self.signals.append(signal)
        if self.cancelled:
            self.violations.append(f"{signal} came after cancel (rule 1.8)")


class Subject(NamedTuple):
    """A kind of publisher under test.

    Attributes:
        name: the test's id.
        finite: makes one that emits 0, 1, ... n - 1 and completes.
        failing: makes one that emits as many and fails with Failure.
        lossless: whether items wait for demand; else they are emitted, and lost, without.
        pulls: whether the end shows only when more is requested than there is.
    """

    name: str
    finite: Callable[[int], Publisher[Any]]
    failing: Callable[[int], Publisher[Any]]
    lossless: bool = True
    pulls: bool = False


Check = Callable[[Subject, Settle], Awaitable[list[str]]]


def deviations(probe: Probe, values: list[int], end: str | None = None) -> list[str]:
    """Say where what `probe` heard differs from `values` and `end`, besides what it flagged itself."""
    wrong = list(probe.violations)
    if probe.values != values:
        wrong.append(f"expected the items {values}, got {probe.values}")
    if probe.end != end:
        wrong.append(f"expected the end {end}, got {probe.end}")
    return wrong


def _request_one(probe: Probe) -> None:
    probe.request(1)


async def delivers_what_is_requested(subject: Subject, settle: Settle) -> list[str]:
    """Nothing comes unasked, and each request adds to demand (rules 1.1, 3.8)."""
    if not subject.lossless:
        return []

    def request_three_more_at_the_first(probe: Probe) -> None:
        if len(probe.values) == 1:
            probe.request(1)
            probe.request(2)

    probe = Probe(on_item=request_three_more_at_the_first)
    subject.finite(10).subscribe(probe)
    await settle()
    wrong = deviations(probe, [])
    probe.request(2)
    await settle()
    wrong += deviations(probe, [0, 1, 2, 3, 4])
    probe.cancel()
    return wrong


async def may_end_before_demand_is_met(subject: Subject, settle: Settle) -> list[str]:
    """Three items of ten requested, then the end (rule 1.2)."""
    probe = Probe(10)
    subject.finite(3).subscribe(probe)
    await settle()
    return deviations(probe, [0, 1, 2], "completed")


async def signals_one_at_a_time(subject: Subject, settle: Settle) -> list[str]:
    """A request inside on_next brings the next item after it, not inside it (rules 1.3, 3.3)."""
    probe = Probe(1, on_item=_request_one)
    subject.finite(20).subscribe(probe)
    await settle()
    return deviations(probe, list(range(20)), "completed")


async def fails_with_on_error(subject: Subject, settle: Settle) -> list[str]:
    """A failure is the last signal, behind the items before it (rule 1.4)."""
    probe = Probe(UNBOUNDED)
    subject.failing(3).subscribe(probe)
    await settle()
    wrong = deviations(probe, [0, 1, 2], "failed")
    return wrong if isinstance(probe.error, Failure) else [*wrong, f"failed with {probe.error!r}"]


async def completes_with_the_last_item(subject: Subject, settle: Settle) -> list[str]:
    """The end needs no demand of its own (rule 1.5)."""
    probe = Probe(3 + subject.pulls)
    subject.finite(3).subscribe(probe)
    empty = Probe(int(subject.pulls))
    subject.finite(0).subscribe(empty)
    await settle()
    return deviations(probe, [0, 1, 2], "completed") + deviations(empty, [], "completed")


async def is_silent_after_the_end(subject: Subject, settle: Settle) -> list[str]:
    """After a terminal request and cancel change nothing, and no signal follows (rules 1.6, 1.7)."""
    wrong: list[str] = []
    for publisher, end in ((subject.finite(3), "completed"), (subject.failing(3), "failed")):
        probe = Probe(UNBOUNDED)
        publisher.subscribe(probe)
        await settle()
        probe.request(5)
        probe.request(0)
        probe.cancel()
        probe.request(5)
        await settle()
        wrong += deviations(probe, [0, 1, 2], end)
    return wrong


async def is_silent_after_cancel(subject: Subject, settle: Settle) -> list[str]:
    """Cancelled inside the first of fifteen requested items, it delivers no other (rules 1.8, 3.12)."""

    def request_and_cancel(probe: Probe) -> None:
        probe.request(5)
        probe.cancel()

    probe = Probe(10, on_item=request_and_cancel)
    subject.finite(100).subscribe(probe)
    await settle()
    return deviations(probe, [0])


async def subscribes_first_and_once(subject: Subject, settle: Settle) -> list[str]:
    """`on_subscribe` is the first signal and comes once, also where the stream fails at once (rule 1.9)."""
    wrong: list[str] = []
    for publisher in (subject.finite(2), subject.failing(0)):
        probe = Probe(UNBOUNDED)
        publisher.subscribe(probe)
        await settle()
        if probe.signals[:1] != ["on_subscribe"]:
            wrong.append(f"the first signal was {probe.signals[:1]}")
        wrong += probe.violations
    return wrong


async def refuses_no_subscriber(subject: Subject, settle: Settle) -> list[str]:
    """`subscribe(None)` is a TypeError (rule 1.9). What is no publisher of this project is asked the same."""
    try:
        subject.finite(1).subscribe(None)  # type: ignore[arg-type]
    except TypeError:
        return []
    return ["subscribe(None) was accepted"]


async def serves_each_subscriber(subject: Subject, settle: Settle) -> list[str]:
    """Two subscribers of one publisher each get the whole stream (rules 1.10, 1.11)."""
    publisher = subject.finite(3)
    probes = [Probe(UNBOUNDED), Probe(UNBOUNDED)]
    for probe in probes:
        publisher.subscribe(probe)
    await settle()
    return [line for probe in probes for line in deviations(probe, [0, 1, 2], "completed")]


async def ignores_requests_after_cancel(subject: Subject, settle: Settle) -> list[str]:
    """Request and cancel after cancel are no-ops, whatever the number (rules 3.6, 3.7)."""
    probe = Probe()
    subject.finite(10).subscribe(probe)
    await settle()
    ended = probe.end  # a source that waits for no demand may have emitted all to nobody
    for action in (probe.cancel, probe.cancel, probe.cancel):
        action()
        for n in (1, 0, UNBOUNDED):
            probe.request(n)
    await settle()
    return deviations(probe, [], ended)


async def refuses_a_request_that_is_none(subject: Subject, settle: Settle) -> list[str]:
    """`request(n)` with n below 1 or no int is an error on the error path, and the last signal (rule 3.9)."""
    if not subject.lossless:
        return []
    wrong: list[str] = []
    for n, kind in ((0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError), (None, TypeError)):
        probe = Probe()
        subject.finite(10).subscribe(probe)
        await settle()
        probe.request(n)  # type: ignore[arg-type]
        probe.request(5)
        await settle()
        wrong += deviations(probe, [], "failed")
        if not isinstance(probe.error, kind) or "3.9" not in str(probe.error):
            wrong.append(f"request({n!r}) failed the stream with {probe.error!r}")
    return wrong


async def forgets_a_cancelled_subscriber(subject: Subject, settle: Settle) -> list[str]:
    """After cancel nobody refers to the subscriber, though publisher and subscription live on (rule 3.13)."""
    publisher, probe = subject.finite(100), Probe(1)
    disposable = publisher.subscribe(probe)
    await settle()
    subscription, gone = probe.subscription, weakref.ref(probe)
    probe.cancel()
    del probe
    await settle()
    gc.collect()
    kept_alive = (publisher, disposable, subscription)
    return [] if gone() is None else [f"the subscriber is still known to one of {kept_alive}"]


async def takes_demand_without_end(subject: Subject, settle: Settle) -> list[str]:
    """Demand up to and beyond 2**63 - 1, at once, in sums and inside on_next, is no error (rule 3.17)."""

    def request_almost_all(probe: Probe) -> None:
        probe.request(UNBOUNDED - 1)

    wrong: list[str] = []
    for requests in ((UNBOUNDED,), (UNBOUNDED // 2, UNBOUNDED // 2, 1), (2**70,), (1,)):
        probe = _RequestsWhenSubscribed(requests, on_item=request_almost_all)
        subject.finite(5).subscribe(probe)
        await settle()
        wrong += deviations(probe, [0, 1, 2, 3, 4], "completed")
    return wrong


class _RequestsWhenSubscribed(Probe):
    def __init__(self, requests: tuple[int, ...], on_item: Callable[[Probe], object]) -> None:
        super().__init__(on_item=on_item)
        self._requests = requests

    def on_subscribe(self, subscription: Subscription) -> None:
        super().on_subscribe(subscription)
        for n in self._requests:
            self.request(n)


CHECKS: tuple[Check, ...] = (
    delivers_what_is_requested,
    may_end_before_demand_is_met,
    signals_one_at_a_time,
    fails_with_on_error,
    completes_with_the_last_item,
    is_silent_after_the_end,
    is_silent_after_cancel,
    subscribes_first_and_once,
    refuses_no_subscriber,
    serves_each_subscriber,
    ignores_requests_after_cancel,
    refuses_a_request_that_is_none,
    forgets_a_cancelled_subscriber,
    takes_demand_without_end,
)
