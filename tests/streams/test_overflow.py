"""Every rule of the overflow core, by example."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streams.errors import BufferOverflowError
from streams.overflow import (
    EMPTY,
    BackpressureStrategy,
    BufferOverflow,
    EmitResult,
    Join,
    OverflowBuffer,
    StreamStatistics,
    Terminal,
)
from streams.reactive import UNBOUNDED

__all__ = ()

OK = EmitResult.OK
DROPPED = EmitResult.DROPPED
MERGED = EmitResult.MERGED
WOULD_SUSPEND = EmitResult.WOULD_SUSPEND
FAIL_OVERFLOW = EmitResult.FAIL_OVERFLOW
FAIL_CANCELLED = EmitResult.FAIL_CANCELLED
FAIL_TERMINATED = EmitResult.FAIL_TERMINATED

ERROR = BufferOverflow.ERROR
DROP_OLDEST = BufferOverflow.DROP_OLDEST
DROP_INCOMING = BufferOverflow.DROP_INCOMING
DROP_NEWEST_HELD = BufferOverflow.DROP_NEWEST_HELD
SUSPEND = BufferOverflow.SUSPEND

Strategy = BackpressureStrategy
COMPLETED = Terminal(None)
FAILURE = ValueError("the source failed")


def joined(held: str, incoming: str) -> str:
    return held + incoming


def refuse(*_: object) -> Any:
    raise LookupError("a callback failed")


def offers(buffer: OverflowBuffer[Any], items: Sequence[object]) -> list[EmitResult]:
    return [buffer.offer(item) for item in items]


def delivered(buffer: OverflowBuffer[Any]) -> list[Any]:
    """Poll until nothing more is due, with the terminal if that is what comes last."""
    signals: list[Any] = []
    while (item := buffer.poll()) is not EMPTY:
        signals.append(item)
    terminal = buffer.poll_terminal()
    return signals if terminal is None else [*signals, terminal]


def outcome(buffer: OverflowBuffer[Any]) -> list[Any]:
    """Ask for everything and say what came."""
    buffer.request(UNBOUNDED)
    return delivered(buffer)


class Log(list[Any]):
    """Notes what callbacks hear, in one order."""

    def hears(self, name: str) -> Callable[..., None]:
        return lambda *heard: self.append((name, *heard))


def failing_buffer(log: Log, overflow: BufferOverflow, capacity: int = 2, **options: Any) -> OverflowBuffer[str]:
    """Make a buffer all of whose callbacks are noted."""
    options = {name: log.hears(name) for name in ("on_drop", "on_abort", "on_undeliverable")} | options
    return OverflowBuffer(capacity, overflow, **options)


# ---------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((-1,), {}, ValueError, r"capacity must be an int >= 0, or None: unbounded; got -1"),
        ((True,), {}, TypeError, r"capacity must be an int >= 0, or None: unbounded; got True"),
        ((1.5,), {}, TypeError, r"capacity .* got 1\.5"),
        ((1, "error"), {}, TypeError, r"overflow must be one of BufferOverflow\.ERROR, .*; got 'error'"),
        ((3, None), {}, ValueError, r"overflow=None means no boundary: it needs capacity=None or a reducer; got 3"),
        ((2, None, joined), {}, ValueError, r"a reducer folds into one held item: it needs capacity=1"),
        ((1, None, joined), {"ttl_ns": 5}, ValueError, r"a reducer folds into one held item: .* no ttl_ns"),
        ((1, None, joined, 0), {}, ValueError, r"max_merged must be an int >= 1, or None: no limit; got 0"),
        ((1,), {"ttl_ns": 0}, ValueError, r"ttl_ns must be an int >= 1, or None: no age limit; got 0"),
        ((1,), {"ttl_ns": 1.0}, TypeError, r"ttl_ns .* got 1\.0"),
    ],
)
def test_argument_that_makes_no_sense_is_refused_by_name(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        OverflowBuffer(*arguments, **options)


# ---------------------------------------------------------------------- room, and the rule beyond it

ROWS: list[tuple[BackpressureStrategy, str, list[EmitResult], list[Any]]] = [
    # strategy, items offered with demand 1, what the producer hears, what the consumer gets in the end
    (Strategy.MISSING, "abcd", [OK] * 4, ["a", "b", "c", "d"]),
    (Strategy.DROP, "abcd", [OK, DROPPED, DROPPED, DROPPED], ["a"]),
    (Strategy.LATEST, "abcd", [OK] * 4, ["a", "d"]),
    (Strategy.buffer(2, DROP_OLDEST), "abcde", [OK] * 5, ["a", "d", "e"]),
    (Strategy.buffer(2, DROP_NEWEST_HELD), "abcde", [OK] * 5, ["a", "b", "e"]),
    (Strategy.buffer(2, DROP_INCOMING), "abcde", [OK, OK, OK, DROPPED, DROPPED], ["a", "b", "c"]),
    (Strategy.buffer(2, SUSPEND), "abcd", [OK, OK, OK, WOULD_SUSPEND], ["a", "b", "c"]),
    (Strategy.buffer(None), "abcd", [OK] * 4, ["a", "b", "c", "d"]),
    (Strategy.reduce(joined), "abcd", [OK, OK, MERGED, MERGED], ["a", "bcd"]),
    (Strategy.reduce(Join("".join)), "abcd", [OK, OK, MERGED, MERGED], ["a", "bcd"]),
    (Strategy.suspend(), "abc", [OK, WOULD_SUSPEND, WOULD_SUSPEND], ["a"]),
    (Strategy.suspend(1), "abc", [OK, OK, WOULD_SUSPEND], ["a", "b"]),
]


@pytest.mark.parametrize(("strategy", "items", "results", "signals"), ROWS)
def test_strategy_rules_behind_the_promised_item(
    strategy: BackpressureStrategy, items: str, results: list[EmitResult], signals: list[str]
) -> None:
    buffer = OverflowBuffer.of(strategy)
    buffer.request(1)

    assert offers(buffer, items) == results
    buffer.complete()

    assert outcome(buffer) == [*signals, COMPLETED]


@pytest.mark.parametrize(
    ("strategy", "items", "results", "signals"),
    [
        (Strategy.ERROR, "abc", [OK, FAIL_OVERFLOW, FAIL_TERMINATED], ["a"]),
        (Strategy.buffer(1), "abcd", [OK, OK, FAIL_OVERFLOW, FAIL_TERMINATED], ["a", "b"]),
        (Strategy.reduce(joined, 2), "abcde", [OK, OK, MERGED, FAIL_OVERFLOW, FAIL_TERMINATED], ["a", "bc"]),
        (Strategy.reduce(Join("".join), 1), "abc", [OK, OK, FAIL_OVERFLOW], ["a", "b"]),
    ],
)
def test_strategy_that_fails_names_the_item_that_found_no_room(
    strategy: BackpressureStrategy, items: str, results: list[EmitResult], signals: list[str]
) -> None:
    buffer = OverflowBuffer.of(strategy)
    buffer.request(1)

    assert offers(buffer, items) == results
    *came, terminal = outcome(buffer)

    assert came == signals
    assert isinstance(terminal.error, BufferOverflowError)
    assert (terminal.error.item, terminal.error.capacity) == (items[results.index(FAIL_OVERFLOW)], strategy.capacity)


@pytest.mark.parametrize(("strategy", "items", "results", "signals"), ROWS)
def test_strategy_never_applies_while_demand_lasts(
    strategy: BackpressureStrategy, items: str, results: list[EmitResult], signals: list[str]
) -> None:
    buffer = OverflowBuffer.of(strategy)
    buffer.request(len(items))

    assert offers(buffer, items) == [OK] * len(items)
    assert delivered(buffer) == list(items)


@pytest.mark.parametrize("overflow", [DROP_OLDEST, DROP_NEWEST_HELD])
def test_eviction_without_capacity_drops_the_incoming_item(overflow: BufferOverflow) -> None:
    buffer = OverflowBuffer[str](0, overflow)
    buffer.request(1)

    assert offers(buffer, "ab") == [OK, DROPPED]
    assert outcome(buffer) == ["a"]


def test_none_is_a_legal_item() -> None:
    buffer = OverflowBuffer[None](1, DROP_OLDEST)
    offers(buffer, [None, None])

    assert outcome(buffer) == [None]
    assert buffer.statistics.dropped == 1


def test_reducer_stands_before_the_overflow_rule() -> None:
    buffer = OverflowBuffer(1, SUSPEND, joined)

    assert offers(buffer, "ab") == [OK, MERGED]
    assert outcome(buffer) == ["ab"]


def test_plain_reducer_folds_at_once_and_join_when_the_item_is_taken() -> None:
    log = Log()

    def fold(parts: Sequence[str]) -> str:
        log.append(text := "".join(parts))
        return text

    plain = OverflowBuffer(1, None, lambda held, incoming: fold((held, incoming)))
    lazy = OverflowBuffer(1, None, Join(fold))
    offers(plain, "abc")
    assert log == ["ab", "abc"]
    offers(lazy, "xyz")
    assert log == ["ab", "abc"]

    assert outcome(lazy) == ["xyz"]
    assert log == ["ab", "abc", "xyz"]


def test_fold_starts_anew_when_the_item_was_taken() -> None:
    buffer = OverflowBuffer(1, None, Join("".join), 2)
    offers(buffer, "ab")
    assert buffer.take(1) == ["ab"]

    assert offers(buffer, "cd") == [OK, MERGED]
    assert buffer.take(1) == ["cd"]


# ---------------------------------------------------------------------- demand


def test_request_in_parts_adds_up() -> None:
    buffer = OverflowBuffer[str](None)
    offers(buffer, "abcd")
    buffer.request(1)
    buffer.request(2)

    assert buffer.demand == 3
    assert delivered(buffer) == ["a", "b", "c"]
    assert buffer.demand == 0


def test_request_saturates_and_is_never_counted_down_again() -> None:
    buffer = OverflowBuffer[str](None)
    buffer.request(UNBOUNDED - 1)
    buffer.request(5)
    offers(buffer, "ab")

    assert delivered(buffer) == ["a", "b"]
    assert buffer.demand == UNBOUNDED


@pytest.mark.parametrize("demand", [UNBOUNDED - 2, UNBOUNDED - 1, UNBOUNDED])
@pytest.mark.parametrize("capacity", [0, 1, 2, sys.maxsize, sys.maxsize + 1])
def test_request_near_the_largest_number_loses_nothing(capacity: int, demand: int) -> None:
    buffer = OverflowBuffer[str](capacity)
    buffer.request(demand)

    assert offers(buffer, "ab") == [OK, OK]
    assert delivered(buffer) == ["a", "b"]


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError), (None, TypeError)]
)
def test_request_that_is_no_positive_int_fails_the_stream(n: Any, error: type[Exception]) -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR, delay_error=True)
    buffer.request(1)
    offers(buffer, "ab")

    buffer.request(n)

    assert log == [("on_abort",), ("on_drop", "b")]
    first, terminal = delivered(buffer)
    assert first == "a"
    assert isinstance(terminal.error, error)
    assert "rule 3.9" in str(terminal.error)
    assert buffer.offer("c") is FAIL_TERMINATED


def test_bad_request_overrides_a_completion_that_waits_but_not_an_error() -> None:
    completing = OverflowBuffer[str](2)
    failing = OverflowBuffer[str](2)
    for buffer in (completing, failing):
        buffer.offer("a")
    completing.complete()
    failing.fail(FAILURE)

    completing.request(0)
    failing.request(0)

    (terminal,) = outcome(completing)
    assert isinstance(terminal.error, ValueError)
    assert outcome(failing) == ["a", Terminal(FAILURE)]


@pytest.mark.parametrize("n", [1, 0])
def test_request_after_the_end_does_nothing(n: int) -> None:
    ended, cancelled = OverflowBuffer[str](1), OverflowBuffer[str](1)
    ended.complete()
    ended.poll_terminal()
    cancelled.cancel()

    for buffer in (ended, cancelled):
        buffer.request(n)
        assert buffer.demand == 0
        assert delivered(buffer) == []


# ---------------------------------------------------------------------- demand told to the source


def test_demand_is_told_first_as_it_stands_and_then_each_increment() -> None:
    buffer, told = OverflowBuffer[str](1), Log()
    buffer.request(2)
    buffer.request(1)

    buffer.tell_demand(told.append)
    buffer.request(4)

    assert told == [3, 4]


def test_demand_of_nothing_is_not_told() -> None:
    buffer, told = OverflowBuffer[str](1), Log()
    buffer.tell_demand(told.append)

    assert told == []


def test_demand_is_told_to_one_callback_only() -> None:
    buffer = OverflowBuffer[str](1)
    buffer.tell_demand(print)

    with pytest.raises(RuntimeError, match="demand is told to one callback only"):
        buffer.tell_demand(print)


def test_demand_callback_may_offer_what_is_wanted() -> None:
    buffer = OverflowBuffer[int](0)
    buffer.tell_demand(lambda n: offers(buffer, range(n)))
    buffer.request(3)

    assert delivered(buffer) == [0, 1, 2]


def test_demand_callback_that_raises_fails_the_stream() -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR)
    buffer.tell_demand(refuse)
    buffer.request(1)

    (terminal,) = delivered(buffer)
    assert isinstance(terminal.error, LookupError)
    assert log == [("on_abort",)]


def test_demand_granted_for_what_is_taken_is_told_and_kept() -> None:
    buffer, told = OverflowBuffer[str](None), Log()
    offers(buffer, "abc")
    buffer.request(1)
    buffer.tell_demand(told.append)

    assert buffer.take(2) == ["a", "b"]
    buffer.request(5)
    assert buffer.take(9) == ["c"]

    assert told == [1, 1, 5]
    assert buffer.demand == 4  # a request is a promise


# ---------------------------------------------------------------------- taking


def test_poll_gives_nothing_without_demand() -> None:
    buffer = OverflowBuffer[str](2)
    buffer.offer("a")

    assert buffer.poll() is EMPTY
    assert buffer.statistics.held == 1


def test_missing_delivers_without_demand_and_demand_is_never_negative() -> None:
    buffer = OverflowBuffer.of(Strategy.MISSING)
    offers(buffer, "abc")
    buffer.request(1)

    assert delivered(buffer) == ["a", "b", "c"]
    assert buffer.demand == 0


def test_take_grants_demand_for_just_what_it_takes() -> None:
    buffer = OverflowBuffer[str](None)
    offers(buffer, "abcde")

    assert buffer.take(2) == ["a", "b"]
    assert buffer.demand == 0
    assert buffer.take(9) == ["c", "d", "e"]
    assert buffer.take(9) == []
    assert buffer.statistics.delivered == 5


def test_take_withdraws_demand_that_is_not_met() -> None:
    buffer = OverflowBuffer.of(Strategy.DROP)
    buffer.request(4)
    offers(buffer, "ab")

    assert buffer.take(1) == ["a"]
    assert buffer.demand == 1  # what is held stays promised
    assert buffer.offer("c") is DROPPED
    assert buffer.take(1) == ["b"]
    assert buffer.demand == 0


def test_wait_raises_demand_up_to_a_level_and_calls_back_once_an_item_is_due() -> None:
    buffer, log = OverflowBuffer.of(Strategy.DROP), Log()
    told = Log()
    buffer.tell_demand(told.append)

    assert buffer.wait(log.hears("ready"), 3) is None
    assert buffer.wait(log.hears("ready"), 2) is None
    assert (buffer.demand, told, log) == (3, [3], [])
    offers(buffer, "ab")

    assert log == [("ready",)]


def test_wait_returns_the_terminal_that_is_due() -> None:
    buffer, log = OverflowBuffer[str](1), Log()
    buffer.complete()

    assert buffer.wait(log.hears("ready"), 1) == COMPLETED
    assert buffer.wait(log.hears("ready"), 1) is None
    assert log == []


def test_claim_takes_by_the_dozen_where_nobody_else_removes_items() -> None:
    buffer, claimed = OverflowBuffer[int](None), list[int]()
    offers(buffer, range(100))

    assert buffer.claim(claimed)

    assert len(claimed) > 1
    assert claimed.pop() == 0
    assert claimed.pop() == 1
    assert buffer.statistics[:2] == (100, 2)
    assert buffer.statistics.held == 98


@pytest.mark.parametrize("strategy", [Strategy.buffer(9), Strategy.reduce(joined), Strategy.suspend(9)])
def test_claim_takes_one_where_a_rule_may_still_apply(strategy: BackpressureStrategy) -> None:
    buffer, claimed = OverflowBuffer.of(strategy), list[str]()
    offers(buffer, "abc")

    assert buffer.claim(claimed)
    assert len(claimed) == 1


def test_claim_takes_one_where_the_source_is_told_of_demand() -> None:
    buffer, claimed = OverflowBuffer[str](None), list[str]()
    buffer.tell_demand(print)
    offers(buffer, "abc")
    buffer.claim(claimed)

    assert claimed == ["a"]


def test_claim_of_nothing_leaves_the_list_empty() -> None:
    buffer, claimed = OverflowBuffer[str](None), list[str]()

    assert not buffer.claim(claimed)
    assert claimed == []


def test_claimed_items_are_dropped_by_cancel_oldest_first() -> None:
    log, claimed = Log(), list[str]()
    buffer = OverflowBuffer[str](None, on_drop=log.append)
    offers(buffer, "abcd")
    buffer.claim(claimed)
    claimed.pop()
    offers(buffer, "ef")

    buffer.cancel()

    assert log == ["b", "c", "d", "e", "f"]
    assert claimed == []
    assert buffer.statistics == StreamStatistics(6, 1, 5, 0, 0, 0, peak_held=5, demand=0)


@pytest.mark.parametrize(
    ("delay_error", "popped", "kept", "lost"),
    [
        (True, 0, "abc", ""),
        (False, 0, "a", "bcd"),  # the first one of a claim is what the consumer asked for
        (False, 1, "", "bcd"),
    ],
)
def test_claimed_items_are_overtaken_as_held_ones_are(delay_error: bool, popped: int, kept: str, lost: str) -> None:
    log, claimed = Log(), list[str]()
    buffer = OverflowBuffer[str](None, delay_error=delay_error, on_drop=log.append)
    offers(buffer, "abc")
    buffer.claim(claimed)
    for _ in range(popped):
        claimed.pop()
    buffer.offer("d")

    buffer.fail(FAILURE)

    assert claimed == list(reversed(kept))
    assert log == list(lost)


class HastyList(list[str]):
    """A list whose items another thread pops in the moment when it is looked at."""

    def pop(self, *_: Any) -> str:
        self.clear()
        raise IndexError


def test_claimed_items_that_the_consumer_pops_meanwhile_are_its_own() -> None:
    log, claimed = Log(), HastyList()
    buffer = OverflowBuffer[str](None, on_drop=log.append)
    offers(buffer, "ab")
    buffer.claim(claimed)

    buffer.cancel()

    assert log == []
    assert buffer.statistics[:3] == (2, 2, 0)


# ---------------------------------------------------------------------- waiting for a signal


def test_when_ready_calls_once_for_many_items() -> None:
    buffer, log = OverflowBuffer[str](None), Log()
    buffer.request(9)
    buffer.when_ready(log.hears("ready"))

    offers(buffer, "abc")

    assert log == [("ready",)]


def test_when_ready_calls_at_once_if_a_signal_is_due() -> None:
    buffer, log = OverflowBuffer[str](None), Log()
    buffer.request(1)
    buffer.offer("a")

    buffer.when_ready(log.hears("ready"))

    assert log == [("ready",)]


@pytest.mark.parametrize(
    "becomes_ready",
    [
        lambda buffer: buffer.request(1),
        lambda buffer: buffer.fail(FAILURE),
        lambda buffer: buffer.request(0),
        lambda buffer: buffer.abort(FAILURE),
    ],
)
def test_when_ready_hears_of_demand_and_of_an_error_that_overtakes(
    becomes_ready: Callable[[OverflowBuffer[str]], object],
) -> None:
    buffer, log = OverflowBuffer[str](2, delay_error=False), Log()
    buffer.when_ready(log.hears("ready"))
    buffer.offer("a")
    assert log == []

    becomes_ready(buffer)

    assert log == [("ready",)]


def test_when_ready_hears_of_items_without_demand_only_if_there_is_no_boundary() -> None:
    missing, log = OverflowBuffer.of(Strategy.MISSING), Log()
    missing.when_ready(log.hears("ready"))

    missing.offer("a")

    assert log == [("ready",)]


def test_when_ready_waits_for_held_items_before_the_completion() -> None:
    buffer, log = OverflowBuffer[str](1), Log()
    buffer.offer("a")
    buffer.complete()

    buffer.when_ready(log.hears("ready"))
    assert log == []
    buffer.request(1)

    assert log == [("ready",)]


def test_when_ready_is_forgotten_at_cancel() -> None:
    buffer, log = OverflowBuffer[str](1), Log()
    buffer.when_ready(log.hears("ready"))
    buffer.cancel()
    buffer.when_ready(log.hears("ready again"))
    buffer.request(1)

    assert log == []


def test_next_signal_gives_items_then_the_terminal_and_calls_back_when_there_is_none() -> None:
    buffer, log = OverflowBuffer[str](2), Log()
    buffer.request(1)
    buffer.offer("a")

    assert buffer.next_signal(log.hears("ready")) == "a"
    assert buffer.next_signal(log.hears("ready")) is EMPTY
    assert log == []
    buffer.complete()

    assert log == [("ready",)]
    assert buffer.next_signal(log.hears("ready")) == COMPLETED
    assert buffer.next_signal(log.hears("ready")) is EMPTY
    assert log == [("ready",)]


# ---------------------------------------------------------------------- passing an item without holding it


def waiting_buffer(log: Log, demand: int = UNBOUNDED) -> OverflowBuffer[str]:
    buffer = OverflowBuffer[str](1)
    buffer.request(demand)
    buffer.when_ready(log.hears("ready"))
    return buffer


def test_item_that_passes_counts_as_delivered() -> None:
    buffer = waiting_buffer(log := Log())

    assert buffer.direct
    buffer.passed += 2

    assert log == []
    assert buffer.statistics == StreamStatistics(2, 2, 0, 0, 0, 0, 0, UNBOUNDED)


def cancelled(buffer: OverflowBuffer[str]) -> OverflowBuffer[str]:
    buffer.cancel()
    return buffer


@pytest.mark.parametrize(
    "buffer",
    [
        OverflowBuffer[str](1),  # nobody waits
        waiting_buffer(Log(), demand=5),  # demand is to be counted
        cancelled(waiting_buffer(Log())),
    ],
)
def test_item_must_be_offered_where_it_cannot_pass(buffer: OverflowBuffer[str]) -> None:
    assert not buffer.direct


@pytest.mark.parametrize(
    "change",
    [lambda buffer: buffer.offer("a"), lambda buffer: buffer.complete(), lambda buffer: buffer.request(0)],
    ids=["offer", "complete", "request(0)"],
)
def test_whatever_is_due_closes_the_direct_way_and_tells_the_consumer(
    change: Callable[[OverflowBuffer[str]], object],
) -> None:
    buffer = waiting_buffer(log := Log())

    change(buffer)

    assert not buffer.direct
    assert log == [("ready",)]


def test_direct_way_opens_again_when_the_consumer_waits_again() -> None:
    buffer = waiting_buffer(log := Log())
    buffer.offer("a")
    assert delivered(buffer) == ["a"]

    buffer.when_ready(log.hears("ready"))

    assert buffer.direct


# ---------------------------------------------------------------------- suspended producers


def test_suspended_producers_come_in_first_come_first_served() -> None:
    buffer, log = OverflowBuffer[str](1, SUSPEND), Log()
    buffer.offer("a")
    for item in "bcd":
        assert buffer.offer_or_wait(item, log.hears(item)) is WOULD_SUSPEND
    buffer.request(1)

    assert log == [("b", OK)]
    assert buffer.poll() == "a"
    assert log == [("b", OK)]  # what was taken was promised: no new room
    buffer.request(2)
    assert log == [("b", OK), ("c", OK), ("d", OK)]
    assert delivered(buffer) == ["b", "c"]


def test_offer_does_not_overtake_a_producer_that_waits() -> None:
    buffer, log = OverflowBuffer[str](0, SUSPEND), Log()
    buffer.offer_or_wait("a", log.hears("a"))
    assert buffer.offer("b") is WOULD_SUSPEND

    assert outcome(buffer) == ["a"]
    assert log == [("a", OK)]


def test_offer_or_wait_does_not_wait_where_there_is_room() -> None:
    buffer = OverflowBuffer[str](1, SUSPEND)

    assert buffer.offer_or_wait("a", refuse) is OK
    assert outcome(buffer) == ["a"]


def test_suspended_producer_that_stops_waiting_loses_its_place() -> None:
    buffer, log = OverflowBuffer[str](0, SUSPEND), Log()
    stopping, staying = log.hears("stopping"), log.hears("staying")
    buffer.offer_or_wait("a", staying)
    buffer.offer_or_wait("b", stopping)

    assert buffer.stop_waiting(stopping)
    assert not buffer.stop_waiting(stopping)

    assert outcome(buffer) == ["a"]
    assert log == [("staying", OK)]
    assert not buffer.stop_waiting(staying)
    assert buffer.statistics.emitted == 1


def test_room_is_open_again_when_the_last_waiting_producer_gave_up() -> None:
    buffer, log = OverflowBuffer[str](1, SUSPEND), Log()
    buffer.offer("a")
    buffer.offer_or_wait("b", stopping := log.hears("b"))
    buffer.stop_waiting(stopping)
    buffer.request(1)

    assert buffer.offer("c") is OK


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (lambda buffer: buffer.complete(), FAIL_TERMINATED),
        (lambda buffer: buffer.fail(FAILURE), FAIL_TERMINATED),
        (lambda buffer: buffer.request(0), FAIL_TERMINATED),
        (lambda buffer: buffer.cancel(), FAIL_CANCELLED),
    ],
)
def test_suspended_producers_are_told_of_the_end(
    end: Callable[[OverflowBuffer[str]], object], result: EmitResult
) -> None:
    buffer, log = OverflowBuffer[str](0, SUSPEND), Log()
    buffer.offer_or_wait("a", log.hears("a"))
    buffer.offer_or_wait("b", log.hears("b"))

    end(buffer)

    assert log == [("a", result), ("b", result)]
    assert buffer.statistics[:5] == (2, 0, 0, 0, 2)


def test_suspended_producers_count_only_when_they_are_in() -> None:
    buffer = OverflowBuffer[str](1, SUSPEND)
    buffer.offer("a")
    buffer.offer_or_wait("b", lambda _: None)
    buffer.offer("c")

    assert buffer.statistics == StreamStatistics(1, 0, 0, 0, 0, 1, 1, 0)
    buffer.request(1)
    assert buffer.statistics == StreamStatistics(2, 0, 0, 0, 0, 2, 2, 1)


# ---------------------------------------------------------------------- the end of a stream


def test_completion_needs_no_demand_when_nothing_is_held() -> None:
    buffer = OverflowBuffer[str](1)

    assert buffer.complete() is OK
    assert buffer.poll_terminal() == COMPLETED


def test_completion_comes_with_the_last_held_item() -> None:
    buffer = OverflowBuffer[str](2)
    offers(buffer, "ab")
    buffer.complete()
    buffer.request(1)

    assert delivered(buffer) == ["a"]
    buffer.request(1)
    assert delivered(buffer) == ["b", COMPLETED]


def test_terminal_is_given_once() -> None:
    buffer = OverflowBuffer[str](1)
    buffer.complete()

    assert [buffer.poll_terminal(), buffer.poll_terminal()] == [COMPLETED, None]


@pytest.mark.parametrize(
    ("delay_error", "demand", "signals", "lost"),
    [
        (True, 0, "abc", ""),
        (True, 1, "abc", ""),
        (False, 0, "", "abc"),
        (False, 1, "a", "bc"),
        (False, 5, "abc", ""),
    ],
)
def test_error_waits_or_overtakes_what_is_not_promised(delay_error: bool, demand: int, signals: str, lost: str) -> None:
    log = Log()
    buffer = OverflowBuffer[str](3, delay_error=delay_error, on_drop=log.append)
    if demand:
        buffer.request(demand)
    offers(buffer, "abc")

    assert buffer.fail(FAILURE) is OK

    assert outcome(buffer) == [*signals, Terminal(FAILURE)]
    assert log == list(lost)


@pytest.mark.parametrize(
    "end", [lambda buffer: buffer.fail(FAILURE), lambda buffer: buffer.abort(FAILURE), lambda buffer: buffer.request(0)]
)
def test_error_overtakes_nothing_where_there_is_no_boundary(end: Callable[[OverflowBuffer[str]], object]) -> None:
    buffer = OverflowBuffer.of(Strategy.MISSING, delay_error=False)
    offers(buffer, "ab")
    end(buffer)

    *items, terminal = delivered(buffer)
    assert items == ["a", "b"]
    assert terminal.error is not None


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (lambda buffer: buffer.complete(), FAIL_TERMINATED),
        (lambda buffer: buffer.fail(FAILURE), FAIL_TERMINATED),
        (lambda buffer: buffer.cancel(), FAIL_CANCELLED),
    ],
)
def test_signals_after_the_end_are_rejected(end: Callable[[OverflowBuffer[str]], object], result: EmitResult) -> None:
    buffer = OverflowBuffer[str](3)
    end(buffer)

    assert [buffer.offer("a"), buffer.offer_or_wait("b", refuse)] == [result, result]
    assert [buffer.complete(), buffer.fail(FAILURE)] == [result, result]
    assert (buffer.statistics.rejected, buffer.statistics.held) == (2, 0)
    assert not buffer.is_active


def test_signals_are_rejected_while_a_terminal_waits_behind_held_items() -> None:
    buffer = OverflowBuffer[str](3)
    buffer.offer("a")
    buffer.complete()

    assert buffer.offer("b") is FAIL_TERMINATED
    assert outcome(buffer) == ["a", COMPLETED]


def test_cancel_drops_what_is_held_and_delivers_nothing_more() -> None:
    log = Log()
    buffer = OverflowBuffer[str](3, on_drop=log.append)
    buffer.request(1)
    offers(buffer, "abc")
    buffer.complete()

    assert buffer.cancel()

    assert log == ["a", "b", "c"]
    assert buffer.statistics == StreamStatistics(3, 0, 3, 0, 0, 0, 3, 1)
    assert delivered(buffer) == []
    assert buffer.take(9) == []
    assert buffer.is_cancelled


def test_cancel_again_or_after_the_terminal_does_nothing() -> None:
    cancelled, ended = OverflowBuffer[str](1), OverflowBuffer[str](1)
    cancelled.cancel()
    ended.complete()
    ended.poll_terminal()

    assert not cancelled.cancel()
    assert not ended.cancel()
    assert not ended.is_cancelled


def test_cancel_drops_even_where_there_is_no_boundary() -> None:
    buffer = OverflowBuffer.of(Strategy.MISSING)
    offers(buffer, "ab")
    buffer.cancel()

    assert delivered(buffer) == []
    assert buffer.statistics.dropped == 2


# ---------------------------------------------------------------------- who hears of a loss


@pytest.mark.parametrize(
    ("overflow", "lost"), [(DROP_OLDEST, "ab"), (DROP_NEWEST_HELD, "bc"), (DROP_INCOMING, "cd"), (ERROR, "c")]
)
def test_on_drop_hears_of_each_item_lost_to_the_rule(overflow: BufferOverflow, lost: str) -> None:
    log = Log()
    buffer = OverflowBuffer[str](2, overflow, on_drop=log.append)
    offers(buffer, "abcd")

    assert log == list(lost)
    assert buffer.statistics.dropped == len(lost)


def test_on_drop_hears_of_the_rejected_item_first_then_of_the_held_ones_oldest_first() -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR, 3, delay_error=False)
    buffer.request(1)
    offers(buffer, "abcde")

    assert log == [("on_abort",), ("on_drop", "e"), ("on_drop", "b"), ("on_drop", "c"), ("on_drop", "d")]


def test_on_drop_hears_nothing_of_rejected_or_suspended_items() -> None:
    suspending = OverflowBuffer[str](0, SUSPEND, on_drop=refuse)
    ended = OverflowBuffer[str](1, on_drop=refuse)
    ended.complete()

    assert suspending.offer("a") is WOULD_SUSPEND
    assert ended.offer("a") is FAIL_TERMINATED


def test_on_drop_of_folded_items_hears_of_them_as_one() -> None:
    log = Log()
    buffer = OverflowBuffer(1, None, Join("".join), on_drop=log.append)
    offers(buffer, "abc")
    buffer.cancel()

    assert log == ["abc"]
    assert buffer.statistics[:4] == (3, 0, 1, 2)


def test_on_drop_may_call_back_into_the_stream() -> None:
    buffer: OverflowBuffer[str]
    buffer = OverflowBuffer(1, DROP_OLDEST, on_drop=lambda _: buffer.cancel())

    assert offers(buffer, "abc") == [OK, OK, FAIL_CANCELLED]


# ---------------------------------------------------------------------- callbacks that raise


@pytest.mark.parametrize(("delay_error", "signals", "lost"), [(True, "bc", "a"), (False, "", "abc")])
def test_on_drop_that_raises_fails_the_stream(delay_error: bool, signals: str, lost: str) -> None:
    heard, log = Log(), Log()

    def refuse_the_first(item: str) -> None:
        heard.append(item)
        if item == "a":
            refuse()

    buffer = failing_buffer(log, DROP_OLDEST, delay_error=delay_error, on_drop=refuse_the_first)
    assert offers(buffer, "abcd") == [OK, OK, OK, FAIL_TERMINATED]

    assert heard == list(lost)
    assert log == [("on_abort",)]
    *items, terminal = outcome(buffer)
    assert items == list(signals)
    assert isinstance(terminal.error, LookupError)


def test_on_drop_that_raises_on_an_overflow_becomes_its_cause() -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR, 1, on_drop=refuse)
    offers(buffer, "ab")

    *items, terminal = outcome(buffer)
    assert items == ["a"]
    assert isinstance(terminal.error, BufferOverflowError)
    assert isinstance(terminal.error.__cause__, LookupError)
    assert log == [("on_abort",)]


def test_second_exception_on_an_overflow_is_undeliverable() -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR, 1, delay_error=False, on_drop=refuse)
    offers(buffer, "ab")  # both are lost

    assert [name for name, *_ in log] == ["on_abort", "on_undeliverable"]


def test_on_drop_that_raises_at_cancel_is_undeliverable() -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR, on_drop=refuse)
    buffer.offer("a")
    buffer.cancel()

    ((name, error),) = log
    assert (name, type(error)) == ("on_undeliverable", LookupError)


def test_on_drop_that_raises_at_cancel_is_undeliverable_also_behind_an_overflow() -> None:
    log = Log()

    def on_drop(item: str) -> None:
        if item == "a":
            refuse()

    buffer = failing_buffer(log, ERROR, 1, on_drop=on_drop)
    offers(buffer, "ab")
    buffer.cancel()

    assert [name for name, *_ in log] == ["on_abort", "on_undeliverable"]


def test_on_drop_that_raises_after_another_failure_is_undeliverable() -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR, delay_error=False, on_drop=refuse)
    buffer.offer("a")
    buffer.fail(FAILURE)

    assert [name for name, *_ in log] == ["on_undeliverable"]
    assert outcome(buffer) == [Terminal(FAILURE)]


def test_undeliverable_exception_may_have_no_listener() -> None:
    buffer = OverflowBuffer[str](1, on_drop=refuse)
    buffer.offer("a")

    assert buffer.cancel()


def test_abort_fails_the_stream_also_when_completion_waits() -> None:
    log = Log()
    buffer = failing_buffer(log, ERROR)
    buffer.offer("a")
    buffer.complete()
    buffer.abort(FAILURE)

    assert log == [("on_abort",)]
    assert outcome(buffer) == ["a", Terminal(FAILURE)]


@pytest.mark.parametrize("delay_error", [True, False])
def test_reducer_that_raises_fails_the_stream(delay_error: bool) -> None:
    log = Log()
    options: dict[str, Any] = {name: log.hears(name) for name in ("on_drop", "on_abort")}
    buffer = OverflowBuffer[str](1, None, refuse, delay_error=delay_error, **options)

    assert offers(buffer, "abc") == [OK, FAIL_TERMINATED, FAIL_TERMINATED]

    assert log == [("on_abort",), ("on_drop", "b"), *([] if delay_error else [("on_drop", "a")])]
    *items, terminal = outcome(buffer)
    assert items == (["a"] if delay_error else [])
    assert isinstance(terminal.error, LookupError)


def test_join_that_raises_fails_the_stream_when_the_item_is_taken() -> None:
    log = Log()
    buffer = OverflowBuffer[str](1, None, Join(refuse), on_abort=log.hears("on_abort"))
    assert offers(buffer, "ab") == [OK, MERGED]
    buffer.request(1)

    assert buffer.poll() is EMPTY

    assert log == [("on_abort",)]
    assert buffer.offer("c") is FAIL_TERMINATED
    assert buffer.statistics == StreamStatistics(3, 0, 1, 1, 1, 0, 1, 0)


@pytest.mark.parametrize("take", ["poll", "take", "next_signal"])
def test_join_that_raises_takes_the_place_of_a_completion_behind_it(take: str) -> None:
    log = Log()
    buffer = OverflowBuffer[str](1, None, Join(refuse), on_abort=log.hears("on_abort"))
    offers(buffer, "ab")
    buffer.request(1)
    buffer.complete()

    terminal: Any = None
    if take == "next_signal":
        terminal = buffer.next_signal(refuse)
    elif take == "take":
        assert buffer.take(9) == []
    else:
        assert buffer.poll() is EMPTY
    terminal = terminal or buffer.poll_terminal()

    assert log == [("on_abort",)]
    assert isinstance(terminal.error, LookupError)


def test_join_that_raises_at_cancel_is_undeliverable() -> None:
    log = Log()
    buffer = OverflowBuffer[str](1, None, Join(refuse), on_undeliverable=log.append, on_drop=print)
    offers(buffer, "ab")
    buffer.cancel()

    assert [type(error) for error in log] == [LookupError]
    assert buffer.statistics[:4] == (2, 0, 1, 1)


@pytest.mark.parametrize("callback", ["on_drop", "reducer"])
def test_exception_that_is_no_error_passes_through(callback: str) -> None:
    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    if callback == "on_drop":
        buffer = OverflowBuffer[str](1, DROP_INCOMING, on_drop=interrupt)
    else:
        buffer = OverflowBuffer[str](1, None, interrupt)
    buffer.offer("a")

    with pytest.raises(KeyboardInterrupt):
        buffer.offer("b")
    assert buffer.is_active


# ---------------------------------------------------------------------- age


def aged_buffer(log: Log, capacity: int | None = 3, overflow: BufferOverflow = DROP_OLDEST) -> OverflowBuffer[str]:
    """Make a buffer that holds items for 10 ns, with "a", "b" and "c" offered at 0, 5 and 10 ns."""
    buffer = OverflowBuffer[str](capacity, overflow, ttl_ns=10, on_drop=log.append)
    for item, now_ns in zip("abc", (0, 5, 10), strict=True):
        buffer.offer_at(item, now_ns)
    return buffer


@pytest.mark.parametrize(
    ("now_ns", "lost", "next_ns"), [(9, "", 10), (10, "a", 15), (14, "a", 15), (15, "ab", 20), (99, "abc", None)]
)
def test_age_limit_drops_what_was_held_that_long(now_ns: int, lost: str, next_ns: int | None) -> None:
    buffer = aged_buffer(log := Log())

    buffer.expire(now_ns)

    assert log == list(lost)
    assert buffer.next_expiry_ns == next_ns
    assert buffer.statistics[:3] == (3, 0, len(lost))


def test_age_limit_spares_promised_items() -> None:
    buffer = aged_buffer(log := Log())
    buffer.request(1)
    assert buffer.next_expiry_ns == 15

    buffer.expire(99)

    assert log == ["b", "c"]
    assert delivered(buffer) == ["a"]


def test_age_limit_makes_room() -> None:
    buffer = aged_buffer(log := Log(), overflow=DROP_INCOMING)
    assert buffer.offer_at("d", 12) is DROPPED
    buffer.expire(15)

    assert [buffer.offer_at("e", 15), buffer.offer_at("f", 15), buffer.offer_at("g", 15)] == [OK, OK, DROPPED]
    assert log == ["d", "a", "b", "g"]


@pytest.mark.parametrize("overflow", [DROP_OLDEST, DROP_NEWEST_HELD])
def test_age_limit_goes_with_eviction(overflow: BufferOverflow) -> None:
    buffer = aged_buffer(log := Log(), 2, overflow)

    assert log == ["a" if overflow is DROP_OLDEST else "b"]
    assert outcome(buffer) == (["b", "c"] if overflow is DROP_OLDEST else ["a", "c"])


def test_completion_comes_once_the_rest_has_expired_and_needs_no_demand() -> None:
    buffer, log = aged_buffer(Log()), Log()
    buffer.complete()
    buffer.when_ready(log.hears("ready"))
    buffer.expire(19)
    assert (buffer.poll_terminal(), log) == (None, [])

    buffer.expire(20)

    assert log == [("ready",)]
    assert buffer.poll_terminal() == COMPLETED


def test_age_limit_wakes_a_consumer_that_waits_for_the_next_item() -> None:
    buffer, log = OverflowBuffer[str](1, ttl_ns=10), Log()
    buffer.request(1)
    buffer.when_ready(log.hears("ready"))
    buffer.offer_at("a", 0)

    assert log == [("ready",)]


def test_expire_without_age_limit_does_nothing() -> None:
    buffer = OverflowBuffer[str](1)
    buffer.offer("a")
    buffer.expire(10**18)

    assert buffer.next_expiry_ns is None
    assert buffer.statistics.held == 1


def test_expire_lets_suspended_producers_in() -> None:
    log = Log()
    buffer = OverflowBuffer[str](1, SUSPEND, ttl_ns=10)
    buffer.offer_at("a", 0)
    buffer.offer_or_wait("b", log.hears("b"), 5)

    buffer.expire(10)

    assert log == [("b", OK)]
    assert outcome(buffer) == ["b"]


# ---------------------------------------------------------------------- statistics


def test_peak_counts_the_most_that_ever_waited_at_once() -> None:
    buffer = OverflowBuffer[str](3)
    offers(buffer, "abc")
    buffer.take(3)
    buffer.offer("d")

    assert (buffer.statistics.held, buffer.statistics.peak_held) == (1, 3)


def test_peak_counts_no_item_that_was_turned_away() -> None:
    buffer = OverflowBuffer[str](2, DROP_OLDEST)
    offers(buffer, "abcdef")

    assert buffer.statistics.peak_held == 2


def test_new_buffer_has_counted_nothing() -> None:
    buffer = OverflowBuffer[str](1)

    assert buffer.statistics == StreamStatistics(0, 0, 0, 0, 0, 0, 0, 0)
    assert (buffer.is_active, buffer.is_cancelled) == (True, False)
