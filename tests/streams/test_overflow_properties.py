"""The overflow core against a reference that delivers at once.

The reference knows no promise and no late poll: an item that is wanted leaves it in the moment when it is offered. As
a poll that comes late must see what an immediate delivery would have given, the two agree after any signals at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.errors import BufferOverflowError
from streams.overflow import (
    EMPTY,
    BackpressureStrategy,
    BufferOverflow,
    EmitResult,
    Join,
    OverflowBuffer,
    StreamStatistics,
)
from streams.reactive import UNBOUNDED

__all__ = ()

OK = EmitResult.OK
DROPPED = EmitResult.DROPPED
WOULD_SUSPEND = EmitResult.WOULD_SUSPEND
FAIL_CANCELLED = EmitResult.FAIL_CANCELLED
FAIL_TERMINATED = EmitResult.FAIL_TERMINATED

FAILURE = OSError("the source failed")

Item = tuple[int, ...]
"""What is offered: (0,), (1,), ... Folding appends one to the other, so that order is seen inside a fold too."""

Strategy = BackpressureStrategy
STRATEGIES = (
    Strategy.MISSING,
    Strategy.ERROR,
    Strategy.DROP,
    Strategy.LATEST,
    Strategy.buffer(None),
    *(Strategy.buffer(capacity, overflow) for overflow in BufferOverflow for capacity in (1, 3)),
    Strategy.reduce(lambda held, incoming: held + incoming),
    Strategy.reduce(lambda held, incoming: held + incoming, 3),
    Strategy.reduce(Join(lambda parts: tuple(number for part in parts for number in part))),
    Strategy.suspend(),
    Strategy.suspend(2),
)


class Eager:
    """The reference: what is wanted is delivered at once, so nothing that it holds is promised."""

    def __init__(self, strategy: BackpressureStrategy, *, delay_error: bool) -> None:
        self.strategy = strategy
        self.delay_error = delay_error
        self.is_missing = strategy.overflow is None and strategy.reducer is None
        self.demand = 0
        self.held: list[Item] = []
        self.delivered: list[Item] = []
        self.dropped: list[Item] = []
        self.merged = 0

    def offer(self, item: Item) -> EmitResult:
        if self.is_missing or self.demand:
            self._deliver(item)
        elif self.strategy.capacity is None or len(self.held) < self.strategy.capacity:
            self.held.append(item)
        else:
            return self._overflow(item)
        return OK

    def request(self, n: int) -> None:
        self.demand = min(self.demand + n, UNBOUNDED)
        while self.held and self.demand:
            self._deliver(self.held.pop(0))

    def overtake(self) -> None:
        self.dropped += self.held
        self.held = []

    def _deliver(self, item: Item) -> None:
        self.delivered.append(item)
        if 0 < self.demand < UNBOUNDED:
            self.demand -= 1

    def _overflow(self, item: Item) -> EmitResult:
        rule, max_merged = self.strategy.overflow, self.strategy.max_merged
        if self.strategy.reducer is not None and (max_merged is None or len(self.held[0]) < max_merged):
            self.held[0] += item
            self.merged += 1
            return EmitResult.MERGED
        if rule is BufferOverflow.SUSPEND:
            return WOULD_SUSPEND
        if rule is None or rule is BufferOverflow.ERROR:
            self.dropped.append(item)
            if not self.delay_error:
                self.overtake()
            return EmitResult.FAIL_OVERFLOW
        if rule is BufferOverflow.DROP_INCOMING or not self.held:
            self.dropped.append(item)
            return DROPPED
        self.dropped.append(self.held.pop(0 if rule is BufferOverflow.DROP_OLDEST else -1))
        self.held.append(item)
        return OK


class OverflowMachine(RuleBasedStateMachine):
    """Sends the same signals to both. The core is polled when it pleases the machine; the reference needs no poll."""

    @initialize(strategy=st.sampled_from(STRATEGIES), delay_error=st.booleans())
    def subscribe(self, strategy: BackpressureStrategy, delay_error: bool) -> None:
        self.dropped: list[Item] = []
        self.buffer = OverflowBuffer.of(strategy, delay_error=delay_error, on_drop=self.dropped.append)
        self.reference = Eager(strategy, delay_error=delay_error)
        self.suspends = strategy.overflow is BufferOverflow.SUSPEND
        self.waiting: dict[Item, Callable[[EmitResult], object]] = {}
        self.resumed: dict[Item, EmitResult] = {}
        self.taken: list[Item] = []
        self.serial = self.emitted = self.rejected = self.requested = 0
        self.refusal: EmitResult | None = None
        self.error: type | None = None
        self.ended = False

    # ------------------------------------------------------------------ the producer's signals

    @rule()
    def offer(self) -> None:
        item = self._next_item()

        assert self.buffer.offer(item) is self._expect(item)

    @precondition(lambda self: self.suspends)
    @rule()
    def offer_or_wait(self) -> None:
        item = self._next_item()
        resume = partial(self.resumed.__setitem__, item)

        result = self.buffer.offer_or_wait(item, resume)

        assert result is self._expect(item)
        if result is WOULD_SUSPEND:
            self.waiting[item] = resume

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def stop_waiting(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(list(self.waiting)))

        assert self.buffer.stop_waiting(self.waiting.pop(item))

    @rule()
    def complete(self) -> None:
        assert self.buffer.complete() is (self.refusal or OK)
        self._end(FAIL_TERMINATED, type(None))

    @rule()
    def fail(self) -> None:
        assert self.buffer.fail(FAILURE) is (self.refusal or OK)
        if self.refusal is None and not self.reference.delay_error:
            self.reference.overtake()
        self._end(FAIL_TERMINATED, type(FAILURE))

    # ------------------------------------------------------------------ the consumer's signals

    @rule(n=st.integers(1, 4) | st.just(UNBOUNDED))
    def request(self, n: int) -> None:
        self.buffer.request(n)

        if not self.ended:
            self.requested += n
            self.reference.request(n)
            self._let_in()

    @precondition(lambda self: self.refusal is None)
    @rule()
    def request_nothing(self) -> None:
        self.buffer.request(0)

        self.reference.overtake()
        self._end(FAIL_TERMINATED, ValueError)

    @rule()
    def poll(self) -> None:
        expected = self._promised[:1]

        item = self.buffer.poll()

        assert item == (expected[0] if expected else EMPTY)
        self.taken += expected

    @rule(max_items=st.integers(1, 5))
    def take(self, max_items: int) -> None:
        promised_count = len(self._promised)
        count = min(max_items, promised_count + len(self.reference.held))
        granted = max(0, count - promised_count)
        expected = (self._promised + self.reference.held)[:count]

        assert self.buffer.take(max_items) == expected

        self.requested += granted
        self.reference.request(granted)
        self.taken += expected
        if expected:
            self.reference.demand = 0  # withdrawn, but for what is held
            self._let_in()

    @rule()
    def poll_terminal(self) -> None:
        is_due = self.refusal is not None and not self.ended and not self._promised and not self.reference.held

        terminal = self.buffer.poll_terminal()

        assert (type(terminal.error) if terminal else None) is (self.error if is_due else None)
        self.ended |= is_due

    @rule()
    def cancel(self) -> None:
        assert self.buffer.cancel() is not self.ended
        if not self.ended:
            self.reference.dropped += self._promised + self.reference.held
            self.reference.delivered, self.reference.held = list(self.taken), []
            self.refusal = None
            self._end(FAIL_CANCELLED, None)
            self.ended = True

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def late_polls_see_what_immediate_delivery_gave(self) -> None:
        assert self.taken == self.reference.delivered[: len(self.taken)]

    @invariant()
    def delivered_order_is_offered_order(self) -> None:
        numbers = [number for item in self.taken for number in item]
        assert numbers == sorted(numbers)

    @invariant()
    def every_loss_is_heard_in_order(self) -> None:
        assert self.dropped == self.reference.dropped

    @invariant()
    def waiting_producers_were_resumed_first_come_first_served(self) -> None:
        assert not self.resumed

    @invariant()
    def counts_agree(self) -> None:
        statistics = self.buffer.statistics
        held_count = len(self._promised) + len(self.reference.held)
        assert statistics == StreamStatistics(
            self.emitted,
            len(self.taken),
            len(self.reference.dropped),
            self.reference.merged,
            self.rejected,
            held_count,
            statistics.peak_held,
            statistics.demand,
        )
        assert statistics.emitted == sum(statistics[1:6])
        assert statistics.peak_held >= held_count

    @invariant()
    def held_is_within_capacity_and_demand(self) -> None:
        capacity, statistics = self.reference.strategy.capacity, self.buffer.statistics
        assert capacity is None or statistics.held <= capacity + statistics.demand

    @invariant()
    def delivered_is_within_what_was_requested(self) -> None:
        if not self.reference.is_missing:
            assert len(self.reference.delivered) <= self.requested

    @invariant()
    def demand_is_what_was_requested_and_not_taken(self) -> None:
        if not self.reference.is_missing and not self.ended:
            assert self.buffer.demand == min(UNBOUNDED, self.reference.demand + len(self._promised))

    # ------------------------------------------------------------------ steps

    @property
    def _promised(self) -> list[Item]:
        """What the reference has delivered and nobody has taken from the core yet."""
        return self.reference.delivered[len(self.taken) :]

    def _next_item(self) -> Item:
        self.serial += 1
        return (self.serial,)

    def _expect(self, item: Item) -> EmitResult:
        """Offer the item to the reference, unless others wait already: nobody overtakes them."""
        if self.refusal is not None:
            result = self.refusal
            self.rejected += 1
        else:
            result = WOULD_SUSPEND if self.waiting else self.reference.offer(item)
        self.emitted += result is not WOULD_SUSPEND
        if result is EmitResult.FAIL_OVERFLOW:
            self._end(FAIL_TERMINATED, BufferOverflowError)
        return result

    def _let_in(self) -> None:
        """Offer to the reference, in their order, those that wait while it has room for them."""
        while self.waiting and self.refusal is None:
            item = next(iter(self.waiting))
            if self.reference.offer(item) is WOULD_SUSPEND:
                return
            self._expect_resumed(item, OK)

    def _end(self, refusal: EmitResult, error: type | None) -> None:
        if self.refusal is None:
            self.refusal, self.error = refusal, error
            for item in list(self.waiting):
                self.rejected += 1
                self._expect_resumed(item, refusal)

    def _expect_resumed(self, item: Item, result: EmitResult) -> None:
        del self.waiting[item]
        self.emitted += 1
        first = next(iter(self.resumed))
        assert (first, self.resumed.pop(first)) == (item, result)


OverflowMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestOverflow = pytest.mark.slow(OverflowMachine.TestCase)
