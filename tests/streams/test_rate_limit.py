"""limit_rate: in what portions demand goes on to the source."""

from __future__ import annotations

from typing import Any

import pytest

from streams import UNBOUNDED, BufferOverflowError, Flux
from streams.rate_limit import RateLimit
from streams.testing import ManualPublisher, TestSubscriber

__all__ = ()


def limited(
    high: int, low: int | None = None, *, demand: int = UNBOUNDED
) -> tuple[ManualPublisher[int], TestSubscriber[int]]:
    """Subscribe with `demand` to a limited Flux whose source the test plays."""
    publisher, subscriber = ManualPublisher[int](), TestSubscriber[int](initial_request=demand)
    Flux.from_publisher(publisher).limit_rate(high, low).subscribe(subscriber)
    return publisher, subscriber


@pytest.mark.parametrize(
    ("high", "low", "portion"),
    [
        (256, None, 192),
        (40, None, 30),
        (10, None, 8),
        (4, None, 3),
        (3, None, 3),
        (2, None, 2),
        (1, None, 1),
        (10, 2, 2),
        (10, 9, 9),
        (10, 10, 8),
        (10, 11, 8),
        (10, 0, 10),
        (10, -1, 10),
    ],
)
def test_portion_is_75_percent_unless_low_is_given(high: int, low: int | None, portion: int) -> None:
    limit = RateLimit(high, low)
    assert (limit.high, limit.low) == (high, portion)


@pytest.mark.parametrize(
    ("high", "low", "item_count", "requests"),
    [
        (10, 2, 14, [10, 2, 2, 2, 2, 2, 2, 2]),
        (10, None, 16, [10, 8, 8]),
        (4, None, 9, [4, 3, 3, 3]),
        (4, 0, 9, [4, 4, 4]),
        (4, 4, 6, [4, 3, 3]),
        (1, None, 3, [1, 1, 1, 1]),
        (256, None, 0, [256]),
    ],
)
async def test_source_is_asked_for_high_then_for_a_portion_whenever_it_has_gone_on(
    high: int, low: int | None, item_count: int, requests: list[int]
) -> None:
    publisher, subscriber = limited(high, low)
    publisher.next(*range(item_count))
    assert publisher.requests == requests
    assert subscriber.values == list(range(item_count))


async def test_nothing_more_is_asked_for_while_nothing_is_requested() -> None:
    publisher, subscriber = limited(4, 2, demand=0)
    publisher.next(0, 1, 2, 3)
    assert publisher.requests == [4]
    subscriber.request(3)
    assert publisher.requests == [4, 2]
    subscriber.request(1)
    assert publisher.requests == [4, 2, 2]
    assert subscriber.values == [0, 1, 2, 3]


async def test_outstanding_demand_never_exceeds_high() -> None:
    publisher, subscriber = limited(5, 2, demand=1)
    for number in range(50):
        publisher.next(number)
        subscriber.request(1)
        assert publisher.requested - (number + 1) <= 5
    assert subscriber.values == list(range(50))


async def test_unbounded_high_is_asked_for_once() -> None:
    publisher, subscriber = limited(UNBOUNDED, 1)
    publisher.next(*range(5))
    assert publisher.requests == [UNBOUNDED]
    assert subscriber.values == list(range(5))


async def test_source_that_sends_more_than_high_is_cancelled() -> None:
    publisher, subscriber = limited(2, demand=0)
    publisher.next(0, 1, 2)
    subscriber.request(9)
    assert subscriber.values == [0, 1]
    assert isinstance(subscriber.error, BufferOverflowError)
    assert publisher.cancel_count == 1


async def test_cancel_goes_through() -> None:
    publisher, subscriber = limited(4)
    subscriber.cancel()
    publisher.next(0)
    assert publisher.cancel_count == 1
    assert subscriber.values == []


async def test_terminal_comes_behind_what_is_held() -> None:
    publisher, subscriber = limited(4, demand=1)
    publisher.next(0, 1)
    publisher.complete()
    assert not subscriber.completed
    subscriber.request(1)
    assert subscriber.values == [0, 1]
    assert subscriber.completed


@pytest.mark.parametrize("prefetch", [1, 3])
async def test_batches_of_a_limited_source_are_complete(prefetch: int) -> None:
    taken = [item async for batch in Flux.just(*range(30)).limit_rate(4).batches(8, prefetch) for item in batch]
    assert taken == list(range(30))


@pytest.mark.parametrize(("high", "low"), [(0, None), (-1, None)])
def test_high_below_1_is_refused(high: int, low: int | None) -> None:
    with pytest.raises(ValueError, match="high must be an int >= 1"):
        RateLimit(high, low)


@pytest.mark.parametrize(
    ("high", "low", "name"), [(1.5, None, "high"), (True, None, "high"), (4, 1.5, "low"), (4, True, "low")]
)
def test_what_is_no_int_is_refused_by_name(high: Any, low: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be an int"):
        RateLimit(high, low)
