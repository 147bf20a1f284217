"""Where the Rx variant and the Flux variant differ unless told otherwise, and where they agree: one table.

A schedule is a row of signals, and so is an outcome:

    a b c   items            |   completion          r2   the consumer requests 2
    #       source's error   x   the consumer cancels     (nothing is requested unless a schedule says so)
    !       overflow error   ?   ValueError of a bad request      *   what a callback raised

Source: the defaults of RxJava 3 and Reactor 3.8, which differ for the buffer and agree for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import add
from typing import Any, NamedTuple

import pytest

from streams import (
    BackpressureStrategy,
    BufferOverflow,
    BufferOverflowError,
    EmitResult,
    Flowable,
    FlowableEmitter,
    Flux,
    FluxSink,
    Join,
    StreamStatistics,
)
from streams.testing import TestSubscriber
from tests.streams.conformance.by_hand import CREATORS, OPERATORS, ByHand

__all__ = ()


class SourceError(Exception):
    """`#` in a schedule."""


class CallbackError(Exception):
    """What a callback raises."""


SIGNS: dict[type[Exception], str] = {
    SourceError: "#",
    BufferOverflowError: "!",
    ValueError: "?",
    CallbackError: "*",
}


class Outcome(NamedTuple):
    """What came of a schedule.

    Attributes:
        heard: the signals that the consumer heard, in the notation of a schedule.
        dropped: the items that `on_drop` heard of, in order.
    """

    heard: str
    dropped: str = ""


class Row(NamedTuple):
    """One schedule through one operator, or strategy of `create`.

    Attributes:
        name: the rule it shows.
        what: the operator, or "create".
        options: its arguments, or the strategy under "strategy".
        schedule: the signals.
        rx: what comes of it in the Rx variant.
        flux: what comes of it in the Flux variant; None: the same.
    """

    name: str
    what: str
    options: dict[str, Any]
    schedule: str
    rx: Outcome
    flux: Outcome | None = None


def fail(*_: object) -> Any:
    raise CallbackError


def fail_at(bad: str) -> Callable[[str], None]:
    def fail_if_bad(item: str) -> None:
        if item == bad:
            raise CallbackError

    return fail_if_bad


BUFFER, DROP, LATEST = "on_backpressure_buffer", "on_backpressure_drop", "on_backpressure_latest"
ERROR, REDUCE = "on_backpressure_error", "on_backpressure_reduce"
OLDEST, INCOMING, NEWEST = BufferOverflow.DROP_OLDEST, BufferOverflow.DROP_INCOMING, BufferOverflow.DROP_NEWEST_HELD


def held(capacity: int | None, **options: Any) -> dict[str, Any]:
    return {"capacity": capacity, **options}


def create(strategy: BackpressureStrategy, **options: Any) -> dict[str, Any]:
    return {"strategy": strategy, **options}


def buffer_of(capacity: int | None, overflow: BufferOverflow = BufferOverflow.ERROR) -> dict[str, Any]:
    return create(BackpressureStrategy.buffer(capacity, overflow))


# fmt: off
DIFFERENT = [
    Row("a source error overtakes in Rx and waits in Flux", BUFFER, held(8), "a b # r9",
        Outcome("#", "a b"), Outcome("a b #")),
    Row("so it does without a bound", BUFFER, held(None), "a b # r9", Outcome("#", "a b"), Outcome("a b #")),
    Row("an overflow error likewise; the rejected item is lost first", BUFFER, held(2), "a b c r9",
        Outcome("!", "c a b"), Outcome("a b !", "c")),
    Row("and is not heard in Flux before they are taken", BUFFER, held(3), "a b c d",
        Outcome("!", "d a b c"), Outcome("", "d")),
    Row("whatever the overflow rule: DROP_OLDEST", BUFFER, held(2, overflow=OLDEST), "a b # r9",
        Outcome("#", "a b"), Outcome("a b #")),
    Row("DROP_INCOMING", BUFFER, held(2, overflow=INCOMING), "a b # r9", Outcome("#", "a b"), Outcome("a b #")),
    Row("DROP_NEWEST_HELD", BUFFER, held(2, overflow=NEWEST), "a b # r9", Outcome("#", "a b"), Outcome("a b #")),
    Row("what on_drop raises, as any error", BUFFER, held(1, overflow=INCOMING, on_drop=fail_at("b")), "a b r9",
        Outcome("*"), Outcome("a *")),
]

AGREED = [
    # delay_error, where it is said
    Row("delay_error=True holds a source error back", BUFFER, held(8, delay_error=True), "a b # r9", Outcome("a b #")),
    Row("and an overflow error", BUFFER, held(2, delay_error=True), "a b c r9", Outcome("a b !", "c")),
    Row("delay_error=False lets a source error overtake", BUFFER, held(8, delay_error=False), "a b # r9",
        Outcome("#", "a b")),
    Row("and an overflow error", BUFFER, held(2, delay_error=False), "a b c r9", Outcome("!", "c a b")),
    # overflow: no name means two things
    Row("DROP_OLDEST loses the oldest held item", BUFFER, held(2, overflow=OLDEST), "a b c d r9 |",
        Outcome("c d |", "a b")),
    Row("DROP_INCOMING loses the incoming one (Reactor's DROP_LATEST)", BUFFER, held(2, overflow=INCOMING),
        "a b c d r9 |", Outcome("a b |", "c d")),
    Row("DROP_NEWEST_HELD the newest held one (RxJava's DROP_LATEST)", BUFFER, held(2, overflow=NEWEST),
        "a b c d r9 |", Outcome("a d |", "b c")),
    Row("a capacity is exact", BUFFER, held(3), "a b c", Outcome("")),
    Row("demand makes room beyond capacity", BUFFER, held(1), "r2 a b c r1 |", Outcome("a b c |")),
    # drop, latest, error, reduce
    Row("drop loses what nobody asked for", DROP, {}, "a r1 b c |", Outcome("b |", "a c")),
    Row("drop passes an error on at once", DROP, {}, "a #", Outcome("#", "a")),
    Row("latest keeps the newest", LATEST, {}, "a b c r1", Outcome("c", "a b")),
    Row("latest: a source error overtakes the held item", LATEST, {}, "a b # r9", Outcome("#", "a b")),
    Row("latest: completion waits for it", LATEST, {}, "a b |", Outcome("", "a")),
    Row("latest: and comes with it", LATEST, {}, "a b | r1", Outcome("b |", "a")),
    Row("reduce folds into one", REDUCE, {"reducer": add}, "a b c r1 d", Outcome("abc")),
    Row("reduce: a source error overtakes the fold", REDUCE, {"reducer": add}, "a b # r9", Outcome("#")),
    Row("reduce: completion waits for it", REDUCE, {"reducer": add}, "a b | r1", Outcome("ab |")),
    Row("reduce: max_merged overflows as error, which overtakes", REDUCE, {"reducer": add, "max_merged": 2},
        "a b c r9", Outcome("!")),
    Row("reduce: a Join folds when taken", REDUCE, {"reducer": Join("".join)}, "a b c r1 |", Outcome("abc |")),
    Row("reduce: what the reducer raises overtakes", REDUCE, {"reducer": fail}, "a b r9", Outcome("*")),
    Row("error fails at what nobody asked for", ERROR, {}, "r1 a b", Outcome("a !")),
    # terminals
    Row("completion needs no demand when nothing is held", BUFFER, held(8), "|", Outcome("|")),
    Row("an error needs none either", BUFFER, held(8), "#", Outcome("#")),
    Row("completion waits for held items", BUFFER, held(8), "a | r1", Outcome("a |")),
    Row("and is not heard before", BUFFER, held(8), "a b | r1", Outcome("a")),
    Row("nothing follows completion", BUFFER, held(8), "r9 | a b |", Outcome("|")),
    Row("nothing follows an error", BUFFER, held(8), "r9 # a |", Outcome("#")),
    Row("nothing follows an overflow error", ERROR, {}, "a r9 b |", Outcome("!")),
    # cancel, bad requests, callbacks
    Row("cancel drops what is held", BUFFER, held(8), "r1 a b c x r9", Outcome("a", "b c")),
    Row("nothing follows cancel", BUFFER, held(8), "r9 a x b |", Outcome("a")),
    Row("cancel under drop", DROP, {}, "r9 a x b |", Outcome("a")),
    Row("cancel under latest", LATEST, {}, "a x r9 b |", Outcome("", "a")),
    Row("request(0) is an error, which overtakes (rule 3.9)", BUFFER, held(8, delay_error=True), "a b r0 r9",
        Outcome("?", "a b")),
    Row("request(0) after the end is nothing", BUFFER, held(8), "| r0", Outcome("|")),
    Row("what on_drop raises is the terminal under drop", DROP, {"on_drop": fail_at("a")}, "a b r9", Outcome("*")),
    Row("and under latest, where it overtakes", LATEST, {"on_drop": fail_at("a")}, "a b r9", Outcome("*")),
    Row("beside an overflow error it is only the cause", BUFFER, held(1, delay_error=True, on_drop=fail_at("b")),
        "a b r9", Outcome("a !")),
    # create() delivers what is held before an error, in both
    Row("buffer: held items, then the source's error", "create", buffer_of(None), "a b # r9", Outcome("a b #")),
    Row("buffer: held items, then the overflow error", "create", buffer_of(2), "a b c r9", Outcome("a b !", "c")),
    Row("buffer, DROP_OLDEST: held items, then the error", "create", buffer_of(2, OLDEST), "a b c # r9",
        Outcome("b c #", "a")),
    Row("latest: the held item, then the error (unlike the operator)", "create", create(BackpressureStrategy.LATEST),
        "a b # r9", Outcome("b #", "a")),
    Row("reduce: the fold, then the error (unlike the operator)", "create", create(BackpressureStrategy.reduce(add)),
        "a b # r9", Outcome("ab #")),
    Row("drop: the error at once", "create", create(BackpressureStrategy.DROP), "a #", Outcome("#", "a")),
    Row("error: the overflow at once", "create", create(BackpressureStrategy.ERROR), "a r9 b", Outcome("!", "a")),
    Row("missing: passed on without demand", "create", create(BackpressureStrategy.MISSING), "a r1 b c |",
        Outcome("a b c |")),
    Row("what on_drop raises comes behind the held items", "create",
        create(BackpressureStrategy.buffer(1, INCOMING), on_drop=fail_at("b")), "a b r9", Outcome("a *")),
]
# fmt: on


def open_stream(library: str, row: Row, on_drop: Callable[[Any], object]) -> ByHand:
    options = dict(row.options)
    if row.what not in (ERROR, REDUCE):
        options.setdefault("on_drop", on_drop)
    if row.what == "create":
        return CREATORS["Flux.create" if library == "Flux" else "Flowable.create"](**options)
    return OPERATORS[library](row.what, **options)


def play(library: str, row: Row) -> Outcome:
    """Run the schedule of `row` through the variant of `library`."""
    dropped: list[str] = []
    stream, subscriber = open_stream(library, row, dropped.append), TestSubscriber[str](0)
    stream.publisher.subscribe(subscriber)
    for signal in row.schedule.split():
        if signal == "|":
            stream.complete()
        elif signal == "#":
            stream.fail(SourceError())
        elif signal == "x":
            subscriber.cancel()
        elif signal.startswith("r"):
            subscriber.request(int(signal[1:]))
        else:
            stream.next(signal)
    terminal = ["|"] if subscriber.completed else [] if subscriber.error is None else [SIGNS[type(subscriber.error)]]
    if row.options.get("strategy") is not BackpressureStrategy.MISSING:
        assert subscriber.violations == []
    assert_nothing_is_lost_uncounted(subscriber)
    return Outcome(" ".join([*subscriber.values, *terminal]), " ".join(dropped))


def assert_nothing_is_lost_uncounted(subscriber: TestSubscriber[str]) -> None:
    assert subscriber.subscription is not None
    counts: StreamStatistics = subscriber.subscription.statistics
    parts = counts.delivered + counts.dropped + counts.merged + counts.rejected + counts.held
    assert counts.emitted == parts
    assert counts.delivered == len(subscriber.values)


def named(row: Row) -> str:
    return f"{row.what.removeprefix('on_backpressure_')}: {row.name}"


@pytest.mark.parametrize("row", DIFFERENT, ids=named)
async def test_the_variants_differ_by_default(row: Row) -> None:
    assert play("Rx", row) == row.rx
    assert play("Flux", row) == row.flux
    assert row.rx != row.flux


@pytest.mark.parametrize("row", AGREED, ids=named)
async def test_the_variants_agree(row: Row) -> None:
    assert play("Rx", row) == row.rx
    assert play("Flux", row) == row.rx


# --- What no schedule can show -------------------------------------------------------------------------------------


async def test_suspend_is_refused_where_the_producer_cannot_wait() -> None:
    for strategy in (BackpressureStrategy.suspend(), BackpressureStrategy.buffer(4, BufferOverflow.SUSPEND)):
        with pytest.raises(ValueError, match=r"use Flux\.create"):
            Flowable.create(fail, strategy)

        sinks: list[FluxSink[str]] = []
        Flux.create(sinks.append, strategy).subscribe(TestSubscriber(0))
        for _ in range(strategy.capacity or 0):
            sinks[0].next("held")
        assert sinks[0].next("no room") is EmitResult.WOULD_SUSPEND


async def test_a_sink_says_what_came_of_an_item_and_an_emitter_does_not() -> None:
    sinks: list[FluxSink[str]] = []
    emitters: list[FlowableEmitter[str]] = []
    Flux.create(sinks.append, BackpressureStrategy.DROP).subscribe(TestSubscriber(1))
    Flowable.create(emitters.append, BackpressureStrategy.DROP).subscribe(TestSubscriber(1))

    assert [sinks[0].next(item) for item in "ab"] == [EmitResult.OK, EmitResult.DROPPED]
    for item in "ab":
        emitters[0].on_next(item)
    assert emitters[0].statistics == sinks[0].statistics


@pytest.mark.parametrize("library", CREATORS)
@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_a_late_error_is_reported_by_both(library: str, end: str, loop_errors: list[dict[str, Any]]) -> None:
    stream, subscriber, late = CREATORS[library](BackpressureStrategy.DROP), TestSubscriber[str](), SourceError()
    stream.publisher.subscribe(subscriber)
    ends: dict[str, Callable[[], object]] = {
        "complete": stream.complete,
        "fail": lambda: stream.fail(CallbackError()),
        "cancel": subscriber.cancel,
    }
    ends[end]()

    stream.fail(late)

    assert [context["exception"] for context in loop_errors] == [late]


@pytest.mark.parametrize("library", CREATORS)
async def test_a_subscriber_that_raises_is_cancelled_by_both(library: str, loop_errors: list[dict[str, Any]]) -> None:
    class Raises(TestSubscriber[str]):
        def on_next(self, item: str) -> None:
            super().on_next(item)
            raise CallbackError

    stream, subscriber = CREATORS[library](BackpressureStrategy.buffer(None)), Raises()
    stream.publisher.subscribe(subscriber)

    for item in "ab":
        stream.next(item)
    stream.complete()

    assert (subscriber.values, subscriber.terminated) == (["a"], False)
    assert [type(context["exception"]) for context in loop_errors] == [CallbackError]


@pytest.mark.parametrize("library", CREATORS)
async def test_neither_chooses_a_strategy(library: str) -> None:
    with pytest.raises(TypeError, match="strategy"):
        CREATORS[library]()  # type: ignore[call-arg]


async def test_a_flux_needs_a_running_loop_and_a_flowable_does_not() -> None:
    def subscribe_without_a_loop(stream: Flux[str] | Flowable[str]) -> list[str]:
        subscriber: TestSubscriber[str] = TestSubscriber()
        stream.subscribe(subscriber)
        return subscriber.values

    flowable = Flowable.create(lambda emitter: emitter.on_next("a"), BackpressureStrategy.DROP)
    assert await asyncio.to_thread(subscribe_without_a_loop, flowable) == ["a"]
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        await asyncio.to_thread(subscribe_without_a_loop, Flux.just("a"))
