"""Strategies are values: rows of one table, that refuse what makes no sense."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.strategy import (
    BackpressureStrategy,
    BufferOverflow,
    EmitResult,
    Join,
    StreamStatistics,
    checked_overflow,
    checked_strategy,
)

__all__ = ()

Strategy = BackpressureStrategy
join = Join("".join)


async def fold_later(held: object, incoming: object) -> object:
    return [held, incoming]


@pytest.mark.parametrize(
    ("strategy", "capacity", "overflow", "name"),
    [
        (Strategy.MISSING, None, None, "missing"),
        (Strategy.ERROR, 0, BufferOverflow.ERROR, "error"),
        (Strategy.DROP, 0, BufferOverflow.DROP_INCOMING, "drop"),
        (Strategy.LATEST, 1, BufferOverflow.DROP_OLDEST, "latest"),
        (Strategy.buffer(3), 3, BufferOverflow.ERROR, "buffer"),
        (Strategy.buffer(3, BufferOverflow.DROP_NEWEST_HELD), 3, BufferOverflow.DROP_NEWEST_HELD, "buffer"),
        (Strategy.buffer(None), None, BufferOverflow.ERROR, "buffer"),
        (Strategy.reduce(join), 1, None, "reduce"),
        (Strategy.suspend(), 0, BufferOverflow.SUSPEND, "suspend"),
        (Strategy.suspend(7), 7, BufferOverflow.SUSPEND, "suspend"),
    ],
)
def test_strategy_is_a_row_of_capacity_and_rule(
    strategy: BackpressureStrategy, capacity: int | None, overflow: BufferOverflow | None, name: str
) -> None:
    assert (strategy.capacity, strategy.overflow, strategy.name) == (capacity, overflow, name)


def test_reduce_carries_its_reducer_and_limit() -> None:
    strategy = Strategy.reduce(join, 8)

    assert (strategy.reducer, strategy.max_merged) == (join, 8)
    assert (Strategy.DROP.reducer, Strategy.DROP.max_merged) == (None, None)


def test_ignore_is_another_word_for_missing() -> None:
    assert Strategy.IGNORE is Strategy.MISSING


def test_strategies_of_equal_rows_are_equal_whatever_their_name() -> None:
    assert Strategy.buffer(1, BufferOverflow.DROP_OLDEST) == Strategy.LATEST
    assert Strategy.buffer(4, BufferOverflow.SUSPEND) == Strategy.suspend(4)
    assert Strategy.reduce(join) == Strategy.reduce(Join("".join))
    assert len({Strategy.buffer(2), Strategy.buffer(2), Strategy.buffer(3)}) == 2
    assert Strategy.buffer(None) != Strategy.buffer(None, BufferOverflow.DROP_OLDEST)


def test_strategy_may_be_written_as_its_row() -> None:
    assert Strategy(None, None) == Strategy.MISSING
    assert Strategy(0, BufferOverflow.DROP_INCOMING) == Strategy.DROP
    assert Strategy(1, None, join, 8) == Strategy.reduce(join, 8)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Strategy.buffer(0), ValueError, "capacity must be an int >= 1, or None: unbounded; got 0"),
        (lambda: Strategy.buffer(True), TypeError, "capacity must be an int >= 1, or None: unbounded; got True"),
        (lambda: Strategy.buffer(2.0), TypeError, "capacity must be an int >= 1, or None: unbounded; got 2.0"),  # type: ignore[arg-type]
        (lambda: Strategy.buffer(1, "error"), TypeError, "overflow must be one of BufferOverflow.ERROR, "),  # type: ignore[arg-type]
        (lambda: Strategy.reduce(None), TypeError, "reducer must be a function, not a coroutine function; got None"),  # type: ignore[arg-type]
        (lambda: Strategy.reduce(join, 0), ValueError, "max_merged must be an int >= 1, or None: no limit; got 0"),
        (lambda: Strategy.reduce(join, False), TypeError, "max_merged must be an int >= 1, or None: no limit; got"),
        (lambda: Strategy.reduce(fold_later), TypeError, "reducer must be a function, not a coroutine function; got <"),
        (lambda: Strategy("x", "y"), TypeError, "capacity must be an int >= 0, or None: unbounded; got 'x'"),  # type: ignore[arg-type]
        (lambda: Strategy(-1, BufferOverflow.ERROR), ValueError, "capacity must be an int >= 0, or None: unbounded"),
        (lambda: Strategy(5, "y"), TypeError, "overflow must be one of BufferOverflow.ERROR, "),  # type: ignore[arg-type]
        (lambda: Strategy(5, None), ValueError, "overflow must be a BufferOverflow; None goes with capacity=None "),
        (lambda: Strategy(1, None, 5), TypeError, "reducer must be a function, not a coroutine function, or None; got"),  # type: ignore[arg-type]
        (lambda: Strategy(2, None, join), ValueError, "capacity must be 1 with a reducer, which folds into one held"),
        (lambda: Strategy(1, BufferOverflow.ERROR, join), ValueError, "overflow must be None with a reducer, which"),
        (lambda: Strategy(1, BufferOverflow.ERROR, None, 3), ValueError, "max_merged must be None without a reducer"),
        (lambda: Join(5), TypeError, "join must be a function, not a coroutine function; got 5"),  # type: ignore[arg-type]
        (lambda: Join(None), TypeError, "join must be a function, not a coroutine function; got None"),  # type: ignore[arg-type]
        (lambda: Strategy.suspend(-1), ValueError, "capacity must be an int >= 0; got -1"),
        (lambda: Strategy.suspend(None), TypeError, "capacity must be an int >= 0; got None"),  # type: ignore[arg-type]
    ],
)
def test_wrong_combination_is_refused_by_name(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as refused:
        make()

    assert str(refused.value).startswith(message)


def test_checked_overflow_names_all_that_is_accepted() -> None:
    assert checked_overflow(BufferOverflow.SUSPEND) is BufferOverflow.SUSPEND
    with pytest.raises(TypeError) as refused:
        checked_overflow("drop_latest")

    assert all(rule.name in str(refused.value) for rule in BufferOverflow)
    assert str(refused.value).endswith("got 'drop_latest'")


def test_checked_strategy_names_what_is_accepted() -> None:
    assert checked_strategy(Strategy.DROP) is Strategy.DROP
    with pytest.raises(TypeError, match=r"strategy must be a BackpressureStrategy \(MISSING, .*; got <enum"):
        checked_strategy(BufferOverflow)


def test_drop_latest_is_no_name_here() -> None:
    assert "DROP_LATEST" not in BufferOverflow.__members__
    assert [rule.value for rule in BufferOverflow] == [rule.name.lower() for rule in BufferOverflow]


def test_result_and_statistics_have_the_names_of_the_contract() -> None:
    results = ["OK", "DROPPED", "MERGED", "WOULD_SUSPEND", "FAIL_OVERFLOW", "FAIL_CANCELLED", "FAIL_TERMINATED"]
    counts = ("emitted", "delivered", "dropped", "merged", "rejected", "held", "peak_held", "demand")

    assert [result.name for result in EmitResult] == results
    assert StreamStatistics._fields == counts


def test_join_folds_two_items_like_a_plain_reducer() -> None:
    assert join("a", "b") == "ab"
