"""Section 4 of the rules: an operator is a Processor, a Subscriber on one side and a Publisher on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams import Flowable, Flux
from streams.testing import ManualPublisher
from tests.streams.conformance.by_hand import OPERATORS, ByHand
from tests.streams.conformance.harness import CHECKS, Check, Failure, Probe, Settle, Subject, deviations
from tests.streams.conformance.subjects import FLUX_OPERATORS, RX_OPERATORS

__all__ = ()

PROCESSORS = (*FLUX_OPERATORS, *RX_OPERATORS)
both_libraries = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


# --- 4.1 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [Flux, Flowable])
def test_4_01_every_operator_is_among_the_subjects_of_the_publisher_rules(variant: type) -> None:
    import streams

    names = dir(Flux) if variant is Flux else streams.__all__
    operators = {name for name in names if name.startswith("on_backpressure_") or name == "limit_rate"}
    subjects = FLUX_OPERATORS if variant is Flux else RX_OPERATORS

    assert operators == {word for name in operators for word in [name] if any(name in one.name for one in subjects)}


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda processor: processor.name)
@pytest.mark.parametrize("check", [check for check in CHECKS if check.__name__ != "refuses_no_subscriber"])
async def test_4_01_what_leaves_a_processor_keeps_the_rules_of_a_publisher(
    processor: Subject, check: Check, settle: Settle
) -> None:
    assert await check(processor, settle) == []


async def test_4_01_a_request_of_long_ago_is_still_honoured_through_limit_rate() -> None:
    source: ManualPublisher[int] = ManualPublisher()
    probe = Probe(7)
    Flux.from_publisher(source).limit_rate(2).subscribe(probe)
    assert source.requests == [2]

    for item in range(7):
        source.next(item)

    assert deviations(probe, list(range(7))) == []
    assert source.requests == [2, 2, 2, 2]


@pytest.mark.parametrize(
    "operate",
    [
        lambda flux: flux.on_backpressure_buffer(8),
        lambda flux: flux.on_backpressure_drop(),
        lambda flux: flux.on_backpressure_latest(),
        lambda flux: flux.on_backpressure_error(),
        lambda flux: flux.on_backpressure_reduce(max),
    ],
    ids=["buffer", "drop", "latest", "error", "reduce"],
)
async def test_4_01_what_protects_its_consumer_asks_for_everything_once(
    operate: Callable[[Flux[Any]], Flux[Any]],
) -> None:
    source: ManualPublisher[int] = ManualPublisher()
    probe = Probe(1)
    operate(Flux.from_publisher(source)).subscribe(probe)

    source.next(0)
    probe.request(5)

    assert source.requests == [2**63 - 1]


# --- 4.2 ---------------------------------------------------------------------------------------------------------

PASSED_ON = {
    "on_backpressure_drop": (),
    "on_backpressure_latest": (),
    "on_backpressure_error": (),
    "on_backpressure_reduce": (max,),
    "on_backpressure_buffer": (8,),
}


@both_libraries
@pytest.mark.parametrize(("name", "arguments"), PASSED_ON.items(), ids=PASSED_ON)
async def test_4_02_an_error_goes_on_at_once_where_nothing_is_held(
    operator: Callable[..., ByHand], name: str, arguments: tuple[Any, ...]
) -> None:
    stream, probe, failure = operator(name, *arguments), Probe(), Failure()
    stream.publisher.subscribe(probe)

    stream.fail(failure)

    assert probe.error is failure
    assert deviations(probe, [], "failed") == []


@both_libraries
async def test_4_02_a_delayed_error_goes_on_behind_what_is_held(operator: Callable[..., ByHand]) -> None:
    stream, probe = operator("on_backpressure_buffer", 8, delay_error=True), Probe()
    stream.publisher.subscribe(probe)
    stream.next(0)

    stream.fail(Failure())
    assert deviations(probe, []) == []

    probe.request(1)
    assert deviations(probe, [0], "failed") == []


async def test_4_02_an_error_reaches_every_subscriber(settle: Settle) -> None:
    for processor in PROCESSORS:
        publisher, probes = processor.failing(0), [Probe(), Probe()]
        for probe in probes:
            publisher.subscribe(probe)
        await settle()

        assert [probe.signals for probe in probes] == [["on_subscribe", "on_error"]] * 2, processor.name


async def test_4_02_an_overflow_cancels_the_source_once() -> None:
    source: ManualPublisher[int] = ManualPublisher()
    probe = Probe()
    Flux.from_publisher(source).on_backpressure_buffer(1).subscribe(probe)

    source.next(0, 1, 2)

    assert source.cancel_count == 1
    assert source.requests == [2**63 - 1]
