"""One number for all repeats, and how numbers are shown."""

from __future__ import annotations

import math

import pytest

from benchmarks.results import CellResult, ClientCheck, Repeat
from benchmarks.summary.figures import (
    bound,
    failed,
    figure,
    joined,
    notes,
    outcomes,
    overlap,
    seconds,
    share,
    short,
    spread,
    unexpected,
    violations,
)

__all__ = ()


def cell(*repeats: Repeat) -> CellResult:
    return CellResult(
        scenario="a",
        name="flux drop fast",
        variant="flux",
        strategy="drop",
        reader="fast",
        transport="sse",
        parameters={},
        repeats=list(repeats),
    )


def of(*values: float | None) -> CellResult:
    return cell(*(Repeat(measures={"x": value}) for value in values))


def test_figure_is_the_median_of_the_repeats_that_could_be_measured() -> None:
    assert figure(of(3.0, None, 1.0, math.nan, 2.0), "x") == 2.0
    assert spread(of(3.0, None, 1.0), "x") == (1.0, 3.0)


def test_figure_of_nothing_is_none() -> None:
    assert figure(of(None), "x") is None
    assert figure(of(1.0), "unknown") is None
    assert spread(cell(), "x") is None


def test_outcomes_are_summed_over_the_repeats() -> None:
    one = cell(Repeat(measures={}, outcomes={"completed": 2}), Repeat(measures={}, outcomes={"completed": 1, "cut": 1}))
    assert outcomes(one) == {"completed": 3, "cut": 1}
    assert failed(one)
    assert not failed(cell(Repeat(measures={}, outcomes={"completed": 2, "left": 1})))


def test_violation_is_told_with_its_cell() -> None:
    assert violations([cell(Repeat(measures={}, accounting=["stream 1: 2 != 3"]))]) == [
        "a: flux drop fast: stream 1: 2 != 3"
    ]


def test_cell_is_bound_if_the_client_was_in_one_repeat() -> None:
    free = ClientCheck(cpu_share=0.1, lag_p99_ms=0, lag_max_ms=0, bound=False)
    full = ClientCheck(cpu_share=1.0, lag_p99_ms=0, lag_max_ms=0, bound=True, reason="CPU")
    limited = cell(Repeat(measures={}, client=free), Repeat(measures={}, client=full))
    assert bound([limited, cell(Repeat(measures={}, client=free)), cell(Repeat(measures={}))]) == [(limited, "CPU")]
    assert bound([limited], "client") == [(limited, "CPU")]
    assert bound([limited], "machine") == []


def test_client_that_was_late_though_it_had_little_to_do_blames_the_machine() -> None:
    late = ClientCheck(cpu_share=0.03, lag_p99_ms=25, lag_max_ms=90, bound=True, reason="its loop was 25 ms late (p99)")
    held_up = cell(Repeat(measures={}, client=late, load_average=4.25))
    assert bound([held_up], "client") == []
    assert bound([held_up], "machine") == [
        (held_up, "its loop was 25 ms late (p99), while it used 3% of its core; load average 4.2")
    ]


def test_stream_that_ended_as_it_may_not_is_told_with_what_was_said() -> None:
    repeat = Repeat(
        measures={},
        outcomes={"completed": 3, "cut": 2, "not_a_stream": 1},
        per_stream={
            "outcome": ["completed", "cut", "cut", "not_a_stream"],
            "detail": ["", "", "reset \x1b[31m", "html"],
        },
    )
    judged = cell(repeat)
    judged.expects = ["completed", "left"]
    assert unexpected([judged]) == [
        "a: flux drop fast: 2 streams cut, where completed or left is expected: reset ?[31m",
        "a: flux drop fast: 1 stream not a stream, where completed or left is expected: html",
    ]
    judged.expects = ["completed", "cut", "not_a_stream"]
    assert unexpected([judged]) == []
    judged.expects = []
    assert unexpected([judged]) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ((1, 3), (2, 4), True),
        ((1, 2), (3, 4), False),
        ((5,), (5,), True),
        ((5,), (5.1,), False),
        ((None,), (1,), False),
    ],
)
def test_repeats_overlap_if_neither_lies_wholly_above_the_other(
    ours: tuple[float | None, ...], theirs: tuple[float, ...], told: bool
) -> None:
    assert overlap(of(*ours), of(*theirs), "x") is overlap(of(*theirs), of(*ours), "x") is told


def test_note_is_told_once_for_all_repeats() -> None:
    noted = cell(Repeat(measures={}, notes=["ttft is left out"]), Repeat(measures={}, notes=["ttft is left out"]))
    assert notes([noted]) == [(noted, "ttft is left out")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.01234, "0.012"),
        (0.1234, "0.123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1_234.0, "1,234"),
        (9_994.0, "9,994"),
        (12_345.0, "12.3 k"),
        (412_345.0, "412 k"),
        (999_600.0, "1 M"),
        (1_234_567.0, "1.23 M"),
        (-12.34, "-12.3"),
        (5.0, "5"),
    ],
)
def test_number_has_three_digits_that_matter(value: float | None, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0 %"),
        (1e-6, "< 0.1 %"),
        (0.0123, "1.2 %"),
        (0.0999, "10 %"),
        (0.571, "57 %"),
        (0.996, "99.6 %"),
        (0.99999, "> 99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_share_is_never_shown_as_nothing_or_all_unless_it_is(value: float | None, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize(
    ("value_ms", "text"),
    [(None, "-"), (0.0, "0 ms"), (0.1234, "0.12 ms"), (12.6, "13 ms"), (999.4, "999 ms"), (1_234.0, "1.23 s")],
)
def test_duration_has_the_unit_that_suits_it(value_ms: float | None, text: str) -> None:
    assert seconds(value_ms) == text


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_words_are_joined_as_in_a_sentence(words: list[str], text: str) -> None:
    assert joined(words) == text
