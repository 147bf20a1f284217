"""Lesson 06: a stream written by hand, waits on paper and of a run, what a client says of itself, reading a report."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.load.client import drive
from benchmarks.load.plan import LoadRun
from benchmarks.measures.computing import MEASURES
from benchmarks.results import CellResult, ClientCheck, Repeat, Results
from benchmarks.scenarios.cells import Closed
from benchmarks.teaching.lesson_06 import (
    SHORT_ANSWER,
    Waits,
    asking,
    checks_of,
    client_row,
    compute_for,
    delays_ms,
    draw_letters,
    formulas,
    four_names,
    headings_of,
    late_client,
    not_bound,
    on_the_wire,
    parsed,
    percentile,
    printed,
    standing_still,
    tool_that_says,
    waits_of,
    waits_on_paper_ms,
)
from benchmarks.teaching.serving import server
from benchmarks.traces.captures import Capture, Outcome, Times
from servers.profiles import PROFILES, StreamIdentity
from streams.source import Token

__all__ = ()

MS = 1_000_000
EVENTS = [(50, ""), (60, "a"), (70, "b"), (90, "c"), (90, "d"), (160, "e")]
CHECK = ClientCheck(cpu_share=0.1, lag_p99_ms=1, lag_max_ms=1, bound=False)


def answered(*, due_ms: float, sent_ms: float, first_ms: float, ended_ms: float) -> Capture:
    """One answer of two tokens, as our server writes it with trace=1; the source was as fast as the first arrival."""
    encoder = PROFILES["completion"](StreamIdentity("s1", trace=True))
    tokens = [Token(index, "x", round(first_ms * MS) - 2 * MS, round(first_ms * MS) - 2 * MS) for index in range(2)]
    capture = Capture(Times(round(due_ms * MS), round(sent_ms * MS), ended_ns=round(ended_ms * MS)), status=200)
    capture.pieces = [encoder.tokens(tokens, 0), encoder.end()]
    capture.stamps_ns = [round(first_ms * MS), round(ended_ms * MS)]
    return capture


def run_of(*captures: Capture, client: ClientCheck = CHECK) -> LoadRun:
    return LoadRun(captures=list(captures), counted=None, began_ns=0, ended_ns=1, client=client)


# --- One stream, four names --------------------------------------------------------------------------------------


def test_a_stream_written_by_hand_has_the_times_and_texts_it_was_given() -> None:
    trace = on_the_wire(EVENTS, headers_ms=20, end_ms=200)
    assert (trace.received_ns / MS).tolist() == [60, 70, 90, 90, 160]
    assert trace.texts == ("a", "b", "c", "d", "e")
    assert (trace.first_event_ns, trace.times.headers_ns, trace.times.ended_ns) == (50 * MS, 20 * MS, 200 * MS)
    assert trace.outcome is Outcome.COMPLETED


@pytest.mark.parametrize(
    ("events", "headers_ms", "end_ms"),
    [([(60, "a"), (50, "b")], 0, 100), ([(60, "a")], 70, 100), ([(60, "a")], 0, 50)],
)
def test_a_stream_written_by_hand_never_goes_back_in_time(
    events: list[tuple[float, str]], headers_ms: float, end_ms: float
) -> None:
    with pytest.raises(ValueError, match="order of time"):
        on_the_wire(events, headers_ms=headers_ms, end_ms=end_ms)


def test_four_tools_print_what_their_definitions_say() -> None:
    trace = on_the_wire(EVENTS, headers_ms=20, end_ms=200)
    assert printed(trace, "ttft_ms") == {"tokenweir": 60, "guidellm": 60, "vllm": 50, "aiperf": 60}
    assert printed(trace, "tpot_ms") == {"tokenweir": 25, "guidellm": 32, "vllm": 27.5}
    rows = {row.pop("in ms"): row for row in four_names(trace)}
    assert rows["end to end"] == {"tokenweir": 160, "guidellm": 200, "vllm": 160, "aiperf": 160}
    assert rows["time per output token"]["aiperf"] is None


def test_a_figure_sheet_tells_whose_tool_it_was_and_refuses_to_guess() -> None:
    trace = on_the_wire(EVENTS, headers_ms=20, end_ms=200)
    assert tool_that_says(trace, itl_p99_ms=25, tpot_ms=32) == "guidellm"
    with pytest.raises(ValueError, match="one tool"):
        tool_that_says(trace, itl_p99_ms=25)
    with pytest.raises(ValueError, match="none"):
        tool_that_says(trace, ttft_ms=61)


def test_the_formulas_of_a_metric_are_one_row_for_each_tool_that_has_it() -> None:
    assert [row["tool"] for row in formulas("tpot_ms")] == ["tokenweir", "guidellm", "vllm"]


def test_the_drawing_tells_every_letter_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    draw_letters(on_the_wire(EVENTS, headers_ms=20, end_ms=200))
    assert "t3, t4 at 90 ms; t5, e at 160 ms; d at 200 ms" in capsys.readouterr().out


def test_what_has_no_tokens_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="completed stream with tokens"):
        draw_letters(on_the_wire([(50, "")], headers_ms=20, end_ms=200))


# --- A server that stops -----------------------------------------------------------------------------------------


def test_whoever_comes_within_the_stop_waits_for_the_rest_of_it_and_nobody_else_waits() -> None:
    waits = waits_on_paper_ms(per_s=10, requests=10, stops_at_s=0.25, stops_for_s=0.5)
    assert waits.round().tolist() == [0, 0, 0, 450, 350, 250, 150, 50, 0, 0]


@pytest.mark.parametrize("name", ["per_s", "requests", "stops_at_s", "stops_for_s"])
def test_waits_on_paper_refuse_what_is_no_number_above_0_by_name(name: str) -> None:
    numbers = {"per_s": 1.0, "requests": 1, "stops_at_s": 1.0, "stops_for_s": 1.0, name: 0}
    with pytest.raises(ValueError, match=name):
        waits_on_paper_ms(**numbers)  # type: ignore[arg-type]


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = np.array([0.0] * 160 + [50.0 * (k + 1) for k in range(40)])
    assert [percentile(values, p) for p in (50, 90, 99, 100)] == [0, 1000, 1900, 2000]


def test_a_wait_counts_from_the_schedule_and_what_is_left_of_it_from_the_sending() -> None:
    run = run_of(
        answered(due_ms=1000, sent_ms=1010, first_ms=1015, ended_ms=1100),
        answered(due_ms=1500, sent_ms=1530, first_ms=1540, ended_ms=1600),
    )
    first, whole = waits_of(run), waits_of(run, whole=True)
    assert first.due_s.tolist() == [0, 0.5]
    assert first.wait_ms.tolist() == [15, 40]
    assert first.from_send_ms.tolist() == [5, 10]
    assert whole.wait_ms.tolist() == [100, 100]
    assert (len(first), first.p(100)) == (2, 40)


def test_a_request_that_was_left_without_an_answer_has_no_wait() -> None:
    left = Capture(Times(2000 * MS, 2000 * MS, ended_ns=2100 * MS), status=200, outcome=Outcome.LEFT)
    run = run_of(answered(due_ms=1000, sent_ms=1010, first_ms=1015, ended_ms=1100), left)
    assert [len(waits_of(run)), len(waits_of(run, whole=True))] == [1, 1]


def test_a_request_that_failed_is_never_left_out() -> None:
    refused = Capture(Times(0, 0), status=503, outcome=Outcome.REFUSED)
    with pytest.raises(ValueError, match="refused"):
        waits_of(run_of(answered(due_ms=0, sent_ms=0, first_ms=5, ended_ms=6), refused))
    with pytest.raises(ValueError, match="no answer"):
        waits_of(run_of())


async def test_the_short_answer_is_one_token() -> None:
    async with server() as address:
        run = await drive(asking(int(address.rpartition(":")[2]), Closed()))
    (trace,) = parsed(run)
    assert SHORT_ANSWER.startswith("/v1/chat/stream?")
    assert (trace.token_count, trace.outcome) == (1, Outcome.COMPLETED)


@pytest.fixture
def pid() -> Iterator[int]:
    """A process that does nothing until the test is over."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process.pid
        process.kill()


async def test_a_process_stands_still_and_goes_on_even_if_nobody_waits_for_it(pid: int) -> None:
    standing = asyncio.ensure_future(standing_still(pid, after_s=0.001, for_s=60))
    assert await asyncio.to_thread(next_state, pid) == "stopped"
    standing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await standing
    assert await asyncio.to_thread(next_state, pid) == "continued"


def next_state(pid: int) -> str:
    """Wait until a child process stops, goes on or ends, and say which."""
    _, status = os.waitpid(pid, os.WUNTRACED | os.WCONTINUED)
    if os.WIFSTOPPED(status):
        return "stopped" if os.WSTOPSIG(status) == signal.SIGSTOP else "stopped by another"
    return "continued" if os.WIFCONTINUED(status) else "ended"


@pytest.mark.parametrize(("after_s", "for_s", "name"), [(0, 1, "after_s"), (1, 0, "for_s")])
async def test_standing_still_refuses_what_is_no_duration_by_name(after_s: float, for_s: float, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        await standing_still(0, after_s=after_s, for_s=for_s)


# --- A client that is late ---------------------------------------------------------------------------------------


async def test_a_late_client_works_again_and_again_on_the_loop_until_it_is_left() -> None:
    worked_s: list[float] = []
    again = asyncio.Event()

    def work(duration_s: float) -> None:
        worked_s.append(duration_s)
        if len(worked_s) == 2:
            again.set()

    with late_client(busy_ms=30, every_ms=30.001, work=work):
        await again.wait()
    count = len(worked_s)
    rest = asyncio.Event()
    asyncio.get_running_loop().call_later(0.001, rest.set)  # later than the next piece of work would be
    await rest.wait()
    assert worked_s == [0.03] * count


def test_work_takes_all_its_time() -> None:
    before_s = time.perf_counter()
    compute_for(0.001)
    assert time.perf_counter() - before_s >= 0.001


@pytest.mark.parametrize(("busy_ms", "every_ms", "name"), [(0, 10, "busy_ms"), (10, 10, "every_ms")])
async def test_a_late_client_is_left_some_time(busy_ms: float, every_ms: float, name: str) -> None:
    with pytest.raises(ValueError, match=name), late_client(busy_ms=busy_ms, every_ms=every_ms):
        pass


def test_delays_are_from_the_source_to_the_clients_note() -> None:
    assert delays_ms(run_of(answered(due_ms=0, sent_ms=0, first_ms=5, ended_ms=6))).tolist() == [2, 2]


def test_a_clients_row_has_its_medians_and_its_own_verdict() -> None:
    late = ClientCheck(cpu_share=0.1, lag_p99_ms=30, lag_max_ms=40, bound=True, reason="it was late")
    capture = answered(due_ms=0, sent_ms=3, first_ms=5, ended_ms=6)
    expected = {"client": "c", "delay": 2, "from_due": 5, "from_send": 2, "it says of itself": "it was late"}
    assert client_row("c", run_of(capture, client=late)) == expected
    assert client_row("c", run_of(capture))["it says of itself"] == "not the limit"


def test_a_client_that_used_its_core_up_or_was_late_is_not_believed() -> None:
    assert not_bound({"A": (0.55, 3.0), "B": (0.97, 2.0), "C": (0.30, 45.0), "D": (0.85, 9.0)}) == {"A", "D"}


# --- Reading a report --------------------------------------------------------------------------------------------


def results_of(*repeats: Repeat, error: str = "") -> Results:
    cell = CellResult(
        scenario="s", name="flux drop", variant="flux", strategy="drop", reader="fast", transport="sse", parameters={}
    )
    cell.repeats, cell.error = list(repeats), error
    unit = {"ttft_p50_ms": {"title": "", "unit": MEASURES["ttft_p50_ms"].unit, "formula": "", "better": ""}}
    return Results(cells=[cell], definitions=unit, environment={"cpu_count": 2})


def answers_of(results: Results) -> list[str]:
    return [row["this run answers"] for row in checks_of(results, "ttft_p50_ms")]


def test_a_run_without_a_flaw_says_so_and_how_far_its_repeats_are_apart() -> None:
    results = results_of(Repeat(measures={"ttft_p50_ms": 4.0}), Repeat(measures={"ttft_p50_ms": 6.0}))
    assert answers_of(results) == [
        *("yes", "yes, of every stream", "no", "drop: 4 to 6 ms"),
        "2 cores; the report names the rest",
    ]


def test_every_flaw_of_a_run_is_told() -> None:
    bound = ClientCheck(cpu_share=1, lag_p99_ms=1, lag_max_ms=1, bound=True, reason="it used 100% of its core")
    results = results_of(Repeat(measures={}, accounting=["one is missing"], client=bound), error="died")
    told = answers_of(results)
    assert told[0] == "no: flux drop"
    assert "one is missing" in told[1]
    assert told[2] == "perhaps: it used 100% of its core"


def test_the_headings_of_a_report_are_those_a_reader_sees() -> None:
    report = "<h1>No</h1><h2 id='a'>In words</h2><p>no</p><h2>Other tools&#x27; <b>names</b></h2><h3>no</h3>"
    assert headings_of(report) == ["In words", "Other tools' names"]


def test_waits_are_plain_columns() -> None:
    nothing = np.empty(0)
    assert len(Waits(nothing, nothing, nothing)) == 0
