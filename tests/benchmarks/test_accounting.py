"""What adds up passes in silence; whatever does not is one line with the stream and both numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measures.accounting import RECORDS_WAIT_S, Accounting, account
from benchmarks.scenarios.cells import Cell
from benchmarks.traces.captures import Outcome, Trace
from tests.benchmarks.traces import made

__all__ = ()

CELL = Cell(variant="flux", strategy={"strategy": "drop"}, stream={"source": "counter"})
LEFT_EARLY = (Outcome.LEFT, Outcome.CUT, Outcome.STUCK, Outcome.MALFORMED)


def record(**counts: int) -> dict[str, Any]:
    """Say what the server's log says of a stream that was delivered whole, but for `counts`."""
    statistics = dict.fromkeys(("emitted", "delivered", "dropped", "merged", "rejected", "held", "peak_held"), 0)
    return {"stream": "s1", "reason": "completed", "parameters": {}, "statistics": {**statistics, **counts}}


def checked(*traces: Trace, cell: Cell = CELL, **records: Mapping[str, Any]) -> Accounting:
    return account(traces, records, cell)


def only_line(accounting: Accounting) -> str:
    (line,) = accounting.violations
    return line


def test_a_stream_that_adds_up_is_summed_and_not_mentioned() -> None:
    trace = made([1, 2], seq=[0, 3], merged=[1, 2], statistics={"emitted": 6})
    accounting = checked(trace, s1=record(emitted=6, delivered=2, dropped=3, merged=1))
    assert accounting.violations == []
    assert accounting.counts == {
        "emitted": 6,
        "delivered": 2,
        "dropped": 3,
        "merged": 1,
        "rejected": 0,
        "held": 0,
        "received": 2,
        "in_transit": 0,
        "duplicates": 0,
        "missing": 3,
        "unrecorded": 0,
    }


def test_counts_are_sums_over_streams() -> None:
    one, two = made([1], seq=[0]), made([1, 2], seq=[0, 1], stream_id="s2")
    counts = checked(one, two, s1=record(emitted=1, delivered=1), s2=record(emitted=2, delivered=2)).counts
    assert (counts["emitted"], counts["delivered"], counts["received"]) == (3, 3, 3)


def test_statistics_alone_will_do_for_a_record() -> None:
    assert checked(made([1], seq=[0]), s1=record(emitted=1, delivered=1)["statistics"]).violations == []


@pytest.mark.parametrize("part", ["delivered", "dropped", "merged", "rejected", "held"])
def test_the_servers_own_identity_is_checked_of_every_part(part: str) -> None:
    trace = made([], outcome=Outcome.LEFT)
    assert checked(trace, s1=record(emitted=7, **{part: 7})).violations == []
    line = only_line(checked(trace, s1=record(emitted=7, **{part: 6})))
    assert line.startswith("stream s1: emitted == delivered + dropped + merged + rejected + held")
    assert "7 !=" in line
    assert line.endswith("= 6")


def test_a_record_that_no_client_saw_is_checked_too() -> None:
    assert "stream s9" in only_line(checked(s9=record(emitted=1)))


def test_a_record_that_lacks_a_count_is_named() -> None:
    assert "does not say held" in only_line(
        checked(made([1], seq=[0]), s1={"emitted": 1, "delivered": 1, "dropped": 0, "merged": 0, "rejected": 0})
    )


@pytest.mark.parametrize("delivered", [2, 4])
def test_a_completed_stream_has_received_all_that_was_delivered(delivered: int) -> None:
    trace = made([1, 2, 3])
    line = only_line(checked(trace, s1=record(emitted=delivered, delivered=delivered), cell=untraced()))
    assert line == f"stream s1: received == delivered does not hold: 3 != {delivered} (completed)"


def untraced() -> Cell:
    return Cell(variant="flux", strategy={"strategy": "drop"}, stream={}, trace=False)


def test_a_stream_that_failed_by_itself_has_received_all_that_was_delivered() -> None:
    trace = made([1, 2], seq=[0, 1], outcome=Outcome.FAILED)
    failed = {**record(emitted=4, delivered=3, dropped=1), "reason": "error"}
    assert "2 != 3 (failed)" in only_line(checked(trace, s1=failed))
    assert checked(trace, s1={**failed, "reason": "shutdown"}).violations == []


@pytest.mark.parametrize("outcome", LEFT_EARLY)
def test_what_a_reader_did_not_wait_for_is_in_transit(outcome: Outcome) -> None:
    accounting = checked(made([1, 2], seq=[0, 1], outcome=outcome), s1=record(emitted=9, delivered=5, dropped=4))
    assert accounting.violations == []
    assert accounting.counts["in_transit"] == 3


@pytest.mark.parametrize("outcome", LEFT_EARLY)
def test_nobody_receives_more_than_was_delivered(outcome: Outcome) -> None:
    line = only_line(checked(made([1, 2], seq=[0, 1], outcome=outcome), s1=record(emitted=1, delivered=1)))
    assert line == f"stream s1: received <= delivered does not hold: 2 > 1 ({outcome.value})"


def test_missing_indexes_of_a_completed_stream_are_those_that_were_dropped() -> None:
    trace = made([1, 2], seq=[0, 5])
    assert checked(trace, s1=record(emitted=8, delivered=2, dropped=6)).violations == []
    overlapping = made([1, 2], seq=[0, 0])
    lines = checked(overlapping, s1=record(emitted=8, delivered=2, dropped=6)).violations
    assert any("missing indexes == dropped + rejected does not hold: 7 != 6" in line for line in lines)


def test_what_was_dropped_at_the_very_end_is_missing_though_nothing_came_behind_it() -> None:
    assert checked(made([1], seq=[0]), s1=record(emitted=4, delivered=1, dropped=3)).violations == []


def test_merged_tokens_of_a_completed_stream_are_those_that_were_merged() -> None:
    lines = checked(made([1, 2], seq=[0, 1]), s1=record(emitted=3, delivered=2, merged=1)).violations
    assert lines == [
        "stream s1: tokens merged at the client == merged does not hold: 0 != 1",
        "stream s1: missing indexes == dropped + rejected does not hold: 1 != 0",
    ]


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED, *LEFT_EARLY])
def test_a_stream_with_an_id_and_without_a_record_is_a_violation_however_it_ended(outcome: Outcome) -> None:
    accounting = checked(made([1], seq=[0], outcome=outcome))
    assert only_line(accounting) == (
        f"stream s1: records of it at the server == 1 does not hold: 0 != 1 ({outcome.value}; "
        f"{RECORDS_WAIT_S:g} s were given for it)"
    )
    assert accounting.counts["unrecorded"] == 1


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.NOT_A_STREAM])
def test_an_answer_that_is_no_stream_needs_no_record(outcome: Outcome) -> None:
    assert checked(made([], outcome=outcome)).violations == []


@pytest.mark.parametrize("outcome", LEFT_EARLY)
def test_a_gap_before_what_came_is_no_more_than_what_was_dropped_however_it_ended(outcome: Outcome) -> None:
    trace = made([1, 2], seq=[0, 5], outcome=outcome)
    assert checked(trace, s1=record(emitted=9, delivered=4, dropped=4, rejected=1)).violations == []
    assert only_line(checked(trace, s1=record(emitted=9, delivered=6, dropped=3))) == (
        "stream s1: missing indexes below the highest that came <= dropped + rejected does not hold: 4 > 3 "
        f"({outcome.value})"
    )


def test_a_gap_in_a_stream_that_failed_by_itself_is_no_more_than_what_was_dropped() -> None:
    trace = made([1, 2], seq=[0, 5], outcome=Outcome.FAILED)
    failed = {**record(emitted=5, delivered=2, dropped=3), "reason": "error"}
    assert "missing indexes below the highest" in only_line(checked(trace, s1=failed))


def test_no_more_is_merged_at_a_client_that_left_than_the_server_merged() -> None:
    trace = made([1], seq=[0], merged=[3], outcome=Outcome.LEFT)
    assert checked(trace, s1=record(emitted=3, delivered=1, merged=2)).violations == []
    line = only_line(checked(trace, s1=record(emitted=3, delivered=2, merged=1)))
    assert line == "stream s1: tokens merged at the client <= merged does not hold: 2 > 1"


def test_a_gap_of_one_of_several_producers_is_not_judged_before_the_stream_has_completed() -> None:
    trace = made([1, 2], seq=[0, 5], producer=[0, 1], outcome=Outcome.LEFT)
    assert checked(trace, s1=record(emitted=2, delivered=2)).violations == []


def test_a_completed_stream_without_an_id_is_a_violation() -> None:
    assert "stream (without an id)" in only_line(checked(made([1], seq=[0], stream_id="")))


def test_a_request_that_became_no_stream_has_nothing_to_account_for() -> None:
    accounting = checked(made([], outcome=Outcome.REFUSED, stream_id=""))
    assert (accounting.violations, accounting.counts["unrecorded"]) == ([], 0)


def test_an_index_that_arrives_again_is_a_violation_in_any_stream() -> None:
    trace = made([1, 2, 3], seq=[0, 1, 1], outcome=Outcome.LEFT)
    accounting = checked(trace, s1=record(emitted=3, delivered=3))
    assert only_line(accounting) == "stream s1: indexes that arrived again == 0 does not hold: 1 != 0"
    assert accounting.counts["duplicates"] == 1


def test_producers_may_overtake_each_other_but_not_themselves() -> None:
    all_delivered = record(emitted=3, delivered=3)
    assert checked(made([1, 2, 3], seq=[1, 0, 2], producer=[1, 0, 1]), s1=all_delivered).violations == []
    line = only_line(checked(made([1, 2, 3], seq=[1, 0, 2], producer=[1, 1, 0]), s1=all_delivered))
    assert line == "stream s1: tokens behind a later one of their producer == 0 does not hold: 1 != 0"


def test_tokens_merged_across_producers_are_held_against_counts_alone() -> None:
    trace = made([1, 2], seq=[0, 3], merged=[2, 2], producer=[0, 1])
    assert checked(trace, s1=record(emitted=4, delivered=2, merged=2)).violations == []
    assert "merged" in only_line(checked(trace, s1=record(emitted=5, delivered=2, merged=3)))


def test_indexes_that_were_asked_for_and_did_not_come_are_a_violation() -> None:
    delivered = record(emitted=1, delivered=1)
    assert "tokens with an index" in only_line(checked(made([1]), s1=delivered))
    assert checked(made([1]), cell=untraced(), s1=delivered).violations == []
    bare = Cell(variant="flux", strategy={"strategy": "drop"}, stream={"profile": "text"})
    assert checked(made([1]), cell=bare, s1=delivered).violations == []


def test_two_clients_never_share_a_stream() -> None:
    trace = made([1], seq=[0])
    lines = checked(trace, trace, s1=record(emitted=1, delivered=1)).violations
    assert lines == ["stream s1: clients of one stream == 1 does not hold: 2 != 1"]


FATES = st.lists(st.sampled_from(["delivered", "dropped", "merged"]), max_size=30)


@given(FATES, st.data())
def test_any_stream_that_is_honest_adds_up_and_none_that_lost_one_unseen(fates: list[str], data: st.DataObject) -> None:
    seq: list[int] = []
    merged: list[int] = []
    counts = dict.fromkeys(("delivered", "dropped", "merged"), 0)
    before = ""
    for index, wanted in enumerate(fates):
        # Only the token behind one that arrived can be merged into it.
        fate = "dropped" if wanted == "merged" and before == "dropped" else wanted
        fate = "delivered" if fate == "merged" and not seq else fate
        counts[fate] += 1
        if fate == "delivered":
            seq.append(index)
            merged.append(1)
        elif fate == "merged":
            merged[-1] += 1
        before = fate
    honest = record(emitted=len(fates), **counts)
    assert checked(made(range(len(seq)), seq=seq, merged=merged), s1=honest).violations == []
    if seq:
        lost = data.draw(st.integers(0, len(seq) - 1))
        del seq[lost], merged[lost]
        assert checked(made(range(len(seq)), seq=seq, merged=merged), s1=honest).violations
