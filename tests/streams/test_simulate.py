"""The simulation: what each strategy does to a slow reader, told step by step, and the same as a real stream does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.clock import sleep_until
from streams.errors import BufferOverflowError, SourceFailure
from streams.flux import Flux, FluxSink
from streams.reactive import UNBOUNDED
from streams.simulate import (
    DemandSchedule,
    DropReason,
    SlowReader,
    SourceSchedule,
    Step,
    StepKind,
    Trace,
    simulate,
)
from streams.source import Gaps, Pacing, Token, TokenSource, parse_source
from streams.strategy import BackpressureStrategy, BufferOverflow, EmitResult, Join, StreamStatistics
from streams.testing import TestSubscriber, VirtualClock
from streams.traces import Stage

__all__ = ()

NS_PER_MS = 1_000_000

MISSING, ERROR, DROP, LATEST = (
    BackpressureStrategy.MISSING,
    BackpressureStrategy.ERROR,
    BackpressureStrategy.DROP,
    BackpressureStrategy.LATEST,
)
buffer, reduce, suspend = BackpressureStrategy.buffer, BackpressureStrategy.reduce, BackpressureStrategy.suspend


def concat(held: str, incoming: str) -> str:
    return held + incoming


def every(gap_ms: float, items: str, *, error: Exception | None = None) -> SourceSchedule:
    """Emit one character after the other, and end one gap after the last."""
    return SourceSchedule([(gap_ms * i, item) for i, item in enumerate(items)], gap_ms * len(items), error)


def burst(items: str) -> SourceSchedule:
    return SourceSchedule([(0, item) for item in items], 0)


def at_ms(trace: Trace, kind: StepKind) -> list[tuple[float, Any]]:
    return [(step.at_ns / NS_PER_MS, step.item) for step in trace.of(kind)]


def told(trace: Trace) -> list[str]:
    """Write the steps down: "time kind item"."""
    return [f"{step.at_ns / NS_PER_MS:g} {step.kind.value} {detail(step)}".rstrip() for step in trace.steps]


def detail(step: Step) -> object:
    if step.kind is StepKind.DEMAND:
        return f"{step.n:+}"
    return type(step.error).__name__ if step.error is not None else step.item or ""


# The ten-message demo: one message every 10 ms, a reader that needs 25 ms for each.

TEN = every(10, "0123456789")

TEN_MESSAGES = {
    #                     what the reader got, and when           lost        merged  ended at
    "missing": (MISSING, "0@0 1@25 2@50 3@75 4@100 5@125 6@150 7@175 8@200 9@225", "", 0, 250),
    "error": (ERROR, "0@0", "1", 0, 25),
    "drop": (DROP, "0@0 3@30 6@60 9@90", "124578", 0, 115),
    "latest": (LATEST, "0@0 2@25 4@50 7@75 9@100", "13568", 0, 125),
    "buffer": (buffer(2), "0@0 1@25 2@50 3@75", "4", 0, 100),
    "reduce": (reduce(concat), "0@0 12@25 34@50 567@75 89@100", "", 5, 125),
    "suspend": (suspend(2), "0@0 1@25 2@50 3@75 4@100 5@125 6@150 7@175 8@200 9@225", "", 0, 250),
}


@pytest.mark.parametrize(("strategy", "delivered", "lost", "merged", "ended"), TEN_MESSAGES.values(), ids=TEN_MESSAGES)
def test_ten_messages_to_a_slow_reader(
    strategy: BackpressureStrategy, delivered: str, lost: str, merged: int, ended: float
) -> None:
    trace = simulate(strategy, TEN, SlowReader(busy_ms=25))
    assert " ".join(f"{item}@{ms:g}" for ms, item in at_ms(trace, StepKind.DELIVER)) == delivered
    assert "".join(step.item for step in trace.of(StepKind.DROP)) == lost
    assert trace.statistics.merged == len(trace.of(StepKind.MERGE)) == merged
    assert at_ms(trace, StepKind.TERMINAL) == [(ended, None)]


@pytest.mark.parametrize("strategy", [ERROR, buffer(2)], ids=lambda strategy: strategy.name)
def test_overflow_of_ten_messages_fails_with_the_item_that_found_no_room(strategy: BackpressureStrategy) -> None:
    trace = simulate(strategy, TEN, SlowReader(busy_ms=25))
    (lost,), (terminal,) = trace.of(StepKind.DROP), trace.of(StepKind.TERMINAL)
    assert isinstance(terminal.error, BufferOverflowError)
    assert terminal.error.item == lost.item
    assert lost.reason is DropReason.OVERFLOW
    assert trace.of(StepKind.EMIT)[-1].result is EmitResult.FAIL_OVERFLOW
    assert trace.of(StepKind.END) == []  # the source was stopped before


@pytest.mark.parametrize(
    ("overflow", "delivered", "lost"),
    [
        (BufferOverflow.DROP_OLDEST, "012589", "3467"),
        (BufferOverflow.DROP_INCOMING, "012347", "5689"),
        (BufferOverflow.DROP_NEWEST_HELD, "012369", "4578"),
    ],
    ids=lambda value: value.value if isinstance(value, BufferOverflow) else value,
)
def test_bounded_buffer_loses_what_its_rule_names(overflow: BufferOverflow, delivered: str, lost: str) -> None:
    reader = SlowReader(busy_ms=[15, 15, 35, 35, 0])
    trace = simulate(buffer(2, overflow), TEN, reader)
    assert "".join(step.item for step in trace.of(StepKind.DELIVER)) == delivered
    assert "".join(step.item for step in trace.of(StepKind.DROP)) == lost
    assert {step.reason for step in trace.of(StepKind.DROP)} == {DropReason.STRATEGY}


# The trace, step by step.


def test_drop_is_told_step_by_step() -> None:
    assert told(simulate(DROP, every(10, "abc"), SlowReader(busy_ms=15))) == [
        "0 demand +1",
        "0 emit a",
        "0 deliver a",
        "10 emit b",
        "10 drop b",
        "15 demand +1",
        "20 emit c",
        "20 deliver c",
        "30 end",
        "35 terminal",
    ]


def test_suspended_source_catches_up_but_is_never_early() -> None:
    assert told(simulate(suspend(), every(10, "abcd"), SlowReader(busy_ms=[25, 0]))) == [
        "0 demand +1",
        "0 emit a",
        "0 deliver a",
        "10 suspend b",
        "25 demand +1",
        "25 resume b",
        "25 emit b",
        "25 deliver b",
        "25 demand +1",
        "25 emit c",
        "25 deliver c",
        "25 demand +1",
        "30 emit d",
        "30 deliver d",
        "30 demand +1",
        "40 end",
        "40 terminal",
    ]


def test_reader_takes_back_the_demand_that_it_does_not_use_while_busy() -> None:
    assert told(simulate(DROP, every(10, "ab"), SlowReader(busy_ms=15, prefetch=8)))[:4] == [
        "0 demand +8",
        "0 emit a",
        "0 deliver a",
        "0 demand -7",
    ]


@pytest.mark.parametrize(("prefetch", "delivered"), [(1, "a"), (2, "ab"), (256, "abcd")])
def test_idle_reader_loses_what_a_burst_has_beyond_its_prefetch(prefetch: int, delivered: str) -> None:
    trace = simulate(DROP, burst("abcd"), SlowReader(prefetch=prefetch))
    assert "".join(step.item for step in trace.of(StepKind.DELIVER)) == delivered


def test_fold_is_delivered_as_one_item_and_each_part_told() -> None:
    trace = simulate(reduce(Join("".join)), burst("abcd"), DemandSchedule([(5, 1)]))
    assert told(trace) == [
        "0 emit a",
        "0 emit b",
        "0 merge b",
        "0 emit c",
        "0 merge c",
        "0 emit d",
        "0 merge d",
        "0 end",
        "5 demand +1",
        "5 deliver abcd",
        "5 terminal",
    ]


def test_subscriber_gets_what_it_requests_when_it_does() -> None:
    trace = simulate(buffer(None), burst("abcde"), DemandSchedule([(10, 2), (30, 1)]))
    assert at_ms(trace, StepKind.DELIVER) == [(10, "a"), (10, "b"), (30, "c")]
    assert trace.statistics == StreamStatistics(5, 3, 0, 0, 0, held=2, peak_held=5, demand=0)
    assert trace.of(StepKind.TERMINAL) == []


def test_request_of_an_instant_comes_before_the_item_of_that_instant() -> None:
    trace = simulate(DROP, every(10, "abc"), DemandSchedule([(10, 1)]))
    assert at_ms(trace, StepKind.DELIVER) == [(10, "b")]


def test_unbounded_demand_is_never_counted_down() -> None:
    trace = simulate(LATEST, every(10, "abc"), DemandSchedule([(0, UNBOUNDED), (5, 1)]))
    assert {step.demand for step in trace.steps} == {UNBOUNDED}
    assert trace.statistics.delivered == 3


def test_missing_delivers_to_a_subscriber_whatever_the_demand() -> None:
    trace = simulate(MISSING, burst("abc"), DemandSchedule([]))
    assert at_ms(trace, StepKind.DELIVER) == [(0, "a"), (0, "b"), (0, "c")]


def test_cancel_drops_what_is_held_and_refuses_the_source_that_waits() -> None:
    assert told(simulate(suspend(1), burst("abc"), DemandSchedule([], cancel_ms=5))) == [
        "0 emit a",
        "0 suspend b",
        "5 cancel",
        "5 drop a",
        "5 resume b",
        "5 emit b",
        "5 reject b",
    ]


def test_cancelled_source_emits_nothing_more() -> None:
    trace = simulate(MISSING, every(10, "abc"), SlowReader(cancel_ms=10))
    assert at_ms(trace, StepKind.EMIT) == [(0, "a")]
    assert trace.steps[-1].kind is StepKind.CANCEL


def test_consumer_leaves_behind_its_requests_of_that_instant() -> None:
    trace = simulate(buffer(4), burst("abc"), DemandSchedule([(5, 2)], cancel_ms=5))
    assert told(trace)[-5:] == ["5 demand +2", "5 deliver a", "5 deliver b", "5 cancel", "5 drop c"]


def test_source_that_was_stopped_does_not_end() -> None:
    trace = simulate(ERROR, every(10, "ab"), DemandSchedule([]), delay_error=False)
    assert told(trace) == ["0 emit a", "0 drop a", "0 terminal BufferOverflowError"]
    trace = simulate(ERROR, every(10, "ab"), SlowReader(busy_ms=50))
    assert told(trace)[-3:] == ["10 emit b", "10 drop b", "50 terminal BufferOverflowError"]


def test_cancel_after_the_terminal_is_nothing() -> None:
    trace = simulate(DROP, every(10, "a"), SlowReader(cancel_ms=20))
    assert trace.of(StepKind.CANCEL) == []


@pytest.mark.parametrize(("delay_error", "delivered", "lost"), [(True, "abc", ""), (False, "a", "bc")])
def test_error_of_the_source_waits_or_overtakes(delay_error: bool, delivered: str, lost: str) -> None:
    failure = RuntimeError("the model hung up")
    trace = simulate(buffer(8), every(10, "abc", error=failure), SlowReader(busy_ms=50), delay_error=delay_error)
    assert "".join(step.item for step in trace.of(StepKind.DELIVER)) == delivered
    assert "".join(step.item for step in trace.of(StepKind.DROP)) == lost
    assert all(step.reason is DropReason.ERROR for step in trace.of(StepKind.DROP))
    assert [step.error for step in trace.of(StepKind.END, StepKind.TERMINAL)] == [failure, failure]


def test_item_is_dropped_when_it_reaches_its_age_limit() -> None:
    trace = simulate(buffer(8), every(10, "abcd"), SlowReader(busy_ms=45), ttl_ns=20 * NS_PER_MS)
    assert at_ms(trace, StepKind.DROP) == [(30, "b"), (40, "c")]
    assert {step.reason for step in trace.of(StepKind.DROP)} == {DropReason.AGE}
    assert at_ms(trace, StepKind.DELIVER) == [(0, "a"), (45, "d")]


def test_item_at_its_age_limit_is_too_old_for_a_request_of_that_instant() -> None:
    trace = simulate(buffer(8), burst("a"), DemandSchedule([(20, 1)]), ttl_ns=20 * NS_PER_MS)
    assert at_ms(trace, StepKind.DROP) == [(20, "a")]


def test_promise_taken_back_leaves_an_item_past_its_age_that_is_dropped_at_once() -> None:
    reader = SlowReader(busy_ms=[30, 0])
    trace = simulate(buffer(8), burst("abc"), reader, ttl_ns=20 * NS_PER_MS)
    assert at_ms(trace, StepKind.DROP) == [(20, "b"), (20, "c")]


# A reducer that raises.


def refuse(*_: object) -> str:
    raise ArithmeticError("cannot fold")


def test_reducer_that_raises_fails_the_stream_behind_the_held_item() -> None:
    trace = simulate(reduce(refuse), burst("abc"), DemandSchedule([(5, 1)]))
    assert told(trace) == [
        "0 emit a",
        "0 emit b",
        "0 drop b",
        "5 demand +1",
        "5 deliver a",
        "5 terminal ArithmeticError",
    ]
    assert trace.of(StepKind.DROP)[0].reason is DropReason.ERROR


@pytest.mark.parametrize("consumer", [DemandSchedule([(5, 3)]), SlowReader(busy_ms=[5])], ids=["subscriber", "reader"])
def test_join_that_raises_loses_the_fold_and_fails_the_stream(consumer: SlowReader | DemandSchedule) -> None:
    source = SourceSchedule([(1, "a"), (2, "b"), (3, "c")])
    trace = simulate(reduce(Join(refuse)), source, consumer)
    assert [(step.item, step.reason) for step in trace.of(StepKind.DROP)] == [(None, DropReason.ERROR)]
    assert isinstance(trace.of(StepKind.TERMINAL)[0].error, ArithmeticError)
    assert recounted(trace) == trace.statistics


def test_join_that_raises_after_the_source_failed_is_raised() -> None:
    source = SourceSchedule([(0, "a"), (0, "b")], 0, RuntimeError("the source came first"))
    with pytest.raises(ArithmeticError):
        simulate(reduce(Join(refuse)), source, DemandSchedule([(5, 1)]))


# The trace is complete.


def recounted(trace: Trace) -> StreamStatistics:
    """Count the steps, and nothing else."""
    demand = 0
    for step in trace.steps:
        if step.kind is StepKind.DEMAND:
            demand = min(demand + step.n, UNBOUNDED)
        elif step.kind is StepKind.DELIVER and demand < UNBOUNDED:
            demand = max(0, demand - 1)
    kinds = (StepKind.EMIT, StepKind.DELIVER, StepKind.DROP, StepKind.MERGE, StepKind.REJECT)
    emitted, delivered, dropped, merged, rejected = (len(trace.of(kind)) for kind in kinds)
    held = emitted - delivered - dropped - merged - rejected
    peak_held = max((step.held for step in trace.steps), default=0)
    return StreamStatistics(emitted, delivered, dropped, merged, rejected, held, peak_held, demand)


STRATEGIES = st.one_of(
    st.sampled_from([MISSING, ERROR, DROP, LATEST, reduce(concat), reduce(Join("".join), 3), reduce(refuse)]),
    st.sampled_from([rule for rule in BufferOverflow if rule is not BufferOverflow.SUSPEND]).flatmap(
        lambda rule: st.builds(buffer, st.sampled_from([None, 1, 2, 5]), st.just(rule))
    ),
    st.builds(suspend, st.integers(0, 3)),
)
TIMES_MS = st.lists(st.integers(0, 30), max_size=12).map(sorted)
MAYBE_MS = st.none() | st.integers(0, 40)
SOURCES = st.builds(
    lambda times, lasts, error: SourceSchedule(
        [(ms, f"{place};") for place, ms in enumerate(times)],
        None if lasts is None else max([0, *times]) + lasts,
        error if lasts is not None else None,
    ),
    TIMES_MS,
    MAYBE_MS,
    st.none() | st.just(SourceFailure(1)),
)
CONSUMERS = st.builds(
    SlowReader, st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 4), MAYBE_MS
) | st.builds(
    lambda times, counts, cancel: DemandSchedule(list(zip(times, counts, strict=False)), cancel),
    TIMES_MS,
    st.lists(st.integers(1, 3) | st.just(UNBOUNDED), max_size=12),
    MAYBE_MS,
)


@given(STRATEGIES, SOURCES, CONSUMERS, st.booleans(), st.sampled_from([None, 1, 5 * NS_PER_MS]))
@pytest.mark.slow
def test_steps_count_up_to_the_statistics(
    strategy: BackpressureStrategy,
    source: SourceSchedule,
    consumer: SlowReader | DemandSchedule,
    delay_error: bool,
    ttl_ns: int | None,
) -> None:
    ttl_ns = None if strategy.reducer is not None or strategy is MISSING else ttl_ns
    trace = simulate(strategy, source, consumer, delay_error=delay_error, ttl_ns=ttl_ns)
    assert recounted(trace) == trace.statistics
    assert [step.at_ns for step in trace.steps] == sorted(step.at_ns for step in trace.steps)


@given(STRATEGIES, SOURCES, CONSUMERS)
@pytest.mark.slow
def test_nothing_follows_a_terminal_but_what_it_took_along(
    strategy: BackpressureStrategy, source: SourceSchedule, consumer: SlowReader | DemandSchedule
) -> None:
    trace = simulate(strategy, source, consumer)
    last = next((i for i, step in enumerate(trace.steps) if step.kind in (StepKind.TERMINAL, StepKind.CANCEL)), None)
    if last is not None:
        after = {step.kind for step in trace.steps[last + 1 :]}
        assert after <= {StepKind.DROP, StepKind.RESUME, StepKind.EMIT, StepKind.REJECT}


def test_every_kind_of_step_has_its_stage() -> None:
    stages = {stage: [kind.value for kind in StepKind if kind.stage is stage] for stage in Stage}
    assert stages == {
        Stage.SOURCE: ["suspend", "resume", "emit", "end"],
        Stage.BOUNDARY: ["drop", "merge", "reject"],
        Stage.CONSUMER: ["demand", "deliver", "terminal", "cancel"],
    }


# A token source as a schedule.


def test_schedule_of_tokens_has_their_times() -> None:
    source = parse_source("counter", count=3, pacing=Pacing(rate=20, ttft_ms=7))
    schedule = SourceSchedule.of_tokens(source)
    due_ns = [7 * NS_PER_MS, 57 * NS_PER_MS, 107 * NS_PER_MS]
    assert schedule.emissions == [(ns / NS_PER_MS, Token(i, str(i), ns, ns)) for i, ns in enumerate(due_ns)]
    assert (schedule.end_ms, schedule.error) == (107, None)


def test_unpaced_tokens_come_together() -> None:
    schedule = SourceSchedule.of_tokens(parse_source("counter", count=3))
    assert [ms for ms, _ in schedule.emissions] == [0, 0, 0]


def test_token_times_survive_the_way_through_milliseconds() -> None:
    source = parse_source("counter", count=200, pacing=Pacing(rate=37, gaps=Gaps.POISSON, seed=5))
    trace = simulate(MISSING, SourceSchedule.of_tokens(source), DemandSchedule([]))
    assert [step.at_ns for step in trace.of(StepKind.EMIT)] == [step.item.due_ns for step in trace.of(StepKind.EMIT)]


def test_faults_of_a_token_source_become_its_end() -> None:
    failing = SourceSchedule.of_tokens(parse_source("counter", fail_after=2))
    hanging = SourceSchedule.of_tokens(parse_source("counter", hang_after=2))
    assert (len(failing.emissions), failing.end_ms, str(failing.error)) == (2, 0, str(SourceFailure(2)))
    assert (len(hanging.emissions), hanging.end_ms, hanging.error) == (2, None, None)


@pytest.mark.parametrize("fault", ["fail_after", "hang_after"])
def test_fault_beyond_the_last_token_never_comes(fault: str) -> None:
    source = TokenSource(["a", "b"], **{fault: 3})  # type: ignore[arg-type]
    schedule = SourceSchedule.of_tokens(source)
    assert (schedule.end_ms, schedule.error) == (0, None)


# What is refused.


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: SourceSchedule([(5, "a"), (4, "b")]), ValueError, "emissions and end_ms .* got 4 after 5"),
        (lambda: SourceSchedule([(-1, "a")]), ValueError, "emissions and end_ms .* got -1"),
        (lambda: SourceSchedule([(float("nan"), "a")]), ValueError, "emissions and end_ms .* got nan"),
        (lambda: SourceSchedule([(float("inf"), "a")]), ValueError, "emissions and end_ms .* got inf"),
        (lambda: SourceSchedule([(True, "a")]), TypeError, "emissions and end_ms .* got True"),
        (lambda: SourceSchedule([("1", "a")]), TypeError, "emissions and end_ms .* got '1'"),  # type: ignore[list-item]
        (lambda: SourceSchedule([(5, "a")], 4), ValueError, "emissions and end_ms .* got 4 after 5"),
        (lambda: SourceSchedule([], 4, "x"), TypeError, "error must be an Exception"),  # type: ignore[arg-type]
        (lambda: SourceSchedule([], None, ValueError()), ValueError, "error needs end_ms"),
        (lambda: SourceSchedule(5), TypeError, "emissions must be a sequence of \\(at_ms, item\\); got 5"),  # type: ignore[arg-type]
        (lambda: SourceSchedule([5]), TypeError, "emissions must be a sequence of \\(at_ms, item\\); got one with 5"),  # type: ignore[list-item]
        (lambda: SourceSchedule([(1, 2, 3)]), TypeError, "emissions must be .* got one with \\(1, 2, 3\\)"),  # type: ignore[list-item]
        (lambda: SourceSchedule.of_tokens("demo"), TypeError, "source must be a TokenSource; got 'demo'"),  # type: ignore[arg-type]
        (lambda: DemandSchedule(3), TypeError, "requests must be a sequence of \\(at_ms, n\\); got 3"),  # type: ignore[arg-type]
        (lambda: SlowReader(busy_ms=[]), ValueError, "busy_ms .* got \\[\\]"),
        (lambda: SlowReader(busy_ms=-1), ValueError, "busy_ms .* got -1"),
        (lambda: SlowReader(busy_ms="1"), TypeError, "busy_ms .* got '1'"),  # type: ignore[arg-type]
        (lambda: SlowReader(prefetch=0), ValueError, "prefetch .* got 0"),
        (lambda: SlowReader(cancel_ms=-1), ValueError, "cancel_ms .* got -1"),
        (lambda: DemandSchedule([(2, 1), (1, 1)]), ValueError, "requests .* got 1 after 2"),
        (lambda: DemandSchedule([(0, 0)]), ValueError, "the n of requests .* got 0"),
        (lambda: DemandSchedule([], True), TypeError, "cancel_ms .* got True"),
        (lambda: simulate("drop", TEN, SlowReader()), TypeError, "strategy must be"),  # type: ignore[arg-type]
        (lambda: simulate(DROP, "abc", SlowReader()), TypeError, "source must be"),  # type: ignore[arg-type]
        (lambda: simulate(DROP, TEN, 25), TypeError, "consumer must be"),  # type: ignore[arg-type]
        (lambda: simulate(buffer(1), TEN, SlowReader(), ttl_ns=0), ValueError, "ttl_ns .* got 0"),
    ],
)
def test_senseless_argument_is_refused_by_name(make: Callable[[], object], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        make()


# The simulation does what a real stream does.

FAULT = RuntimeError("the model hung up")
REAL_STRATEGIES = {
    "error": ERROR,
    "drop": DROP,
    "latest": LATEST,
    "missing": MISSING,
    "buffer": buffer(2, BufferOverflow.DROP_OLDEST),
    "buffer_error": buffer(2),
    "unbounded": buffer(None),
    "reduce": reduce(concat),
    "rendezvous": suspend(),
    "suspend": suspend(2),
}
REAL_SOURCES = {
    "steady": TEN,
    "failing": every(7, "abcdefgh", error=FAULT),
    "bursts": SourceSchedule([(0, "a"), (0, "b"), (0, "c"), (40, "d"), (40, "e"), (41, "f"), (200, "g")], 200),
}
REAL_READERS = {
    "slow": SlowReader(busy_ms=24),
    "uneven": SlowReader(busy_ms=[1, 55, 0, 3], prefetch=2),
    "leaving": SlowReader(busy_ms=13, prefetch=2, cancel_ms=62),
}

Heard = list[tuple[int, Any]]


def produced(source: SourceSchedule, clock: VirtualClock) -> Callable[[FluxSink[Any]], Any]:
    async def produce(sink: FluxSink[Any]) -> None:
        for ms, item in source.emissions:
            await sleep_until(clock, round(ms * NS_PER_MS))
            if (await sink.send(item)).name.startswith("FAIL_"):
                return
        assert source.end_ms is not None
        await sleep_until(clock, round(source.end_ms * NS_PER_MS))
        if source.error is not None:
            raise source.error

    return produce


async def read(flux: Flux[Any], reader: SlowReader, clock: VirtualClock, heard: Heard) -> StreamStatistics:
    """Do for real what a SlowReader does, and note when what came."""
    batches = flux.batches(1, reader.prefetch)
    if reader.cancel_ms is not None:
        clock.call_at(round(reader.cancel_ms * NS_PER_MS), lambda: leave(batches))
    busy = reader.busy_ns()
    try:
        async for (item,) in batches:
            heard.append((clock.now_ns(), item))
            await sleep_until(clock, clock.now_ns() + next(busy))
        heard.append((clock.now_ns(), None))
    except (RuntimeError, BufferOverflowError) as error:
        heard.append((clock.now_ns(), repr(error)))
    return batches.statistics


_LEAVING: set[asyncio.Task[None]] = set()


def leave(batches: Any) -> None:
    task = asyncio.ensure_future(batches.aclose())
    _LEAVING.add(task)
    task.add_done_callback(_LEAVING.discard)


def heard_in(trace: Trace) -> Heard:
    steps = trace.of(StepKind.DELIVER, StepKind.TERMINAL)
    return [(step.at_ns, repr(step.error) if step.error is not None else step.item) for step in steps]


@pytest.mark.parametrize("reader", REAL_READERS.values(), ids=REAL_READERS)
@pytest.mark.parametrize("source", REAL_SOURCES.values(), ids=REAL_SOURCES)
@pytest.mark.parametrize("strategy", REAL_STRATEGIES.values(), ids=REAL_STRATEGIES)
async def test_simulation_equals_a_real_flux_and_its_reader(
    strategy: BackpressureStrategy, source: SourceSchedule, reader: SlowReader
) -> None:
    clock, heard = VirtualClock(), Heard()
    reading = asyncio.ensure_future(read(Flux.create(produced(source, clock), strategy), reader, clock, heard))
    await clock.run_until_idle()
    trace = simulate(strategy, source, reader)
    assert await reading == trace.statistics
    if reader.cancel_ms is not None and not trace.of(StepKind.TERMINAL):
        heard = [(at_ns, item) for at_ns, item in heard if item is not None]  # the loop that was left ends, too
    assert heard == heard_in(trace)


@pytest.mark.parametrize("source", REAL_SOURCES.values(), ids=REAL_SOURCES)
@pytest.mark.parametrize("strategy", REAL_STRATEGIES.values(), ids=REAL_STRATEGIES)
async def test_simulation_equals_a_real_flux_and_its_subscriber(
    strategy: BackpressureStrategy, source: SourceSchedule
) -> None:
    demand = DemandSchedule([(0, 1), (25, 2), (33, 1), (55, 4)], cancel_ms=58)
    clock, subscriber = VirtualClock(), TestSubscriber[Any](0)
    Flux.create(produced(source, clock), strategy).subscribe(subscriber)
    assert subscriber.subscription is not None
    subscriber.request(1)
    for ms, n in demand.requests[1:]:
        clock.call_at(round(ms * NS_PER_MS), lambda n=n: subscriber.request(n))  # type: ignore[misc]
    clock.call_at(58 * NS_PER_MS, subscriber.cancel)
    await clock.run_until_idle()
    trace = simulate(strategy, source, demand)
    assert subscriber.values == [step.item for step in trace.of(StepKind.DELIVER)]
    assert subscriber.terminated == bool(trace.of(StepKind.TERMINAL))
    assert [repr(step.error) for step in trace.of(StepKind.TERMINAL)] in ([], [repr(subscriber.error)])
    assert subscriber.violations == [] or strategy is MISSING
    assert subscriber.subscription.statistics == trace.statistics
