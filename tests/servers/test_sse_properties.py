"""What holds for every event, every stream of bytes and every way to cut it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.sse import (
    EventStreamDecoder,
    EventTooLargeError,
    ServerSentEvent,
    encode_comment,
    encode_event,
    json_string,
    json_strings,
)

__all__ = ()

SAFE_ID = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"():<>?@[\\]{}')
ONE_LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))
TEXT = st.text(st.one_of(st.characters(), st.sampled_from("\r\n :\ufeff\u2028\u2029\u0085\ud83d\ude00")))
# The bytes that mean something, often enough to meet.
STREAM = st.lists(
    st.one_of(
        st.sampled_from(
            [b"data", b"event", b"id", b"retry", b":", b": ", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b"1"]
        ),
        st.sampled_from([b"\xef", b"\xbb", b"\xbf", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xf0", b"\x80", b"x"]),
        st.binary(max_size=3),
    ),
    max_size=40,
).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """Cut a stream into pieces anywhere; some may be empty."""
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    return [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]


def reference(stream: bytes) -> list[ServerSentEvent]:
    """Read a whole stream, as the standard's text has it: characters first, then lines, then fields."""
    lines = re.split("\r\n|\r|\n", stream.decode("utf-8", "replace").removeprefix("\ufeff"))
    data = event = id = ""
    events = []
    for line in lines[:-1]:
        if line == "":
            if data:
                events.append(ServerSentEvent(event or "message", data.removesuffix("\n"), id))
            data = event = ""
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data += value + "\n"
        elif field == "event":
            event = value
        elif field == "id" and "\0" not in value:
            id = value
    return events


def decode(pieces: Iterable[bytes], max_event_bytes: int = 2**20) -> tuple[list[ServerSentEvent], bool]:
    """Return the events of a stream in pieces, and whether the limit ended it."""
    decoder = EventStreamDecoder(max_event_bytes)
    events: list[ServerSentEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
    except EventTooLargeError as error:
        return [*events, *error.events], True
    return events, False


@pytest.mark.slow
@given(st.data(), STREAM)
def test_any_stream_in_any_pieces_is_read_as_the_standard_has_it(data: st.DataObject, stream: bytes) -> None:
    assert decode(data.draw(cut(stream))) == (reference(stream), False)


@pytest.mark.slow
@given(st.data(), STREAM, st.integers(1, 30))
def test_limit_is_the_same_however_the_stream_is_cut(data: st.DataObject, stream: bytes, max_event_bytes: int) -> None:
    whole = decode([stream], max_event_bytes)
    assert decode(data.draw(cut(stream)), max_event_bytes) == whole
    assert decode([bytes([byte]) for byte in stream], max_event_bytes) == whole


@pytest.mark.slow
@given(st.data())
def test_encoded_events_in_any_pieces_come_back_with_line_ends_as_lf(data: st.DataObject) -> None:
    stream, expected, last_id = b"", [], ""
    for text in data.draw(st.lists(TEXT, max_size=4)):
        event = data.draw(st.none() | ONE_LINE.filter(bool))
        id = data.draw(st.none() | st.text(SAFE_ID, min_size=1, max_size=127))
        last_id = id or last_id
        stream += encode_event(text, event=event, id=id) + encode_comment(data.draw(ONE_LINE))
        received = re.sub("\r\n?", "\n", text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        expected.append(ServerSentEvent(event or "message", received, last_id))
    assert decode(data.draw(cut(stream))) == (expected, False)


@given(st.integers(0, 10**18 - 1))
def test_retry_comes_back(retry_ms: int) -> None:
    decoder = EventStreamDecoder()
    decoder.feed(encode_event("", retry_ms=retry_ms))
    assert decoder.retry_ms == retry_ms


@given(st.lists(st.text(), max_size=5))
def test_json_strings_are_those_of_each_text(texts: list[str]) -> None:
    assert json_strings(texts) == [json_string(text) for text in texts]


@given(TEXT)
def test_json_string_comes_back_exactly_from_one_line(text: str) -> None:
    quoted = json_string(text)
    assert len(quoted.splitlines()) == 1
    # JSON itself takes two halves, side by side, for the character.
    assert json.loads(quoted) == json.loads(json.dumps(text))
    assert decode([encode_event(quoted)]) == ([ServerSentEvent("message", quoted, "")], False)
