"""Order and loss by index, against oracles that look at every pair and every index."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measures.indexes import (
    Coverage,
    coverage,
    expected_count,
    inversions,
    missing_indexes,
    ordering_violations,
)
from benchmarks.traces.captures import Outcome
from tests.benchmarks.traces import integers, made

__all__ = ()

indexes = st.lists(st.integers(0, 30), max_size=40)
covering = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=25)


@given(indexes)
def test_inversions_are_all_pairs_out_of_order(seq: list[int]) -> None:
    assert inversions(integers(seq)) == sum(before > after for before, after in combinations(seq, 2))


def test_inversions_of_a_right_and_of_a_reversed_order() -> None:
    assert inversions(integers(range(1000))) == 0
    assert inversions(integers(range(1000))[::-1]) == 1000 * 999 // 2
    assert inversions(integers([])) == 0


def test_equal_indexes_are_no_inversion_and_no_violation() -> None:
    assert inversions(integers([3, 3, 3])) == 0
    assert ordering_violations(integers([3, 3, 3])) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40))
def test_a_violation_is_a_token_behind_a_later_one_of_its_producer(tokens: list[tuple[int, int]]) -> None:
    seq, producer = ([token[column] for token in tokens] for column in (0, 1))

    expected = sum(
        any(other > index for other, its in tokens[:place] if its == own) for place, (index, own) in enumerate(tokens)
    )

    assert ordering_violations(integers(seq), integers(producer)) == expected


def test_producers_that_overtake_each_other_violate_nothing_and_invert() -> None:
    seq, producer = integers([1, 0, 3, 2]), integers([1, 0, 1, 0])
    assert ordering_violations(seq, producer) == 0
    assert ordering_violations(seq) == 2
    assert inversions(seq) == 2


@given(covering, st.integers(0, 60))
def test_coverage_counts_each_index_as_the_list_of_all_does(tokens: list[tuple[int, int]], emitted: int) -> None:
    seq, merged = ([token[column] for token in tokens] for column in (0, 1))
    trace = made(range(len(seq)), seq=seq, merged=merged, statistics={"emitted": emitted})

    arrived = [index for start, count in tokens for index in range(start, start + count)]

    assert coverage(trace) == Coverage(
        expected=emitted,
        missing=len(set(range(emitted)) - set(arrived)),
        duplicates=len(arrived) - len(set(arrived)),
    )


@given(covering, st.integers(0, 10))
def test_missing_indexes_are_those_between_that_nothing_covers(tokens: list[tuple[int, int]], most: int) -> None:
    seq, merged = ([token[column] for token in tokens] for column in (0, 1))

    arrived = {index for start, count in tokens for index in range(start, start + count)}
    between = range(min(arrived, default=0), max(arrived, default=0))

    assert missing_indexes(integers(seq), integers(merged), most) == sorted(set(between) - arrived)[:most]


def test_a_merged_token_covers_all_that_it_stands_for() -> None:
    trace = made([1, 2], seq=[0, 1], merged=[1, 4], statistics={"emitted": 5})
    assert coverage(trace) == Coverage(expected=5, missing=0, duplicates=0)


def test_a_stream_that_dropped_all_misses_all_that_was_emitted() -> None:
    assert coverage(made([], statistics={"emitted": 10})) == Coverage(expected=10, missing=10, duplicates=0)


def test_tokens_without_an_index_have_no_coverage() -> None:
    assert coverage(made([1, 2])) is None
    assert coverage(made([])) is None


def test_what_merged_tokens_of_several_producers_cover_is_not_known() -> None:
    assert coverage(made([1, 2], seq=[0, 3], merged=[2, 1], producer=[0, 1])) is None
    assert coverage(made([1, 2], seq=[0, 1], merged=[1, 1], producer=[0, 1])) == Coverage(2, 0, 0)


def test_what_is_on_its_way_when_a_reader_leaves_is_not_missing() -> None:
    trace = made([1, 2], seq=[0, 2], outcome=Outcome.LEFT, statistics={"emitted": 100})
    assert coverage(trace) == Coverage(expected=3, missing=1, duplicates=0)


@pytest.mark.parametrize("outcome", [Outcome.CUT, Outcome.LEFT, Outcome.FAILED])
def test_of_several_producers_that_are_cut_short_it_is_not_known_what_to_expect(outcome: Outcome) -> None:
    seq, producer, said = [0, 3, 3, 6], [0, 0, 0, 0], {"emitted": 5}
    cut_short = made(range(4), seq=seq, producer=producer, outcome=outcome, statistics=said)
    assert expected_count(cut_short) is None
    assert coverage(cut_short) == Coverage(expected=None, missing=None, duplicates=1)
    assert expected_count(made(range(4), seq=seq, producer=producer)) == 7
