"""What is drawn of one stream: its marbles, and its freshness over time."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from benchmarks.measures.latencies import freshness
from benchmarks.measures.timelines import MAX_POINTS, freshness_series, timeline
from benchmarks.traces.captures import Outcome, Trace
from tests.benchmarks.traces import made

__all__ = ()


def stream(seq: list[int], *, gap_ms: float = 10, **more: Any) -> Trace:
    """Give tokens that are due at index * gap_ms, leave 1 ms later, are taken 1 ms after that and received 1 ms on."""
    times = {
        name: [index * gap_ms + late for index in seq] for late, name in enumerate(("due_ms", "emitted_ms", "taken_ms"))
    }
    return made([index * gap_ms + 3 for index in seq], seq=seq, **{**times, **more})


def test_a_row_is_one_token_with_its_times_since_the_first_was_due() -> None:
    drawn = timeline(stream([0, 1, 4], merged=[1, 2, 1], ended_ms=50))
    assert drawn is not None
    assert drawn.tokens == [[0, 1, 0, 1, 2, 3], [1, 2, 10, 11, 12, 13], [4, 1, 40, 41, 42, 43]]
    assert drawn.missing == [3]
    assert (drawn.stream_id, drawn.outcome, drawn.ended_ms) == ("s1", "completed", 50)


def test_a_stream_that_was_left_has_no_end() -> None:
    drawn = timeline(stream([0, 1], outcome=Outcome.LEFT))
    assert drawn is not None
    assert drawn.ended_ms is None


def test_it_holds_so_many_tokens_and_so_much_time() -> None:
    many, slow = timeline(stream(list(range(500)))), timeline(stream(list(range(500)), gap_ms=1000))
    assert many is not None
    assert slow is not None
    assert [row[0] for row in many.tokens] == list(range(40))
    assert [row[0] for row in slow.tokens] == [0, 1, 2, 3, 4]


def test_it_begins_before_the_first_loss_if_that_comes_late() -> None:
    drawn = timeline(stream([*range(100), *range(150, 300)]))
    assert drawn is not None
    assert drawn.tokens[0][:3] == [90, 1, 0]
    assert drawn.missing == list(range(100, 150))
    assert drawn.tokens[10][:3] == [150, 1, 600]


def late_from(index: int, column: str) -> Trace:
    """Give 200 tokens, of which those from `index` on are half a second later in `column` and in those behind it."""
    names = ("due_ms", "emitted_ms", "taken_ms", "received_ms")
    late: dict[str, Any] = {
        name: [
            10 * token + place + (500 if token >= index and place >= names.index(column) else 0) for token in range(200)
        ]
        for place, name in enumerate(names)
    }
    return made(late.pop("received_ms"), seq=list(range(200)), **late)


def test_it_begins_before_the_source_is_held_back() -> None:
    drawn = timeline(late_from(100, "emitted_ms"))
    assert drawn is not None
    assert drawn.tokens[0][0] == 90


def test_it_begins_before_tokens_pile_up_behind_the_boundary() -> None:
    drawn = timeline(late_from(100, "received_ms"))
    assert drawn is not None
    assert drawn.tokens[0][0] == 90


def test_of_a_stream_that_failed_it_is_the_end() -> None:
    drawn = timeline(stream(list(range(200)), outcome=Outcome.FAILED))
    assert drawn is not None
    assert [row[0] for row in drawn.tokens] == list(range(160, 200))


def test_it_begins_before_the_first_merged_token_if_that_comes_late() -> None:
    drawn = timeline(stream(list(range(60)), merged=[1] * 59 + [7]))
    assert drawn is not None
    assert [row[0] for row in drawn.tokens] == list(range(49, 60))


def test_a_loss_at_the_beginning_is_shown_from_the_beginning() -> None:
    drawn = timeline(stream([0, 5, *range(6, 100)]))
    assert drawn is not None
    assert (drawn.tokens[0][0], drawn.missing) == (0, [1, 2, 3, 4])


def test_what_arrived_out_of_order_is_not_missing() -> None:
    drawn = timeline(stream([0, 3, 1, 2, 4], producer=[0, 1, 0, 0, 1]))
    assert drawn is not None
    assert drawn.missing == []


def test_what_overtook_the_piece_or_came_behind_it_is_not_missing() -> None:
    drawn = timeline(stream([0, 2, 4, 1, 3], producer=[0, 0, 0, 1, 1]), max_tokens=3)
    assert drawn is not None
    assert drawn.missing == []


def test_of_several_producers_that_were_left_nothing_is_known_to_be_missing() -> None:
    drawn = timeline(stream([0, 3, 6], producer=[0, 0, 0], outcome=Outcome.LEFT))
    assert drawn is not None
    assert drawn.missing == []


def test_a_great_loss_is_listed_in_part() -> None:
    drawn = timeline(stream([0, 1_000_000], gap_ms=0))
    assert drawn is not None
    assert drawn.missing == list(range(1, 401))


def test_a_token_that_came_very_late_is_there_all_the_same() -> None:
    drawn = timeline(made([9000], seq=[0], due_ms=[0], emitted_ms=[1], taken_ms=[2]))
    assert drawn is not None
    assert drawn.tokens == [[0, 1, 0, 1, 2, 9000]]


def test_what_was_held_on_the_way_is_there_up_to_the_first_count_behind_the_piece() -> None:
    counts = [{"held": n, "dropped": 2 * n, "merged": 0} for n in range(4)]
    samples = [(5.0, counts[0]), (8.0, {"demand": 1}), (15.0, counts[1]), (100.0, counts[2]), (200.0, counts[3])]
    drawn = timeline(stream([0, 1, 2], samples=samples))
    assert drawn is not None
    assert drawn.held == [[5, 0, 0, 0], [15, 1, 2, 0], [100, 2, 4, 0]]


def test_a_stream_without_times_or_tokens_has_no_timeline() -> None:
    assert timeline(made([1, 2])) is None
    assert timeline(made([], seq=[], due_ms=[], emitted_ms=[], taken_ms=[])) is None


def test_it_can_be_written_into_a_results_file() -> None:
    drawn = timeline(stream([0, 2], samples=[(1.0, {"held": 1, "dropped": 0, "merged": 0})]))
    assert msgspec.json.decode(msgspec.json.encode(drawn), type=type(drawn)) == drawn


# --- Freshness ---------------------------------------------------------------------------------------------------


def test_a_series_begins_when_the_first_token_was_due_and_ends_with_the_body() -> None:
    series = freshness_series(stream([0, 1, 2], ended_ms=40))
    assert len(series) == MAX_POINTS
    assert series[0] == [0.2, 0.2]
    assert series[-1] == [40, 19]
    assert max(age for at, age in series if at < 3) == 2.8


def test_a_long_stream_is_thinned_and_keeps_its_worst_moment() -> None:
    stalled = [*range(1000), *range(1030, 3000)]
    trace = stream(stalled)

    series = freshness_series(trace)

    assert len(series) == MAX_POINTS
    assert max(age for _, age in series) == freshness(trace)[1].max() / 1e6
    assert np.all(np.diff([at for at, _ in series]) > 0)


def test_a_stream_without_emission_times_has_no_series() -> None:
    assert freshness_series(made([1, 2])) == []
