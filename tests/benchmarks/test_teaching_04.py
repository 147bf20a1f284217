"""Lesson 04: what a look at the sockets says, how old tokens are, and the hiding place on paper."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.teaching.lesson_04 import (
    AS_USUAL,
    OURS,
    PLACES,
    Ages,
    Look,
    Queued,
    ages_of,
    arrivals,
    beginning,
    draw_ages,
    draw_lowat,
    draw_places,
    gone_with,
    look_at,
    queued_in,
    read_behind,
    read_slowly,
    show_beginnings,
    speeds,
    stand_still,
)
from benchmarks.teaching.serving import server
from benchmarks.traces.captures import Outcome, Times, Trace
from servers.response import BufferSizes
from streams import BackpressureStrategy
from streams.marbles import MarbleKind
from streams.simulate import SourceSchedule

__all__ = ()

MS = 1_000_000
LETTERS = SourceSchedule([(10 * number, letter) for number, letter in enumerate("abcdefghijkl")], end_ms=120)


def column(*values: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([round(value * MS) for value in values], dtype=np.int64)


def trace_of(*, seq: list[int], emitted: list[float], taken: list[float], received: list[float]) -> Trace:
    """A stream that was asked for at 0 ms; times in milliseconds."""
    return Trace(
        stream_id="a",
        times=Times(0, sent_ns=0),
        outcome=Outcome.LEFT,
        detail="",
        received_ns=column(*received),
        seq=np.array(seq, dtype=np.int64),
        due_ns=None,
        emitted_ns=column(*emitted),
        taken_ns=column(*taken),
        merged=np.ones(len(seq), dtype=np.int64),
        producer=None,
        text_lengths=np.ones(len(seq), dtype=np.int64),
        first_event_ns=None,
        event_count=len(seq),
        statistics=None,
        samples=(),
        bytes_received=100 * len(seq),
    )


# --- Standing still ------------------------------------------------------------------------------------------------

STOOD = trace_of(
    seq=[0, 1, 2, 3, 9],
    emitted=[0, 1, 2, 3, 801],
    taken=[1, 2, 3, 4, 801],
    received=[801, 801, 801, 801, 802],
)


def test_a_look_counts_what_had_left_the_boundary_and_shares_it_out() -> None:
    look = look_at(STOOD, 500 * MS, 0.8, Queued(server=200, client=100))
    assert look == Look(gone=4, token_bytes=100.0, waiting=dict(zip(PLACES, (1, 2, 1), strict=True)))


def test_kernels_never_hold_more_tokens_than_have_left() -> None:
    look = look_at(STOOD, 500 * MS, 0.8, Queued(server=100_000, client=100_000))
    assert look is not None
    assert tuple(look.waiting.values()) == (0, 4, 0)


def test_where_the_kernel_says_nothing_the_places_are_unknown() -> None:
    look = look_at(STOOD, 500 * MS, 0.8, None)
    assert look is not None
    assert (look.gone, look.waiting) == (4, {})


@pytest.mark.parametrize(("looked_ms", "why"), [(0.5, "nothing had come"), (2.5, "more went later"), (900, "too late")])
def test_a_look_at_the_wrong_moment_is_none(looked_ms: float, why: str) -> None:
    assert look_at(STOOD, round(looked_ms * MS), 0.8, None) is None, why


def test_the_queues_of_both_ends_are_read_from_the_words_of_the_kernel() -> None:
    lines = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid",
        "   0: 0100007F:1F9A 00000000:0000 0A 00000000:00000007 00:00000000 00000000     0",  # listens
        "   1: 0100007F:1F9A 0100007F:D431 01 00000A00:00000000 00:00000000 00000000     0",  # the server's end
        "   2: 0100007F:D431 0100007F:1F9A 01 00000000:00000064 00:00000000 00000000     0",  # the client's end
        "   3: 0100007F:0050 0100007F:D432 01 00000FFF:00000FFF 00:00000000 00000000     0",  # somebody else's
    ]
    assert queued_in("\n".join(lines), 0x1F9A) == Queued(server=0xA00, client=0x64)


@pytest.mark.slow
async def test_the_limit_for_unsent_bytes_keeps_tokens_within_reach() -> None:
    small = await gone_with(BufferSizes())
    large = await gone_with(BufferSizes(high_water_bytes=262_144))
    assert 0 < small < large


@pytest.mark.slow
async def test_a_fast_reader_is_measured_in_tokens_a_second() -> None:
    async with server() as address:
        port = urlsplit(address).port
        assert port is not None
        found = await speeds({"one": port}, rounds=1)
    assert found["one"] > 0


async def test_without_a_server_it_is_said_that_no_stream_came(closed_port: int) -> None:
    with pytest.raises(RuntimeError, match="no stream came: unreachable"):
        await read_slowly(closed_port, seconds=20)
    with pytest.raises(RuntimeError, match="no stream came"):
        await speeds({"none": closed_port})
    with pytest.raises(RuntimeError, match="no stream came"):
        await stand_still(closed_port)


def test_the_two_servers_differ_in_both_buffers() -> None:
    assert AS_USUAL[::2] == OURS[::2] == ("--high-water-bytes", "--notsent-lowat-bytes")
    assert OURS[1::2] == (str(BufferSizes().high_water_bytes), str(BufferSizes().notsent_lowat_bytes))


# --- Reading slowly ------------------------------------------------------------------------------------------------

SLOW = trace_of(
    seq=[0, 1, 4, 5],
    emitted=[10, 11, 14, 15],
    taken=[11, 12, 15, 30],
    received=[12, 30, 50, 70],
)


def test_ages_are_told_from_the_first_token_on() -> None:
    ages = ages_of(SLOW)
    assert ages.at_s == pytest.approx([0, 0.018, 0.038, 0.058])
    assert ages.age_s == pytest.approx([0.002, 0.019, 0.036, 0.055])
    assert ages.last_index == 5
    assert ages.missed == 2
    assert ages.settled_s == pytest.approx(0.055)


def test_the_beginning_shows_what_was_taken_by_then_and_what_was_read_by_then() -> None:
    drawn = beginning(SLOW, until_ms=14)
    lanes = {lane.name: [marble.label for marble in lane.marbles if not marble.about] for lane in drawn.lanes}
    assert lanes["source"] == ["0", "1", "4", "5"]  # the last one was emitted, and not yet taken
    assert lanes["socket"] == ["0", "1", "4"]
    assert lanes["client"] == ["0"]
    assert drawn.span_ms == 14


def test_what_was_lost_before_the_next_token_belongs_to_the_beginning() -> None:
    trace = trace_of(seq=[0, 1, 4], emitted=[10, 11, 14], taken=[11, 12, 30], received=[12, 30, 50])
    source, boundary, socket, _ = beginning(trace, until_ms=10).lanes
    assert [(marble.label, marble.at_ms) for marble in source.marbles] == [(str(ms), ms) for ms in range(5)]
    assert [(marble.label, marble.kind) for marble in boundary.marbles] == [
        ("2", MarbleKind.DROPPED),
        ("3", MarbleKind.DROPPED),
    ]
    assert [marble.label for marble in socket.marbles] == ["0", "1"]


@pytest.mark.slow
async def test_a_slow_stream_over_tcp_bears_its_times() -> None:
    async with server() as address:
        port = urlsplit(address).port
        assert port is not None
        trace = await read_slowly(port, seconds=0.3)
    assert trace.outcome is Outcome.LEFT
    assert len(ages_of(trace).age_s) == len(trace.received_ns)


# --- On paper ------------------------------------------------------------------------------------------------------


def test_without_a_hiding_place_latest_brings_the_newest() -> None:
    drawn = read_behind(BackpressureStrategy.LATEST, LETTERS, hidden=0, read_every_ms=40)
    assert arrivals(drawn) == ["a", "d", "h", "l"]


def test_a_hiding_place_brings_the_oldest_first_and_makes_the_last_late() -> None:
    drawn = read_behind(BackpressureStrategy.LATEST, LETTERS, hidden=4, read_every_ms=40)
    assert arrivals(drawn) == ["a", "b", "c", "d", "e", "f", "h", "l"]
    source, _, socket, client = drawn.lanes
    assert client.marbles[-1].at_ms == 280
    assert socket.held is not None
    assert socket.held.peak == 4
    assert [bar.at_ms for bar in client.bars] == [280]
    assert len(source.marbles) == 12


@pytest.mark.parametrize("hidden", [0, 1, 3, 12])
@pytest.mark.parametrize("strategy", [BackpressureStrategy.LATEST, BackpressureStrategy.suspend(1)])
def test_no_more_hides_than_there_is_room(strategy: BackpressureStrategy, hidden: int) -> None:
    drawn = read_behind(strategy, LETTERS, hidden=hidden, read_every_ms=25)
    socket, client = drawn.lanes[-2:]
    assert socket.held is not None
    assert socket.held.peak <= hidden
    assert len(client.marbles) == len(socket.marbles)
    gaps = np.diff([marble.at_ms for marble in client.marbles])
    assert gaps.min() >= 25


def test_a_reader_faster_than_its_source_hides_nothing() -> None:
    drawn = read_behind(BackpressureStrategy.LATEST, LETTERS, hidden=4, read_every_ms=5)
    assert arrivals(drawn) == list("abcdefghijkl")
    socket = drawn.lanes[-2]
    assert socket.held is not None
    assert socket.held.peak == 0


def test_a_negative_room_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="hidden"):
        read_behind(BackpressureStrategy.LATEST, LETTERS, hidden=-1, read_every_ms=5)


# --- Plots ---------------------------------------------------------------------------------------------------------


def test_places_are_drawn_with_their_numbers_even_where_they_are_unknown() -> None:
    known = Look(4, 100.0, dict(zip(PLACES, (1, 2, 1), strict=True)))
    axes = Figure().subplots()
    draw_places(axes, {"one": known, "other": replace(known, gone=9)})
    assert [words.get_text().strip() for words in axes.texts] == ["1", "2", "1", "1", "2", "1"]
    assert [words.get_text() for words in axes.get_yticklabels()] == list(PLACES)[::-1]
    axes = Figure().subplots()
    draw_places(axes, {"one": replace(known, waiting={})})
    assert [words.get_text().strip() for words in axes.texts] == ["4"]


def test_ages_and_limits_are_drawn_as_they_are() -> None:
    axes = Figure().subplots()
    draw_ages(axes, {"one": Ages([0, 1], [0.1, 0.2], 1)})
    (line,) = axes.lines
    assert line.get_xydata() == pytest.approx(np.array([[0, 0.1], [1, 0.2]]))
    axes = Figure().subplots()
    draw_lowat(axes, {None: 1000, 4096: 64})
    assert [words.get_text() for words in axes.texts] == ["1,000", "64"]
    assert [words.get_text() for words in axes.get_xticklabels()] == ["not set", "4,096 B"]


def test_beginnings_are_shown_one_by_one_with_a_description(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("benchmarks.teaching.lesson_04.show", shown.append)
    show_beginnings({"one": SLOW, "other": SLOW}, until_ms=40)
    assert [bundle["text/plain"].split("\n")[0] for bundle in shown] == ["one", "other"]
    assert all(bundle["image/svg+xml"].startswith("<svg") for bundle in shown)
