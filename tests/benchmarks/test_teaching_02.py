"""Lesson 02: the tape tells of real streams what the simulation tells on paper."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.teaching.lesson_02 import BUSY_MS, TEN, Tape, Way, draw_tapes
from streams import BackpressureStrategy, Emitter, Flowable, FlowableEmitter, Flux, FluxSink
from streams.marbles import Wait, diagram_of
from streams.simulate import SlowReader, SourceSchedule, simulate

__all__ = ()


async def emitted(busy_ms: float = BUSY_MS) -> Tape:
    tape = Tape(busy_ms)
    emitter: Emitter[Any] = Emitter(clock=tape.clock)
    emitter.attach(tape.read)
    emitter.on_completion(tape.end)

    async def produce() -> None:
        await tape.play(TEN, emitter.send)
        emitter.complete()

    await tape.run(produce())
    return tape


async def fluxed(strategy: BackpressureStrategy, busy_ms: float = BUSY_MS) -> Tape:
    tape = Tape(busy_ms)

    async def produce(sink: FluxSink[Any]) -> None:
        await tape.play(TEN, sink.send)

    await tape.run(tape.read_all(Flux.create(produce, strategy)))
    return tape


async def flowed(strategy: BackpressureStrategy, busy_ms: float = BUSY_MS) -> Tape:
    tape = Tape(busy_ms)

    def produce(emitter: FlowableEmitter[Any]) -> None:
        async def work() -> None:
            await tape.play(TEN, emitter.on_next)
            emitter.on_completed()

        tape.start(work())

    await tape.run(tape.read_all(Flowable.create(produce, strategy)))
    return tape


@pytest.mark.parametrize(
    ("stream", "strategy"),
    [
        (fluxed, BackpressureStrategy.suspend(2)),
        (fluxed, BackpressureStrategy.suspend()),
        (flowed, BackpressureStrategy.buffer(None)),
    ],
    ids=["suspend(2)", "suspend(0)", "unbounded"],
)
@pytest.mark.parametrize("busy_ms", [0, 6, 24, 40])
async def test_tape_of_a_real_stream_is_the_simulated_one(
    stream: Callable[..., Any], strategy: BackpressureStrategy, busy_ms: float
) -> None:
    tape = await stream(strategy, busy_ms)
    on_paper = diagram_of(simulate(strategy, SourceSchedule.of_tokens(TEN), SlowReader(busy_ms)))
    drawn = tape.diagram()
    for mine, theirs in ((drawn.lanes[0], on_paper.lanes[0]), (drawn.lanes[-1], on_paper.lanes[-1])):
        assert [(m.at_ms, m.label) for m in mine.marbles] == [(m.at_ms, m.label) for m in theirs.marbles]
    assert drawn.lanes[-1].bars == on_paper.lanes[-1].bars
    assert drawn.lanes[1].held is not None
    assert on_paper.lanes[1].held is not None
    assert drawn.lanes[1].held.peak == on_paper.lanes[1].held.peak


async def test_emitter_holds_nothing_and_its_producer_is_late() -> None:
    tape = await emitted()
    assert [(way.left_ms, way.arrived_ms) for way in tape.ways] == [(24 * n, 24 * n) for n in range(10)]
    assert (tape.most_between, tape.producer_waited_ms, tape.last_arrived_ms) == (0, 126, 216)


async def test_waits_of_a_late_source_follow_each_other_and_do_not_overlap() -> None:
    waits = (await emitted()).diagram().lanes[0].waits
    assert waits[:3] == (Wait(10, 24), Wait(24, 48), Wait(48, 72))


async def test_lateness_is_the_same_wherever_it_is() -> None:
    tapes = [
        await emitted(),
        await flowed(BackpressureStrategy.buffer(None)),
        await fluxed(BackpressureStrategy.suspend(2)),
    ]
    assert {tape.last_arrived_ms for tape in tapes} == {216}
    assert [tape.most_between for tape in tapes] == [0, 6, 2]
    assert [tape.producer_waited_ms for tape in tapes] == [126, 0, 78]
    assert {tape.arrived for tape in tapes} == {"0 1 2 3 4 5 6 7 8 9"}


async def test_lost_tokens_have_left_and_not_arrived() -> None:
    tape = await flowed(BackpressureStrategy.DROP)
    assert tape.arrived == "0 3 6 9"
    assert tape.ways[1] == Way(1, 10, 10, None)


async def test_stream_that_waits_for_ever_is_told() -> None:
    tape = Tape()
    with pytest.raises(RuntimeError, match="somebody still waits"):
        await tape.run(asyncio.Event().wait())


async def test_failure_of_a_producer_comes_out_of_the_run() -> None:
    tape = Tape()

    async def produce(sink: FluxSink[Any]) -> None:
        raise LookupError("the model has crashed")

    with pytest.raises(LookupError):
        await tape.run(tape.read_all(Flux.create(produce, BackpressureStrategy.suspend())))


async def test_drawing_has_three_stairs_that_end_at_ten_for_each_tape() -> None:
    figure = draw_tapes({"Emitter": await emitted(), "Flux": await fluxed(BackpressureStrategy.suspend(2))}).figure
    stairs: list[Any] = [line for axes in figure.axes for line in axes.lines]
    assert [line.get_ydata()[-1] for line in stairs] == [10] * 6
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Emitter", "Flux"]


def test_drawing_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="titles must hold at least one"):
        draw_tapes({})
