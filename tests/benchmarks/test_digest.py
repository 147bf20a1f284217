"""What is made of a capture and a server's log: the figures, and that a token that is not accounted for is found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.load.plan import Counted, LoadRun
from benchmarks.results import ClientCheck
from benchmarks.running.digest import Checked, ServerSide, digest, most_at_a_time
from benchmarks.scenarios.cells import Cell
from benchmarks.traces.captures import Capture, Outcome, Times

__all__ = ()

MS = 1_000_000
TRACED = Cell("flux", {"strategy": "drop"}, {"count": 3})
COUNTED = Cell("flux", {"strategy": "drop"}, {"count": 3}, trace=False)


def frame(index: int) -> bytes:
    times = {"due_ns": index * 10 * MS, "emitted_ns": index * 10 * MS + 1 * MS, "taken_ns": index * 10 * MS + 2 * MS}
    payload = {"ended": False, "message": "x", "seq": index, **times}
    return f"event: message\nid: a-{index}\ndata: {json.dumps(payload)}\n\n".encode()


END = b'event: message\nid: a-end\ndata: {"ended": true, "message": ""}\n\n'


def capture(*indexes: int, stream_id: str = "a", outcome: Outcome | None = None) -> Capture:
    """Return a stream whose tokens arrived 5 ms after they were due."""
    stamps = [index * 10 * MS + 5 * MS for index in indexes]
    return Capture(
        times=Times(scheduled_ns=0, sent_ns=0, headers_ns=MS, ended_ns=50 * MS),
        status=200,
        headers={"content-type": "text/event-stream", "x-stream-id": stream_id},
        stamps_ns=[*stamps, 50 * MS],
        pieces=[*map(frame, indexes), END],
        outcome=outcome,
    )


def load_run(captures: Sequence[Capture], counted: Counted | None = None) -> LoadRun:
    client = ClientCheck(cpu_share=0.1, lag_p99_ms=0.1, lag_max_ms=0.2, bound=False)
    return LoadRun(captures=list(captures), counted=counted, began_ns=0, ended_ns=50 * MS, client=client)


def record(**counts: int) -> Mapping[str, Any]:
    statistics = dict.fromkeys(("emitted", "delivered", "dropped", "merged", "rejected", "held", "peak_held"), 0)
    return {"stream": "a", "reason": "completed", "statistics": {**statistics, **counts}}


def server(**counts: int) -> ServerSide:
    return ServerSide(
        records={"a": record(**counts)},
        cpu_s=0.5,
        idle_bytes=1_000_000,
        memory=[(10 * MS, 1_102_400), (20 * MS, 1_000_000)],
    )


def test_stream_whose_counts_agree_is_measured_without_a_violation() -> None:
    repeat, traces = digest(
        TRACED, load_run([capture(0, 1, 3)]), server(emitted=4, delivered=3, dropped=1, peak_held=2)
    )
    assert repeat.accounting == []
    assert repeat.outcomes == {"completed": 1}
    assert (repeat.counts["emitted"], repeat.counts["received"], repeat.counts["missing"]) == (4, 3, 1)
    assert repeat.measures["tokens_per_s"] == 60
    assert repeat.measures["loss_share"] == 0.25
    assert repeat.measures["peak_held"] == 2
    assert repeat.measures["server_kib_per_stream"] == 100
    assert repeat.window_ms == 50
    assert repeat.memory == [[10, 1_102_400], [20, 1_000_000]]
    assert repeat.timeline is not None
    assert repeat.timeline.missing == [2]
    assert [trace.stream_id for trace in traces] == ["a"]


def test_token_that_vanished_is_a_violation_that_names_the_stream() -> None:
    repeat, _ = digest(TRACED, load_run([capture(0, 1, 3)]), server(emitted=4, delivered=4))
    assert repeat.accounting
    assert all("stream a:" in line for line in repeat.accounting)


def test_completed_stream_without_a_record_is_a_violation() -> None:
    repeat, _ = digest(TRACED, load_run([capture(0, 1)]), ServerSide())
    assert [line.startswith("stream a: records of it at the server == 1") for line in repeat.accounting] == [True]


def test_streams_that_are_open_at_a_time_are_counted() -> None:
    spans = [(0, 10), (5, 20), (8, 9), (20, 30)]
    captures = [Capture(times=Times(start, start, start, end)) for start, end in spans]
    assert most_at_a_time(captures) == 3
    assert most_at_a_time([Capture(times=Times(scheduled_ns=0))]) == 1


# --- Only counted ------------------------------------------------------------------------------------------------


def completed() -> Capture:
    return capture(outcome=Outcome.COMPLETED)


def test_counted_stream_has_the_rates_and_the_cost_of_its_tokens() -> None:
    counted = Counted(tokens=80, bytes=8_000, first_ns=0, last_ns=50 * MS)
    repeat, traces = digest(COUNTED, load_run([completed()], counted), server(emitted=100, delivered=80, merged=20))
    assert traces == []
    assert repeat.accounting == []
    assert repeat.measures["tokens_per_s"] == 2_000
    assert repeat.measures["events_per_s"] == 1_600
    assert repeat.measures["bytes_per_s"] == 160_000
    assert repeat.measures["cpu_s_per_million_tokens"] == 5_000
    assert repeat.measures["merged_tokens"] == 20
    assert repeat.measures["loss_share"] == 0
    assert repeat.measures["ttft_p50_ms"] is None
    assert repeat.measures["streams_completed"] == 1


def test_counted_tokens_that_differ_from_the_delivered_ones_are_a_violation() -> None:
    for tokens, sign in ((79, "=="), (81, "<=")):
        repeat, _ = digest(COUNTED, load_run([completed()], Counted(tokens=tokens)), server(emitted=80, delivered=80))
        assert repeat.accounting == [
            f"stream a: received {sign} delivered does not hold: {tokens} {'>' if tokens > 80 else '!='} 80"
        ]


def test_counted_stream_that_was_left_may_have_tokens_in_transit() -> None:
    left = capture(outcome=Outcome.LEFT)
    repeat, _ = digest(COUNTED, load_run([left], Counted(tokens=70)), server(emitted=80, delivered=80))
    assert repeat.accounting == []
    assert repeat.measures["streams_left"] == 1


def test_counted_stream_whose_server_contradicts_itself_is_a_violation() -> None:
    repeat, _ = digest(COUNTED, load_run([completed()], Counted(tokens=80)), server(emitted=81, delivered=80))
    assert ["emitted == " in line for line in repeat.accounting] == [True]


def test_counted_stream_without_a_record_is_a_violation() -> None:
    repeat, _ = digest(COUNTED, load_run([completed()], Counted(tokens=0)), ServerSide())
    assert repeat.accounting == [
        "stream a: records of it at the server == 1 does not hold: 0 != 1 (3 s were given for it)"
    ]


def violations_of_check(counted: Counted, outcome: Outcome = Outcome.COMPLETED, **counts: int) -> list[str]:
    """Return what is said of a stream whose indexes were looked at, beside one that adds up."""
    checked = Checked(load_run([capture(outcome=outcome, stream_id="b")], counted), {"b": record(**counts)})
    measured = load_run([completed()], Counted(tokens=80))
    return digest(COUNTED, measured, server(emitted=80, delivered=80), checked=checked)[0].accounting


def test_indexes_that_were_checked_and_are_right_are_no_violation() -> None:
    assert violations_of_check(Counted(tokens=50, checked=50), emitted=50, delivered=50) == []
    assert violations_of_check(Counted(tokens=50, checked=50, missing=9), emitted=60, delivered=50, dropped=10) == []


def test_indexes_that_were_checked_and_are_wrong_are_a_violation() -> None:
    counted = Counted(tokens=80, checked=79, duplicates=1, missing=3, out_of_order=4)
    assert violations_of_check(counted, emitted=82, delivered=80, dropped=2) == [
        "stream b: tokens with an index == tokens does not hold: 79 != 80",
        "stream b: missing indexes below the highest that came <= dropped + rejected does not hold: 3 > 2",
        "stream b: tokens duplicates == 0 does not hold: 1 != 0",
        "stream b: tokens out of order == 0 does not hold: 4 != 0",
    ]


def test_stream_that_was_checked_is_held_against_its_record_and_its_end_is_told() -> None:
    assert violations_of_check(Counted(tokens=5, checked=5), emitted=6, delivered=6) == [
        "stream b: received == delivered does not hold: 5 != 6"
    ]
    assert violations_of_check(Counted(tokens=5, checked=5), Outcome.CUT, emitted=6, delivered=6) == [
        "stream b: checked, and it ended as cut"
    ]


def test_distribution_that_cannot_be_is_noted_and_no_violation() -> None:
    early = capture(0, 1)
    early.times = Times(scheduled_ns=10 * MS, sent_ns=10 * MS, headers_ns=11 * MS, ended_ns=50 * MS)
    repeat, _ = digest(TRACED, load_run([early]), server(emitted=2, delivered=2))
    assert repeat.accounting == []
    assert [note.partition(" (")[0] for note in repeat.notes] == ["first_event", "ttft", "ttft_from_send"]
    assert "1 of 1 values are below 0, the least -5 ms" in repeat.notes[0]
    assert repeat.measures["ttft_p50_ms"] is None


def test_load_of_the_machine_is_kept() -> None:
    repeat, _ = digest(TRACED, load_run([capture(0)]), replace(server(emitted=1, delivered=1), load_average=2.5))
    assert repeat.load_average == 2.5
