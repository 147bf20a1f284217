"""Rx chains with a boundary at their end, beside what RxPY itself has to offer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject

from benchmarks.micro.race import FEW, Contender, Item, Race, make_item
from streams.flowable import (
    on_backpressure_buffer,
    on_backpressure_drop,
    on_backpressure_error,
    on_backpressure_latest,
    on_backpressure_reduce,
)

__all__ = ()

Operator = Callable[[Observable[Item]], Observable[Item]]

OPERATORS: dict[str, tuple[Operator, float | None]] = {
    "on_backpressure_drop": (on_backpressure_drop(), 0.7),
    "on_backpressure_latest": (on_backpressure_latest(), 0.7),
    "on_backpressure_buffer(256)": (on_backpressure_buffer(256), None),
    "on_backpressure_error": (on_backpressure_error(), None),
    "on_backpressure_reduce": (on_backpressure_reduce(lambda held, incoming: incoming), None),
}


def chain(count: int) -> Observable[Item]:
    return reactivex.from_iterable(range(count)).pipe(ops.map(make_item))


def observed(source: Observable[Any]) -> int:
    """Subscribe an observer and return how much it has heard when `subscribe` returns."""
    arrived = 0

    def on_next(item: Item) -> None:
        nonlocal arrived
        arrived += 1

    source.subscribe(on_next)
    return arrived


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_before_an_observer(name: str, race: Race) -> None:
    operator, goal = OPERATORS[name]
    ours = Contender(f"Rx from_iterable, map, {name} -> observer", lambda count: observed(chain(count).pipe(operator)))
    race(ours, Contender("Rx from_iterable, map -> observer", lambda count: observed(chain(count))), goal)


def through_subject(count: int, *operators: Any) -> int:
    arrived = 0

    def on_next(item: Item) -> None:
        nonlocal arrived
        arrived += 1

    subject: Subject[Item] = Subject()
    subject.pipe(*operators).subscribe(on_next)
    for index in range(count):
        subject.on_next(make_item(index))
    subject.on_completed()
    return arrived


def test_operator_behind_a_subject(race: Race) -> None:
    ours = Contender(
        "Rx Subject, on_backpressure_drop -> observer", lambda n: through_subject(n, on_backpressure_drop())
    )
    race(ours, Contender("Rx Subject -> observer", through_subject))


# ---------------------------------------------------------------------- to an event loop


async def taken(count: int) -> int:
    arrived = 0
    async for _ in chain(count).pipe(on_backpressure_buffer(None)):
        arrived += 1
    return arrived


async def taken_in_batches(count: int) -> int:
    arrived = 0
    async for batch in chain(count).pipe(on_backpressure_buffer(None)).batches(256):
        arrived += len(batch)
    return arrived


async def observed_on_the_loop(count: int) -> int:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    arrived = 0

    def on_next(item: Item) -> None:
        nonlocal arrived
        arrived += 1

    chain(count).pipe(ops.observe_on(AsyncIOScheduler(loop))).subscribe(
        on_next, ended.set_exception, lambda: ended.set_result(None)
    )
    await ended
    return arrived


@pytest.mark.parametrize(
    ("name", "hop", "count", "goal"),
    [("async for", taken, FEW, 18), ("batches", taken_in_batches, FEW, None)],
    ids=["items", "batches"],
)
def test_chain_to_the_loop(
    name: str, hop: Any, count: int, goal: float | None, race: Race, runner: asyncio.Runner
) -> None:
    """observe_on takes from the front of a list and slows with its length: with 20,000 items it is at its best."""
    ours = Contender(
        f"Rx from_iterable, map, on_backpressure_buffer -> {name}, {count:,}", lambda n: runner.run(hop(n)), count
    )
    peer = Contender(
        "Rx observe_on(AsyncIOScheduler) -> observer", lambda n: runner.run(observed_on_the_loop(n)), count
    )
    race(ours, peer, goal)
