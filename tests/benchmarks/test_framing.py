"""Bodies and frames come out whole however they are cut, and what is wrong is refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.traces.framing import (
    Body,
    ChunkedBody,
    MalformedError,
    Message,
    Opcode,
    WebSocketFrames,
    body_of,
    masked_frame,
)

__all__ = ()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(bounds)]


def chunked(*contents: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in (*contents, b""))


CUTS = st.lists(st.integers(0, 1_000), max_size=8)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), CUTS)
def test_chunks_are_joined_wherever_they_are_cut(contents: list[bytes], cuts: list[int]) -> None:
    body = ChunkedBody()
    assert b"".join(map(body.feed, pieces(chunked(*contents), cuts))) == b"".join(contents)
    assert body.complete


@given(st.integers(0, 30))
def test_body_that_was_cut_off_is_not_complete(size: int) -> None:
    data = chunked(b"0123456789", b"abc")
    body = ChunkedBody()
    body.feed(data[: min(size, len(data) - 1)])
    assert not body.complete


@pytest.mark.parametrize(
    "data", [b"3;x=y\r\nabc\r\n0\r\n\r\n", b"003\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\nmore"]
)
def test_extensions_trailers_and_what_follows_are_no_content(data: bytes) -> None:
    body = ChunkedBody()
    assert body.feed(data) == b"abc"
    assert body.complete


@pytest.mark.parametrize(
    "data", [b"x\r\n", b"\r\n", b"-1\r\n", b"0x3\r\nabc\r\n", b"1_0\r\n", b"3\r\nabcd\r\n", b"3\r\nabcX", b"1" * 9_000]
)
def test_malformed_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        ChunkedBody().feed(data)


@pytest.mark.parametrize(
    ("headers", "data", "content", "complete"),
    [
        ({}, b"any", b"any", True),
        ({"content-length": "3"}, b"any and more", b"any", True),
        ({"content-length": "4"}, b"any", b"any", False),
        ({"content-length": "9", "transfer-encoding": "Chunked"}, b"1\r\nx\r\n0\r\n\r\n", b"x", True),
    ],
)
def test_headers_say_how_a_body_is_framed(
    headers: Mapping[str, str], data: bytes, content: bytes, complete: bool
) -> None:
    body: Body = body_of(headers)
    assert (body.feed(data), body.complete) == (content, complete)


@pytest.mark.parametrize(
    "headers", [{"content-length": "-1"}, {"transfer-encoding": "gzip, chunked"}, {"content-encoding": "br"}]
)
def test_framing_that_is_not_read_is_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(MalformedError, match=next(iter(headers))):
        body_of(headers)


# --- WebSocket ---------------------------------------------------------------------------------------------------


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65_536:
        length = bytes([126]) + size.to_bytes(2, "big")
    else:
        length = bytes([127]) + size.to_bytes(8, "big")
    return bytes([opcode | (0x80 if fin else 0)]) + length + payload


@given(CUTS, st.sampled_from([0, 1, 125, 126, 65_535, 65_536]))
def test_messages_come_whole_wherever_frames_are_cut(cuts: list[int], size: int) -> None:
    data = (
        frame(Opcode.TEXT, b"x" * size)
        + frame(Opcode.TEXT, b"begin ", fin=False)
        + frame(Opcode.PING, b"in between")
        + frame(Opcode.CONTINUATION, b"and ", fin=False)
        + frame(Opcode.CONTINUATION, b"end")
        + frame(Opcode.CLOSE, b"\x03\xe8")
        + b"whatever follows"
    )
    frames = WebSocketFrames()
    messages = [message for piece in pieces(data, cuts) for message in frames.feed(piece)]
    assert messages == [
        Message(Opcode.TEXT, b"x" * size),
        Message(Opcode.PING, b"in between"),
        Message(Opcode.TEXT, b"begin and end"),
        Message(Opcode.CLOSE, b"\x03\xe8"),
    ]
    assert frames.complete


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x81\0\0\0\0x",  # masked
        b"\xc1\x01x",  # a reserved bit
        b"\x83\x01x",  # an unknown kind
        frame(Opcode.CONTINUATION, b"x"),
        frame(Opcode.TEXT, b"x", fin=False) + frame(Opcode.TEXT, b"y"),
        frame(Opcode.PING, b"", fin=False),
        frame(Opcode.PING, b"x" * 126),
    ],
)
def test_malformed_frames_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        WebSocketFrames().feed(data)


def test_client_frames_are_masked() -> None:
    assert masked_frame(Opcode.PONG, b"ab") == b"\x8a\x82\0\0\0\0ab"
    with pytest.raises(ValueError, match="125"):
        masked_frame(Opcode.PONG, b"x" * 126)
