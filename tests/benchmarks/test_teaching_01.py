"""Lesson 01: what the hand-made client keeps, where bytes are cut, and the rules of an EventSource."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.teaching.lesson_01 import (
    all_cuts_agree,
    cut,
    draw_cuts,
    event_by_event,
    event_source,
    fetch,
    pieces,
    still_open,
)
from benchmarks.teaching.plots import plot
from benchmarks.teaching.serving import server
from servers.sse import EventStreamDecoder

__all__ = ()

THREE = "/v1/chat/stream?source=counter&count=3&rate=0"
BODY = b"data: one\n\ndata: two\n\ndata: \xe4\xb8\x89\n\n"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with server() as served:
        yield served


def decoded(chunks: Sequence[bytes]) -> list[str]:
    decoder = EventStreamDecoder()
    return [event.data for chunk in chunks for event in decoder.feed(chunk)]


def naive(chunks: Sequence[bytes]) -> list[str]:
    return [chunk.decode(errors="replace")[6:].split("\n")[0] for chunk in chunks if chunk.startswith(b"data: ")]


async def answering(reply: bytes) -> tuple[asyncio.Server, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    return listening, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


# The client.


async def test_answer_has_the_events_and_the_same_id_every_time(address: str) -> None:
    first, second = await fetch(address, THREE), await fetch(address, THREE)
    assert first.body == second.body
    assert first.headers == second.headers
    assert first.events[-1].id == f"{first.headers['X-Stream-Id']}-end"
    assert (first.status, first.closed, len(first.events)) == (200, True, 4)


@pytest.fixture
def let_patience_end(monkeypatch: pytest.MonkeyPatch, jump: Callable[[float], None]) -> Callable[[int], None]:
    """Let 20 s pass when the client, holding so many events, waits for more."""
    read = asyncio.StreamReader.read

    def behind(event_count: int) -> None:
        body = b""

        async def read_or_jump(reader: asyncio.StreamReader, n: int = -1) -> bytes:
            nonlocal body
            if len(decoded([body])) == event_count:
                jump(20)
            body += (chunk := await read(reader, n))
            return chunk

        monkeypatch.setattr(asyncio.StreamReader, "read", read_or_jump)

    return behind


async def test_stream_that_hangs_is_an_answer_that_was_not_closed(
    address: str, let_patience_end: Callable[[int], None]
) -> None:
    let_patience_end(2)
    answer = await fetch(address, THREE + "&hang_after=2", patience_s=20)
    assert (answer.closed, len(answer.events)) == (False, 2)


async def test_stream_that_hangs_before_its_first_token_is_an_answer_too(
    address: str, let_patience_end: Callable[[int], None]
) -> None:
    let_patience_end(0)
    answer = await fetch(address, THREE + "&hang_after=0", patience_s=20)
    assert (answer.status, answer.closed, answer.body) == (200, False, b"")


async def test_client_hangs_up_after_so_many_events(address: str) -> None:
    answer = await fetch(address, "/v1/chat/stream?source=counter&rate=100&count=1000", stop_after=2)
    assert not answer.closed
    assert 2 <= len(answer.events) < 1000


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.0 soon\r\n\r\n"])
async def test_answer_that_is_no_http_is_refused(reply: bytes) -> None:
    listening, served = await answering(reply)
    async with listening:
        with pytest.raises(ValueError, match="the answer must begin with"):
            await fetch(served, "/")


async def test_answer_that_never_begins_is_a_timeout() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await fetch(f"http://127.0.0.1:{port}", "/", patience_s=0.05)


async def test_wait_that_ends_is_not_open_and_one_that_does_not_is() -> None:
    never = asyncio.get_running_loop().create_future()
    assert not await still_open(asyncio.sleep(0))
    assert await still_open(never, patience_s=0.01)
    assert never.cancelled()


# The browser's rules.


async def test_event_source_stops_at_204(address: str) -> None:
    visits = await event_source(address, THREE)
    assert [(visit.status, visit.last_event_id[-4:]) for visit in visits] == [(200, ""), (204, "-end")]


async def test_event_source_without_ids_gets_the_same_answer_again(address: str) -> None:
    visits = await event_source(address, THREE + "&profile=data", most_visits=2)
    assert [visit.texts for visit in visits] == [["0", "1", "2"]] * 2
    assert {visit.last_event_id for visit in visits} == {""}


async def test_event_source_brings_the_last_id_it_has_seen(address: str) -> None:
    first, second = await event_source(address, THREE, hang_up_after=2, most_visits=2)
    assert second.last_event_id == first.events[-1].id
    assert second.last_event_id.endswith("-1")
    assert len(first.events) == 2
    assert second.events[0].id.endswith("-0")


async def test_event_source_stops_at_an_error(address: str) -> None:
    assert [visit.status for visit in await event_source(address, "/v1/chat/stream?rate=fast")] == [400]


# Where the network cuts.


@given(st.binary(min_size=1), st.data())
def test_cut_bytes_are_the_same_bytes_in_so_many_pieces(body: bytes, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(body)))
    chunks = cut(body, count, seed=data.draw(st.integers()))
    assert b"".join(chunks) == body
    assert len(chunks) == count
    assert all(chunks)


def test_equal_seeds_cut_alike_and_others_do_not() -> None:
    assert cut(BODY, 4, seed=1) == cut(BODY, 4, seed=1) != cut(BODY, 4, seed=2)


@pytest.mark.parametrize("count", [0, len(BODY) + 1])
def test_impossible_number_of_pieces_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="count must be"):
        cut(BODY, count, seed=0)


def test_pieces_are_cut_at_the_offsets() -> None:
    assert pieces(b"abcdef", [4, 1]) == [b"a", b"bcd", b"ef"]


def test_body_cut_event_by_event_suits_even_a_naive_client() -> None:
    assert naive(event_by_event(BODY)) == decoded([BODY]) == ["one", "two", "三"]


def test_decoder_agrees_with_itself_on_all_cuts_and_a_naive_client_does_not() -> None:
    assert all_cuts_agree(decoded, BODY) is True
    assert all_cuts_agree(naive, BODY) is False
    assert all_cuts_agree(lambda chunks: ..., BODY) is ...


def test_drawing_fills_the_events_that_are_found() -> None:
    axes = plot("", "", "")
    draw_cuts(axes, {"each": event_by_event(BODY), "whole": [BODY]}, naive)
    blocks: list[Any] = list(axes.patches)
    assert [block.get_facecolor()[3] > 0 for block in blocks] == [True] * 3 + [True, False, False]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["each", "whole"]


def test_drawing_of_different_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="cuttings must be one body"):
        draw_cuts(plot("", "", ""), {"a": [b"a"], "b": [b"b"]}, naive)
