"""The measurements of the served goals: the pure parts by example, and each case once, with tiny numbers."""

from __future__ import annotations

import asyncio
import io
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.peers.registry import Peer
from benchmarks.processes import HAS_PROC, running
from benchmarks.served.client import Arrival, Pull, arrivals_of, open_readers
from benchmarks.served.contenders import NODE, SSE_STARLETTE, STARLETTE, Contender
from benchmarks.served.delay import DelaySize, delay
from benchmarks.served.firehose import FirehoseSize, firehose, pull_anew, warm_up
from benchmarks.served.memory import MemorySize, grow, memory
from benchmarks.served.paced import Attempt, PacedSize, Search, largest_that_holds, paced, search
from benchmarks.served.report import Result, percentile, skipped, table, to_json
from benchmarks.served.stalled import StalledSize, stalled

__all__ = ()

needs_proc = pytest.mark.skipif(not HAS_PROC, reason="memory of a process is read from Linux's /proc")


def needs(*peers: Peer) -> pytest.MarkDecorator:
    """Skip where a peer is missing, and say what to install."""
    missing = "; ".join(sorted({peer.missing() for peer in peers} - {""}))
    return pytest.mark.skipif(bool(missing), reason=f"install {missing}")


# --- The parts ---------------------------------------------------------------------------------------------------


def frame(due_ns: int, emitted_ns: int) -> bytes:
    payload = json.dumps({"ended": False, "message": "a", "due_ns": due_ns, "emitted_ns": emitted_ns})
    return f"event: message\nid: x-0\ndata: {payload}\n\n".encode()


def test_token_arrives_with_the_piece_that_completes_its_frame() -> None:
    sent = frame(10, 11) + frame(20, 21)
    pieces = [sent[:60], sent[60:-1], sent[-1:]]
    assert arrivals_of([100, 200, 300], pieces) == [Arrival(10, 11, 200), Arrival(20, 21, 300)]


def test_tokens_of_one_piece_arrive_together_whatever_frames_the_chunks_have() -> None:
    piece = b"50\r\n" + frame(10, 11) + b"\r\n50\r\n" + frame(20, 21) + b"\r\n"
    assert arrivals_of([100], [piece]) == [Arrival(10, 11, 100), Arrival(20, 21, 100)]


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0)])
def test_percentile_is_the_smallest_value_with_so_many_at_or_below_it(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value


def test_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 99))


@pytest.mark.parametrize(
    ("limit", "tried", "found"),
    [
        (0, [100, 50, 25, 12, 6, 3, 1], 0),
        (99, [100, 50, 75, 87, 93], 93),
        (450, [100, 200, 400, 800, 600, 500, 450], 450),
        (10_000, [100, 200, 400, 800, 1_600], 1_600),
    ],
)
async def test_number_is_doubled_until_it_fails_and_then_bisected(limit: int, tried: Sequence[int], found: int) -> None:
    asked: list[int] = []

    async def holds(number: int) -> bool:
        asked.append(number)
        return number <= limit

    assert await largest_that_holds(holds, first=100, most=1_600, bisections=3) == found
    assert asked == tried


def test_missing_peer_is_one_line_that_says_what_to_install() -> None:
    result = skipped("firehose", "ours beside another", ">= 2 x", "another: pip install another")
    assert (result.met, result.note) == (None, "install another: pip install another")


@pytest.mark.parametrize(
    ("server_share", "delivered_share", "repeated"),
    [(0.5, 0.9, True), (None, 0.9, True), (0.95, 0.9, False), (0.1, 0.1, False)],
)
def test_miss_is_repeated_only_if_the_machine_may_have_caused_it(
    server_share: float | None, delivered_share: float, *, repeated: bool
) -> None:
    attempt = Attempt(50, 1.0, 30.0, delivered_share, server_share, 0.1)
    assert (attempt.holds, attempt.may_be_the_machine) == (False, repeated)


HELD = Attempt(50, 1.0, 2.0, 1.0, 0.5, 0.1)
MISSED = Attempt(100, 1.0, 30.0, 1.0, 1.0, 0.1)
MISSED_BY_THE_CLIENT = Attempt(100, 1.0, 30.0, 1.0, 1.0, 0.95)


@pytest.mark.parametrize(
    ("found", "is_bound", "note"),
    [
        (Search(50, [HELD, MISSED]), False, ""),
        (Search(50, [HELD]), True, "nothing failed: the true number is higher"),
        (Search(50, [HELD, MISSED_BY_THE_CLIENT]), True, "the client was the limit where it failed"),
        (Search(0, [MISSED]), False, "not even one stream was in time"),
        (Search(100, [MISSED, replace(HELD, streams=100)]), True, "nothing failed: the true number is higher"),
        (Search(50, [replace(MISSED_BY_THE_CLIENT, streams=200), MISSED, HELD]), False, ""),
    ],
)
def test_number_is_a_bound_unless_it_failed_where_the_client_was_not_the_limit(
    found: Search, is_bound: bool, note: str
) -> None:
    assert (found.is_bound, found.note) == (is_bound, note)


@pytest.mark.parametrize(
    ("rates", "asked"),
    [
        ([500.0, 700.0, 900.0], [100, 1_000, 1_400]),
        ([1e6, 1e6, 1e6], [100, 5_000, 5_000]),
        ([10.0, 10.0, 10.0], [100, 100, 100]),
    ],
)
def test_stream_of_a_new_server_is_as_long_as_the_one_before_says_and_never_left_before_its_end(
    monkeypatch: pytest.MonkeyPatch, rates: Sequence[float], asked: Sequence[int]
) -> None:
    left, counts = iter(rates), list[tuple[int, str]]()

    def pull(_: int, target: str, count: int) -> Pull:
        counts.append((count, target))
        return Pull(next(left), 0.1)

    monkeypatch.setattr("benchmarks.served.firehose.pull", pull)
    idle = (sys.executable, "-c", "import time; print('http://127.0.0.1:1', flush=True); time.sleep(60)")
    pulled = pull_anew(Contender("idle", idle), FirehoseSize(tokens=5_000, least=100, about_s=2.0))
    assert counts == [(count, f"/stream?count={count}&rate=0") for count in asked]
    assert pulled.frames_per_s == rates[-1]


def test_server_is_warmed_up_for_as_long_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, pulled = iter(range(100)), list[int]()

    def pull(_: int, __: str, count: int) -> Pull:
        pulled.append(count)
        return Pull(1_000.0, 0.1)

    monkeypatch.setattr("benchmarks.served.firehose.pull", pull)
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    monkeypatch.setattr("benchmarks.served.firehose.time", clock)
    idle = (sys.executable, "-c", "import time; print('http://127.0.0.1:1', flush=True); time.sleep(60)")
    with running(idle) as server:
        size = FirehoseSize(tokens=5_000, least=100, about_s=2.0)
        assert warm_up(Contender("compiled", idle, warm_up_s=6.0), server, size) == 2_000
    assert len(pulled) > 2


def test_json_has_null_for_what_is_no_number() -> None:
    result = Result("paced", "ours", ">= 2 x", "nan x", False, raw={"ratio": math.nan, "values": [1.0, math.inf]})
    assert json.loads(to_json([result]))["results"][0]["raw"] == {"ratio": None, "values": [1.0, None]}


def test_server_that_does_not_start_is_an_error_with_what_it_printed() -> None:
    with (
        pytest.raises(RuntimeError, match=r"does not listen; it printed:\n.*nothing"),
        running([sys.executable, "-m", "benchmarks.nothing"]),
    ):
        pytest.fail("it runs")


# --- Answers that are no stream --------------------------------------------------------------------------------------

STREAM = b"HTTP/1.1 200 OK\r\n\r\ndata: a\n\n"
REFUSAL = b"HTTP/1.1 500 Overflow 200\r\n\r\n<p>\n\n</p>"


async def test_stream_that_is_refused_has_not_begun() -> None:
    answers, writers = iter([STREAM, REFUSAL]), list[asyncio.StreamWriter]()

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(next(answers))

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        async with open_readers(server.sockets[0].getsockname()[1], "/", 2) as readers:
            await asyncio.gather(*(reader.first for reader in readers))
            assert sorted(reader.has_begun for reader in readers) == [False, True]
        for writer in writers:
            writer.close()


REFUSING = f"""
import asyncio
writers = []
def answer(_, writer):
    writers.append(writer)
    writer.write({REFUSAL!r})
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{{server.sockets[0].getsockname()[1]}}", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(lambda each: grow(each, MemorySize(streams=2, settle_s=0)), marks=needs_proc, id="memory"),
        pytest.param(lambda each: search(each, PacedSize(first=2, warm_up_s=0, window_s=1)), id="paced"),
        pytest.param(lambda each: pull_anew(each, FirehoseSize(tokens=10)), id="firehose"),
    ],
)
def test_server_that_refuses_every_stream_is_an_error_with_its_answer(measure: Callable[[Contender], object]) -> None:
    with pytest.raises(ConnectionError, match=r"the server refused: 'HTTP/1\.1 500 Overflow"):
        measure(Contender("refusing", (sys.executable, "-c", REFUSING)))


# --- The cases ---------------------------------------------------------------------------------------------------


def shown(results: Sequence[Result]) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table(results))
    return console.export_text()


def assert_measured(results: Sequence[Result], count: int) -> None:
    assert [result.measured for result in results].count("skipped") == 0
    assert len(results) == count
    assert all(result.raw for result in results)
    assert len(json.loads(to_json(results))["results"]) == count
    assert results[0].case in shown(results)


@pytest.mark.slow
@needs(SSE_STARLETTE, NODE)
def test_firehose_measures_every_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    # The rate is that of what comes behind the first piece: it must not hold all, however late it is read.
    monkeypatch.setattr("benchmarks.served.client._PIECE_BYTES", 4096)
    assert_measured(firehose(FirehoseSize(tokens=400, rounds=1)), 5)


@pytest.mark.slow
@needs(SSE_STARLETTE, STARLETTE, NODE)
def test_paced_measures_every_goal() -> None:
    size = PacedSize(first=2, most=3, bisections=1, warm_up_s=0.1, window_s=0.2, rest_s=0.05)
    results = paced(size)
    assert_measured(results, 3)
    assert {attempt["streams"] for result in results for attempt in result.raw["peer_attempts"]} >= {2}


@pytest.mark.slow
@needs_proc
def test_memory_measures_every_variant() -> None:
    assert_measured(memory(MemorySize(streams=3, rounds=1, settle_s=0.05)), 3)


@pytest.mark.slow
@needs_proc
def test_stalled_measures_every_strategy_that_it_is_told() -> None:
    size = StalledSize(stalled=3, others=2, fill_s=0.1, window_s=0.2, strategies=2)
    assert_measured(stalled(size), 2)


@pytest.mark.slow
def test_delay_measures_every_variant() -> None:
    assert_measured(delay(DelaySize(tokens=10, rounds=1)), 3)
