"""What a cell says of itself: how its streams may end, and what can be told of its tokens."""

from __future__ import annotations

import pytest

from benchmarks.scenarios.cells import Cell, Closed, Open, Transport
from benchmarks.scenarios.readers import Leaving
from benchmarks.traces.captures import Outcome
from servers.parameters import DEFAULT_MAX_MERGED

__all__ = ()

COMPLETED, LEFT, FAILED = Outcome.COMPLETED, Outcome.LEFT, Outcome.FAILED


def cell(strategy: str = "drop", **parameters: str) -> Cell:
    return Cell("flux", {"strategy": strategy, **parameters}, {"count": 3})


@pytest.mark.parametrize(
    "made",
    [
        *(cell(each) for each in ("missing", "drop", "latest", "suspend", "reduce")),
        *(cell("buffer", capacity="3", overflow=each) for each in ("drop_oldest", "drop_incoming", "suspend")),
        cell("buffer", capacity="unbounded"),
        cell("reduce", max_merged="3"),
    ],
    ids=lambda made: made.strategy_name,
)
def test_stream_is_expected_to_complete(made: Cell) -> None:
    assert made.expects == {COMPLETED}


@pytest.mark.parametrize(
    "made",
    [
        cell("error"),
        cell("buffer", capacity="3", overflow="error"),
        cell("buffer", capacity="3"),
        cell("reduce", max_merged="2"),
        Cell("flux", {"strategy": "drop"}, {"count": 3, "fail_after": 2}),
    ],
    ids=lambda made: made.strategy_name,
)
def test_stream_may_fail_where_a_full_buffer_or_its_source_ends_it(made: Cell) -> None:
    assert made.expects == {COMPLETED, FAILED}


def test_reduce_may_fail_where_there_are_more_tokens_than_the_server_folds_into_one() -> None:
    for count, may_fail in ((DEFAULT_MAX_MERGED, False), (DEFAULT_MAX_MERGED + 1, True)):
        assert (FAILED in Cell("rx", {"strategy": "reduce"}, {"count": count}).expects) is may_fail


def test_stream_is_left_where_the_reader_or_the_window_says_so() -> None:
    assert Cell("flux", {"strategy": "drop"}, {}, Leaving(after_tokens=3)).expects == {COMPLETED, LEFT}
    assert Cell("flux", {"strategy": "drop"}, {}, window_s=1).expects == {COMPLETED, LEFT}


@pytest.mark.parametrize("load", [Closed(2), Closed(1, requests=2), Open(per_s=1, requests=2)])
def test_tokens_of_several_streams_are_never_only_counted(load: Closed | Open) -> None:
    with pytest.raises(ValueError, match="must have one stream, so that counts are its own; got "):
        Cell("flux", {"strategy": "drop"}, {}, load=load, trace=False)


def test_indexes_are_told_where_tokens_bear_one_and_none_is_merged() -> None:
    assert Cell("flux", {"strategy": "drop"}, {}, trace=False).has_indexes
    assert Cell("flux", {"strategy": "reduce"}, {}).has_indexes
    assert not Cell("flux", {"strategy": "reduce"}, {}, trace=False).has_indexes
    assert not Cell("flux", {"strategy": "drop"}, {"profile": "data"}, trace=False).has_indexes
    assert not Cell("flux", {"strategy": "drop"}, {}, transport=Transport.WEBSOCKET, trace=False).has_indexes
